"""What may be wrong with a bake file."""

from __future__ import annotations

from typing import NamedTuple

from builder import BuildError


class Place(NamedTuple):
    """Where something was said."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return ":".join(str(part) for part in self if part)


class BakeError(BuildError):
    """A bake file that cannot be read, or says what cannot be done; the message tells where."""

    def __init__(self, message: str, place: Place | None = None) -> None:
        super().__init__(f"{message}\n--> {place}" if place and place.file else message)
        self.sentence = message
        self.place = place
