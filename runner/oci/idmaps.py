"""Mounts that show their files with other owners (mount_setattr(2), MOUNT_ATTR_IDMAP)."""

import os
from contextlib import ExitStack, suppress
from pathlib import Path

from runner.linux import CLONE_NEWUSER, unshare


def user_namespace(uid_map: bytes, gid_map: bytes, undo: ExitStack) -> int:
    """A user namespace of nobody, with these maps: a descriptor that `undo` closes. Raises OSError.

    A process must enter it before it has maps; it ends as soon as we hold the namespace. For processes without threads.
    """
    entered, told = os.pipe()
    held, hold = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(hold)
            unshare(CLONE_NEWUSER)
            os.write(told, b"1")
            os.read(held, 1)
        finally:
            os._exit(0)
    try:
        os.close(told)
        if not os.read(entered, 1):
            raise PermissionError(1, os.strerror(1), "unshare")
        for name, text in (("uid_map", uid_map), ("gid_map", gid_map)):
            Path(f"/proc/{pid}/{name}").write_bytes(text)
        users = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        undo.callback(os.close, users)
        return users
    finally:
        for descriptor in (entered, held, hold):
            with suppress(OSError):
                os.close(descriptor)
        os.waitpid(pid, 0)
