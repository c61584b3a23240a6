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
from contextlib import ExitStack
from pathlib import Path

from runner.ids import APART, COUNT, FIRST, MOST, SHARED, Ids, Range
from runner.owners import nested

BOOK = Path("/run/pybuild-ids.lock")
"""One for the host, for its numbers are. It is empty; its bytes are there to be locked only."""
F_OFD_SETLK = 37


def private(ids: Ids | None, held: ExitStack) -> Ids | None:
    """The numbers of one container until `held` is closed; what was asked for by number stays as it is.

    Where there is no range, because so many run or /run cannot be written, it is what all share.
    """
    if ids is None or not ids.is_auto or nested():
        return ids
    try:
        book = os.open(BOOK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return ids
    held.callback(os.close, book)
    number = next((at for at in range((MOST - APART) // COUNT) if _taken(book, at)), None)
    return ids if number is None else apart(number, lenient=ids.lenient)


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
