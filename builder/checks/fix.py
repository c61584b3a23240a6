"""Mending a Dockerfile: edits put into its bytes, everything else as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from builder.checks.rule import Edit, Finding
from builder.errors import BuildError

BOM = b"\xef\xbb\xbf"
ROUNDS = 10
"""Mending one thing may bring up another; more often than this, nothing does."""


def mended(source: bytes, find: Callable[[bytes], Iterable[Finding]]) -> tuple[bytes, list[Finding]]:
    """The mended bytes, and what was mended; `find` says what is wrong with a Dockerfile, and raises BuildError."""
    done: list[Finding] = []
    for _ in range(ROUNDS):
        chosen = _apart([finding for finding in find(source) if finding.edits])
        better = edited(source, [edit for finding in chosen for edit in finding.edits])
        if better == source:
            break
        try:
            find(better)
        except BuildError:  # never leave a file that cannot be read
            break
        source = better
        done += chosen
    return source, done


def _apart(findings: Iterable[Finding]) -> list[Finding]:
    """Findings whose edits do not touch each other: the first of those that do."""
    chosen: list[Finding] = []
    taken: list[Edit] = []
    for finding in findings:
        if not any(overlap(edit, other) for edit in finding.edits for other in taken):
            chosen.append(finding)
            taken += finding.edits
    return chosen


def overlap(one: Edit, other: Edit) -> bool:
    """Whether two edits change the same place."""
    a, b = one.span, other.span
    return (a.line, a.column) < (b.end_line, b.end_column) and (b.line, b.column) < (a.end_line, a.end_column)


def edited(source: bytes, edits: Iterable[Edit]) -> bytes:
    """The bytes with edits in them, which do not overlap."""
    mark = BOM if source.startswith(BOM) else b""
    text = source.removeprefix(BOM).decode("utf-8", "surrogateescape")
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    for edit in sorted(edits, key=lambda edit: edit.span, reverse=True):
        span = edit.span
        start = starts[span.line - 1] + span.column - 1
        end = min(starts[span.end_line - 1] + span.end_column - 1, len(text))
        text = text[:start] + edit.text + text[end:]
    return mark + text.encode("utf-8", "surrogateescape")
