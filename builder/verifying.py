"""An image built once more and compared with itself: what differs, down to the file and the key of the config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from layers import Chain
from layers.oci.documents import decode
from layers.quick import dataclass

if TYPE_CHECKING:
    from layers import DiffID, Image, Store, Tree

TIMES = ("created",)
"""Keys of a config that are times."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the config that differs, as a path in it; None where it is not there."""

    path: str
    old: Any
    new: Any

    @property
    def is_time(self) -> bool:
        """True for when something was made."""
        return self.path.rpartition(".")[2] in TIMES


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that differs, by its place from the base; None where there is none."""

    place: int
    old: DiffID | None
    new: DiffID | None
    created_by: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What two images differ by; nothing at all if they are one."""

    keys: tuple[Key, ...]
    layers: tuple[Layer, ...]
    annotations: bool

    @property
    def same(self) -> bool:
        """True if every byte is the same."""
        return not (self.keys or self.layers or self.annotations)


def compare(old: Image, new: Image) -> Verdict:
    """The config and the layers of an image beside those of another one."""
    if old.manifest.descriptor.digest == new.manifest.descriptor.digest:
        return Verdict((), (), False)
    before, after = (decode(image.config.raw, "image config") for image in (old, new))
    for value in (before, after):
        value.pop("rootfs", None)  # told as layers
    notes = dict(old.manifest.annotations) != dict(new.manifest.annotations)
    return Verdict(tuple(_keys("", before, after)), tuple(_layers(old, new)), notes)


def _keys(path: str, old: Any, new: Any) -> Iterator[Key]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _keys(f"{path}.{key}" if path else key, old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (one, two) in enumerate(zip(old, new, strict=True)):
            yield from _keys(f"{path}[{place}]", one, two)
    else:
        yield Key(path, old, new)


def _layers(old: Image, new: Image) -> Iterator[Layer]:
    lines = [line.created_by or "" for line in new.config.history if not line.empty_layer]
    before, after = old.config.diff_ids, new.config.diff_ids
    for place in range(max(len(before), len(after))):
        one = before[place] if place < len(before) else None
        two = after[place] if place < len(after) else None
        if one != two:
            yield Layer(place, one, two, lines[place] if place < len(lines) else "")


def sides(store: Store, layer: Layer) -> tuple[Tree, Tree]:
    """The files of a layer that differs, alone, as they are in both images. Raises BlobMissing."""
    old, new = (store.tree(Chain(() if one is None else (one,))) for one in (layer.old, layer.new))
    return old, new


def differing(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[Key]:
    """The inputs of two builds that are not the same."""
    same = {"file", "context", "source", "contexts"}  # where things were is no input
    return [
        key
        for name in sorted((recorded.keys() | now.keys()) - same)
        for key in _keys(name, recorded.get(name), now.get(name))
    ]
