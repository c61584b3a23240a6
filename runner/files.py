"""Files of the kernel's, by as few calls as can be: they are read and written for every step."""

import os
from contextlib import suppress
from pathlib import Path


def write(path: Path, value: str) -> None:
    """Write a file of the kernel's. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)  # never create: a missing file is a missing feature
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def text(path: Path | str) -> str:
    """A file of the kernel's, which gives a page at a time; names of files in it may be any bytes. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
        return os.fsdecode(b"".join(parts))
    finally:
        os.close(descriptor)


def table(path: Path | str) -> dict[str, int]:
    """A file of names and numbers; empty if it is not there."""
    with suppress(OSError):
        pairs = (line.split() for line in text(path).splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
    return {}
