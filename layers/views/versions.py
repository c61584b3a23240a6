"""What each layer of a chain says about paths: who made them, who changed them, who removed them.

Answers come from tables of contents alone. Rules as in `layers.views.tree`: a path goes when a layer above deletes it
or a directory on the way to it, hides that directory's content, or has something else than a directory there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from layers.disk.paths import MAX_HOPS, encode
from layers.quick import dataclass
from layers.tar.entry import Entry, EntryType
from layers.tar.toc import Toc
from layers.views.changes import ChangeKind
from layers.views.treediff import Reason, attributes


@dataclass(frozen=True, slots=True)
class Version:
    """What one layer did to one path.

    layer: its position, 0 the lowest. entry: what the layer has there, None if it removed the path, or only implies a
    directory. by: where a removal was said, the path itself or one above it.
    """

    layer: int
    path: str
    kind: ChangeKind
    entry: Entry | None
    by: str


class Versions:
    """The versions of all paths of a chain; `layers` are lowest first."""

    def __init__(self, layers: Sequence[Toc]) -> None:
        self._layers = layers
        self._hiders: list[dict[str, str | None]] = [{} for _ in layers]

    def of(self, path: str) -> list[Version]:
        """All versions of a path, newest first; none if no layer ever had it.

        A directory that a layer lists as it was, on the way to something, is no version.
        """
        found: list[Version] = []
        there = folder = False
        last: Entry | None = None
        for at, toc in enumerate(self._layers):
            if path and toc.holds(path):
                entry = toc.get(path)
                passing = folder and (entry is None or passes(last, entry))
                if not passing or self._remover(at, path) is not None:
                    found.append(Version(at, path, ChangeKind.MODIFIED if there else ChangeKind.ADDED, entry, path))
                    last = entry
                there, folder = True, toc.is_dir(path)
            elif not path and (entry := toc.get("")) is not None:
                found.append(Version(at, "", ChangeKind.MODIFIED if found else ChangeKind.ADDED, entry, ""))
            elif there and (by := self._remover(at, path)) is not None:
                found.append(Version(at, path, ChangeKind.REMOVED, None, by))
                there = folder = False
        return found[::-1]

    def matching(self, pattern: re.Pattern[str]) -> list[str]:
        """Every path that any layer has, wholly matched by a pattern, in order of its bytes."""
        found: set[str] = set()
        for toc in self._layers:
            found.update(path for path in toc.paths() if path and path not in found and pattern.fullmatch(path))
        return sorted(found, key=encode)

    def data(self, version: Version) -> tuple[int, Entry] | None:
        """Where the bytes of a version are: the layer, and the FILE there with its offset; None if it has none."""
        entry, at = version.entry, version.layer
        for _ in range(MAX_HOPS):
            if entry is None or entry.type is not EntryType.HARDLINK:
                break
            target, here = entry.linkname, entry.path
            entry = self._layers[at].get(target) if target != here else None
            while entry is None and at > 0:
                at -= 1
                entry = self._layers[at].get(target)
        return (at, entry) if entry is not None and entry.type is EntryType.FILE else None

    def _remover(self, at: int, path: str) -> str | None:
        """The path by which a layer hides what lower ones have at `path`, or None if it lets that show."""
        if not path:
            return None
        return path if self._layers[at].deletes(path) else self._hider(at, path.rpartition("/")[0])

    def _hider(self, at: int, folder: str) -> str | None:
        """The same for all that is in a directory: by that directory, or one above it."""
        toc, known = self._layers[at], self._hiders[at]
        asked = []
        place: str | None = folder
        while place is not None and place not in known:
            asked.append(place)
            place = place.rpartition("/")[0] if place else None
        answer = None if place is None else known[place]
        for inner in reversed(asked):
            if answer is None and (
                toc.is_opaque(inner) or toc.deletes(inner) or (toc.holds(inner) and not toc.is_dir(inner))
            ):
                answer = inner
            known[inner] = answer
        return answer


def passes(old: Entry | None, new: Entry) -> bool:
    """True if a layer only lists a directory on the way to something: it is as it was, but perhaps for its time."""
    same = old is not None and new.type is EntryType.DIR and not {*attributes(old, new)} - {Reason.MTIME}
    return same or (old is None and new.type is EntryType.DIR and (new.mode, new.uid, new.gid) == (0o755, 0, 0))
