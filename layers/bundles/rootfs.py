"""What a whole directory differs by from the file system that it was made of.

`layers.views.upper` reads what overlayfs has noted; here everything is there, so everything is compared: names,
attributes, bytes, and which names are one file. Directories are opened below the root without following links. Nobody
may be at work in it meanwhile: what moves under our hands is FileChanged, never a layer that was true at no time.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from layers.bundles.idmap import IdMap
from layers.disk.paths import Root, encode
from layers.errors import FileChanged, UnsafePath
from layers.making.compose import Data
from layers.quick import dataclass, replace
from layers.tar import xattrs
from layers.tar.entry import KINDS, Entry, EntryType, same_time
from layers.tar.normal import hard_link
from layers.tar.tarball import ordered
from layers.views.contents import Contents
from layers.views.tree import Tree
from layers.views.upper import entry_of, in_whole_seconds, same_attributes

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_MOVED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
"""What opening says of a path that has become something else."""
State = tuple[int, int, int]


class _Seen(NamedTuple):
    """Something that is no directory: what a layer would say of it, and what tells whether it was touched since."""

    entry: Entry
    inode: tuple[int, int]
    state: State


@dataclass(frozen=True, slots=True)
class Difference:
    """The entries of a layer that makes the one of the other, in canonical order; `states` of the files in it."""

    entries: tuple[Entry, ...]
    states: dict[str, State]

    def items(self, root: Root) -> Iterator[tuple[Entry, Data]]:
        """Entries with their data, for `layers.making.compose`. Raises FileChanged."""
        for entry in self.entries:
            if entry.type is not EntryType.FILE:
                yield entry, None
                continue
            descriptor = _open(root, entry.path, self.states[entry.path])
            try:
                yield entry, descriptor
                if _state(os.fstat(descriptor)) != self.states[entry.path]:
                    raise FileChanged(entry.path)
            finally:
                os.close(descriptor)


def difference(
    root: Root, before: Tree, *, masked: Collection[str] = (), ids: IdMap, warn: Callable[[str], object]
) -> Difference:
    """What changed below `root` since it was `before`; nothing at or below a `masked` path counts.

    `ids` are the maps that the directory was made with. `warn` gets a sentence for each thing that no layer can hold.
    Raises FileChanged, IdUnmapped, UnsafePath, OSError.
    """
    with Contents(before) as contents:
        return _Comparison(root, before, contents, tuple(masked), ids, warn).result()


class _Comparison:
    def __init__(  # noqa: PLR0917 what `difference` was asked
        self,
        root: Root,
        before: Tree,
        contents: Contents,
        masked: tuple[str, ...],
        ids: IdMap,
        warn: Callable[[str], object],
    ) -> None:
        self._root = root
        self._before = before
        self._masked = masked
        self._ids = ids
        self._warn = warn
        self._folders: list[Entry] = []
        self._groups: dict[tuple[int, int], list[_Seen]] = {}
        self._gone: list[Entry] = []
        self._contents = contents
        self._device = -1
        self._kept: set[tuple[int, str]] = set()  # files of `before` that a file on disk stands for

    def result(self) -> Difference:
        waiting = [""]
        while waiting:
            path = waiting.pop()
            waiting += self._directory(path)[::-1]
        found, states = list(self._gone), {}
        for names in self._groups.values():
            if self._is_kept(names):
                continue
            names.sort(key=lambda one: encode(one.entry.path).replace(b"/", b"\0"))
            first = names[0]
            found.append(first.entry)
            found += [hard_link(first.entry, one.entry.path, first.entry.path) for one in names[1:]]
            states[first.entry.path] = first.state
        ways = set()
        for entry in found:
            ways.add(entry.path.rpartition("/")[0])
        for entry in reversed(self._folders):
            old = self._before.get(entry.path)
            if (entry.path and entry.path in ways) or old is None or not same_attributes(old, entry):
                found.append(entry)
                ways.add(entry.path.rpartition("/")[0])
        return Difference(tuple(map(in_whole_seconds, ordered(found))), states)

    def _directory(self, path: str) -> list[str]:
        """Note what is in a directory; the directories in it."""
        try:
            place = self._root.open(path, os.O_RDONLY | os.O_DIRECTORY, follow=False)
        except OSError as error:
            _if_moved(path, error)
            raise
        try:
            status = os.fstat(place)
            if path and status.st_dev != self._device:
                raise UnsafePath(path, "another file system is mounted there; unmount it first, or mask the path")
            self._device = status.st_dev
            self._folders.append(self._entry(path, EntryType.DIR, status, "", xattrs.read(place)))
            names = os.listdir(place)
            for name in set(self._before.children(path)).difference(names):
                inner = f"{path}/{name}" if path else name
                if not self._is_masked(inner):
                    self._gone.append(Entry(inner, EntryType.WHITEOUT))
            return [inner for name in sorted(names, key=encode) if (inner := self._one(place, path, name))]
        except FileNotFoundError as error:
            raise FileChanged(path) from error
        finally:
            os.close(place)

    def _one(self, place: int, path: str, name: str) -> str:
        """Note one thing in a directory; its path if it is a directory, else nothing."""
        inner = f"{path}/{name}" if path else name
        if self._is_masked(inner):
            return ""
        status = os.stat(name, dir_fd=place, follow_symlinks=False)
        kind = KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is EntryType.DIR:
            return inner
        if kind is None:
            self._warn(f"/{inner} is a socket, which no image can hold; it is left out")
            if self._before.holds(inner):
                self._gone.append(Entry(inner, EntryType.WHITEOUT))
            return ""
        if kind is EntryType.CHAR and status.st_rdev == 0:
            raise UnsafePath(inner, "a character device 0:0 is a deletion on disk, and no file of an image")
        link = os.readlink(name, dir_fd=place) if kind is EntryType.SYMLINK else ""
        entry = self._entry(inner, kind, status, link, xattrs.read(f"/proc/self/fd/{place}/{name}"))
        seen = _Seen(entry, (status.st_dev, status.st_ino), _state(status))
        self._groups.setdefault(seen.inode, []).append(seen)
        return ""

    def _entry(self, path: str, kind: EntryType, status: os.stat_result, link: str, marks: dict[str, bytes]) -> Entry:
        return self._ids.inside(entry_of(path, kind, status, link, xattrs.incoming(marks)))

    def _is_masked(self, path: str) -> bool:
        return any(path == mask or path.startswith(f"{mask}/") or not mask for mask in self._masked)

    def _is_kept(self, names: list[_Seen]) -> bool:
        """True if the names of one file are names of one file that was there before, and it is the same.

        Two files on disk cannot both be that one: the second was copied from the first.
        """
        places = [self._before.locate(one.entry.path) for one in names]
        inodes = {None if place is None else (place[0], place[2]) for place in places}
        inode = inodes.pop()
        if inodes or inode is None or places[0] is None or inode in self._kept:
            return False
        if not self._is_same(places[0][0], places[0][1], names[0]):
            return False
        self._kept.add(inode)
        return True

    def _is_same(self, layer: int, old: Entry, seen: _Seen) -> bool:
        new = seen.entry
        if new.type is EntryType.SYMLINK:
            old = replace(old, mode=new.mode)  # links have none, whatever a tar says
        if not same_attributes(old, new) or not same_time(old.mtime_ns, new.mtime_ns):
            return False
        if (old.size, old.linkname, old.major, old.minor) != (new.size, new.linkname, new.major, new.minor):
            return False
        if new.type is not EntryType.FILE or not new.size:
            return True
        descriptor = _open(self._root, new.path, seen.state)
        try:
            return self._contents.equal(layer, old, descriptor)
        finally:
            os.close(descriptor)


def _open(root: Root, path: str, state: State) -> int:
    """A descriptor of the file that was seen. Raises FileChanged if there is another one now."""
    try:
        descriptor = root.open(path, _FILE, follow=False)
    except OSError as error:
        _if_moved(path, error)
        raise
    if _state(os.fstat(descriptor)) != state:
        os.close(descriptor)
        raise FileChanged(path)
    return descriptor


def _if_moved(path: str, error: OSError) -> None:
    """Raise what it means if something that was there cannot be opened; return if it means no more than it says."""
    if error.errno == errno.ENAMETOOLONG:
        why = "so deep that its path is longer than 4095 bytes; no image can hold it"
        raise UnsafePath(f"{path[:60]}…", why) from error
    if error.errno in _MOVED:
        raise FileChanged(path) from error


def _state(status: os.stat_result) -> State:
    """What differs after every change of a file, and between files."""
    return status.st_ino, status.st_size, status.st_ctime_ns
