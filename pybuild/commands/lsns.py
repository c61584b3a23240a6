"""`pybuild lsns`: the namespaces of running containers, with the columns of lsns(8)."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pybuild.formats.table import emit
from pybuild.inside import KINDS
from pybuild.wiring import Context

COLUMNS = {
    "NS": "NS",
    "Type": "TYPE",
    "NProcs": "NPROCS",
    "PID": "PID",
    "User": "USER",
    "Command": "COMMAND",
    "Containers": "CONTAINERS",
}


@click.command(epilog="\b\nExamples:\n  pybuild lsns\n  pybuild lsns -t net\n  pybuild lsns web --format json")
@click.argument("containers", nargs=-1)
@click.option("-t", "--type", "kinds", multiple=True, type=click.Choice(KINDS), help="Only these.")
@click.option("-a", "--all", "everything", is_flag=True, help="Those that are the host's, too.")
@click.option("--format", "template", metavar="TEMPLATE", help="A Go template, 'table TEMPLATE' or json.")
@click.pass_obj
def lsns(
    context: Context, containers: tuple[str, ...], kinds: tuple[str, ...], everything: bool, template: str | None
) -> None:
    """List the namespaces of running CONTAINERS (all), and how many processes are in each."""
    from pybuild.inside import inode, namespaces, process_of, running

    first = {name: process_of(context, name) for name in containers} if containers else running(context)
    rows = [
        {
            "NS": str(one.inode),
            "Type": one.kind,
            "NProcs": str(len(one.pids)),
            "PID": str(one.pid),
            "User": user(one.pid),
            "Command": command(one.pid),
            "Containers": ",".join(one.containers),
        }
        for one in namespaces(first)
        if (not kinds or one.kind in kinds) and (everything or one.inode != inode("self", one.kind))
    ]
    emit(rows, COLUMNS, template)


def user(pid: int) -> str:
    """Whose process it is on this machine, also if we are in a user namespace."""
    from pwd import getpwuid

    from runner.ids import across, read

    try:
        seen = os.stat(f"/proc/{pid}").st_uid
        number = across(read(Path("/proc/self/uid_map").read_text()), seen)
        number = seen if number is None else number
        return getpwuid(number).pw_name
    except KeyError:
        return str(number)
    except OSError:
        return ""


def command(pid: int) -> str:
    """Its words."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
        return words.decode("utf-8", "replace") or f"[{Path(f'/proc/{pid}/comm').read_text().strip()}]"
    except OSError:
        return ""
