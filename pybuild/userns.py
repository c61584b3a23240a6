"""--userns, --uidmap and --gidmap: who users are on the host."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pybuild.declared import click
from pybuild.options import together
from pybuild.sharing import needs_users_of_host

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

    from runner import Ids

KINDS = ("auto", "host", "keep-id", "map")
OPTIONS = (
    click.option(
        "--userns",
        type=click.Choice(KINDS),
        help="Who root inside is on the host: nobody (auto, the default where it can be had), root (host), "
        "root without rights (keep-id; without root: everybody else, you are yourself), or as --uidmap says (map).",
    ),
    click.option("--uidmap", "uidmap", multiple=True, metavar="CONTAINER:HOST:SIZE", help="Users of --userns map."),
    click.option("--gidmap", "gidmap", multiple=True, metavar="CONTAINER:HOST:SIZE", help="Its groups, if others."),
)

namespaced = together(*OPTIONS)
"""Adds the options to a command."""


def ids(options: Mapping[str, Any]) -> Ids | None:
    """What they come to; None for the host's numbers. Raises click.UsageError, and SandboxUnavailable without root."""
    from runner import Ids
    from runner.rootless import owner

    kind, maps = options["userns"], options["uidmap"] or options["gidmap"]
    if what := needs_users_of_host(options):
        if maps or kind not in (None, "host"):
            raise click.UsageError(f"{what} has the host's users: leave --userns out")
        return None
    if maps and kind not in (None, "map"):
        raise click.UsageError(f"--uidmap and --gidmap are for --userns map, not for {kind}")
    if maps or kind == "map":
        if not options["uidmap"]:
            raise click.UsageError("--userns map needs --uidmap CONTAINER:HOST:SIZE, such as 0:100000:65536")
        try:
            found = Ids.parse(options["uidmap"], options["gidmap"])
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        if owner() is not None:
            from runner import remap

            remap.check(found)
        return found
    if kind == "auto":
        return Ids.auto()
    if kind == "keep-id":
        if owner() is not None:
            from runner import remap

            return remap.keep_id()
        return Ids.same()
    return None if kind == "host" else Ids.usual()


def stand(ids: Ids | None) -> None:
    """Go on as a process that knows users by a container's numbers, if this one does not.

    It begins anew then, so nothing may have been done or read yet.
    """
    if (environment := standing(ids)) is not None:
        from runner.rootless import STANDING

        if STANDING in os.environ:
            raise click.UsageError("containers that know users by different numbers cannot be looked at together")
        os.execve(sys.executable, [sys.executable, "-P", "-m", "pybuild", *sys.argv[1:]], environment)


def standing(ids: Ids | None) -> Mapping[str, str] | None:
    """The environment of a process of ours that looks after a container of these numbers; None for our own."""
    from runner.rootless import owner

    if ids is None or ids.is_auto or owner() is None:
        return None
    from runner import remap

    return remap.environment(ids) if remap.needed(ids) else None


def hand_over(path: Path) -> None:
    """Let what we have made outside of the store, a file or all of a directory, belong to who began us."""
    from runner.rootless import STANDING

    if STANDING in os.environ:
        from runner import remap

        remap.hand_over(path)
