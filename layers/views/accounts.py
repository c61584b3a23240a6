"""Users and groups as /etc/passwd and /etc/group of an image name them (passwd(5), group(5)).

The text comes from a hostile image: broken lines are skipped, numbers are decimal 0..2^32-2, and a
name is only ever compared, never used as a path.
"""

from __future__ import annotations

from collections.abc import Callable

from layers.errors import LayerError
from layers.quick import dataclass

MAX_ID = (1 << 32) - 2


class AccountMissing(LayerError):
    """A user or group that the image does not know."""

    def __init__(self, kind: str, name: str, known: tuple[str, ...]) -> None:
        there = f"; it has {', '.join(known[:12])}" if known else f"; it has no {kind}s file: use numbers"
        super().__init__(f"the image has no {kind} {name!r}{there}")
        self.kind = kind
        self.name = name
        self.known = known


@dataclass(frozen=True)
class User:
    """A line of /etc/passwd."""

    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True)
class Group:
    """A line of /etc/group."""

    name: str
    gid: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Account:
    """Who a process runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


@dataclass(frozen=True)
class Accounts:
    """The users and groups of one file system."""

    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()

    @classmethod
    def parse(cls, passwd: bytes, group: bytes) -> Accounts:
        """Read both files; what is malformed is skipped, as the C library does."""
        users = []
        for line in passwd.decode(errors="surrogateescape").splitlines():
            parts = line.split(":")
            if len(parts) >= 6 and parts[0] and (uid := number(parts[2])) is not None:
                users.append(User(parts[0], uid, number(parts[3]) or 0, parts[5]))
        groups = []
        for line in group.decode(errors="surrogateescape").splitlines():
            parts = line.split(":")
            if len(parts) >= 3 and parts[0] and (gid := number(parts[2])) is not None:
                members = tuple(name for name in parts[3].split(",") if name) if len(parts) > 3 else ()
                groups.append(Group(parts[0], gid, members))
        return cls(tuple(users), tuple(groups))

    @classmethod
    def read(cls, read: Callable[[str], bytes | None]) -> Accounts:
        """Read both files through `read(path)`, which gives None for a missing one."""
        return cls.parse(read("etc/passwd") or b"", read("etc/group") or b"")

    def account(self, spec: str) -> Account:
        """Resolve USER's `user[:group]` (Dockerfile reference, USER); "" is root.

        Without a group: the user's primary and supplementary groups; an unknown number has group 0.
        With a group: that one only. Raises AccountMissing for unknown names.
        """
        name, colon, group = (spec or "0").partition(":")
        user = self._user(name or "0")
        uid = user.uid if user else known(name or "0")
        if uid is None:
            raise AccountMissing("user", name, tuple(entry.name for entry in self.users))
        home = (user.home if user else "") or "/"
        if colon and group:
            return Account(uid, self.gid(group), (), home)
        extra = tuple(entry.gid for entry in self.groups if user and user.name in entry.members)
        return Account(uid, user.gid if user else 0, extra, home)

    def owner(self, spec: str) -> tuple[int, int]:
        """Resolve `--chown=user[:group]`: a bare number is its own group, a name brings its login group.

        `:group` owns as user 0. Raises AccountMissing for unknown names.
        """
        name, colon, group = spec.partition(":")
        uid = 0
        gid = 0
        if name:
            value = number(name)
            user = self._user(name)
            if value is not None:
                uid = gid = value
            elif user is not None:
                uid, gid = user.uid, user.gid
            elif known(name) is None:
                raise AccountMissing("user", name, tuple(entry.name for entry in self.users))
        if colon and group:
            gid = self.gid(group)
        return uid, gid

    def gid(self, name: str) -> int:
        """The number of a group given by name or number. Raises AccountMissing."""
        for group in () if number(name) is not None else self.groups:
            if group.name == name:
                return group.gid
        value = known(name)
        if value is not None:
            return value
        raise AccountMissing("group", name, tuple(entry.name for entry in self.groups))

    def _user(self, name: str) -> User | None:
        value = number(name)
        for user in self.users:
            if user.name == name or (value is not None and user.uid == value):
                return user
        return None


def known(text: str) -> int | None:
    """The id that a text is in every image: a number, or root."""
    return 0 if text == "root" else number(text)


def number(text: str) -> int | None:
    """A decimal id 0..2^32-2, or None: no sign, no blanks, no other base."""
    if len(text) > 10 or not (text.isascii() and text.isdigit()) or (value := int(text)) > MAX_ID:
        return None
    return value
