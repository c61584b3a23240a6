"""`pybuild run`: a new container, from image to exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pybuild.creating import creation, settings
from pybuild.wiring import Context

if TYPE_CHECKING:
    from builder.containers import Container

EPILOG = """
\b
Examples:
  pybuild run --rm app
  pybuild run -it --entrypoint sh app
  pybuild run -d --name web --memory 256m --cpus 0.5 app
  pybuild run --rm --network none --read-only --tmpfs /tmp app"""


@click.command(epilog=EPILOG, context_settings={"allow_interspersed_args": False})
@creation
@click.option("-d", "--detach", is_flag=True, help="Do not wait for it; print its id.")
@click.argument("image")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def run(context: Context, /, image: str, command: tuple[str, ...], detach: bool, **options: Any) -> int:
    """Run COMMAND (by default the image's) in a new container of IMAGE; its exit code becomes ours.

    125: the container could not be started. 126: the command cannot be executed. 127: it was not found. 128+N: a signal
    ended it.
    """
    from builder.containers import Containers

    context.sweep()
    with context.store.lease():
        container = Containers(context.store).create(settings(context, image, command, options))
    if options["cidfile"]:
        Path(options["cidfile"]).write_text(container.id)
    try:
        if detach:
            begin(context, container)
            click.echo(container.id)
            return 0
        return attached(context, container, stdin=options["interactive"])
    except BaseException:
        if container.settings.remove and container.folder.exists():
            Containers(context.store).remove(container)
        raise


def attached(context: Context, container: Container, *, stdin: bool) -> int:
    """Run it here, its streams ours; its exit code."""
    from builder.containers import Containers
    from builder.containers.supervise import supervise
    from builder.containers.terminal import to_ours

    if container.settings.tty and stdin and not sys.stdin.isatty():
        raise click.UsageError("the input device is not a TTY: leave -t out")
    state = supervise(context.store, context.runtime, container, sink=to_ours, stdin=0 if stdin else None)
    if container.settings.remove:
        Containers(context.store).remove(container)
    return state.exit_code


def begin(context: Context, container: Container) -> None:
    """Start the small process that stays with a detached container; returns when the command runs."""
    told, tell = os.pipe()
    words = [sys.executable, "-m", "pybuild", "--root", str(context.settings.root), "start", "--monitor", str(tell)]
    with open(container.folder / "monitor", "wb") as said:
        subprocess.Popen(
            [*words, container.id],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            pass_fds=[tell],
            start_new_session=True,
            cwd="/",
        )
    os.close(tell)
    with os.fdopen(told, "rb") as answer:
        if answer.read() != b"started":
            from builder.containers.errors import ContainerError

            why = (container.folder / "monitor").read_text(errors="replace").strip().removeprefix("error: ")
            raise ContainerError(why or "the container did not start")
