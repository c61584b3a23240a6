"""From a raw tar and its table of contents to files in a directory, whatever the archive tries.

The target is ours alone while this runs. Every name is opened below its directory's descriptor without following links,
so nothing of what was written before, by this layer or one below, can lead outside.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from layers.disk.owners import give, nested
from layers.disk.paths import Root, decode, encode
from layers.disk.ranges import copy_range
from layers.disk.removal import clear, remove
from layers.errors import UnsafePath
from layers.quick import replace
from layers.tar import xattrs
from layers.tar.entry import Entry, EntryType
from layers.tar.toc import Toc
from layers.views.tree import Tree, pieces

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
MOST_OPEN = 64
"""Directories on the way to the current one that are kept open; paths may be 2000 deep."""


def unpack(toc: Toc, raw: BinaryIO, target: Path, *, overlay: bool, below: Tree) -> None:
    """Put the entries of a layer into a directory.

    `overlay` writes deletions as overlayfs keeps them, for a directory that will lie over others; otherwise they are
    carried out. `below` is what lies below, for directories that the layer only implies and for hard links into lower
    layers. Raises UnsafePath, and OSError from the disk.
    """
    with _Unpack(toc, raw, target, overlay, below) as work:
        for entry in toc:
            try:
                work.put(entry)
            except OSError as error:
                if error.errno not in (errno.EFBIG, errno.ENAMETOOLONG):
                    raise
                raise UnsafePath(entry.path, f"this file system cannot hold it: {error.strerror}") from error
        work.finish()


class _Unpack:
    def __init__(self, toc: Toc, raw: BinaryIO, target: Path, overlay: bool, below: Tree) -> None:
        self._toc = toc
        self._target = target
        self._raw = raw.fileno()
        self._overlay = overlay
        self._below = below
        self._stack: list[tuple[bytes, int]] = [(b"", os.open(target, _DIRECTORY))]
        self._directories: list[tuple[bytes, Entry]] = []
        self._implied: set[bytes] = set()
        if toc.get("") is None:
            self._imply(b"")
        self._far: dict[tuple[int, str, int], str] = {}  # files of lower layers, and where each was copied to

    def __enter__(self) -> _Unpack:
        return self

    def __exit__(self, *_: object) -> None:
        while self._stack:
            os.close(self._stack.pop()[1])

    def put(self, entry: Entry) -> None:
        """Write one entry."""
        path = encode(entry.path)
        if not path:
            if entry.type is EntryType.OPAQUE:
                self._make_opaque(b"")
            else:
                self._directories.append((b"", entry))
            return
        if entry.type is EntryType.OPAQUE:
            self._make_opaque(path)
            return
        if entry.type is EntryType.WHITEOUT and not self._below.holds(entry.path):
            return  # not even the directories on the way to nothing
        head, _, name = path.rpartition(b"/")
        at = self._directory(head)
        match entry.type:
            case EntryType.WHITEOUT if self._overlay:
                os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=at)
            case EntryType.WHITEOUT:
                remove(name, at)
            case EntryType.DIR:
                self._enter(at, name, path)
                self._directories.append((path, entry))
            case EntryType.FILE:
                self._file(at, name, entry, self._raw)
            case EntryType.SYMLINK:
                remove(name, at)
                os.symlink(encode(entry.linkname), name, dir_fd=at)
                self._attributes(at, name, entry)
            case EntryType.HARDLINK:
                self._link(at, name, entry)
            case EntryType.CHAR | EntryType.BLOCK if nested():
                remove(name, at)  # only the host's root makes devices, and nobody else could open them
            case _:
                remove(name, at)
                kind = {EntryType.CHAR: stat.S_IFCHR, EntryType.BLOCK: stat.S_IFBLK}.get(entry.type, stat.S_IFIFO)
                os.mknod(name, kind | 0o600, os.makedev(entry.major, entry.minor), dir_fd=at)
                self._attributes(at, name, entry)

    def finish(self) -> None:
        """Give directories their attributes, the deepest first: what was put into them has changed their times."""
        for path, entry in reversed(self._directories):
            self._finish(self._directory(path), entry)

    # -- inside ----------------------------------------------------------------------------------

    def _directory(self, path: bytes) -> int:
        """The descriptor of a directory below the target, made if it is missing; the last few are kept open."""
        while not (path == self._stack[-1][0] or path.startswith(self._stack[-1][0] + b"/") or not self._stack[-1][0]):
            os.close(self._stack.pop()[1])
        done, at = self._stack[-1]
        if path == done:
            return at
        for name in path[len(done) :].lstrip(b"/").split(b"/"):
            done = done + b"/" + name if done else name
            fresh = self._enter(at, name, done)
            at = os.open(name, _DIRECTORY, dir_fd=at)
            self._stack.append((done, at))
            if len(self._stack) > MOST_OPEN:
                os.close(self._stack.pop(1)[1])
            if (fresh or not self._overlay) and done not in self._implied and self._toc.get(decode(done)) is None:
                self._imply(done)
        return at

    def _enter(self, at: int, name: bytes, path: bytes) -> bool:
        """See that a directory is there; True if it was made now."""
        try:
            os.mkdir(name, 0o700, dir_fd=at)
            return True
        except FileExistsError:
            if stat.S_ISDIR(os.lstat(name, dir_fd=at).st_mode):
                return False
        remove(name, at)
        os.mkdir(name, 0o700, dir_fd=at)
        if self._overlay and (below := self._below.get(decode(path))) and below.type is EntryType.DIR:
            os.setxattr(_through(at, name), _mark(), b"y")  # it comes in the place of a deletion
        return True

    def _imply(self, path: bytes) -> None:
        """A directory that the layer does not list looks as it does below, if the layer lets that be seen."""
        self._implied.add(path)
        text = decode(path)
        found = None if self._toc.hides(text) else self._below.get(text)
        if found is None or found.type is not EntryType.DIR:
            found = Entry(text, EntryType.DIR, 0o755)
        self._directories.append((path, found))

    def _make_opaque(self, path: bytes) -> None:
        """Let nothing of the layers below be seen in a directory.

        overlayfs does not look whether the root of a layer is opaque, so there each name is hidden by itself.
        """
        place = self._directory(path)
        if not self._overlay:
            clear(place)
        elif path:
            os.setxattr(place, _mark(), b"y")
        else:
            for name in self._below.children(""):
                os.mknod(encode(name), stat.S_IFCHR, os.makedev(0, 0), dir_fd=place)

    def _file(self, at: int, name: bytes, entry: Entry, source: int) -> None:
        try:
            new = os.open(name, _NEW, 0o600, dir_fd=at)
        except FileExistsError:
            remove(name, at)
            new = os.open(name, _NEW, 0o600, dir_fd=at)
        try:
            for position, length, offset in pieces(entry):
                copy_range(source, offset, new, position, length)
            if entry.sparse is not None:
                os.ftruncate(new, entry.size)
            self._finish(new, entry)
        finally:
            os.close(new)

    def _link(self, at: int, name: bytes, entry: Entry) -> None:
        remove(name, at)
        target = entry.linkname
        if self._overlay and not self._toc.holds(target) and (inode := self._below.inode(target)):
            target = self._far.setdefault((id(inode[0]), *inode[1:]), entry.path)
        if target != entry.path and self._linked(at, name, target):
            return
        found = self._below.get(entry.linkname)
        if found is None or found.type is EntryType.DIR:
            raise UnsafePath(entry.path, f"a hard link to {entry.linkname!r}, which is not there")
        if found.type is not EntryType.FILE:
            self.put(replace(found, path=entry.path))
            return
        with self._below.open(entry.linkname) as content:  # a copy, as overlayfs itself would make one
            new = os.open(name, _NEW, 0o600, dir_fd=at)
            with os.fdopen(new, "wb", buffering=0) as file:
                while chunk := content.read(1 << 20):
                    file.write(chunk)
                self._finish(new, found)

    def _linked(self, at: int, name: bytes, target: str) -> bool:
        """Make a hard link; False if there is nothing to link to."""
        head, _, last = target.rpartition("/")
        try:
            with Root(self._target) as root:
                source = root.open(head, os.O_PATH | os.O_DIRECTORY, follow=False)
            try:
                os.link(encode(last), name, src_dir_fd=source, dst_dir_fd=at, follow_symlinks=False)
            finally:
                os.close(source)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EPERM):
                raise
            return False
        return True

    def _finish(self, place: int, entry: Entry) -> None:
        """Owner, mode, attributes and times of what is open; in this order, as a change of owner takes rights away."""
        give(place, entry.uid, entry.gid)
        os.fchmod(place, entry.mode)
        self._set(place, entry)
        os.utime(place, ns=(entry.mtime_ns, entry.mtime_ns))

    def _set(self, place: int | str, entry: Entry) -> None:
        """The attributes of an entry and no others; one that this file system or user cannot have is left out.

        Over a lower layer there are others: those that a directory had, or that come from its default ACL.
        """
        follow = isinstance(place, int)
        if not self._overlay and entry.type is not EntryType.SYMLINK:
            for key in xattrs.read(place):
                if xattrs.belongs(key) and key not in entry.xattrs:
                    os.removexattr(place, key, follow_symlinks=follow)
        for key, value in entry.xattrs.items():
            try:
                os.setxattr(place, key, value, follow_symlinks=follow)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.E2BIG, errno.ERANGE):
                    why = f"this file system has no room for its attribute {key!r} of {len(value)} bytes"
                    raise UnsafePath(entry.path, why) from error
                if error.errno not in (errno.ENOTSUP, errno.EPERM):
                    raise

    def _attributes(self, at: int, name: bytes, entry: Entry) -> None:
        """Owner, mode and times of what cannot be opened."""
        give(name, entry.uid, entry.gid, at=at)
        if entry.type is not EntryType.SYMLINK:
            os.chmod(name, entry.mode, dir_fd=at)
        self._set(_through(at, name), entry)
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=at, follow_symlinks=False)


def _mark() -> str:
    """The attribute of an opaque directory, as overlayfs reads it here."""
    return xattrs.OVERLAY[nested()] + "opaque"


def _through(at: int, name: bytes) -> str:
    """A path of what cannot be opened: there are no calls for its attributes that begin at a directory."""
    return f"/proc/self/fd/{at}/{os.fsdecode(name)}"
