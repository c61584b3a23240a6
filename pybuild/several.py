"""Commands that take several names: each is done; one that fails does not keep the others from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click


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
