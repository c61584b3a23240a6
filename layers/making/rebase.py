"""The upper layers of an image over another base: documents and nothing else, no layer is read or written.

What the upper layers delete or link to may be gone in the new base: that is found in tables of contents and told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from layers.errors import BaseMismatch
from layers.oci.documents import History, ImageConfig, Manifest
from layers.oci.image import BASE_DIGEST, BASE_NAME, edit, rewrite
from layers.quick import dataclass
from layers.tar.entry import EntryType

if TYPE_CHECKING:
    from layers.home.store import Store
    from layers.oci.image import Image
    from layers.tar.toc import Toc
    from layers.views.tree import Tree


@dataclass(frozen=True, slots=True)
class Rebased:
    """The documents of the image on its new base, and sentences about what no longer fits."""

    manifest: Manifest
    config: ImageConfig
    warnings: tuple[str, ...]


def rebase(store: Store, image: Image, old: Image, new: Image, name: str) -> Rebased:
    """`image` with the layers and history of `new` in place of those of `old`; `name` is what its base is called.

    Raises BaseMismatch if `image` does not stand on `old`, or `new` is for another platform.
    """
    depth = len(old.chain)
    for at, diff_id in enumerate(old.config.diff_ids):
        if image.config.diff_ids[at : at + 1] != (diff_id,):
            met = image.config.diff_ids[at] if at < len(image.chain) else "no layer"
            raise BaseMismatch(f"{old.id} is no base of {image.id}: its layer {at + 1} is {diff_id}, there is {met}")
    if new.config.platform != image.config.platform:
        raise BaseMismatch(
            f"the new base is for {new.config.platform}, the image for {image.config.platform}; choose with --platform"
        )
    upper = image.config.diff_ids[depth:]
    config = edit(
        image.config,
        diff_ids=(*new.config.diff_ids, *upper),
        history=(*new.config.history, *upper_lines(image.config.history, old.config.history)),
    )
    notes = {**image.manifest.annotations, BASE_NAME: name, BASE_DIGEST: str(new.target.digest)}
    manifest = rewrite(image.manifest, config, [*new.manifest.layers, *image.manifest.layers[depth:]], notes)
    return Rebased(manifest, config, tuple(_unfit(store, old, new, len(upper), image)))


def upper_lines(whole: Sequence[History], base: Sequence[History]) -> Sequence[History]:
    """The history above a base's: after the same lines, or after as many layers if those were written otherwise."""
    if tuple(whole[: len(base)]) == tuple(base):
        return whole[len(base) :]
    left = sum(not line.empty_layer for line in base)
    for at, line in enumerate(whole):
        if not left:
            return whole[at:]
        left -= not line.empty_layer
    return ()


def _hiding(toc: Toc, was: Tree, now: Tree) -> Iterator[str]:
    """Directories of a layer that merged with those of the old base, and lie over something else in the new one."""
    seen: set[str] = set()
    for entry in toc:
        path = entry.path if entry.type is EntryType.DIR else entry.path.rpartition("/")[0]
        while path and path not in seen:
            seen.add(path)
            there, here = was.get(path), now.get(path)
            if (
                here is not None
                and here.type is not EntryType.DIR
                and there is not None
                and there.type is EntryType.DIR
            ):
                yield path
            path = path.rpartition("/")[0]


def _unfit(store: Store, old: Image, new: Image, count: int, image: Image) -> Iterator[str]:
    """What the upper layers say about paths that were in the old base and are not in the new one."""
    upper = image.config.diff_ids[len(image.chain) - count :]
    before, after = old.chain, new.chain
    for number, diff_id in enumerate(upper, 1):
        toc, was, now = store.toc(diff_id), store.tree(before), store.tree(after)
        for entry in toc:
            if entry.type is EntryType.WHITEOUT and was.holds(entry.path) and not now.holds(entry.path):
                yield f"layer {number} above the base deletes /{entry.path}, which the new base does not have"
            if entry.type is not EntryType.HARDLINK or toc.holds(entry.linkname):
                continue
            if not now.holds(entry.linkname):
                yield (
                    f"layer {number} above the base has /{entry.path} as a link to /{entry.linkname}, "
                    "which the new base does not have: the image cannot be unpacked"
                )
        for path in _hiding(toc, was, now):
            here = now.get(path)
            kind = here.type if here is not None else ""
            yield f"layer {number} above the base has a directory /{path}, which hides the {kind} of the new base"
        before, after = before.push(diff_id), after.push(diff_id)
