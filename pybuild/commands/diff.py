"""`pybuild diff`: which paths a container or an image adds (A), changes (C) and deletes (D)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Chain, Tree
    from layers.changes import Change


@click.command(
    epilog="\b\nExamples:\n  pybuild diff crashed           a container: what it changed\n"
    "  pybuild diff app               an image: what its last layer changed\n"
    "  pybuild diff debian:12 app     two of them: what leads from the first to the second"
)
@click.argument("first", metavar="A")
@click.argument("second", metavar="[B]", required=False)
@click.option("--format", "template", metavar="TEMPLATE", help="A Go template over .Kind and .Path, or json.")
@click.pass_obj
def diff(context: Context, first: str, second: str | None, template: str | None) -> None:
    """Show which paths differ: A added, C changed, D deleted.

    A and B are containers, images, or steps written IMAGE@N: the image after its N-th layer. With A alone a container
    is compared with its image, an image with itself before its last layer.
    """
    if second is not None:
        from layers.treediff import diff as trees

        changes: Iterable[Change] = trees(tree(context, first), tree(context, second))
    else:
        changes = alone(context, first)
    rows = [
        {"Kind": str(change.kind.value), "Path": f"/{change.entry.path}"} for change in changes if change.entry.path
    ]
    if template is None:
        for row in rows:
            click.echo(f"{row['Kind']} {row['Path']}")
        return
    from pybuild.formats.table import emit

    emit(rows, {"Kind": "KIND", "Path": "PATH"}, template)


def alone(context: Context, name: str) -> Iterable[Change]:
    """What a container changed, or the last layer of an image."""
    from builder.containers.book import Containers
    from builder.containers.errors import ContainerMissing
    from layers import Chain
    from layers.treediff import diff as trees

    try:
        container = Containers(context.store).get(name)
    except ContainerMissing:
        pass
    else:
        from builder.containers.changes import changes

        return changes(context.store, container)
    diff_ids = chain(context, name).diff_ids
    store = context.store
    return trees(store.tree(Chain(diff_ids[:-1])), store.tree(Chain(diff_ids)))


def tree(context: Context, name: str) -> Tree:
    """The files of a container, an image or a step."""
    from builder.containers.book import Containers
    from builder.containers.errors import ContainerMissing

    try:
        container = Containers(context.store).get(name)
    except ContainerMissing:
        return context.store.tree(chain(context, name))
    from builder.containers.changes import tree as container_tree

    return container_tree(context.store, container)


def chain(context: Context, name: str) -> Chain:
    """The layers of an image, or of `IMAGE@N` its first N."""
    from layers import Chain

    head, at, count = name.rpartition("@")
    if not at or not count.isdigit():
        return context.store.images.get(name).chain
    whole = context.store.images.get(head).chain
    if int(count) > len(whole.diff_ids):
        raise click.UsageError(f"{head} has {len(whole.diff_ids)} layers, there is no layer {count}")
    return Chain(whole.diff_ids[: int(count)])
