"""`pybuild build --dry-run`: what would run and why, as a table, as data or by a template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pybuild import units
from pybuild.formats.table import emit
from pybuild.progress.words import harmless

if TYPE_CHECKING:
    from builder import BuildRequest
    from builder.caching.explain import Change
    from builder.caching.forecast import Expected
    from builder.events import Event
    from pybuild.wiring import Context

COLUMNS = {"Step": "STEP", "State": "STATE", "Last": "LAST TIME", "Reason": "WHY"}
WIDTH = 60
"""Characters of a step's words in the table."""


def show(context: Context, request: BuildRequest, template: str | None, *, exit_code: bool) -> int:
    """Print it; 1 if `exit_code` was asked for and not everything is in the cache."""
    from builder.build import forecast
    from builder.events import Warned
    from pybuild.progress.words import warning

    def emitted(event: Event) -> None:
        if isinstance(event, Warned):
            click.echo(warning(event), err=True)

    found = forecast(request, context.bench, emitted)
    emit([row(one, full=template is not None) for one in found], COLUMNS, template)
    missed = [one for one in found if one.state == "miss"]
    fetched = [one for one in found if one.state == "fetch"]
    if template is None:
        click.echo(f"\n{verdict(missed, fetched, len(found))}")
    return int(exit_code and bool(missed or fetched))


def verdict(missed: list[Expected], fetched: list[Expected], total: int) -> str:
    """One sentence about everything."""
    from builder.graph import Base

    word = "base image" if all(isinstance(one.step.op, Base) for one in fetched) else "source"
    more = f", {units.plural(len(fetched), word)} would be fetched" if fetched else ""
    if not missed:
        return f"All {units.plural(total, 'step')} are cached{more}."
    known = [one.seconds for one in missed if one.seconds is not None]
    new = len(missed) - len(known)
    time = f"about {units.seconds(sum(known))} by last time's measure" if known else "nobody knows how long"
    rest = f", and {units.plural(new, 'step')} that never ran here" if new and known else ""
    return f"{len(missed)} of {units.plural(total, 'step')} would run: {time}{rest}{more}."


def row(one: Expected, *, full: bool) -> dict[str, Any]:
    """A step for the table, or as data."""
    step = one.step
    title = harmless(" ".join(step.title.split()))
    if not full and len(title) > WIDTH:
        title = f"{title[: WIDTH - 1]}…"
    seconds = one.seconds
    shown = {
        "Step": f"[{step.stage} {step.position}/{step.count}] {title}",
        "State": one.state,
        "Last": "" if seconds is None else units.seconds(seconds),
        "Reason": harmless(one.reason.replace("\n", " ")),
    }
    if not full:
        return shown
    return {
        **shown,
        "ID": step.id,
        "Stage": step.stage,
        "Position": step.position,
        "Platform": str(step.platform),
        "Line": step.span.place,
        "Seconds": seconds,
        "Changes": [change(each) for each in one.changes],
    }


def change(one: Change) -> dict[str, str]:
    """One input that differs, as data."""
    return {"Kind": one.kind, "Name": one.name, "What": one.what, "Old": one.before, "New": one.after}
