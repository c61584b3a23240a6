"""The manifest of a directory as mtree(5) writes it, in the dialect of go-mtree: what umoci compares a bundle with.

Keywords, their order and their defaults are those that umoci uses; what a `/set` line says is not said again. Names and
link targets are vis(3)-encoded byte by byte. Directories are opened below the root without following links.
"""

from __future__ import annotations

import hashlib
import os
import stat
from base64 import b64encode
from collections.abc import Iterator
from typing import TextIO

from layers.disk.paths import Root, encode
from layers.errors import FileChanged, UnsafePath
from layers.tar import xattrs

KEYWORDS = ("size", "type", "uid", "gid", "mode", "link", "nlink", "tar_time", "sha256digest", "xattr")
DEFAULTS = ("type=file", "nlink=1", "mode=0664")
TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIECE = 1 << 20
_PLAIN = frozenset(set(range(0x21, 0x7F)) - set(b"*?[#\\"))


def write(root: Root, sink: TextIO) -> None:
    """Write the manifest of everything below a root.

    Raises FileChanged if somebody is at work there, UnsafePath for what is mounted there, OSError.
    """
    sink.write(f"#      keywords: {','.join(KEYWORDS)}\n")
    said: tuple[str, ...] = ()
    device = -1
    waiting: list[str | None] = [""]
    while waiting:
        path = waiting.pop()
        if path is None:
            sink.write("..\n")
            continue
        place = root.open(path, os.O_RDONLY | os.O_DIRECTORY, follow=False)
        try:
            status = os.fstat(place)
            if path and status.st_dev != device:
                raise UnsafePath(path, "another file system is mounted there; unmount it first")
            device = status.st_dev
            owners = (f"uid={status.st_uid}", f"gid={status.st_gid}")
            sink.write(f"\n# {vis(path) or '.'}\n")
            if not set(owners) <= set(said):
                said = (*DEFAULTS, *owners)
                sink.write(f"/set {' '.join(said)}\n")
            sink.write(f"{vis(path.rpartition('/')[2]) or '.'} {_line(place, path, '', status, said)}\n")
            files, folders = _listing(place)
            for name, found in files:
                sink.write(f"    {vis(name)} {_line(place, path, name, found, said)}\n")
        except FileNotFoundError as error:
            raise FileChanged(path) from error
        finally:
            os.close(place)
        waiting.append(None)
        waiting += [f"{path}/{name}" if path else name for name in reversed(folders)]


def vis(text: str) -> str:
    """A name of any bytes as one word of ASCII (vis(3), VIS_OCTAL, VIS_WHITE and VIS_GLOB)."""
    raw = encode(text)
    if _PLAIN.issuperset(raw):
        return text
    return "".join(chr(byte) if byte in _PLAIN else "\\\\" if byte == 0x5C else f"\\{byte:03o}" for byte in raw)


def _listing(place: int) -> tuple[list[tuple[str, os.stat_result]], list[str]]:
    """What is in a directory: all but directories, and the names of those, each sorted by bytes."""
    files: list[tuple[str, os.stat_result]] = []
    folders: list[str] = []
    for name in sorted(os.listdir(place), key=encode):
        found = os.stat(name, dir_fd=place, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            folders.append(name)
        else:
            files.append((name, found))
    return files, folders


def _line(place: int, path: str, name: str, status: os.stat_result, said: tuple[str, ...]) -> str:
    """The keywords of one thing in a directory, "" for the directory itself, that no /set line says."""
    return " ".join(word for word in _words(place, path, name, status) if word not in said)


def _words(place: int, path: str, name: str, status: os.stat_result) -> Iterator[str]:
    kind = stat.S_IFMT(status.st_mode)
    mode = 0o777 if kind == stat.S_IFLNK else stat.S_IMODE(status.st_mode)
    yield f"size={status.st_size}"
    yield f"type={TYPES[kind]}"
    yield f"uid={status.st_uid}"
    yield f"gid={status.st_gid}"
    yield f"mode=0{mode:o}" if mode else "mode=0"
    if kind == stat.S_IFLNK:
        yield f"link={vis(os.readlink(name, dir_fd=place))}"
    yield f"nlink={status.st_nlink}"
    yield f"tar_time={status.st_mtime_ns // 1_000_000_000}.000000000"
    if kind == stat.S_IFREG:
        yield f"sha256digest={_digest(place, path, name, status)}"
    if kind in (stat.S_IFREG, stat.S_IFDIR):
        target = f"/proc/self/fd/{place}/{name}" if name else place
        for key, value in xattrs.read(target).items():
            yield f"xattr.{vis(key)}={b64encode(value).decode()}"


def _digest(place: int, path: str, name: str, status: os.stat_result) -> str:
    if not status.st_size:
        return hashlib.sha256().hexdigest()
    hasher = hashlib.sha256()
    descriptor = os.open(name, FILE, dir_fd=place)
    try:
        while piece := os.read(descriptor, _PIECE):
            hasher.update(piece)
        if os.fstat(descriptor).st_ctime_ns != status.st_ctime_ns:
            raise FileChanged(f"{path}/{name}" if path else name)
    finally:
        os.close(descriptor)
    return hasher.hexdigest()
