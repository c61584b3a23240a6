"""The root and the binds of a sandbox as detached mounts (open_tree(2)), with the places in it to mount on."""

import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from layers.quick import dataclass
from runner.errors import SandboxBroken
from runner.ids import Ids
from runner.linux import (
    AT_FDCWD,
    NODEV,
    NOEXEC,
    NOSUID,
    O_PATH,
    RDONLY,
    change_mount,
    copy_mount,
    map_owners,
)
from runner.sandbox import Mount, Sandbox
from runner.targets import Stubs, find

OURS = (b"proc", b"sys", b"dev")
"""Directories that every sandbox covers with file systems of its own."""


@dataclass(frozen=True)
class Detached:
    """A root: the directory in which places are made, the mount that the command gets, what was made."""

    root: int
    mount: int
    stubs: Stubs


def root(sandbox: Sandbox, mapping: int | None, undo: ExitStack, sent: ExitStack) -> Detached:
    """The root as a detached mount, with the places that every sandbox mounts on. Raises OSError.

    `sent` closes the descriptors when they have been sent, `undo` takes away what was made when the command has ended.
    """
    root = os.open(sandbox.root, O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    sent.callback(os.close, root)
    mount = copy_mount(AT_FDCWD, os.fsencode(sandbox.root))
    sent.callback(os.close, mount)
    if mapping is not None and _map(mount, mapping):  # a plain directory: what is made in it must be so, too
        root = copy_mount(AT_FDCWD, os.fsencode(sandbox.root))
        sent.callback(os.close, root)
        _map(root, mapping)
    owner = (sandbox.userns or Ids.same()).outside(0, 0)
    stubs = undo.enter_context(Stubs(owner, kept=sandbox.disposable))
    for name in OURS:
        os.close(find(root, name, directory=True, stubs=stubs))
    return Detached(root, mount, stubs)


def _map(mount: int, mapping: int) -> bool:
    """Show a mount's owners by the map; False if it shows them so already, as an overlay of mapped directories does.

    So stay as they are, too, what the kernel makes up (/proc, /sys), and the files of a disk that knows no such mounts;
    what is mounted below, unless all of it does.
    """
    for recursive in (True, False):
        with suppress(OSError):
            map_owners(mount, mapping, recursive=recursive)
            return True
    return False


def mounts(
    sandbox: Sandbox, where: Detached, sent: ExitStack, *, nodev: bool, mapping: int | None
) -> tuple[list[int], list[tuple[bytes, bool, dict[bytes, bytes | None] | None, int]]]:
    """Detached mounts of the binds, and the orders for all of them, shallow targets first."""
    binds: list[int] = []
    orders: list[tuple[bytes, bool, dict[bytes, bytes | None] | None, int]] = []
    for mount in sorted(sandbox.mounts, key=lambda mount: os.path.normpath(mount.target).count("/")):
        target = os.fsencode(os.path.normpath(mount.target).lstrip("/"))
        directory = mount.source is None or mount.source.is_dir()
        if not _below_another(mount, sandbox.mounts) and target.split(b"/")[0] not in OURS:
            try:
                os.close(find(where.root, target, directory=directory, stubs=where.stubs))
            except (IsADirectoryError, NotADirectoryError) as problem:
                raise SandboxBroken(
                    f"mount on {mount.target}, where a {'file' if directory else 'directory'} is and a "
                    f"{'directory' if directory else 'file'} should be",
                    problem.errno or 0,
                ) from problem
        if mount.kind == "tmpfs":
            flags = NOSUID | NODEV | (RDONLY if mount.readonly else 0) | (NOEXEC if mount.noexec else 0)
            orders.append((target, True, _tmpfs(mount), flags))
            continue
        assert mount.source is not None
        bind = copy_mount(AT_FDCWD, os.fsencode(mount.source), recursive=True)
        sent.callback(os.close, bind)
        change_mount(
            bind, add=(RDONLY if mount.readonly else 0) | (NODEV if nodev else 0), private=True, recursive=True
        )
        if mapping is not None and not mount.moved:
            _map(bind, mapping)
        binds.append(bind)
        orders.append((target, directory, None, 0))
    return binds, orders


def _below_another(mount: Mount, mounts: Sequence[Mount]) -> bool:
    """Whether its target lies inside another mount, which only the child can look into."""
    here = os.path.normpath(mount.target)
    return any(one is not mount and here.startswith(os.path.normpath(one.target).rstrip("/") + "/") for one in mounts)


def _tmpfs(mount: Mount) -> dict[bytes, bytes | None]:
    options: dict[bytes, bytes | None] = {b"mode": b"%o" % (0o1777 if mount.mode is None else mount.mode)}
    if mount.size is not None:
        options[b"size"] = b"%d" % mount.size
    if mount.inodes is not None:
        options[b"nr_inodes"] = b"%d" % mount.inodes
    if mount.owner != (0, 0):
        options[b"uid"], options[b"gid"] = (b"%d" % number for number in mount.owner)
    return options
