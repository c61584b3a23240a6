"""Ranges of bytes: those a client wants of a blob (RFC 9110, 14.1), and those it says it sends of an upload.

The two are written differently: `bytes=0-9` there, `0-9` here (distribution-spec, "Pushing a blob in chunks").
"""

from __future__ import annotations

import re

from registry.server.faults import Fault

WANTED = re.compile(r"bytes=[ \t]*([0-9]{0,19})-([0-9]{0,19})[ \t]*\Z")
SENT = re.compile(r"([0-9]{1,19})-([0-9]{1,19})\Z")


def wanted(text: str | None, size: int) -> tuple[int, int] | None:
    """(offset, count) of the one range that a `Range` header asks for; None: send everything.

    Several ranges and other units are not served, which the RFC allows. Raises Fault RANGE_INVALID for what is outside.
    """
    found = WANTED.match(text or "")
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if first:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
    else:
        start, end = max(size - int(last), 0), size - 1
    if start >= size or end < start:
        raise Fault("RANGE_INVALID", f"{text} is not in {size} bytes", headers=(("Content-Range", f"bytes */{size}"),))
    return start, end - start + 1


def sent(text: str) -> tuple[int, int]:
    """(offset, count) of a `Content-Range` of an upload. Raises Fault BLOB_UPLOAD_INVALID."""
    found = SENT.match(text.removeprefix("bytes ").partition("/")[0])
    if found is None or int(found[2]) < int(found[1]):
        raise Fault("BLOB_UPLOAD_INVALID", f"Content-Range {text[:100]!r} is not START-END")
    return int(found[1]), int(found[2]) - int(found[1]) + 1
