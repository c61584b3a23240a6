"""The rules by which the members of a tar become a layer (OCI image-spec, layer.md, "Applying").

Members come in the tar's order; what stands at the end is what the layer says:
- a later member replaces an earlier one of the same path; a directory over a directory only its
  attributes; whatever is below a path that stops being a directory is gone;
- a member below a symlink of the same layer lies where the link leads, inside the root;
- deletions hide lower layers only, whatever their place in the tar;
- a hard link names an earlier member, else a later one, else a file of the layers below; links
  keep what they were linked to even if that name is replaced later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from layers.entry import Entry, EntryType
from layers.errors import ArchiveInvalid, UnsafePath
from layers.paths import MAX_HOPS, normalise
from layers.tarball import OPAQUE, WHITEOUT, ordered
from layers.xattrs import incoming

_RESERVED = ".wh..wh."


class Normaliser:
    """Takes members one by one; `entries` gives the normal form.

    With `layer=False` names that mean deletions in a layer are refused. `warn` gets a sentence for
    each thing that was tolerated.
    """

    def __init__(self, *, layer: bool, warn: Callable[[str], object]) -> None:
        self._layer = layer
        self._warn = warn
        self._live: dict[str, Entry] = {}  # names of one hard-link group hold the same Entry object
        self._kids: dict[str, set[str]] = {}  # paths below each directory, listed or implied
        self._links = 0  # symlinks seen so far: without any, no parent needs a look
        self._whiteouts: set[str] = set()
        self._opaque: set[str] = set()

    def add(self, entry: Entry) -> None:
        """Apply one member. Raises UnsafePath and ArchiveInvalid."""
        path = entry.path
        if WHITEOUT in path and self._special(path):
            return
        if not path:
            if entry.type is not EntryType.DIR:
                raise UnsafePath(path, f"the root of a layer can only be a directory, not a {entry.type}")
            self._live[""] = self._kept(entry)
            return
        head, _, _ = path.rpartition("/")
        if head not in self._kids:
            head, path = self._enter(path)
        if entry.type is EntryType.HARDLINK:
            self._link(entry, head, path)
            return
        old = self._live.get(path)
        if entry.type is EntryType.DIR:
            if old is not None and old.type is not EntryType.DIR:
                self._replaced(path)
            self._kids.setdefault(path, set())
        else:
            if entry.type is EntryType.CHAR and not entry.major and not entry.minor:
                raise UnsafePath(path, "a character device 0:0 is a deletion on disk; archives must not bring one")
            if old is not None or path in self._kids:
                self._replaced(path)
            if entry.type is EntryType.SYMLINK:
                self._links += 1
        self._put(head, path, entry)

    def entries(self) -> list[Entry]:
        """The normal form, in canonical order."""
        self._late_links()
        deletions = [Entry(path, EntryType.WHITEOUT) for path in self._whiteouts if self._hides(path)]
        deletions += [Entry(path, EntryType.OPAQUE) for path in self._opaque_now()]
        listed = ordered(
            [entry if entry.path == path else replace(entry, path=path) for path, entry in self._live.items()]
            if not self._shared
            else []
        )
        return listed + deletions

    def _put(self, head: str, path: str, entry: Entry) -> None:
        entry = self._kept(entry)
        self._live[path] = entry if entry.path == path else replace(entry, path=path)
        self._kids[head].add(path)
