"""The headers of an rpm database of sqlite (rpm, "Header structure")."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator

TAGS = {
    1000: "name",
    1001: "version",
    1002: "release",
    1011: "vendor",
    1014: "license",
    1022: "arch",
    1044: "sourcerpm",
}
STRINGS = (6, 8, 9)
"""Types whose data is text that ends with a zero: a string, several, several in languages."""
MOST = 100_000
"""Entries of one header."""


def headers(raw: bytes) -> Iterator[dict[str, str]]:
    """What each package says of itself. Raises ValueError."""
    if raw[:16] != b"SQLite format 3\0":
        raise ValueError("it is no sqlite database")
    database = sqlite3.connect(":memory:")
    try:
        # In WAL mode, which the file's 18th and 19th byte say, a database in memory cannot be opened.
        database.deserialize(raw[:18] + b"\1\1" + raw[20:])
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA cell_size_check = ON")
        for (blob,) in database.execute("SELECT blob FROM Packages ORDER BY hnum"):
            if isinstance(blob, bytes):
                yield header(blob)
    except sqlite3.Error as error:
        raise ValueError(str(error)) from error
    finally:
        database.close()


def header(blob: bytes) -> dict[str, str]:
    """The texts of one header. Raises ValueError."""
    if len(blob) < 8:
        raise ValueError("a header is too short")
    count, size = struct.unpack_from(">II", blob)
    start = 8 + 16 * count
    if count > MOST or start + size > len(blob):
        raise ValueError("a header is longer than its place")
    found = {}
    for at in range(count):
        tag, kind, offset, _ = struct.unpack_from(">IIII", blob, 8 + 16 * at)
        if tag in TAGS and kind in STRINGS and offset < size:
            end = blob.find(b"\0", start + offset)
            found[TAGS[tag]] = blob[start + offset : end].decode("utf-8", "replace")
    return found
