"""`pybuild attach`: our streams as those of a running container."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pybuild.lifecycle import KEYS, PROXY
from pybuild.wiring import Context

if TYPE_CHECKING:
    from builder.containers import Container


@click.command(epilog="\b\nExamples:\n  pybuild attach web\n  pybuild attach --no-stdin --sig-proxy=false web")
@click.argument("container")
@click.option("--no-stdin", is_flag=True, help="Only look.")
@KEYS
@PROXY
@click.pass_obj
def attach(context: Context, container: str, no_stdin: bool, keys: bytes, proxy: bool) -> int:
    """Show what CONTAINER writes from now on, and give it what we read; its exit code becomes ours.

    The detach keys leave it running.
    """
    from builder.containers import Containers

    return join(Containers(context.store).get(container), stdin=not no_stdin, keys=keys, proxy=proxy)


def join(container: Container, *, stdin: bool, keys: bytes, proxy: bool) -> int:
    """Attach to a container that runs; its exit code, 0 if it was left."""
    from builder.containers.attach import attach as talk
    from builder.containers.terminal import unless_lost

    settings = container.settings
    if settings.tty and settings.interactive and stdin and not sys.stdin.isatty():
        raise click.UsageError("the input device is not a TTY: use --no-stdin")
    code = talk(container, stdin=stdin, proxy=proxy, keys=keys)
    if code is None:
        click.echo("read escape sequence", err=True)
        return 0
    return unless_lost(code)
