"""Early cut-off: a command that ran again and made the same files gives the layer that it gave before.

Times of files do not count for that, as they do not for the keys of COPY: else whatever a command writes would be new.
So the steps above stay cached, and the image keeps its digest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layers import Chain, EntryType, NewLayer

if TYPE_CHECKING:
    from layers import Store


def settled(store: Store, below: Chain, former: NewLayer | None, layer: NewLayer) -> NewLayer:
    """The former layer if the new one makes the same files over the same ones but for their times; else the new one.

    Raises BlobMissing.
    """
    from layers.views.treediff import Reason, attributes, diff

    if former is None or former == layer:
        return layer
    before, after = store.tree(below.push(former.diff_id)), store.tree(below.push(layer.diff_id))
    old, new = before.get(""), after.get("")
    if old is not None and new is not None and any(reason is not Reason.MTIME for reason in attributes(old, new)):
        return layer
    if (old is None) != (new is None) or links(store, former) != links(store, layer):
        return layer
    return layer if any(diff(before, after, ignore=(Reason.MTIME,))) else former


def links(store: Store, layer: NewLayer) -> set[tuple[str, str]]:
    """Which names of a layer are names of one file, which comparing files does not tell."""
    return {(entry.path, entry.linkname) for entry in store.toc(layer.diff_id) if entry.type is EntryType.HARDLINK}
