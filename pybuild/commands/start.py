"""`pybuild start`: begin containers that do not run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack

from pybuild.declared import click
from pybuild.lifecycle import KEYS, PROXY
from pybuild.userns import stand
from pybuild.wiring import Context

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from builder.containers import Containers

COURSE = (
    "pybuild.first",
    "pybuild.usual",
    "pybuild.several",
    "layers.home.store",
    "layers.snapshot.overlay",
    "layers.snapshot.mountings",
    "runner.native",
    "runner.cgroups",
    "runner.guard",
    "runner.mounts",
    "builder.containers.supervise",
)
"""What it loads in any case (`layers.compiled`)."""


@click.command(epilog="\b\nExamples:\n  pybuild start web\n  pybuild start -ai crashed")
@click.argument("containers", nargs=-1, metavar="[CONTAINER...]")
@click.option("--all", "everything", is_flag=True, help="Every container that does not run.")
@click.option(
    "-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Of --all only those that ps shows."
)
@click.option("-a", "--attach", is_flag=True, help="Wait for it, its output here.")
@click.option("-i", "--interactive", is_flag=True, help="Hand standard input on.")
@KEYS
@PROXY
@click.option("--monitor", type=int, hidden=True, help="Stay with a detached container; tell this descriptor.")
@click.option("--lock", type=int, hidden=True, help="What keeps that container ours.")
@click.pass_obj
def start(
    context: Context,
    containers: Sequence[str],
    everything: bool,
    filters: Sequence[str],
    attach: bool,
    interactive: bool,
    keys: bytes,
    proxy: bool,
    monitor: int | None,
    lock: int | None,
) -> int:
    """Start containers that were created, or have ended. One that runs is left as it is.

    There is no daemon that would start anything when this machine starts: let it run
    'pybuild start --all --filter restart-policy=always'.
    """
    from builder.containers import ContainerError, Containers, ContainerState, Status
    from pybuild.several import each

    book = Containers(context.store)
    if monitor is not None and lock is not None:
        return accompany(context, containers[0], monitor, lock)
    from pybuild.commands.run import begin, expected  # whose options a monitor needs not
    from pybuild.staying import stay

    context.sweep()
    if everything:
        if containers:
            raise click.UsageError("--all takes no names")
        containers = matching(book, filters)
    elif filters or not containers:
        raise click.UsageError("say which containers, or --all")
    if attach or interactive:
        if len(containers) > 1:
            raise click.UsageError("only one container can be attached to")
        found = book.get(containers[0])
        if found.state().status is Status.RUNNING:
            from pybuild.commands.attach import join

            return join(found, stdin=interactive, keys=keys, proxy=proxy)
        stand(found.settings.userns)
        with ExitStack() as held:
            ids = expected(context, found.settings, held)
            return stay(context, found, ids, stdin=interactive, keys=keys, proxy=proxy)

    def one(name: str) -> None:
        found = book.get(name)
        status = found.state().status
        if status is Status.PAUSED:
            raise ContainerState(found.name, "is paused: unpause it instead")
        if status not in (Status.RUNNING, Status.RESTARTING):
            try:
                with found.beginning() as held:
                    begin(context, found, held)
            except ContainerError:
                if found.state().status is not Status.RUNNING:  # else somebody was quicker
                    raise

    return each(containers, one)


def matching(book: Containers, filters: Sequence[str]) -> list[str]:
    """The names of those that do not run and fit."""
    from builder.containers.state import LIVE
    from pybuild.commands.ps import FILTERS, fits
    from pybuild.formats.filters import parse

    rules = parse(filters, [key for key in FILTERS if key not in ("before", "since")])
    found = [(one, one.state()) for one in book.list()]
    return [one.name for one, state in found if state.status not in LIVE and fits(one, state, rules)]


def accompany(context: Context, identity: str, tell: int, lock: int) -> int:
    """The life of a detached container's own small process; the descriptor `lock` keeps it ours as long as we live."""
    from builder.containers import Containers
    from builder.containers.supervise import supervise
    from pybuild.exits import warn

    def started() -> None:
        os.write(tell, b"started")
        os.close(tell)

    for descriptor in (tell, lock):
        os.set_inheritable(descriptor, False)
    os.chdir("/")
    container = Containers(context.store).get(identity)
    supervise(context.store, context.runtime, container, claimed=True, started=started, warn=warn)
    return 0
