"""Files between a container and the host. Every path inside is looked up below its root: no link leads out of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from builder.containers.book import LIVE, Container
from builder.containers.errors import PathInvalid
from layers.paths import Root

if TYPE_CHECKING:
    from layers import Store

CHUNK = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def root_of(store: Store, container: Container) -> Iterator[Root]:
    """The file system of a container, running or not."""
    state = container.state()
    if state.status in LIVE:
        with Root(f"/proc/{state.pid}/root") as root:
            yield root
        return
    with store.snapshots.attach(container.settings.chain, container.folder) as work, Root(work.root) as root:
        yield root


def copy(source: Root, path: str, target: Root, dest: str, *, owner: tuple[int, int] | None) -> None:
    """Copy a file or directory as `docker cp` does. Raises PathInvalid.

    A directory that exists at `dest` gets the source inside it, unless `path` ends in "/."; `owner` None keeps owners.
    """
    contents = path.endswith("/.") or path == "."
    try:
        status = source.lstat(path.rstrip("/") or "/")
        if stat.S_ISLNK(status.st_mode) and (path.endswith("/") or contents):
            status = source.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PathInvalid(f"{path}: no such file or directory") from error
    directory = stat.S_ISDIR(status.st_mode)
    try:
        there = target.stat(dest.rstrip("/") or "/")
    except FileNotFoundError:
        there = None
    name = os.path.basename(path.rstrip("/."))
    head, _, last = dest.rstrip("/").rpartition("/")
    if there is not None and stat.S_ISDIR(there.st_mode):
        if directory and contents:
            _contents(source, path, target, dest, owner)
            return
        head, last = dest.rstrip("/") or "/", name or "root"
    elif there is not None and directory:
        raise PathInvalid(f"{dest} is a file: a directory cannot be copied over it")
    elif there is None and dest.endswith("/") and not directory:
        raise PathInvalid(f"{dest}: no such directory")
    try:
        into = target.open(head or "/", os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PathInvalid(f"{head or '/'}: no such directory") from error
    try:
        if directory:
            outof = source.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                _directory(outof, into, os.fsencode(last), owner)
            finally:
                os.close(outof)
        else:
            above, _, own = path.rstrip("/").rpartition("/")
            outof = source.open(above or "/", os.O_RDONLY | os.O_DIRECTORY)
            try:
                _one(outof, os.fsencode(own), into, os.fsencode(last), owner)
            finally:
                os.close(outof)
    finally:
        os.close(into)


def _contents(source: Root, path: str, target: Root, dest: str, owner: tuple[int, int] | None) -> None:
    outof = source.open(path, os.O_RDONLY | os.O_DIRECTORY)
    into = target.open(dest, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in os.listdir(outof):
            _one(outof, os.fsencode(name), into, os.fsencode(name), owner)
    finally:
        os.close(outof)
        os.close(into)


def _directory(outof: int, into: int, name: bytes, owner: tuple[int, int] | None) -> None:
    """Copy an open directory to `name` in another one."""
    try:
        os.mkdir(name, 0o700, dir_fd=into)
    except FileExistsError:
        pass
    made = os.open(name, _DIRECTORY, dir_fd=into)
    try:
        for child in os.listdir(outof):
            _one(outof, os.fsencode(child), made, os.fsencode(child), owner)
        _attributes(made, os.fstat(outof), owner)
    finally:
        os.close(made)


def _one(outof: int, name: bytes, into: int, called: bytes, owner: tuple[int, int] | None) -> None:
    """Copy one name; what is there under the new name makes room, unless it is a directory."""
    status = os.lstat(name, dir_fd=outof)
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFDIR:
        inner = os.open(name, _DIRECTORY, dir_fd=outof)
        try:
            _directory(inner, into, called, owner)
        finally:
            os.close(inner)
        return
    if kind == stat.S_IFSOCK:
        return
    try:
        os.unlink(called, dir_fd=into)
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError) as error:
        raise PathInvalid(f"{os.fsdecode(called)} is a directory: a file cannot be copied over it") from error
    if kind == stat.S_IFLNK:
        os.symlink(os.readlink(name, dir_fd=outof), called, dir_fd=into)
        uid, gid = owner or (status.st_uid, status.st_gid)
        os.chown(called, uid, gid, dir_fd=into, follow_symlinks=False)
    elif kind == stat.S_IFREG:
        data = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=outof)
        new = os.open(called, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=into)
        try:
            while piece := os.read(data, CHUNK):
                view = memoryview(piece)
                while view:
                    view = view[os.write(new, view) :]
            _attributes(new, status, owner)
        finally:
            os.close(data)
            os.close(new)
    else:
        os.mknod(called, status.st_mode, status.st_rdev, dir_fd=into)
        uid, gid = owner or (status.st_uid, status.st_gid)
        os.chown(called, uid, gid, dir_fd=into, follow_symlinks=False)


def _attributes(descriptor: int, status: os.stat_result, owner: tuple[int, int] | None) -> None:
    uid, gid = owner or (status.st_uid, status.st_gid)
    os.fchown(descriptor, uid, gid)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
    os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))


def host(path: str) -> tuple[Root, str]:
    """The host's own file system as a root, and a path in it."""
    whole = os.path.abspath(path)
    tail = "/." if path.endswith("/.") or path == "." else "/" if path.endswith("/") and whole != "/" else ""
    return Root(Path("/")), whole + tail
