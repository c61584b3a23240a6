"""The graphs of several platforms as parts of one: each step has an id of its own, and what is the same is one step."""

from __future__ import annotations

from collections.abc import Mapping

from builder.graph import Base, BuildGraph, Copy, Fetch, Op, Run, Step
from builder.mounts import BindMount, CacheMount, Mounted
from layers.quick import replace


class Joined:
    """All steps so far."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str, str], list[Step]] = {}
        self._count = 0

    def add(self, graph: BuildGraph) -> BuildGraph:
        """The graph with the ids of what is there already, and new ones for the rest."""
        ids: dict[int, int] = {}
        steps = []
        for step in graph.steps:
            base = None if step.base is None else ids[step.base]
            moved = replace(step, id=0, base=base, op=over(step.op, ids))
            place = ("", "") if isinstance(step.op, Base | Fetch) else (step.title, step.stage)
            near = self._steps.setdefault(place, [])
            same = next((one for one in near if is_same(one, moved)), None)
            if same is None:
                self._count += 1
                same = replace(moved, id=self._count)
                near.append(same)
            ids[step.id] = same.id
            steps.append(same)
        outcome = graph.outcome
        lines = tuple(replace(line, step=None if line.step is None else ids[line.step]) for line in outcome.lines)
        return BuildGraph(tuple(steps), replace(outcome, top=ids[outcome.top], lines=lines))


def is_same(one: Step, other: Step) -> bool:
    """Whether two steps do the same: an image is one in all stages, and what is fetched one for all platforms."""
    match one.op:
        case Base():
            return one.op == other.op and one.platform == other.platform
        case Fetch():
            return one.op == other.op
    return replace(one, id=other.id, position=other.position, count=other.count) == other


def over(op: Op, ids: Mapping[int, int]) -> Op:
    """The operation with other ids of the steps that it reads."""

    def mount(one: Mounted) -> Mounted:
        if isinstance(one, BindMount | CacheMount) and one.origin is not None:
            return replace(one, origin=ids[one.origin])
        return one

    match op:
        case Copy(origin=origin, fetched=fetched):
            moved = tuple(None if one is None else ids[one] for one in fetched)
            return replace(op, origin=None if origin is None else ids[origin], fetched=moved)
        case Run(mounts=mounts) if mounts:
            return replace(op, mounts=tuple(map(mount, mounts)))
    return op
