"""Extended attributes: which of them belong to a layer.

Kept is what means the same on another machine: file capabilities, POSIX ACLs, `user.*`, `trusted.*`.
Dropped is what a kernel or file system says about its own copy (labels, IMA hashes, NFS ACLs), and above all
overlayfs's marks: an archive that could bring them would decide what other layers show.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

OVERLAY = ("trusted.overlay.", "user.overlay.")
"""What overlayfs calls its own attributes, mounted by root and by others (kernel overlayfs.rst, "userxattr")."""

_LOCAL = ("security.selinux", "security.ima", "security.evm", "security.apparmor", "system.nfs4_acl", "btrfs.")
_UNSUPPORTED = (errno.ENOTSUP, errno.ENODATA, errno.EPERM, errno.EACCES)


def belongs(name: str) -> bool:
    """True if a layer carries this attribute."""
    return not name.startswith((*OVERLAY, *_LOCAL))


def incoming(xattrs: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """The attributes of an archive's member that are obeyed."""
    if not xattrs or all(map(belongs, xattrs)):
        return xattrs
    return {name: value for name, value in xattrs.items() if belongs(name)}


def read(target: str | int) -> dict[str, bytes]:
    """All attributes of a descriptor, or of a path itself, by name in order; empty where there can be none."""
    follow = isinstance(target, int)
    try:
        names = os.listxattr(target, follow_symlinks=follow)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return {}
        raise
    return {name: os.getxattr(target, name, follow_symlinks=follow) for name in sorted(names)}
