"""The shared caches that one build may use, and what it means when one cannot keep its word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from builder.errors import BuildError

if TYPE_CHECKING:
    from builder.sharing.document import Result
    from builder.sharing.imports import Imported


class CacheBroken(BuildError):
    """A shared cache could not give what it says it has: a build has to go on without it (`source`)."""

    def __init__(self, source: Imported, why: str) -> None:
        super().__init__(f"cache {source.name}: {why}")
        self.source = source


class Imports:
    """The caches of one build, in the order that they were named."""

    def __init__(self, sources: Sequence[Imported] = ()) -> None:
        self.sources = list(sources)
        self.mounts = {key: source for source in reversed(self.sources) for key in source.document.mounts}
        self.facts = {key: fact for source in reversed(self.sources) for key, fact in source.document.facts.items()}

    def find(self, key: str) -> tuple[Result, Imported] | None:
        """The first that has a result."""
        for source in self.sources:
            if (result := source.document.results.get(key)) is not None:
                return result, source
        return None

    def without(self, source: Imported) -> Imports:
        """The others."""
        return Imports([one for one in self.sources if one is not source])
