"""Files between a container and the host. Every path inside is looked up below its root: no link leads out of it."""

from __future__ import annotations

import os
import posixpath
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from builder.containers.container import PATIENCE, Container
from builder.containers.errors import ContainerState, PathInvalid
from builder.containers.sandboxes import source as mounted
from builder.containers.state import ACTIVE
from layers import Chain
from layers.disk.paths import Root, resolve
from runner import Ids
from runner.linux import filesystem, make_files_as
from runner.mounts import shown

if TYPE_CHECKING:
    from tarfile import TarFile

    from layers import Store

CHUNK = 1 << 20
ENDS = ("/", "/.")
"""Of a path that means a directory."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
TMPFS = 0x01021994
KERNELS = frozenset({0x9FA0, 0x62656572, 0x1CD1, 0x27E0EB, 0x63677270, 0x19800202})
"""Magic numbers of statfs(2): procfs, sysfs, devpts, the control groups of both versions, queues of messages."""
_PLACE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


Owner = Callable[[int, int], tuple[int, int]]
"""Whose a copy is, by user and group of what is copied."""


class Inside(NamedTuple):
    """The file system of a container, and by which numbers its users are seen there: one that runs shows the host's."""

    root: Root
    ids: Ids

    def known(self, uid: int, gid: int) -> tuple[int, int]:
        """An owner seen there, as the container knows it."""
        try:
            return self.ids.inside(uid, gid)
        except KeyError:  # the kernel shows nobody for who has no number
            return uid, gid

    def seen(self, uid: int, gid: int) -> tuple[int, int]:
        """An owner that the container knows, as it is seen there. Raises PathInvalid."""
        try:
            return self.ids.outside(uid, gid)
        except KeyError as error:
            raise PathInvalid(f"{error.args[0]}: it can own nothing in this container") from error

    @contextmanager
    def making(self) -> Iterator[None]:
        """What is made meanwhile is its root's at first: file systems that came to be in there know nobody else."""
        uid, gid = self.seen(0, 0)
        if (uid, gid) == (0, 0):
            yield
            return
        make_files_as(uid, gid)
        try:
            yield
        finally:
            make_files_as(0, 0)


@contextmanager
def root_of(store: Store, container: Container) -> Iterator[Inside]:
    """The file system of a container, running or not. Raises ContainerState if it is just being started."""
    state = container.state()
    if state.status in ACTIVE:
        try:
            ids, root = Ids.of(state.pid), Root(f"/proc/{state.pid}/root")
        except FileNotFoundError:
            raise ContainerState(container.name, "has just ended: try again") from None
        with root:
            yield Inside(root, ids)
        return
    with container.claim(PATIENCE) as mine:
        if not mine and container.state().status in ACTIVE:  # it has been started meanwhile
            with root_of(store, container) as inside:
                yield inside
            return
        if not mine:
            raise ContainerState(container.name, "it is being started or copied from elsewhere: try again")
        settings = container.settings
        volumes = sorted(settings.volumes, key=lambda one: one.target.count("/"))
        with (
            store.snapshots.attach(settings.chain, container.folder) as work,
            Root(work.root) as root,
            shown([(mounted(store, one), one.target) for one in volumes], root.fd),
        ):
            yield Inside(root, Ids.same())


def place(path: str, base: str = "/") -> str:
    """An absolute path without `..`, keeping an end of "/" or "/." that says what is meant. "" is the root."""
    whole = "/" + posixpath.normpath(posixpath.join(base, path)).lstrip("/")
    if path == "." or path.endswith("/."):
        return f"{whole.rstrip('/')}/."
    return f"{whole}/" if path.endswith("/") and whole != "/" else whole


def bare(path: str) -> str:
    """One made by `place` without what says that a directory is meant; nothing for the root."""
    return path.removesuffix("/.").rstrip("/")


def copy(source: Root, path: str, target: Root, dest: str, *, owner: Owner, follow: bool = False) -> None:
    """Copy a file or directory as `docker cp` does, both paths made by `place`. Raises PathInvalid.

    A directory that exists at `dest` gets the source inside it, unless `path` ends in "/."; a link there stays, and
    what it leads to is written. With `follow` a link is what it leads to, under its own name. A path that ends in "/"
    or "/." means a directory.
    """
    contents = path.endswith("/.")
    name = posixpath.basename(bare(path))
    try:
        if follow and stat.S_ISLNK(source.lstat(path.rstrip("/") or "/").st_mode):
            path = led(source, path) + path[len(path.rstrip("/")) :]
        status = source.lstat(path.rstrip("/") or "/")
        if stat.S_ISLNK(status.st_mode) and (path.endswith("/") or contents):
            status = source.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise PathInvalid(f"{path}: no such file or directory") from None
    directory = stat.S_ISDIR(status.st_mode)
    if not directory and path.endswith(ENDS):
        raise PathInvalid(f"{path}: not a directory")
    try:
        there = target.stat(bare(dest) or "/")
    except FileNotFoundError:
        there = None
    except NotADirectoryError:
        raise PathInvalid(f"{dest}: not a directory") from None
    if there is None or not stat.S_ISDIR(there.st_mode):
        dest = led(target, bare(dest)) + dest[len(bare(dest)) :]
    head, _, last = bare(dest).rpartition("/")
    if there is not None and stat.S_ISDIR(there.st_mode):
        if directory and contents:
            _contents(source, path, target, dest, owner)
            return
        head, last = bare(dest) or "/", name or "root"
    elif there is not None and directory:
        raise PathInvalid(f"{dest} is a file: a directory cannot be copied over it")
    elif there is not None and dest.endswith(ENDS):
        raise PathInvalid(f"{dest}: not a directory")
    elif dest.endswith(ENDS) and not directory:
        raise PathInvalid(f"{dest}: no such directory")
    try:
        into = target.open(head or "/", os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        raise PathInvalid(f"{head or '/'}: no such directory") from None
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


def led(source: Root, path: str) -> str:
    """Where a path leads in the end, there or not, without links in it."""

    def link(place: str) -> str | None:
        try:
            return source.readlink(place) if stat.S_ISLNK(source.lstat(place).st_mode) else None
        except (FileNotFoundError, NotADirectoryError):
            return None

    return "/" + resolve(path, link)


def spread(source: Root, path: str, into: int, *, owner: Owner) -> None:
    """Copy what is in a directory into an open one, which gets its owner and mode, too; nothing if there is none."""
    try:
        outof = source.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        _all(outof, into, owner)
        _attributes(into, os.fstat(outof), owner)
    finally:
        os.close(outof)


def _contents(source: Root, path: str, target: Root, dest: str, owner: Owner) -> None:
    outof = source.open(path, os.O_RDONLY | os.O_DIRECTORY)
    into = target.open(dest, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _all(outof, into, owner)
    finally:
        os.close(outof)
        os.close(into)


def _all(outof: int, into: int, owner: Owner) -> None:
    """Copy every name of an open directory into another one."""
    for name in os.listdir(outof):
        _one(outof, os.fsencode(name), into, os.fsencode(name), owner)


def is_kernels(directory: int) -> bool:
    """Whether an open directory is /proc, /sys or /dev, or like them: a copy of what is above has it, but empty."""
    kind = filesystem(directory)
    if kind != TMPFS:
        return kind in KERNELS
    try:
        return os.stat("null", dir_fd=directory, follow_symlinks=False).st_rdev == os.makedev(1, 3)
    except FileNotFoundError:
        return False


def _directory(outof: int, into: int, name: bytes, owner: Owner, *, empty: bool = False) -> None:
    """Copy an open directory, or without what is in it, to `name` in another one."""
    try:
        os.mkdir(name, 0o700, dir_fd=into)
    except FileExistsError:
        pass
    try:
        made = os.open(name, _DIRECTORY, dir_fd=into)
    except OSError as error:
        raise PathInvalid(f"{os.fsdecode(name)} is no directory: a directory cannot be copied over it") from error
    try:
        if not empty:
            _all(outof, made, owner)
        _attributes(made, os.fstat(outof), owner)
    finally:
        os.close(made)


def _one(outof: int, name: bytes, into: int, called: bytes, owner: Owner) -> None:
    """Copy one name; what is there under the new name makes room, unless it is a directory."""
    with _found(outof, name) as (found, status):
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFDIR:
            inner = _reopened(found, os.O_RDONLY | os.O_DIRECTORY)
            try:
                _directory(inner, into, called, owner, empty=is_kernels(inner))
            finally:
                os.close(inner)
            return
        if kind == stat.S_IFSOCK:
            return
        if is_mounted(into, called):  # here nobody would keep us from taking it away there
            what = f"{os.fsdecode(called)} is mounted there: change what is mounted, or the container's settings"
            raise PathInvalid(what)
        try:
            os.unlink(called, dir_fd=into)
        except FileNotFoundError:
            pass
        except (IsADirectoryError, PermissionError) as error:
            raise PathInvalid(f"{os.fsdecode(called)} is a directory: a file cannot be copied over it") from error
        if kind == stat.S_IFREG:
            _file(found, into, called, owner)
            return
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(b"", dir_fd=found), called, dir_fd=into)
        else:
            os.mknod(called, status.st_mode, status.st_rdev, dir_fd=into)
        uid, gid = owner(status.st_uid, status.st_gid)
        os.chown(called, uid, gid, dir_fd=into, follow_symlinks=False)


def is_mounted(at: int, name: bytes) -> bool:
    """Whether a name in an open directory is the root of another mount."""
    try:
        there = os.open(name, _PLACE, dir_fd=at)
    except FileNotFoundError:
        return False
    try:
        return _mount(there) != _mount(at)
    finally:
        os.close(there)


def _mount(descriptor: int) -> str:
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as info:
        return next(line for line in info if line.startswith("mnt_id:"))


def _file(found: int, into: int, called: bytes, owner: Owner) -> None:
    new = os.open(called, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=into)
    with open(new, "wb", buffering=0) as target, open(_reopened(found, os.O_RDONLY), "rb", buffering=0) as data:
        shutil.copyfileobj(data, target, CHUNK)
        _attributes(new, os.fstat(found), owner)


@contextmanager
def _found(at: int, name: bytes) -> Iterator[tuple[int, os.stat_result]]:
    """One name, held before it is looked at: a container that runs may put something else there at any moment."""
    found = os.open(name, _PLACE, dir_fd=at)
    try:
        yield found, os.fstat(found)
    finally:
        os.close(found)


def _reopened(found: int, flags: int) -> int:
    return os.open(f"/proc/self/fd/{found}", flags | os.O_CLOEXEC)


def _attributes(descriptor: int, status: os.stat_result, owner: Owner) -> None:
    uid, gid = owner(status.st_uid, status.st_gid)
    os.fchown(descriptor, uid, gid)
    os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
    os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))


def archive(source: Inside, path: str, sink: BinaryIO) -> None:
    """Write a tar of a file or directory, named as its last part. Raises PathInvalid."""
    import tarfile

    head, _, name = bare(path).rpartition("/")
    try:
        if path.endswith(ENDS) and not stat.S_ISDIR(source.root.stat(bare(path) or "/").st_mode):
            raise PathInvalid(f"{path}: not a directory")
        above = source.root.open(head or "/", os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        raise PathInvalid(f"{path}: no such file or directory") from None
    try:
        with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            called = "." if path.endswith("/.") else name or "."
            _member(tar, above, os.fsencode(name or "."), called, source.known)
    except FileNotFoundError:
        raise PathInvalid(f"{path}: no such file or directory") from None
    finally:
        os.close(above)


def _member(tar: TarFile, at: int, name: bytes, called: str, owner: Owner) -> None:
    import tarfile

    with _found(at, name) as (found, status):
        kind = stat.S_IFMT(status.st_mode)
        info = tarfile.TarInfo(called)
        info.mode = stat.S_IMODE(status.st_mode)
        info.uid, info.gid = owner(status.st_uid, status.st_gid)
        info.mtime = status.st_mtime_ns // 10**9
        if kind == stat.S_IFREG:
            info.size = status.st_size
            with open(_reopened(found, os.O_RDONLY), "rb") as data:
                tar.addfile(info, data)
        elif kind == stat.S_IFDIR:
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
            inner = _reopened(found, os.O_RDONLY | os.O_DIRECTORY)
            try:
                beneath = "/" in called and is_kernels(inner)
                for child in [] if beneath else sorted(os.listdir(inner)):
                    _member(tar, inner, os.fsencode(child), f"{called}/{child}", owner)
            finally:
                os.close(inner)
        elif kind != stat.S_IFSOCK:
            if kind == stat.S_IFLNK:
                info.type, info.linkname = tarfile.SYMTYPE, os.fsdecode(os.readlink(b"", dir_fd=found))
            elif kind == stat.S_IFIFO:
                info.type = tarfile.FIFOTYPE
            else:
                info.type = tarfile.CHRTYPE if kind == stat.S_IFCHR else tarfile.BLKTYPE
                info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
            tar.addfile(info)


def extract(store: Store, source: BinaryIO, target: Inside, path: str) -> None:
    """Unpack a tar into a directory, owners kept. Raises PathInvalid, ArchiveInvalid, UnsafePath."""
    from layers.snapshot.unpack import unpack
    from layers.tar.toc import Toc

    try:
        directory = stat.S_ISDIR(target.root.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        directory = False
    if not directory:
        raise PathInvalid(f"{path}: no such directory")
    with store.scratch() as scratch:
        with open(scratch / "tar", "w+b") as spool:
            shutil.copyfileobj(source, spool, CHUNK)
            spool.seek(0)
            toc = Toc.scan(spool, layer=False)
            (scratch / "files").mkdir()
            unpack(toc, spool, scratch / "files", overlay=False, below=store.tree(Chain()))
        with Root(scratch / "files") as files, target.making():
            _contents(files, "/", target.root, path, target.seen)
