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
from layers.errors import UnsafePath
from layers.paths import MAX_HOPS
from layers.tarball import OPAQUE, WHITEOUT, ordered
from layers.xattrs import incoming

_RESERVED = ".wh..wh."


class _Node:
    """What one or several names stand for."""

    __slots__ = ("entry",)

    def __init__(self, entry: Entry) -> None:
        self.entry = entry


class Normaliser:
    """Takes members one by one; `entries` gives the normal form.

    With `layer=False` names that mean deletions in a layer are refused. `warn` gets a sentence for
    each thing that was tolerated.
    """

    def __init__(self, *, layer: bool, warn: Callable[[str], object]) -> None:
        self._layer = layer
        self._warn = warn
        self._live: dict[str, _Node] = {}  # names of one hard-link group hold the same node
        self._kids: dict[str, set[str]] = {"": set()}  # names below each directory, listed or implied
        self._links = 0  # symlinks seen so far: without any, no parent needs a look
        self._whiteouts: set[str] = set()
        self._opaque: set[str] = set()

    def add(self, entry: Entry) -> None:
        """Apply one member. Raises UnsafePath."""
        path = entry.path
        if WHITEOUT in path and self._special(path):
            return
        if entry.type is EntryType.CHAR and not entry.major and not entry.minor:
            raise UnsafePath(path, "a character device 0:0 is a deletion on disk; archives must not bring one")
        if entry.xattrs:
            entry = replace(entry, xattrs=incoming(entry.xattrs))
        if not path:
            if entry.type is not EntryType.DIR:
                raise UnsafePath(path, f"the root of a layer can only be a directory, not a {entry.type}")
            self._live[""] = _Node(entry)
            return
        head, _, name = path.rpartition("/")
        if self._links:
            head = self._followed(head)
            path = f"{head}/{name}" if head else name
        self._make_parents(head)
        if entry.type is EntryType.HARDLINK:
            self._link(entry, path)
        else:
            old = self._live.get(path)
            if entry.type is not EntryType.DIR or (old is not None and old.entry.type is not EntryType.DIR):
                self._remove(path)
            if entry.type is EntryType.DIR:
                self._kids.setdefault(path, set())
            elif entry.type is EntryType.SYMLINK:
                self._links += 1
            self._live[path] = _Node(entry)
        self._kids[head].add(name)

    def entries(self) -> list[Entry]:
        """The normal form, in canonical order: of a hard-link group the first name carries the file."""
        for path, node in list(self._live.items()):
            if node.entry.type is EntryType.HARDLINK:
                target = self._live.get(node.entry.linkname)
                if target is not None and target.entry.type not in (EntryType.HARDLINK, EntryType.DIR):
                    self._live[path] = target
        found = ordered(
            [
                node.entry if node.entry.path == path else replace(node.entry, path=path)
                for path, node in self._live.items()
            ]
        )
        first: dict[int, str] = {}
        for at, entry in enumerate(found):
            node = self._live[entry.path]
            head = first.setdefault(id(node), entry.path)
            if head != entry.path:
                found[at] = replace(
                    entry, type=EntryType.HARDLINK, linkname=head, size=0, offset=None, sparse=None, xattrs={}
                )
        deletions = [*self._deletions()]
        return ordered([*found, *deletions]) if deletions else found

    # -- inside ----------------------------------------------------------------------------------

    def _special(self, path: str) -> bool:
        """Deletions; False for an ordinary name that only looks a little like one."""
        head, _, name = path.rpartition("/")
        if any(part.startswith(WHITEOUT) for part in head.split("/")):
            raise UnsafePath(path, "a directory cannot be named like a deletion")
        if not name.startswith(WHITEOUT):
            return False
        if not self._layer:
            raise UnsafePath(path, f"names that begin with {WHITEOUT!r} mean deletions in images and cannot be added")
        if name == OPAQUE:
            self._opaque.add(head)
        elif name.startswith(_RESERVED):
            self._warn(f"ignored {path!r}: a note that another program left for itself")
        elif (hidden := name[len(WHITEOUT) :]) in ("", ".", ".."):
            raise UnsafePath(path, "it deletes nothing that can have a name")
        else:
            self._whiteouts.add(f"{head}/{hidden}" if head else hidden)
        return True

    def _followed(self, head: str) -> str:
        """The directory that a path leads to, through the symlinks of this layer. Raises UnsafePath for a circle."""
        hops = 0
        done: list[str] = []
        waiting = head.split("/")[::-1] if head else []
        while waiting:
            part = waiting.pop()
            if part in ("", "."):
                continue
            if part == "..":
                del done[-1:]
                continue
            here = "/".join((*done, part))
            node = self._live.get(here)
            if node is None or node.entry.type is not EntryType.SYMLINK:
                done.append(part)
                continue
            hops += 1
            if hops > MAX_HOPS:
                raise UnsafePath(head, "its symbolic links go in a circle")
            if node.entry.linkname.startswith("/"):
                done.clear()
            waiting.extend(node.entry.linkname.split("/")[::-1])
        return "/".join(done)

    def _make_parents(self, head: str) -> None:
        """See that a directory is there, listed or implied; a file in its way goes."""
        name = ""
        while head not in self._kids:
            self._live.pop(head, None)  # a directory that is listed has an entry in _kids
            self._kids[head] = {name} if name else set()
            head, _, name = head.rpartition("/")
        if name:
            self._kids[head].add(name)

    def _link(self, entry: Entry, path: str) -> None:
        target = entry.linkname
        if self._links:
            head, _, name = target.rpartition("/")
            head = self._followed(head)
            target = f"{head}/{name}" if head else name
        node = self._live.get(target)
        if target == path:
            return
        self._remove(path)
        if node is not None and node.entry.type is EntryType.DIR:
            raise UnsafePath(path, "a hard link to a directory")
        self._live[path] = node if node is not None else _Node(replace(entry, linkname=target))

    def _remove(self, path: str) -> None:
        """Take away what a path stands for, and all below it."""
        self._live.pop(path, None)
        for name in self._kids.pop(path, ()):
            self._remove(f"{path}/{name}")

    def _deletions(self) -> list[Entry]:
        """Deletions that still say something: a new file hides by itself, a new directory is opaque."""
        found = []
        opaque = set()
        for path in self._opaque:
            node = self._live.get(path)
            if node is None or node.entry.type is EntryType.DIR:
                opaque.add(path)
        for path in self._whiteouts:
            node = self._live.get(path)
            if path in self._kids:
                opaque.add(path)
            elif node is None:
                found.append(Entry(path, EntryType.WHITEOUT))
        return [*found, *(Entry(path, EntryType.OPAQUE) for path in opaque)]
