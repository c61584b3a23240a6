"""`pybuild exec`: a further command in a running container."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild exec -it web sh\n  pybuild exec -u nobody -e DEBUG=1 web id",
    context_settings={"allow_interspersed_args": False},
)
@click.argument("container")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("-i", "--interactive", is_flag=True, help="Hand standard input on.")
@click.option("-t", "--tty", is_flag=True, help="Give it a terminal.")
@click.option("-e", "--env", "envs", multiple=True, metavar="KEY[=VALUE]", help="A variable.")
@click.option("-u", "--user", metavar="USER[:GROUP]", help="Who it is, by default the container's user.")
@click.option("-w", "--workdir", metavar="DIR", help="Where it starts.")
@click.pass_obj
def exec_(
    context: Context,
    container: str,
    command: tuple[str, ...],
    interactive: bool,
    tty: bool,
    envs: Sequence[str],
    user: str | None,
    workdir: str | None,
) -> int:
    """Run COMMAND behind the walls of a running container; its exit code becomes ours."""
    from pathlib import Path

    from builder.containers import Containers, ContainerState, Status
    from builder.containers.supervise import process_environment, who
    from builder.containers.terminal import Streams, forwarding, pump, raw_terminal, to_ours
    from builder.process import identity
    from pybuild.creating import assigned
    from runner import Sandbox

    found = Containers(context.store).get(container)
    settings, state = found.settings, found.state()
    if state.status is not Status.RUNNING:
        raise ContainerState(found.name, "is not running: pybuild start begins it again")
    if tty and interactive and not sys.stdin.isatty():
        raise click.UsageError("the input device is not a TTY: leave -t out")
    root = Path(f"/proc/{state.pid}/root")
    account = who(root, settings.user if user is None else user)
    env = {**process_environment(settings, account), **({"TERM": "xterm"} if tty else {}), **assigned(envs)}
    sandbox = Sandbox(
        root,
        command,
        env,
        workdir or settings.cwd or "/",
        identity(account),
        capabilities=frozenset(settings.capabilities),
        seccomp=settings.seccomp,
        no_new_privileges=settings.no_new_privileges,
    )
    streams = Streams(stdin=interactive, terminal=tty)
    try:
        running = context.runtime.exec_in(state.pid, sandbox, streams.given, tty=tty)
        streams.started()
        with forwarding(running), raw_terminal(running):
            pump(running, streams, to_ours, stdin=0 if interactive else None)
        return running.wait().code
    finally:
        streams.close()
