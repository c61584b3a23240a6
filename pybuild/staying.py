"""A container that runs in the foreground: from its start to its end, which is ours."""

from __future__ import annotations

import sys
from contextlib import suppress

from builder.containers.foreground import Foreground
from builder.containers.supervise import supervise
from builder.containers.terminal import unless_lost
from layers import LayerError
from pybuild import exits
from pybuild.declared import click

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from builder.containers import Container
    from builder.networks.asked import Asked
    from pybuild.wiring import Context
    from runner import Ids

COURSE = (
    "pybuild.commands.run",
    "layers.home.images",
    "layers.oci.image",
    "layers.snapshot.overlay",
    "layers.snapshot.mountings",
    "runner.mounts",
    "runner.edits",
    "builder.containers.signals",
)
"""What a container needs to start; it is loaded while its process and its network are made by others."""


def stay(
    context: Context,
    container: Container,
    ids: Ids | None,
    neighbour: Asked | None = None,
    streams: frozenset[str] = frozenset(),
    *,
    stdin: bool,
    keys: bytes,
    proxy: bool,
) -> int:
    """Run it here, as it is expected, its streams ours (all, or those that are named); its exit code."""

    def tidy() -> None:
        with suppress(LayerError, OSError):  # the next one tries again
            context.tidy()

    stdin = stdin and (not streams or "stdin" in streams)
    if container.settings.tty and stdin and not sys.stdin.isatty():
        raise click.UsageError("the input device is not a TTY: leave -t out")
    shown = frozenset(number for number, name in ((1, "stdout"), (2, "stderr")) if not streams or name in streams)
    foreground = Foreground(stdin=stdin, tty=container.settings.tty, streams=shown, proxy=proxy, keys=keys)
    state = supervise(
        context.store,
        context.runtime,
        container,
        foreground=foreground,
        ids=ids,
        asked=neighbour,
        started=tidy,
        warn=exits.warn,
    )
    if state.oom_killed:
        exits.warn("memory ran out and the kernel killed a process: raise --memory")
    return unless_lost(state.exit_code)
