"""`pybuild container|image|network|volume exists`: podman's way to ask, answered by the exit code alone."""

from __future__ import annotations

from functools import partial

import click

from pybuild.wiring import Context


@click.pass_obj
def exists(context: Context, name: str, *, kind: str) -> int:
    """0 if there is such a thing, 1 if not."""
    from pybuild.commands.inspect import NotFound, describe

    try:
        describe(context, name, kind, size=False)
    except NotFound:
        return 1
    return 0


def among(kind: str, example: str) -> click.Command:
    """The command that looks among one kind of things."""
    return click.Command(
        "exists",
        callback=partial(exists, kind=kind),
        params=[click.Argument(["name"])],
        help=f"Exit with 0 if there is such a {kind}, with 1 if there is none.",
        epilog=f"\b\nExample:\n  pybuild {kind} exists {example}",
    )


container = among("container", "web && pybuild stop web")
image = among("image", "app || pybuild build -t app .")
network = among("network", "front || pybuild network create front")
volume = among("volume", "data || pybuild volume create data")
