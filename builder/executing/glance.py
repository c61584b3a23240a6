"""Steps that are known to be cached without a thread for any: many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.caching.finding import Vanished
from builder.errors import BuildError
from builder.graph import Base, Copy, Fetch, Op, Run, Step, origins
from layers import LayerError

if TYPE_CHECKING:
    from builder.caching.finding import Finder, Found
    from builder.caching.looking import Looked
    from builder.executing.arrivals import Arrivals
    from builder.executing.results import Results
    from layers import Record, Store


class Glance:
    """Finds them; what it has found is to be held before anything is done with it.

    `seen` is what it knows now of steps that it has not found.
    """

    def __init__(self, store: Store, finder: Finder, results: Results, arrivals: Arrivals) -> None:
        self._store = store
        self._finder = finder
        self._results = results
        self._arrivals = arrivals
        self._unheld: list[Record] = []
        self.seen: dict[int, tuple[Looked, Found]] = {}

    def finds(self, step: Step, *, alone: bool) -> bool:
        """Take the result of a step if it can be found so; one that is `alone` may take its time to look at files."""
        if (not alone and self._reads(step.op)) or isinstance(step.op, Fetch) or self._finder.refused(step):
            return False
        if isinstance(step.op, Base):
            if step.op.image is not None and not step.op.image.local:
                return False
            self._arrivals.image(step, step.op)
            return True
        try:
            looked = self._finder.look(step, self._results.chains(step), self._results.below(step))
            found = self._finder.find(step, looked, self._unheld)
        except (LayerError, BuildError):
            return False  # a thread meets it once more, and tells
        if found.hit is None:
            self.seen[step.id] = looked, found
            return False
        self._results.hit(step, looked, found.hit)
        return True

    def hold(self) -> None:
        """Claim what was found, all together: a transaction for each would take longer. Raises Vanished."""
        found, self._unheld = self._unheld, []
        if found and not self._store.records.hold(found):
            raise Vanished("results that were there have been removed")

    def _reads(self, op: Op) -> bool:
        """True if files have to be looked at before the key is known."""
        if isinstance(op, Copy):
            needed = origins(op)
            if op.of_context or len(needed) != 1:
                return True
            return not self._finder.facts.has(self._results.made[needed[0]].chain, op)
        return isinstance(op, Run) and bool(op.mounts)
