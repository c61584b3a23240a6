"""What a build may use and must not show: secrets, by the place where they are read when a RUN asks for one.

Nothing here is ever written to the store, a key or an event; a value that was given as such is left out of `repr`.
"""

from __future__ import annotations

import os
from pathlib import Path

from builder.errors import BuildError
from layers.quick import dataclass, field

LARGEST = 500 << 10
"""Bytes of one secret, as with BuildKit."""


class SecretUnreadable(BuildError):
    """A secret cannot be had; `id` and `why` say which and the reason."""

    def __init__(self, id: str, why: str) -> None:
        super().__init__(f"the secret {id!r} cannot be read: {why}")
        self.id = id
        self.why = why


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret: in a file, in a variable of our own environment, or given as bytes. Exactly one of the three."""

    path: Path | None = None
    variable: str | None = None
    value: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if [self.path, self.variable, self.value].count(None) != 2:
            raise ValueError("a secret has a path, a variable or a value: one of the three")

    def read(self, id: str) -> bytes:
        """Its bytes as they are, a newline at the end too. Raises SecretUnreadable."""
        if self.variable is not None:
            text = os.environb.get(os.fsencode(self.variable))
            if text is None:
                raise SecretUnreadable(id, f"the environment has no {self.variable}")
            found = text
        elif self.path is not None:
            try:
                with self.path.open("rb") as file:
                    found = file.read(LARGEST + 1)
            except OSError as error:
                raise SecretUnreadable(id, f"{self.path}: {error.strerror}") from error
        else:
            found = self.value or b""
        if len(found) > LARGEST:
            raise SecretUnreadable(id, f"it is larger than {LARGEST >> 10} KB; mount a file of the context instead")
        return found
