"""What a build looks like while it happens: events of `builder.events` on standard error.

`renderer` picks one: tty (one line a step, redrawn), plain (lines that stay), json (one event a line, a public format),
quiet (nothing; errors are told by the roof).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from builder import BuildResult
    from builder.events import Event


class Renderer(Protocol):
    """Takes events, one at a time, and the result."""

    def __call__(self, event: Event) -> None:
        """Show an event."""
        ...

    def finish(self, result: BuildResult, names: Sequence[str]) -> None:
        """Show what was built."""
        ...

    def close(self) -> None:
        """Leave the terminal in order, whatever happened."""
        ...


@contextmanager
def renderer(kind: str, *, color: bool) -> Iterator[Renderer]:
    """The renderer for a `--progress` word; "auto" means tty where standard error is a terminal, else plain."""
    if kind == "auto":
        smart = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        kind = "tty" if smart else "plain"
    chosen: Renderer
    if kind == "quiet":
        from pybuild.progress.quiet import Quiet

        chosen = Quiet()
    elif kind in ("json", "rawjson"):
        from pybuild.progress.jsonl import JsonLines

        chosen = JsonLines(sys.stderr)
    elif kind == "tty":
        from pybuild.progress.tty import Terminal

        chosen = Terminal(sys.stderr, color=color)
    else:
        from pybuild.progress.plain import Plain

        chosen = Plain(sys.stderr, color=color)
    try:
        yield chosen
    finally:
        chosen.close()
