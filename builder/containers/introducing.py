"""Who keeps their number is told to the container: programs such as ssh and git ask /etc/passwd who they are."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from layers.disk.paths import Root
from layers.views.accounts import Accounts
from runner import Ids, rootless

LIMIT = 8 << 20
"""Bytes of a file that is looked at; a longer one is left alone."""


def introduce(root: Path, ids: Ids | None, home: str) -> None:
    """Add a line for whoever began us to the passwd and group files of a container, unless they have such a number.

    Nothing is done unless they have the same number inside and outside, nor where a file is missing or is none.
    """
    user = rootless.owner()
    if user is None or ids is None:
        return
    group = rootless.group()
    try:
        if ids.outside(user, group) != (user, group):
            return
    except KeyError:  # they are nobody inside
        return
    name = _name(user)
    with Root(root) as place:
        for path, number, line in (
            ("etc/passwd", user, f"{name}:x:{user}:{group}:{name}:{home}:/bin/sh\n"),
            ("etc/group", group, f"{name}:x:{group}:\n"),
        ):
            try:
                held = place.open(path, os.O_RDWR | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY)
            except OSError:
                continue
            with open(held, "r+b", buffering=0) as file:
                status = os.fstat(held)
                if not stat.S_ISREG(status.st_mode) or status.st_size > LIMIT:
                    continue
                text = file.read()
                found = Accounts.parse(text, text)  # of each only what it is counts
                known = [one.uid for one in found.users] if path == "etc/passwd" else [one.gid for one in found.groups]
                if number not in known:
                    file.write((b"" if not text or text.endswith(b"\n") else b"\n") + line.encode())


def _name(user: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user{user}"
