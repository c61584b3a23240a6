"""`pybuild events`: what happens to the containers and images of this store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pybuild.formats import filters as wanted
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers.home.eventlog import Event

FILTERS = ("container", "event", "image", "label", "network", "type", "scope", "volume")


@click.command(
    epilog="\b\nExamples:\n  pybuild events\n  pybuild events --since 1h --until 0s --filter container=web\n"
    "  pybuild events --filter event=oom --format '{{.Actor.Attributes.name}}'"
)
@click.option("--since", metavar="MOMENT", help="Also what has happened since, as in 10m or 2026-01-31T12:00:00Z.")
@click.option("--until", metavar="MOMENT", help="End then.")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help=f"{', '.join(FILTERS)}.")
@click.option("--format", "template", metavar="TEMPLATE", help="A Go template, or json.")
@click.pass_obj
def events(
    context: Context, since: str | None, until: str | None, filters: Sequence[str], template: str | None
) -> None:
    """Show what happens, from now on or since a moment, until interrupted or until a moment.

    The latest thousands of events are kept in the store; there is no daemon that one would have to ask.
    """
    from layers.home.eventlog import EventLog, fields
    from pybuild.commands.logs import moment
    from pybuild.formats.template import Template, compact, folded

    rules = wanted.parse(filters, FILTERS)
    first, last = moment("--since", since), moment("--until", until)
    parsed = Template(template) if template and template != "json" else None
    found = EventLog(context.store.root).follow(
        lambda: False,
        since=None if first is None else int(first * 1e9),
        until=None if last is None else int(last * 1e9),
    )
    with suppress(KeyboardInterrupt):
        for event in found:
            if fits(event, rules):
                value = fields(event)
                click.echo(
                    line(event) if template is None else parsed.render(folded(value)) if parsed else compact(value)
                )


def line(event: Event) -> str:
    """`2026-01-31T12:00:00.000000000Z container start 3fa2… (image=app, name=web)`."""
    seconds, rest = divmod(event.time, 1_000_000_000)
    local = datetime.fromtimestamp(seconds, UTC).astimezone()
    zone = local.strftime("%z")
    shown = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    words = ", ".join(f"{key}={value}" for key, value in sorted(event.attributes.items()))
    return f"{local:%Y-%m-%dT%H:%M:%S}.{rest:09}{shown} {event.kind} {event.action} {event.id}" + (
        f" ({words})" if words else ""
    )


def fits(event: Event, rules: Mapping[str, Sequence[str]]) -> bool:
    """Whether it fits one value of each key; all of the labels."""
    return all(
        wanted.labelled(event.attributes, values)
        if key == "label"
        else any(_matches(event, key, value) for value in values)
        for key, values in rules.items()
    )


def _matches(event: Event, key: str, value: str) -> bool:
    name = event.attributes.get("name", "")
    match key:
        case "event":
            return value in (event.action, event.action.partition(":")[0])
        case "type":
            return event.kind == value
        case "scope":
            return value == "local"
        case "image":
            image = event.id if event.kind == "image" else event.attributes.get("image", "")
            known = {image, name} if event.kind == "image" else {image}
            return any(value in (one, one.rpartition(":")[0], one.removeprefix("sha256:")) for one in known)
        case _:
            return event.kind == key and (name == value or event.id.startswith(value))
