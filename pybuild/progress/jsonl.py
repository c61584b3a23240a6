"""One JSON object a line, for programs: the form of `builder.events.to_json` with the time, then the result."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from builder import BuildResult
    from builder.events import Event


class JsonLines:
    """Writes each event when it happens; `time` is seconds since 1970."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, event: Event) -> None:
        """Write an event."""
        from builder.events import to_json

        self._write(to_json(event))

    def finish(self, result: BuildResult, names: Sequence[str]) -> None:
        """Write the result."""
        ran = sum(step.status == "ran" for step in result.steps)
        cached = sum(step.status == "cached" for step in result.steps)
        self._write(
            {
                "event": "finished",
                "image": str(result.image_id),
                "digest": str(result.target.digest),
                "names": list(names),
                "size": result.size,
                "seconds": result.seconds,
                "ran": ran,
                "cached": cached,
            }
        )

    def close(self) -> None:
        """Nothing is held back."""

    def _write(self, value: dict[str, Any]) -> None:
        self._out.write(json.dumps({**value, "time": round(time.time(), 6)}, ensure_ascii=False) + "\n")
        self._out.flush()
