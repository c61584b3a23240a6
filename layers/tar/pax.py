"""PAX extended headers: records of `length key=value\\n` (POSIX pax, "pax Header Block").

Values are bytes here, because paths and extended attributes are. Lengths count bytes and include
themselves and the newline.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from layers.errors import ArchiveInvalid
from layers.tar.entry import SECOND

_TIME = re.compile(rb"(-?)([0-9]{1,18})(?:\.([0-9]*))?")


def record(key: bytes, value: bytes) -> bytes:
    """One record, with its own length solved for."""
    body = len(key) + len(value) + 3  # the space, the "=" and the newline
    length = body + len(str(body))
    if len(str(length)) != len(str(body)):
        length = body + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def records(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Records in the order of their keys."""
    return b"".join(record(key, value) for key, value in sorted(pairs))


def parse(data: bytes, offset: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values in order. Raises ArchiveInvalid, naming `offset` (of the data in the archive)."""
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        digits = data[at:space] if space > at else b""
        if not digits.isdigit():
            if not data[at:].strip(b"\0"):
                return  # some writers pad with NULs and count the padding
            raise ArchiveInvalid("a PAX record does not begin with its length", offset=offset + at)
        end = at + int(digits)
        if end <= space + 1 or end > len(data) or data[end - 1] != 0x0A:
            raise ArchiveInvalid(f"a PAX record claims {int(digits)} bytes, which do not fit", offset=offset + at)
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise ArchiveInvalid("a PAX record has no key", offset=offset + at)
        yield key, value
        at = end


def time(mtime_ns: int) -> bytes:
    """Nanoseconds as decimal seconds, without trailing zeros."""
    text = b"%d.%09d" % divmod(abs(mtime_ns), SECOND)
    text = text.rstrip(b"0").removesuffix(b".")
    return b"-" + text if mtime_ns < 0 else text


def parse_time(value: bytes, offset: int) -> int:
    """Decimal seconds as nanoseconds; digits beyond the ninth are cut off."""
    match = _TIME.fullmatch(value)
    if match is None:
        raise ArchiveInvalid(f"PAX time {value[:40]!r} is no decimal number", offset=offset)
    sign, whole, fraction = match.groups()
    total = int(whole) * SECOND + int((fraction or b"")[:9].ljust(9, b"0"))
    return -total if sign else total
