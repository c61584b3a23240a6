"""Who may come in: users and bcrypt hashes in an htpasswd file, asked for by HTTP Basic (RFC 7617).

Only bcrypt counts, as with other registries: the older forms of htpasswd can be guessed from a stolen file. A line of
another form, or a machine without the bcrypt module, is refused at the start, not at the first login. The file is read
again when it changes. bcrypt is slow on purpose, so a password that was right is remembered, as a keyed hash, while its
line stands.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from registry.server.errors import CannotServe
from registry.server.faults import Fault

HASH = re.compile(r"\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}\Z")
MOST_REMEMBERED = 1000


class Htpasswd:
    """One file of users. Raises CannotServe when it cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._key = secrets.token_bytes(32)
        self._right: set[bytes] = set()
        self._stamp: tuple[int, int] | None = None
        self._users: dict[str, str] = {}
        try:
            import bcrypt
        except ImportError as error:
            raise CannotServe(
                str(path), "passwords cannot be checked without bcrypt", help="pip install 'pybuild-oci[htpasswd]'"
            ) from error
        self._matches = bcrypt.checkpw
        self.read()

    def read(self) -> None:
        """Read the file if it has changed. Raises CannotServe."""
        try:
            status = os.stat(self.path)
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp == self._stamp:
                return
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CannotServe(str(self.path), "the password file cannot be read") from error
        users: dict[str, str] = {}
        for number, line in enumerate(lines, 1):
            name, colon, word = line.strip().partition(":")
            if not name or name.startswith("#"):
                continue
            if not colon or not HASH.match(word):
                raise CannotServe(
                    str(self.path), f"line {number} has no bcrypt hash", help="make it with: htpasswd -nB USER"
                )
            users[name] = word
        self._users, self._stamp = users, stamp
        self._right = set()

    def check(self, header: str | None) -> str:
        """The user of an `Authorization` header. Raises Fault UNAUTHORIZED."""
        if header is not None:
            name, password = credentials(header)
            if name is not None and self.knows(name, password):
                return name
        challenge = ("WWW-Authenticate", 'Basic realm="pybuild", charset="UTF-8"')
        why = "a name and a password are wanted" if header is None else "this name and password are not known here"
        raise Fault("UNAUTHORIZED", why, headers=(challenge,))

    def knows(self, name: str, password: bytes) -> bool:
        """True if this is the user's password."""
        try:
            self.read()
        except CannotServe:
            return False  # a file that is being edited lets nobody in
        word = self._users.get(name)
        seen = hmac.new(self._key, f"{word}\0{name}\0".encode() + password, hashlib.sha256).digest()
        if seen in self._right:
            return True
        # For a name that nobody has somebody else's line is checked, so that the answer takes as long.
        compared = word or next(iter(self._users.values()), None)
        right = compared is not None and self._matches(password[:72], compared.encode()) and word is not None
        if right:
            if len(self._right) >= MOST_REMEMBERED:
                self._right = set()
            self._right.add(seen)
        return right


def credentials(header: str) -> tuple[str | None, bytes]:
    """Name and password of a header; None if it holds none."""
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic":
        return None, b""
    try:
        name, colon, password = base64.b64decode(text.strip(), validate=True).partition(b":")
        return (name.decode("utf-8"), password) if colon and b"\0" not in password else (None, b"")
    except ValueError:
        return None, b""
