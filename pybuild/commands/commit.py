"""`pybuild commit`: an image of what a container changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pybuild.userns import stand
from pybuild.wiring import Context

if TYPE_CHECKING:
    from builder.containers import Container, Containers


@click.command(
    epilog="\b\nExamples:\n  pybuild commit crashed post-mortem\n"
    "  pybuild commit -m 'with vim' -c 'CMD [\"bash\"]' web web:debug\n  pybuild commit --failed post-mortem"
)
@click.argument("container", required=False)
@click.argument("name", required=False)
@click.option("--failed", is_flag=True, help="The file system that the last RUN to fail left: commit --failed [NAME].")
@click.option("-a", "--author", default="", metavar="NAME", help="Who made it.")
@click.option("-m", "--message", default="", metavar="TEXT", help="The comment in its history.")
@click.option("-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="Set CMD, ENV, USER …")
@click.option("-p", "--pause/--no-pause", default=True, help="Freeze it meanwhile (the default).")
@click.option("--squash", is_flag=True, help="One layer of everything.")
@click.pass_obj
def commit(
    context: Context,
    container: str | None,
    name: str | None,
    failed: bool,
    author: str,
    message: str,
    changes: Sequence[str],
    pause: bool,
    squash: bool,
) -> None:
    """Make an image of CONTAINER: its image's layers and one of what it changed."""
    from builder.containers import Containers
    from builder.containers.changes import commit as keep
    from builder.containers.control import frozen
    from builder.containers.telling import tell
    from layers import Reference

    book = Containers(context.store)
    if failed:
        if name is not None:
            raise click.UsageError("--failed stands for the container: give at most the NAME of the image")
        name = container
        found = newest_failed(book)
    elif container is None:
        raise click.UsageError("name the CONTAINER, or say --failed")
    else:
        found = book.get(container)
    stand(found.settings.userns)
    reference = Reference.parse(name) if name else None
    with frozen(found, wanted=pause):
        image = keep(
            context.store, found, reference, author=author, message=message, instructions=changes, squash=squash
        )
    tell(found.folder, found.settings, "commit", imageID=str(image.id), imageRef=str(reference or ""))
    click.echo(str(image.id))


def newest_failed(book: Containers) -> Container:
    """What the last RUN to fail has left. Raises ContainerMissing."""
    from builder.containers import ContainerMissing

    for container in book.list():
        if container.settings.labels.get("pybuild.step"):
            return container
    raise ContainerMissing("--failed", ())
