"""Mounts of this process, in the namespace that it has for them (`runner.private`), and overlays.

`overlay` prefers the mount API by descriptor (no limit on the length of paths) and falls back to mount(2) with short
names. Options that make an overlay's upper directory depend on its lowers (redirect_dir, metacopy, index, xino) are
always off: the upper directory must be readable on its own.
"""

import errno
import os
from _thread import allocate_lock
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from runner import linux
from runner.errors import SandboxUnavailable
from runner.linux import (
    AT_FDCWD,
    NODEV,
    NOEXEC,
    NOSUID,
    O_PATH,
    RDONLY,
    attach,
    call,
    change_mount,
    copy_mount,
    map_owners,
    mount,
    new_mount,
)
from runner.loops import attach as attach_loop
from runner.owners import nested
from runner.private import entered
from runner.targets import Stubs, find

MOST_LOWERS = 500  # OVL_MAX_STACK of the kernel
SWITCHES = {b"redirect_dir": b"off", b"metacopy": b"off", b"index": b"off", b"xino": b"off"}
MOST_VIEWS = 64
"""Mounts of lower directories that are kept for the next overlay."""
_views: dict[tuple[Path, int], int] = {}
_views_turn = allocate_lock()
_uppers: dict[Path, int] = {}
"""Mounts of upper directories, by where their overlays are mounted: let go of with them, for the same reason."""


def overlay(
    lowers: Sequence[Path],
    target: Path,
    *,
    upper: Path | None = None,
    work: Path | None = None,
    volatile: bool = False,
    ids: int | None = None,
) -> None:
    """Mount `lowers` (topmost first) at `target`, writable if `upper` and `work` are given.

    `volatile` leaves out every sync: the upper directory is then good for this mount only, and must be synced by its
    reader. `ids` is a user namespace by whose map owners are seen (`runner.ids`); on disk they have the numbers of the
    inside. Raises OSError; in particular if the kernel would give a read-only overlay where a writable one was wanted.
    """
    if not 1 <= len(lowers) <= MOST_LOWERS:
        raise OSError(errno.EINVAL, f"an overlay has 1 to {MOST_LOWERS} lower directories, not {len(lowers)}")
    if upper is None and len(lowers) == 1:  # nothing to lay over anything; but a view must not be writable
        _bind(lowers[0], target)
        return
    try:
        _by_descriptor(lowers, upper, work, target, volatile, ids)
    except OSError as problem:
        if problem.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        _by_names(lowers, upper, work, target, volatile, ids)
    if upper is not None and os.statvfs(target).f_flag & os.ST_RDONLY:
        unmount(target)
        raise OSError(errno.EROFS, "the kernel gave a read-only overlay; see its log for the reason", str(target))


def image(index: Path, data: Sequence[Path], target: Path, *, loops: bool = False) -> None:
    """Mount an EROFS image that lies in a file, read-only; `data` are its further devices, files too.

    Linux mounts it from files since 6.12; with `loops` it gets loop devices, which are gone when the mount is.
    Raises OSError: ENOTBLK where the kernel, or the file system below, wants block devices.
    """
    with ExitStack() as opened:
        context = call("fsopen", b"erofs", 1)
        opened.callback(os.close, context)
        call("fsconfig", context, 0, b"ro", None, 0)  # else a device would be opened for writing
        folders: dict[Path, int] = {}
        for path in (index, *data):
            if loops:
                with open(path, "rb") as file:
                    name = b"/proc/self/fd/%d" % attach_loop(file.fileno(), opened)
            else:  # a value has less than 256 bytes
                if path.parent not in folders:
                    folders[path.parent] = os.open(path.parent, O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                    opened.callback(os.close, folders[path.parent])
                name = b"/proc/self/fd/%d/%b" % (folders[path.parent], os.fsencode(path.name))
            call("fsconfig", context, 1, b"source" if path is index else b"device", name, 0)
        call("fsconfig", context, 6, None, None, 0)
        made = call("fsmount", context, 1, RDONLY)
        opened.callback(os.close, made)
        attach(made, AT_FDCWD, os.fsencode(target))


def memory(target: Path) -> None:
    """Mount a small file system in memory, for our eyes only; never swapped out, where the kernel can promise it.

    Raises SandboxUnavailable before `enter`, as the host would see it.
    """
    if not entered():
        raise SandboxUnavailable(
            "a mount for this process alone needs a mount namespace of its own", "call enter() first"
        )
    options: dict[bytes, bytes | None] = {b"mode": b"700", b"size": b"64m"}
    try:
        made = new_mount(b"tmpfs", {**options, b"noswap": None}, attributes=NOSUID | NODEV | NOEXEC)
    except OSError as problem:
        if problem.errno not in (errno.EINVAL, errno.EPERM):  # before Linux 6.4
            raise
        made = new_mount(b"tmpfs", options, attributes=NOSUID | NODEV | NOEXEC)
    try:
        attach(made, AT_FDCWD, os.fsencode(target))
    finally:
        os.close(made)


@contextmanager
def shown(sources: Iterable[tuple[Path, str]], root: int) -> Iterator[None]:
    """While inside, files and directories of the host are seen at paths inside an open root, made if they are missing.

    Raises OSError; SandboxUnavailable before `enter`, as the host would see it.
    """
    if not entered():
        raise SandboxUnavailable("what a container has mounted is shown to one process only", "call enter() first")
    with ExitStack() as undo:
        for source, path in sources:
            stubs = undo.enter_context(Stubs())
            place = find(root, os.fsencode(path.strip("/")), directory=source.is_dir(), stubs=stubs)
            undo.callback(os.close, place)
            made = copy_mount(AT_FDCWD, os.fsencode(source), recursive=True)
            undo.callback(os.close, made)
            change_mount(made, private=True, recursive=True)
            attach(made, place)
            undo.callback(linux.unmount, b"/proc/self/fd/%d" % made, linux.MNT_DETACH)
        yield


def unmount(target: Path) -> None:
    """Take the topmost mount at `target` away; what still uses it keeps it until it lets go. Raises OSError."""
    linux.unmount(os.fsencode(target), linux.MNT_DETACH)
    if (view := _uppers.pop(target, -1)) >= 0:
        os.close(view)


def _bind(source: Path, target: Path) -> None:
    """A read-only view of one directory."""
    view = copy_mount(AT_FDCWD, os.fsencode(source))
    try:
        change_mount(view, add=RDONLY)
        attach(view, AT_FDCWD, os.fsencode(target))
    finally:
        os.close(view)


def _by_descriptor(  # noqa: PLR0917 as `overlay` has them
    lowers: Sequence[Path], upper: Path | None, work: Path | None, target: Path, volatile: bool, ids: int | None
) -> None:
    """One fsconfig(2) a directory: no limit on the length of all paths together (Linux 6.8; of mounts, 6.15)."""
    with ExitStack() as opened:
        context = call("fsopen", b"overlay", 1)
        opened.callback(os.close, context)

        def give(key: bytes, path: Path, place: int | None) -> None:
            text = os.fsencode(path)
            if place is not None:
                call("fsconfig", context, 5, key, None, place)
            # One value has less than 256 bytes, and overlayfs takes a backslash for an escape in some of them.
            elif len(text) < 256 and b"\\" not in text:
                call("fsconfig", context, 1, key, text, 0)
            else:
                call("fsconfig", context, 1, key, _name(_open(path, opened)), 0)

        call("fsconfig", context, 1, b"source", b"overlay", 0)
        for lower in lowers:
            give(b"lowerdir+", lower, _lower(lower, ids, opened))
        for key, value in _switches().items():
            call("fsconfig", context, 1, key, value, 0)
        top = None
        if upper is not None and work is not None:
            top = _mapped(upper.parent, ids, opened)
            for key, path in ((b"upperdir", upper), (b"workdir", work)):
                give(key, path, None if top is None else _open(path, opened, top))
        for flag in _flags(volatile):
            call("fsconfig", context, 0, flag, None, 0)
        call("fsconfig", context, 6, None, None, 0)
        made = call("fsmount", context, 1, 0)
        opened.callback(os.close, made)
        attach(made, AT_FDCWD, os.fsencode(target))
        if top is not None:
            _uppers[target] = os.dup(top)


def _by_names(  # noqa: PLR0917 as `overlay` has them
    lowers: Sequence[Path], upper: Path | None, work: Path | None, target: Path, volatile: bool, ids: int | None
) -> None:
    """mount(2), whose options fill one page: descriptors make the paths short."""
    with ExitStack() as opened:
        if ids is not None:  # such kernels take a mount only while it is in the namespace
            place = target.with_name(f"{target.name}.ids")
            place.mkdir()
            opened.callback(place.rmdir)

        def mapped(path: Path) -> int | None:
            if (mount := _mapped(path, ids, opened)) is not None:
                attach(mount, AT_FDCWD, os.fsencode(place))
                opened.callback(unmount, place)
            return mount

        def name(path: Path) -> bytes:
            found = mapped(path)
            return _name(_open(path, opened) if found is None else found)

        options = [(b"lowerdir", b":".join(map(name, lowers)))]
        if upper is not None and work is not None:
            top = mapped(upper.parent)
            options += [(b"upperdir", _name(_open(upper, opened, top))), (b"workdir", _name(_open(work, opened, top)))]
        words = (key + b"=" + value for key, value in [*options, *_switches().items()])
        mount(b"overlay", os.fsencode(target), b"overlay", 0, b",".join([*words, *_flags(volatile)]))


def _switches() -> dict[bytes, bytes]:
    """With userxattr the kernel wants "nofollow", which makes none either."""
    return {**SWITCHES, b"redirect_dir": b"nofollow"} if nested() else SWITCHES


def _flags(volatile: bool) -> list[bytes]:
    """In a user namespace nobody may set the attributes trusted.*, in which overlayfs keeps its marks otherwise."""
    return [*([b"userxattr"] if nested() else []), *([b"volatile"] if volatile else [])]


def _mapped(path: Path, ids: int | None, opened: ExitStack) -> int | None:
    """A mount of a directory that shows its owners by the map of `ids`, if there is one; on no path."""
    if ids is None:
        return None
    view = _view(path, ids)
    opened.callback(os.close, view)
    return view


def _lower(path: Path, ids: int | None, opened: ExitStack) -> int | None:
    """As `_mapped`, kept for the next overlay: the kernel makes whoever lets go of a mount wait for all processors."""
    if ids is None:
        return None
    with _views_turn:
        mine = os.dup(_kept(path, ids))
    opened.callback(os.close, mine)
    return mine


def prove(path: Path, ids: int) -> None:
    """See that what lies there can be shown to a user namespace. Raises OSError if it cannot."""
    with _views_turn:
        _kept(path, ids)


def _kept(path: Path, ids: int) -> int:
    found = _views.pop((path, ids), -1)
    if found >= 0 and not os.path.samestat(os.fstat(found), os.stat(path)):  # another has taken its place
        os.close(found)
        found = -1
    if found < 0:
        found = _view(path, ids)
    _views[path, ids] = found
    while len(_views) > MOST_VIEWS:
        os.close(_views.pop(next(iter(_views))))
    return found


def held() -> list[int]:
    """Mounts that would go with this process, and make its end wait, unless somebody else has them, too."""
    with _views_turn:
        return [*_views.values(), *_uppers.values()]


def _view(path: Path, ids: int) -> int:
    view = copy_mount(AT_FDCWD, os.fsencode(path))
    try:
        change_mount(view, private=True)
        map_owners(view, ids)
    except OSError:
        os.close(view)
        raise
    return view


def _open(path: Path, opened: ExitStack, above: int | None = None) -> int:
    """A directory; seen through the mount `above` of its parent, if that is given."""
    flags = O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    found = os.open(path, flags) if above is None else os.open(path.name, flags, dir_fd=above)
    opened.callback(os.close, found)
    return found


def _name(descriptor: int) -> bytes:
    """A name that is short and plain for as long as the descriptor is open."""
    return b"/proc/self/fd/%d" % descriptor
