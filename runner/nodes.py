"""Device nodes for a user namespace, which can make none itself and is nobody to the host's.

They are made outside of it, on a file system in memory that only its command gets, with the owners and modes of the
host's as numbers inside: so the root user inside opens what the host's may, and whoever else as on the host. Which ones
are opened at all is for `runner.guard` to say.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack

from runner.devices import Device
from runner.errors import SandboxUnavailable
from runner.ids import Ids, across
from runner.linux import NOEXEC, NOSUID, new_mount
from runner.owners import nested


def nodes(devices: Sequence[Device], ids: Ids | None, sent: ExitStack) -> list[int]:
    """The detached file system with a node for each device, by its number; none where the host's own do.

    `sent` closes it. Raises SandboxUnavailable for a device that cannot be had, OSError.
    """
    if not devices:
        return []
    if nested():
        for device in devices:
            _open_to_us(device)
        return []
    if ids is None:  # the command makes them itself
        return []
    mount = new_mount(b"tmpfs", {b"mode": b"711", b"size": b"64k"}, attributes=NOSUID | NOEXEC)
    sent.callback(os.close, mount)
    for number, device in enumerate(devices):
        name = str(number)
        kind = stat.S_IFBLK if device.kind == "b" else stat.S_IFCHR
        uid, gid, mode = _inside(device, ids)
        os.mknod(name, kind | 0o600, os.makedev(device.major, device.minor), dir_fd=mount)
        os.chown(name, *ids.outside(uid, gid), dir_fd=mount)
        os.chmod(name, mode, dir_fd=mount)
    return [mount]


def _inside(device: Device, ids: Ids) -> tuple[int, int, int]:
    """Owner, group and mode of a node; an owner who is nobody inside is root, a group that is none may do nothing."""
    uid = 0 if across(ids.uids, device.uid) is None else device.uid
    if across(ids.gids, device.gid) is None:
        return uid, 0, device.mode & ~0o070
    return uid, device.gid, device.mode


def is_open(device: Device) -> bool:
    """Whether who is not root may open the host's node, with no more rights than a container keeps."""
    from runner.remap import own

    there = os.stat(device.source)
    rights = there.st_mode >> 6 if there.st_uid == own()[0] else there.st_mode
    wanted = (4 if "r" in device.access else 0) | (2 if "w" in device.access else 0)
    return rights & wanted == wanted


def _open_to_us(device: Device) -> None:
    """See that who is not root may open the host's node, with no more rights than a container keeps."""
    there = os.stat(device.source)
    if not is_open(device):
        what = f"{device.source} can be opened by its owner and group only (mode {stat.S_IMODE(there.st_mode):04o})"
        fix = "without root a device is given as this machine has it: let everybody open it (chmod), or run as root"
        raise SandboxUnavailable(what, fix)
