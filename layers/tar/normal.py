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

from layers.disk.paths import MAX_HOPS, normalise
from layers.errors import ArchiveInvalid, UnsafePath
from layers.quick import replace
from layers.tar import acl
from layers.tar.entry import Entry, EntryType
from layers.tar.header import OPAQUE, WHITEOUT
from layers.tar.tarball import order, ordered
from layers.tar.xattrs import obeyed

_MAJORS, _MINORS = 0xFFF, 0xFFFFF
_RESERVED = ".wh..wh."  # what AUFS kept for itself, but for OPAQUE


class Normaliser:
    """Takes members one by one; `entries` gives the normal form.

    With `layer=False` names that mean deletions in a layer are refused. `warn` gets a sentence for
    each thing that was tolerated.
    """

    def __init__(self, *, layer: bool, warn: Callable[[str], object]) -> None:
        self._layer = layer
        self._warn = warn
        self._live: dict[str, Entry] = {}  # names of one hard-link group hold the same Entry object
        self._kids: dict[str, set[str]] = {"": set()}  # paths in each directory, listed or implied
        self._deletions: set[tuple[str, EntryType]] = set()

    def add(self, entry: Entry) -> None:
        """Apply one member. Raises UnsafePath and ArchiveInvalid."""
        path, kind = entry.path, entry.type
        if WHITEOUT in path and self._special(path):
            return
        if entry.xattrs:
            entry = self._without_foreign(entry)
        if not path:
            if kind is not EntryType.DIR:
                raise UnsafePath(path, f"the root of a layer can only be a directory, not a {kind}")
            self._live[""] = entry
            return
        head, _, name = path.rpartition("/")
        if head not in self._kids:
            head = self._follow(path, head, make=True)
            path = normalise(f"{head}/{name}" if head else name)
            entry = replace(entry, path=path)
        if kind is EntryType.CHAR and not entry.major and not entry.minor:
            raise UnsafePath(path, "a character device 0:0 is a deletion on disk; archives must not bring one")
        if entry.major > _MAJORS or entry.minor > _MINORS:
            raise UnsafePath(path, f"device {entry.major}:{entry.minor} is beyond what Linux can hold")
        if kind is EntryType.HARDLINK:
            target = self._live.get(entry.linkname)
            if entry.linkname in self._kids:
                raise UnsafePath(path, f"a hard link to {entry.linkname!r}, which is a directory")
            if entry.linkname == path:
                if target is None:
                    raise ArchiveInvalid(f"{path!r} is a hard link to itself")
                return
            entry = target or entry
        old = self._live.get(path)
        if old is not None and (kind is not EntryType.DIR or old.type is not EntryType.DIR):
            self._warn(f"{path!r} is there twice; the last one counts")
        if kind is EntryType.DIR:
            self._kids.setdefault(path, set())
        elif path in self._kids:
            self._drop(path)
        self._live[path] = entry
        self._kids[head].add(path)

    def entries(self) -> list[Entry]:
        """The normal form, in canonical order."""
        groups: dict[int, list[str]] = {}
        files: dict[int, Entry] = {}
        for path, entry in self._live.items():
            if entry.type is EntryType.HARDLINK:
                entry = self._linked(path, entry)
            groups.setdefault(id(entry), []).append(path)
            files[id(entry)] = entry
        found = []
        for key, paths in groups.items():
            entry = files[key]
            if len(paths) == 1:
                found.append(entry if entry.path == paths[0] else replace(entry, path=paths[0]))
            elif entry.type is EntryType.HARDLINK:  # of a file below
                found += [replace(entry, path=path) for path in paths]
            else:
                paths.sort(key=lambda path: order(replace(entry, path=path)))
                found.append(replace(entry, path=paths[0]))
                found += [hard_link(entry, path, paths[0]) for path in paths[1:]]
        return ordered(found + self._hidden())

    def _special(self, path: str) -> bool:
        """Remember a deletion; True unless it is a name like any other. Raises UnsafePath."""
        parts = path.split("/")
        special = [part.startswith(WHITEOUT) for part in parts]
        if not any(special):
            return False
        if not self._layer:
            raise UnsafePath(path, f'names that begin with "{WHITEOUT}" mean deletions and cannot be in an image')
        head, _, name = path.rpartition("/")
        if name == OPAQUE and not any(special[:-1]):
            self._deletions.add((head, EntryType.OPAQUE))
        elif any(part.startswith(_RESERVED) for part in parts):
            self._warn(f"{path!r} is AUFS's own and was skipped")
        elif any(special[:-1]):
            raise UnsafePath(path, f'only the last part of a name can begin with "{WHITEOUT}"')
        else:
            hidden = name.removeprefix(WHITEOUT)
            if hidden in ("", ".", ".."):
                raise UnsafePath(path, "a whiteout of nothing, or of the directory itself")
            self._deletions.add((f"{head}/{hidden}" if head else hidden, EntryType.WHITEOUT))
        return True

    def _without_foreign(self, entry: Entry) -> Entry:
        """The entry with the attributes that are obeyed; a list of who may do what is part of its mode."""
        kept = obeyed(entry.xattrs, entry.type)
        if kept is not entry.xattrs:
            self._warn(f"{entry.path!r} brings {', '.join(entry.xattrs.keys() - kept.keys())}, which is not kept")
            entry = replace(entry, xattrs=kept)
        if acl.ACCESS in kept and (said := acl.permissions(kept[acl.ACCESS])):
            bits, more = said
            kept = {name: value for name, value in kept.items() if more or name != acl.ACCESS}
            entry = replace(entry, mode=entry.mode & ~0o777 | bits, xattrs=kept)
        return entry

    def _follow(self, path: str, head: str, *, make: bool) -> str:
        """Where a directory's path leads through this layer's symlinks. With `make` it is a directory afterwards."""
        here, hops = "", 0
        todo = head.split("/")[::-1]
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                here = here.rpartition("/")[0]
                continue
            at = f"{here}/{part}" if here else part
            entry = self._live.get(at)
            if entry is not None and entry.type is EntryType.SYMLINK:
                hops += 1
                if hops > MAX_HOPS:
                    raise UnsafePath(path, f"its directory leads through more than {MAX_HOPS} symlinks")
                here = "" if entry.linkname.startswith("/") else here
                todo += entry.linkname.split("/")[::-1]
                continue
            if make and at not in self._kids:
                if entry is not None:
                    self._warn(f"{at!r} was a {entry.type} but has children; it is a directory now")
                    self._drop(at)
                self._kids[at] = set()
                self._kids[here].add(at)
            here = at
        return here

    def _drop(self, path: str) -> None:
        """Forget a path and all below it."""
        todo = [path]
        while todo:
            path = todo.pop()
            self._live.pop(path, None)
            todo += self._kids.pop(path, ())

    def _linked(self, path: str, entry: Entry) -> Entry:
        """What a hard link to a later member is; itself, if it links to a file of the layers below."""
        seen = {path}
        while entry.type is EntryType.HARDLINK:
            target = entry.linkname
            if target in self._kids:
                raise UnsafePath(path, f"a hard link to {target!r}, which is a directory")
            if target in seen:
                raise ArchiveInvalid(f"{path!r} is a hard link to itself")
            seen.add(target)
            if target not in self._live:
                if above := self._nearest(target):
                    raise ArchiveInvalid(f"{path!r} is a hard link to {target!r}, but {above!r} is no directory")
                return Entry(path, EntryType.HARDLINK, linkname=target)
            entry = self._live[target]
        return entry

    def _nearest(self, path: str) -> str:
        """The lowest listed path above this one, if it is no directory."""
        while path := path.rpartition("/")[0]:
            if path in self._live or path in self._kids:
                return "" if path in self._kids else path
        return ""

    def _hidden(self) -> list[Entry]:
        """Deletions that have an effect: not over a file of this layer, nor below what is hidden whole."""
        wanted: set[tuple[str, EntryType]] = set()
        for path, kind in self._deletions:
            if kind is EntryType.OPAQUE:
                wanted.add((self._follow(path, path, make=False), kind))
            else:
                head, _, name = path.rpartition("/")
                head = self._follow(path, head, make=False)
                path = f"{head}/{name}" if head else name
                wanted.add((path, EntryType.OPAQUE if path in self._kids else kind))
        found: dict[str, Entry] = {}
        for path, kind in sorted(wanted):  # what is above comes first, and OPAQUE before WHITEOUT
            if (path in self._live and path not in self._kids) or self._nearest(path):
                continue
            if path not in found and not _is_below(path, found):
                found[path] = Entry(path, kind)
        return list(found.values())


def hard_link(file: Entry, path: str, first: str) -> Entry:
    """Another name of a file that this layer has under the name `first`; it shows the attributes that all share."""
    return Entry(path, EntryType.HARDLINK, file.mode, file.uid, file.gid, mtime_ns=file.mtime_ns, linkname=first)


def _is_below(path: str, hidden: dict[str, Entry]) -> bool:
    while path:
        path = path.rpartition("/")[0]
        if path in hidden:
            return True
    return False
