"""Commands that take several names: each is done; one that fails does not keep the others from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from builder.containers import Containers, Status


EVERY = click.option("-a", "--all", "everything", is_flag=True, help="All of them.")
"""podman's; the command says which those are."""


def chosen(
    book: Containers, names: Sequence[str], everything: bool, statuses: Collection[Status] | None = None
) -> Sequence[str]:
    """The names, or with --all those of all containers that are in one of the states. Raises click.UsageError."""
    if everything and names:
        raise click.UsageError("--all takes no names")
    if not (everything or names):
        raise click.UsageError("say which containers, or --all")
    if not everything:
        return names
    return [one.name for one in book.list() if statuses is None or one.state().status in statuses]


def each(names: Sequence[str], action: Callable[[str], object], *, results: bool = False) -> int:
    """Do it for all; prints the names for which it could be done, or the results. 1 if some could not."""
    from builder.containers import ContainerError
    from layers import LayerError
    from pybuild.exits import explain, tell
    from runner import RunnerError

    failed = False
    for name in names:
        try:
            result = action(name)
        except (ContainerError, LayerError, RunnerError) as error:
            tell(explain(error))
            failed = True
        else:
            click.echo(str(result) if results else name)
    return int(failed)


def signal_number(name: str | None) -> int | None:
    """The number of --signal. Raises click.UsageError."""
    from builder.containers.signals import number_of

    try:
        return None if name is None else number_of(name)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
