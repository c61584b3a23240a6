"""What the last build did, step by step: kept so that its file systems can be looked into, stepping back and forth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from builder.errors import StepFailed
from builder.graph import Run, Step
from layers import Chain, Digest
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.build import StepReport
    from builder.executing.results import Made
    from layers import Store

KEY = "trail:last"


@dataclass(frozen=True, slots=True)
class Trace:
    """One step. `after` is None where it did not end well; `run` is how a RUN was run; `kept` the container it left."""

    number: int
    title: str
    stage: str
    line: str
    status: str
    before: Chain | None
    after: Chain | None
    run: Mapping[str, Any]
    kept: str = ""


def keep(
    store: Store,
    steps: Iterable[Step],
    made: Mapping[int, Made],
    reports: Mapping[int, StepReport],
    failed: tuple[int, BaseException] | None,
) -> None:
    """Remember a build that is over, well or badly; the one before it is forgotten."""
    value = {"steps": [_value(step, made, reports, failed) for step in steps]}
    known = store.records.known(KEY)
    if known is None or known.value != value:  # a build out of the cache is mostly the one before it
        store.records.keep(KEY, value)


def last(store: Store) -> tuple[Trace, ...]:
    """The steps of the last build, in the order of its plan; none if nothing was built."""
    record = store.records.known(KEY)
    traces: list[Trace] = []
    after: dict[int, Chain | None] = {}
    for number, value in enumerate([] if record is None else record.value["steps"], 1):
        before = None if value["base"] is None else after.get(value["base"])
        chain = None
        if value["above"] is not None:
            below = before.diff_ids if before is not None else ()
            chain = Chain((*below, *map(Digest.parse, value["above"])))
        after[value["id"]] = chain
        traces.append(
            Trace(
                number,
                value["title"],
                value["stage"],
                value["line"],
                value["status"],
                before,
                chain,
                value["run"],
                value["kept"],
            )
        )
    return tuple(traces)


def _value(
    step: Step, made: Mapping[int, Made], reports: Mapping[int, StepReport], failed: tuple[int, BaseException] | None
) -> dict[str, Any]:
    above: list[str] | None = None
    if step.id in made:
        depth = len(made[step.base].chain) if step.base is not None and step.base in made else 0
        above = [str(one) for one in made[step.id].chain.diff_ids[depth:]]
    error = failed[1] if failed is not None and failed[0] == step.id else None
    status = "failed" if error is not None else reports[step.id].status if step.id in reports else "cancelled"
    return {
        "id": step.id,
        "base": step.base,
        "title": step.title,
        "stage": step.stage,
        "line": step.span.place,
        "status": status,
        "above": above,
        "run": _run(step.op) if isinstance(step.op, Run) else {},
        "kept": error.kept if isinstance(error, StepFailed) else "",
    }


def _run(op: Run) -> dict[str, Any]:
    """How the command was run, without what must not be kept: secrets, agents and proxies."""
    return {
        "args": list(op.args),
        "env": dict(op.env),
        "cwd": op.cwd,
        "user": op.user,
        "network": op.network,
        "hosts": [list(pair) for pair in op.hosts],
        "shm_size": op.shm_size,
    }
