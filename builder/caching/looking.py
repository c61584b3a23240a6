"""What a step reads, looked up before it is known whether it has to run: files, what mounts show, and so its key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from builder.caching import cache
from builder.caching.facts import Facts, selected
from builder.errors import ContextError
from builder.graph import Base, Copy, Mkdir, Op, Run, Step, origins
from builder.times import times_for, worded
from layers import Chain
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.caching.inputs import Listing
    from builder.contexts.context import Context
    from builder.contexts.contexts import Contexts
    from builder.ops.attach import Shown
    from builder.ops.origin import TreeOrigin
    from builder.ops.select import Selection
    from builder.request import BuildRequest
    from builder.times import Times
    from layers import Store


@dataclass(frozen=True, slots=True)
class Looked:
    """A step's inputs: what it stands on, the times that it gives, what a COPY puts down, what a RUN's mounts show.

    A COPY whose digest was known has no selection (`Looking.whole`).
    """

    below: Chain
    key: cache.Key
    times: Times | None = None
    selection: Selection | None = None
    shown: Sequence[Shown] = ()

    def selections(self) -> dict[str, Selection]:
        """The files that it reads, as far as they were looked at, by the digest of them that is in the key."""
        from builder.ops.select import Selection

        found = {one.content: Selection((one.source,)) for one in self.shown if one.content and one.source is not None}
        if self.selection is not None:
            found[self.key.parts["content"]] = self.selection
        return found

    def lists(self) -> dict[str, Listing]:
        """The same by path."""
        from builder.caching.inputs import listing

        return {digest: listing(selection.table()) for digest, selection in self.selections().items()}

    def of_context(self, op: Op) -> list[str]:
        """The digests of what it reads of the build's own files."""
        if isinstance(op, Copy):
            return [self.key.parts["content"]] if op.of_context else []
        return [one.content for one in self.shown if one.content and one.chain is None]


class Looking:
    """Looks for the steps of one build; `context` gives its files."""

    def __init__(self, store: Store, request: BuildRequest, context: Contexts, facts: Facts) -> None:
        self.facts = facts
        self._store = store
        self._request = request
        self._context = context
        self._home = home(request)
        self._now = "" if request.epoch is None else f"at {request.epoch}"
        """What a WORKDIR gets."""

    def look(self, step: Step, chains: Mapping[int, Chain], created: str) -> Looked:
        """The inputs of a step over the results of those it needs; `created`: when the one below it was made.

        Raises ContextError, StepFailed.
        """
        assert step.base is not None
        below = chains[step.base]
        times = times_for(self._request, created)
        time = worded(times)
        match step.op:
            case Run() as op:
                shown = self._shown(step, chains) if op.mounts else ()
                contents = [one.content for one in shown]
                host = self._request.userns is None
                return Looked(below, cache.run_key(below, op, step, contents, time, host=host), times, shown=shown)
            case Mkdir() as op:
                return Looked(below, cache.mkdir_key(below, op, step, time or self._now), times)
            case Copy() as op:
                content, selection = self._content(step, op, chains)
                return Looked(below, cache.copy_key(below, op, step, content, time), times, selection)
        raise AssertionError(step.op)

    def where(self, step: Step, steps: Mapping[int, Step]) -> cache.Where:
        """Where a step stands, for the next time."""
        assert step.base is not None
        below = steps[step.base].op
        base = ""
        if isinstance(below, Base) and below.image is not None:
            base = f"{below.image.reference.familiar}@{below.image.config.digest}"
        arguments = step.op.arguments if isinstance(step.op, Run) else ()
        return cache.Where(self._home, step.stage, step.position, step.title, base, arguments)

    def whole(self, step: Step, looked: Looked, chains: Mapping[int, Chain]) -> Looked:
        """The same with the files themselves, for a step whose digest was known without a look at them."""
        if not isinstance(step.op, Copy) or looked.selection is not None:
            return looked
        selection = self._selected(step, step.op, chains)
        key = cache.copy_key(looked.below, step.op, step, selection.digest(), worded(looked.times))
        return Looked(looked.below, key, looked.times, selection)

    def _content(self, step: Step, op: Copy, chains: Mapping[int, Chain]) -> tuple[str, Selection | None]:
        """The digest of what a COPY puts down, and the files unless it was known."""
        needed = origins(op)
        if op.of_context or len(needed) != 1:
            selection = self._selected(step, op, chains)
            return selection.digest(), selection
        chain = chains[needed[0]]
        fact = selected(chain, op)
        if (known := self.facts.find(fact)) is not None:
            return known, None
        selection = self._selected(step, op, chains)
        found = selection.digest()
        self.facts.keep(fact, found, chain)
        return found, selection

    def _selected(self, step: Step, op: Copy, chains: Mapping[int, Chain]) -> Selection:
        from builder.ops.select import select

        trees: dict[int, TreeOrigin] = {}

        def origin(id: int | None) -> Context | TreeOrigin:
            if id is None:
                return self._files(step, op)
            if id not in trees:
                from builder.ops.origin import TreeOrigin

                self.facts.supply.need(chains[id])
                trees[id] = TreeOrigin.of(self._store, chains[id])
            return trees[id]

        return select(origin, op, step)

    def _files(self, step: Step, op: Copy) -> Context | TreeOrigin:
        if (found := self._context(op.context)) is None:
            help = "give the directory with the files instead of -"
            raise ContextError("this build has no files to copy: it has no context", span=step.span, help=help)
        return found

    def _shown(self, step: Step, chains: Mapping[int, Chain]) -> Sequence[Shown]:
        from builder.ops.attach import look

        needed = {id: chains[id] for id in origins(step.op)}
        return look(self._store, step, needed, self._context, self.facts.supply.need)


def home(request: BuildRequest) -> str:
    """What makes two builds builds of the same thing: the directory and the name of the Dockerfile."""
    context = "" if request.context is None else str(request.context.resolve())
    if request.source is not None:
        context = request.source.shown
    return f"{context}:{request.name}"
