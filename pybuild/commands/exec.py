"""`pybuild exec`: a further command in a running container."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from pybuild.declared import click
from pybuild.lifecycle import KEYS
from pybuild.wiring import Context

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from builder.containers import Container
    from builder.containers.foreground import Foreground
    from runner import Sandbox

COURSE = (
    "pybuild.first",
    "pybuild.usual",
    "layers.home.store",
    "runner.native",
    "runner.cgroups",
    "runner.guard",
    "builder.containers.control",
    "builder.containers.foreground",
    "builder.containers.sandboxes",
    "builder.containers.loop",
    "builder.containers.switchboard",
)
"""What it loads in any case (`layers.compiled`)."""
REFUSED = 126
"""The exit code where docker's runtime would not begin the command."""


@click.command(
    epilog="\b\nExamples:\n  pybuild exec -it web sh\n  pybuild exec -u nobody -e DEBUG=1 web id",
    context_settings={"allow_interspersed_args": False},
)
@click.argument("container")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("-i", "--interactive", is_flag=True, help="Hand standard input on.")
@click.option("-t", "--tty", is_flag=True, help="Give it a terminal.")
@click.option("-e", "--env", "envs", multiple=True, metavar="KEY[=VALUE]", help="A variable.")
@click.option("--env-file", "env_files", multiple=True, metavar="FILE", help="Variables, one a line.")
@click.option("-u", "--user", metavar="USER[:GROUP]", help="Who it is, by default the container's user.")
@click.option("-w", "--workdir", metavar="DIR", help="Where it starts.")
@click.option("-d", "--detach", is_flag=True, help="Do not wait for it.")
@click.option("--privileged", is_flag=True, help="With all rights that there are, and no system-call filter.")
@KEYS
@click.pass_obj
def exec_(
    context: Context,
    /,
    container: str,
    command: tuple[str, ...],
    interactive: bool,
    tty: bool,
    envs: Sequence[str],
    env_files: Sequence[str],
    user: str | None,
    workdir: str | None,
    detach: bool,
    privileged: bool,
    keys: bytes,
) -> int:
    """Run COMMAND behind the walls of a running container; its exit code becomes ours."""
    from builder.containers import Containers, ContainerState, Status
    from builder.containers.control import order
    from builder.containers.errors import CommandRefused
    from builder.containers.foreground import Foreground
    from builder.containers.sandboxes import entering
    from layers import AccountMissing
    from pybuild.variables import variables
    from runner import SandboxBroken

    found = Containers(context.store).get(container)
    state = found.state()
    if state.status is Status.PAUSED:
        raise ContainerState(found.name, "is paused: unpause it first")
    if state.status is not Status.RUNNING:
        raise ContainerState(found.name, f"is not running ({state.status}): pybuild start begins it")
    env = variables({"envs": envs, "env_files": env_files})
    if workdir and not workdir.startswith("/"):
        raise click.UsageError(f"--workdir {workdir}: it needs to be an absolute path")
    if detach:
        more = {"privileged": True} if privileged else {}  # else it is as supervisors of older versions know it
        order(found, "exec", words=command, user=user, env=env, cwd=workdir, **more)
        return 0
    if tty and interactive and not sys.stdin.isatty():
        raise click.UsageError("the input device is not a TTY: leave -t out")
    foreground = Foreground(stdin=interactive, tty=tty, keys=keys)
    try:
        sandbox = entering(found, state.pid, command, user=user, env=env, cwd=workdir, tty=tty, privileged=privileged)
        return talk(context, found, state.pid, sandbox, foreground)
    except AccountMissing as error:
        raise CommandRefused(found.name, str(error), REFUSED) from None
    except SandboxBroken as error:
        why = f"{error.detail}: {os.strerror(error.errno)}" if error.step == "cwd" else str(error)
        raise CommandRefused(found.name, why, REFUSED) from None


def talk(context: Context, container: Container, pid: int, sandbox: Sandbox, foreground: Foreground) -> int:
    """A further command with our streams, to its end; its exit code."""
    from builder.containers.telling import tell
    from builder.containers.terminal import Streams
    from pybuild.following import follow

    identity, line = os.urandom(32).hex(), " ".join(sandbox.args)
    tell(container.folder, container.settings, f"exec_create: {line}", execID=identity)
    streams = Streams(stdin=foreground.stdin, terminal=foreground.tty)
    try:
        running = context.runtime.exec_in(pid, sandbox, streams.given, tty=foreground.tty)
        tell(container.folder, container.settings, f"exec_start: {line}", execID=identity)
        code = follow(
            running, streams, foreground, detached=lambda board, code: foreground.leave(code, board, context.runtime)
        )
    finally:
        streams.close()
    tell(container.folder, container.settings, "exec_die", execID=identity, exitCode=str(code))
    return code
