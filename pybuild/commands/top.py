"""`pybuild top`: the processes of a container."""

from __future__ import annotations

import shutil
import subprocess

import click

from pybuild.formats.table import table
from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild top web\n  pybuild top web -o pid,rss,cmd",
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
)
@click.argument("container")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[PS-OPTION]...")
@click.pass_obj
def top(context: Context, container: str, options: tuple[str, ...]) -> None:
    """Show the processes of CONTAINER as this host's ps(1) sees them, by default as `ps -ef` does."""
    from builder.containers import Containers, ContainerState
    from builder.containers.state import ACTIVE
    from builder.containers.telling import tell
    from runner import inside
    from runner.cgroups import group_of

    found = Containers(context.store).get(container)
    state = found.state()
    if state.status not in ACTIVE:
        raise ContainerState(found.name, "is not running")
    group = group_of(state.pid)
    heads, rows = processes(options or ("-ef",), inside.processes(state.pid) if group is None else group.processes())
    tell(found.folder, found.settings, "top")
    click.echo(table(heads, rows))


def processes(options: tuple[str, ...], inside: set[int]) -> tuple[list[str], list[list[str]]]:
    """The headings and those rows of ps that are about the processes `inside`. Raises click.ClickException."""
    program = shutil.which("ps")
    if program is None:
        raise click.ClickException("this host has no ps(1), which lists processes: apt-get install procps")
    pids = f"-q{','.join(map(str, sorted(inside)))}"
    for words in ([*options, pids], options):  # some options, such as f, do not go with -q; others need it
        done = subprocess.run([program, *words], capture_output=True, text=True, errors="replace", check=False)
        if done.returncode == 0:
            break
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise click.ClickException(f"ps {' '.join(options)}: {done.stderr.strip() or 'it said nothing'}")
    heads = lines[0].split()
    if "PID" not in heads:
        raise click.ClickException("the options of ps leave the column PID out, by which processes are found")
    place = heads.index("PID")
    rows = [line.split(None, len(heads) - 1) for line in lines[1:]]
    return heads, [row for row in rows if len(row) > place and row[place].isdecimal() and int(row[place]) in inside]
