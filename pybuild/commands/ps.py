"""`pybuild ps`: the containers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from pybuild import units
from pybuild.formats import filters as wanted
from pybuild.formats.table import emit, truncated
from pybuild.wiring import Context

if TYPE_CHECKING:
    from builder.containers import Container, State
    from layers import Store

COLUMNS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Ports": "PORTS",
    "Names": "NAMES",
}
FILTERS = (
    *("id", "name", "status", "label", "ancestor", "exited", "health", "restart-policy", "before", "since", "volume"),
    *("network", "publish", "expose"),
)
HEALTH = ("none", "starting", "healthy", "unhealthy")
WIDTH = 20
MOUNT = 15


@click.command(
    epilog="\b\nExamples:\n  pybuild ps -a\n  pybuild ps -aq --filter status=exited\n"
    "  pybuild ps -a --format '{{.Names}}: {{.Status}}'"
)
@click.option("-a", "--all", "everything", is_flag=True, help="Also those that do not run.")
@click.option("-q", "--quiet", is_flag=True, help="Ids only.")
@click.option("--no-trunc", is_flag=True, help="Whole ids and commands.")
@click.option("-s", "--size", is_flag=True, help="Also the bytes that each changed.")
@click.option("-n", "--last", type=int, metavar="N", help="The N youngest, running or not.")
@click.option("-l", "--latest", is_flag=True, help="The youngest, running or not.")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help=f"{', '.join(FILTERS)}.")
@click.option("--format", "template", metavar="TEMPLATE", help="A Go template, 'table TEMPLATE' or json.")
@click.pass_obj
def ps(
    context: Context,
    everything: bool,
    quiet: bool,
    no_trunc: bool,
    size: bool,
    last: int | None,
    latest: bool,
    filters: Sequence[str],
    template: str | None,
) -> None:
    """List containers, the youngest first."""
    from builder.containers import Containers
    from builder.containers.changes import size as changed_bytes
    from builder.containers.inspect import whole
    from builder.containers.state import LIVE, Status

    rules = wanted.parse(filters, FILTERS)
    for key, known in (("status", tuple(Status)), ("health", HEALTH)):
        if unknown := [value for value in rules.get(key, ()) if value not in known]:
            raise click.UsageError(f"--filter {key}={unknown[0]}: unknown; {', '.join(known)} are known")
    if odd := [value for value in rules.get("exited", ()) if not value.lstrip("-").isdecimal()]:
        raise click.UsageError(f"--filter exited={odd[0]}: write an exit code, such as 137")
    limit = 1 if latest else last if last is not None and last > 0 else None  # docker: -1 and 0 are no limit
    book = Containers(context.store)
    for key in ("before", "since"):  # other containers, whose times are meant
        rules |= {key: [book.get(name).settings.created for name in rules[key]]} if key in rules else {}
    found = [(one, one.state()) for one in book.list()]
    if not (everything or limit is not None or "status" in rules or "exited" in rules):
        found = [(one, state) for one, state in found if state.status in LIVE]
    found = [(one, state) for one, state in found if fits(one, state, rules)][:limit]
    rows = [_row(context.store, one, state, whole=no_trunc) for one, state in found]
    columns = dict(COLUMNS)
    if size:
        columns["Size"] = "SIZE"
    if size or ".Size" in (template or ""):
        for row, (one, _) in zip(rows, found, strict=True):
            own = changed_bytes(one)
            row["Size"] = f"{units.size(own)} (virtual {units.size(own + whole(context.store, one))})"
    if quiet:
        for row in rows:
            click.echo(row["ID"])
        return
    emit(rows, columns, template)


def fits(container: Container, state: State, rules: dict[str, list[str]]) -> bool:
    """Whether it fits one value of each key; all of the labels."""
    return wanted.fits(rules, container.settings.labels, partial(_matches, container, state))


def _matches(container: Container, state: State, key: str, value: str) -> bool:
    settings = container.settings
    match key:
        case "id":
            return container.id.startswith(value)
        case "name":
            return wanted.named(settings.name, value) or wanted.named(f"/{settings.name}", value)
        case "status":
            return state.status.value == value
        case "restart-policy":
            return settings.restart.name == value
        case "before":
            return settings.created < value
        case "since":
            return settings.created > value
        case "health":
            return (state.health.status if state.health is not None else "none") == value
        case "volume":
            return any(value.rstrip("/") in (one.source, one.target) for one in settings.volumes)
        case "network":
            return value in _networks(container)
        case "publish" | "expose":
            there = [*(one.inner for one in settings.published), *(settings.exposed if key == "expose" else ())]
            if key == "publish":
                there += [f"{one.first}/{one.protocol}" for one in settings.published if one.first]
            return any(one in there for one in _ports(value))
        case "ancestor":
            return value in (settings.image_name, settings.image) or settings.image[7:].startswith(value)
        case _:
            return state.status.value == "exited" and str(state.exit_code) == value


def _networks(container: Container) -> set[str]:
    """Names and ids of the networks that it is meant to be in."""
    from builder.containers.connecting import endpoints

    members = {name for one, *_ in endpoints(container.store, container) for name in (one.name, one.id, one.id[:12])}
    return members | {container.settings.network}


def _ports(text: str) -> list[str]:
    """`80`, `80/udp` or `8000-8010/tcp` as single ports. Raises click.UsageError."""
    span, _, protocol = text.partition("/")
    first, _, last = span.partition("-")
    if not first.isdecimal() or not (last or first).isdecimal():
        raise click.UsageError(f"{text!r} is neither a port nor a range of ports")
    return [f"{port}/{protocol or 'tcp'}" for port in range(int(first), min(int(last or first), 65535) + 1)]


def _row(store: Store, container: Container, state: State, *, whole: bool) -> dict[str, Any]:
    from builder.containers.connecting import ports_column, wishes
    from pybuild.formats.template import Labelled

    settings = container.settings
    line = " ".join(f"'{word}'" if " " in word else word for word in settings.command)
    return Labelled(
        settings.labels,
        ID=container.id if whole else container.id[:12],
        Image=settings.image_name or "<none>",
        Command=f'"{line if whole else truncated(line, WIDTH)}"',
        CreatedAt=units.stamp(units.moment(settings.created)),
        RunningFor=units.age(units.moment(settings.created)),
        Status=status(state),
        State=state.status.value,
        Ports=ports_column(store, container),
        Names=settings.name,
        Labels=",".join(f"{key}={value}" for key, value in sorted(settings.labels.items())),
        Mounts=",".join(_mount(one.source, whole=whole) for one in settings.volumes),
        LocalVolumes=str(sum(one.kept for one in settings.volumes)),
        Networks=",".join(one.network for one in wishes(container)) or settings.network,
    )


def _mount(source: str, *, whole: bool) -> str:
    return source if whole or len(source) <= MOUNT else f"{source[: MOUNT - 1]}…"


def status(state: State) -> str:
    """`Up 3 minutes (healthy)`, `Exited (137) 2 hours ago`, `Restarting (1) 5 seconds ago`, `Created`."""
    match state.status.value:
        case "running" | "paused":
            text = f"Up {units.age(units.moment(state.started)).removesuffix(' ago')}"
            if state.status.value == "paused":
                return f"{text} (Paused)"
            if state.health is None:
                return text
            health = state.health.status
            return f"{text} ({'health: ' if health == 'starting' else ''}{health})"
        case "exited" | "restarting" as word:
            return f"{word.capitalize()} ({state.exit_code}) {units.age(units.moment(state.finished))}"
        case "removing":
            return "Removal In Progress"
        case word:
            return word.capitalize()
