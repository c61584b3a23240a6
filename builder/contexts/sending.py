"""What of a context is sent, and which line of its ignore file decides about a path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from builder.contexts.context import Context
from builder.contexts.ignore import Ignore, Pattern
from layers import Entry, EntryType
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.ops.origin import TreeOrigin


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a path is ignored, and why.

    decides: the last line that matches it or a directory above it, None if none does; `at` is what it matches. others:
    earlier lines that match, too. below: later `!` lines that may keep something inside an ignored directory.
    """

    path: str
    there: bool
    ignored: bool
    decides: Pattern | None
    at: str = ""
    others: tuple[Pattern, ...] = ()
    below: tuple[Pattern, ...] = ()


def sent(files: Context | TreeOrigin, path: str = "") -> Iterator[Entry]:
    """All that a COPY of everything would see, directories before what is in them."""
    for name in files.children(path):
        entry = files.get(f"{path}/{name}" if path else name)
        if entry is not None:
            yield entry
            if entry.type is EntryType.DIR:
                yield from sent(files, entry.path)


def ignored(files: Context) -> Iterator[tuple[Entry, Pattern]]:
    """What is there and not sent, and the lines to blame; a directory that is left out whole is one, with its bytes."""
    whole = Context(files.directory, Ignore())
    try:
        yield from _ignored(files, whole, "")
    finally:
        whole.close()


def _ignored(files: Context, whole: Context, path: str) -> Iterator[tuple[Entry, Pattern]]:
    for name in whole.children(path):
        place = f"{path}/{name}" if path else name
        entry = whole.get(place)
        if entry is None:
            continue
        if files.get(place) is None:
            pattern = files.ignore.why(place)
            assert pattern is not None
            size = sum(one.size for one in sent(whole, place)) if entry.type is EntryType.DIR else entry.size
            yield Entry(place, entry.type, entry.mode, size=size, mtime_ns=entry.mtime_ns), pattern
        elif entry.type is EntryType.DIR:
            yield from _ignored(files, whole, place)


def explain(files: Context, path: str) -> Verdict:
    """Why a path, relative to the context, is sent or is not."""
    ignore = files.ignore
    hits = ignore.hits(path)
    whole = Context(files.directory, Ignore())
    try:
        there = whole.get(path) is not None
    finally:
        whole.close()
    if not hits:
        return Verdict(path, there, False, None)
    deciding, at = hits[-1]
    after = ignore.patterns[ignore.patterns.index(deciding) + 1 :]
    below = tuple(pattern for pattern in after if pattern.keeps and Ignore([pattern]).may_keep_below(path))
    others = tuple(pattern for pattern, _ in hits[:-1])
    return Verdict(path, there, not deciding.keeps, deciding, at, others, () if deciding.keeps else below)
