"""POSIX access control lists as extended attributes carry them (acl(5); the kernel's posix_acl_xattr.h).

A file's list decides the permissions that its mode shows: the kernel sees to that when a list is set, and whoever hands
over both without it (`layers.snapshot.erofs`) must have made them agree.
"""

from __future__ import annotations

import struct

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
_VERSION = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")  # tag, permissions, user or group
_OWNER, _USER, _GROUP, _GROUPS, _MASK, _OTHERS = 1, 2, 4, 8, 16, 32  # tags, in the order that a list must have


def permissions(value: bytes) -> tuple[int, bool] | None:
    """The nine bits of a mode that a list stands for, and whether it says more than they do; None if it is no list."""
    if value[:4] != _VERSION or len(value) % _ENTRY.size != 4:
        return None
    entries = list(_ENTRY.iter_unpack(value[4:]))
    tags = [tag for tag, _, _ in entries]
    found = {tag: bits for tag, bits, _ in entries}
    more = not found.keys().isdisjoint((_USER, _GROUPS, _MASK))
    once = (_OWNER, _GROUP, _OTHERS, _MASK) if more else (_OWNER, _GROUP, _OTHERS)
    if any(tags.count(tag) != 1 for tag in once) or tags != sorted(tags) or max(found.values()) > 7:
        return None
    if not found.keys() <= {*once, _USER, _GROUPS}:
        return None
    return found[_OWNER] << 6 | found.get(_MASK, found[_GROUP]) << 3 | found[_OTHERS], more
