"""Numbers of its own for each container that runs, so that the root of one is nobody to another.

The first 65536 numbers inside are one of a row of ranges on the host; those above, which hardly anybody has, are all's.
On disk owners are what they are inside, so a range matters only while somebody runs, and no book is kept of them: who
looks after a container holds the lock of one byte of a file (an open file description lock, fcntl(2)), which the kernel
gives back however that ends, and which a forked child has, too.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from runner.ids import APART, COUNT, FIRST, MOST, SHARED, Ids, Range
from runner.owners import nested

BOOK = Path("/run/pybuild-ids.lock")
"""One for the host, for its numbers are. It is empty; its bytes are there to be locked only."""
RANGES = (MOST - APART) // COUNT
"""How many there are."""
F_OFD_SETLK = 37


def private(ids: Ids | None, held: ExitStack, warn: Callable[[str], None]) -> Ids | None:
    """The numbers of one container until `held` is closed; what was asked for by number stays as it is.

    Where there is no range, because so many run or /run cannot be written, it is what all share, and `warn` is told.
    """
    if ids is None or not ids.is_auto or nested():
        return ids
    try:
        book = os.open(BOOK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as problem:
        warn(_common(f"{BOOK} cannot be opened ({problem.strerror})", "let root write there"))
        return ids
    held.callback(os.close, book)
    number = next((at for at in range(RANGES) if _taken(book, at)), None)
    if number is None:
        warn(_common(f"running containers have all {RANGES} ranges of {COUNT} numbers", "stop some of them"))
        return ids
    return apart(number, lenient=ids.lenient)


def _common(why: str, fix: str) -> str:
    """What is shared, and how not to."""
    return (
        f"this container has no user numbers to itself, as {why}: root and all other users in it are, on the host "
        f"({FIRST} and on), the same as those of the steps of builds and of all containers that have this warning; "
        f"{fix}, or give it numbers of its own: --userns map --uidmap 0:HOST:{COUNT}"
    )


def apart(number: int, *, lenient: bool) -> Ids:
    """The map with one of the ranges."""
    ranges = Range(0, APART + number * COUNT, COUNT), Range(COUNT, FIRST + COUNT, SHARED - COUNT)
    return Ids(ranges, ranges, lenient)


def _taken(book: int, number: int) -> bool:
    """Take a range, if nobody has it."""
    try:
        fcntl.fcntl(book, F_OFD_SETLK, struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0))
    except BlockingIOError:
        return False
    return True
