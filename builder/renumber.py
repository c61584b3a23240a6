"""Graphs of several platforms beside one another: each step needs an id of its own."""

from __future__ import annotations

from builder.graph import BuildGraph, Copy, Run, Step
from builder.mounts import BindMount, CacheMount, Mounted
from layers.quick import replace


def renumbered(graph: BuildGraph, offset: int) -> BuildGraph:
    """The graph with other ids, so that the steps of several platforms can be told apart."""
    if not offset:
        return graph

    def mount(one: Mounted) -> Mounted:
        if isinstance(one, BindMount | CacheMount) and one.origin is not None:
            return replace(one, origin=one.origin + offset)
        return one

    def moved(step: Step) -> Step:
        op = step.op
        if isinstance(op, Copy):
            fetched = tuple(None if one is None else one + offset for one in op.fetched)
            op = replace(op, origin=None if op.origin is None else op.origin + offset, fetched=fetched)
        elif isinstance(op, Run):
            op = replace(op, mounts=tuple(map(mount, op.mounts)))
        return replace(step, id=step.id + offset, base=None if step.base is None else step.base + offset, op=op)

    lines = tuple(replace(line, step=None if line.step is None else line.step + offset) for line in graph.outcome.lines)
    outcome = replace(graph.outcome, top=graph.outcome.top + offset, lines=lines)
    return BuildGraph(tuple(moved(step) for step in graph.steps), outcome)
