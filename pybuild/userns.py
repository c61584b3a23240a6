"""--userns, --uidmap and --gidmap: who users are on the host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from runner import Ids

Command = TypeVar("Command", bound=Callable[..., Any])
KINDS = ("auto", "host", "keep-id", "map")
OPTIONS = (
    click.option(
        "--userns",
        type=click.Choice(KINDS),
        help="Who root inside is on the host: nobody (auto, the default where it can be had), root (host), "
        "root without rights (keep-id), or as --uidmap says (map).",
    ),
    click.option("--uidmap", "uidmap", multiple=True, metavar="CONTAINER:HOST:SIZE", help="Users of --userns map."),
    click.option("--gidmap", "gidmap", multiple=True, metavar="CONTAINER:HOST:SIZE", help="Its groups, if others."),
)


def namespaced(command: Command) -> Command:
    """Add the options."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def ids(options: Mapping[str, Any]) -> Ids | None:
    """What they come to; None for the host's numbers. Raises click.UsageError."""
    from runner import Ids

    kind, maps = options["userns"], options["uidmap"] or options["gidmap"]
    if options.get("privileged"):  # its rights are worth nothing in a user namespace
        if maps or kind not in (None, "host"):
            raise click.UsageError("--privileged has the host's users: leave --userns out")
        return None
    if maps and kind not in (None, "map"):
        raise click.UsageError(f"--uidmap and --gidmap are for --userns map, not for {kind}")
    if maps or kind == "map":
        if not options["uidmap"]:
            raise click.UsageError("--userns map needs --uidmap CONTAINER:HOST:SIZE, such as 0:100000:65536")
        try:
            return Ids.parse(options["uidmap"], options["gidmap"])
        except ValueError as error:
            raise click.UsageError(str(error)) from error
    if kind == "auto":
        return Ids.auto()
    if kind == "keep-id":
        return Ids.same()
    return None if kind == "host" else Ids.usual()
