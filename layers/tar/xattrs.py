"""Extended attributes: which of them belong to a layer.

Kept is what means the same on another machine: file capabilities, POSIX ACLs, `user.*`, `trusted.*`.
Dropped is what a kernel or file system says about its own copy (labels, IMA hashes, NFS ACLs), what Linux has no
place for, and above all overlayfs's marks: an archive that could bring them would decide what other layers show.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

from layers.tar import acl
from layers.tar.entry import EntryType

OVERLAY = ("trusted.overlay.", "user.overlay.")
"""What overlayfs calls its own attributes, mounted by root and by others (kernel overlayfs.rst, "userxattr")."""

_LOCAL = ("security.selinux", "security.ima", "security.evm", "security.apparmor")
_PREFIXES = ("user.", "trusted.", "security.")
_CAPABILITY = "security.capability"
_CAPABILITIES = {b"\2": 20, b"\3": 24}  # struct vfs_cap_data, vfs_ns_cap_data: their revision, and bytes
_MOST_NAME, _MOST_VALUE = 255, 65536  # XATTR_NAME_MAX, XATTR_SIZE_MAX
_UNSUPPORTED = (errno.ENOTSUP, errno.ENODATA, errno.EPERM, errno.EACCES)


def belongs(name: str) -> bool:
    """True if a layer carries this attribute."""
    if name.startswith(_PREFIXES):
        return not name.startswith((*OVERLAY, *_LOCAL)) and name not in _PREFIXES
    return name in (acl.ACCESS, acl.DEFAULT)


def incoming(xattrs: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """The attributes of a file, or of an archive's member, that a layer carries."""
    if not xattrs or all(map(belongs, xattrs)):
        return xattrs
    return {name: value for name, value in xattrs.items() if belongs(name)}


def obeyed(xattrs: Mapping[str, bytes], kind: EntryType) -> Mapping[str, bytes]:
    """Those of an archive's member of this kind that could be a file's: Linux takes no others there (xattr(7))."""
    kept = {name: value for name, value in incoming(xattrs).items() if _fits(name, value, kind)}
    return kept if len(kept) < len(xattrs) else xattrs


def _fits(name: str, value: bytes, kind: EntryType) -> bool:
    if len(value) > _MOST_VALUE or len(name.encode("utf-8", "surrogateescape")) > _MOST_NAME:
        return False
    if name in (acl.ACCESS, acl.DEFAULT):
        allowed = kind is EntryType.DIR or (name == acl.ACCESS and kind is not EntryType.SYMLINK)
        return allowed and acl.permissions(value) is not None
    if name == _CAPABILITY:
        return kind is EntryType.FILE and _CAPABILITIES.get(value[3:4]) == len(value)
    return kind in (EntryType.FILE, EntryType.DIR) or not name.startswith("user.")


def read(target: str | int) -> dict[str, bytes]:
    """All attributes of a descriptor, or of a path itself, by name in order; empty where there can be none."""
    follow = isinstance(target, int)
    try:
        names = os.listxattr(target, follow_symlinks=follow)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return {}
        raise
    return {name: os.getxattr(target, name, follow_symlinks=follow) for name in sorted(names)} if names else {}
