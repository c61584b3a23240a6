"""`pybuild commit`: an image of what a container changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pybuild.userns import stand
from pybuild.wiring import Context

if TYPE_CHECKING:
    from builder.containers import Container, Containers


@click.command(
    epilog="\b\nExamples:\n  pybuild commit crashed post-mortem\n"
    "  pybuild commit -m 'with vim' -c 'CMD [\"bash\"]' web web:debug\n  pybuild commit --failed post-mortem\n"
    "  pybuild commit web oci:layout:web"
)
@click.argument("container", required=False)
@click.argument("name", required=False)
@click.option("--failed", is_flag=True, help="The file system that the last RUN to fail left: commit --failed [NAME].")
@click.option("-a", "--author", default="", metavar="NAME", help="Who made it.")
@click.option("-m", "--message", default="", metavar="TEXT", help="The comment in its history.")
@click.option("-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="Set CMD, ENV, USER …")
@click.option("-p", "--pause/--no-pause", default=True, help="Freeze it meanwhile (the default).")
@click.option("--squash", is_flag=True, help="One layer of everything.")
@click.option("--iidfile", metavar="FILE", help="Write the image id there.")
@click.option("--rm", "remove", is_flag=True, help="Remove the container when its image is there.")
@click.option("-q", "--quiet", is_flag=True, hidden=True)  # it never says more than the id
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
    iidfile: str | None,
    remove: bool,
    quiet: bool,
) -> None:
    """Make an image of CONTAINER: its image's layers and one of what it changed. NAME may be another place for it."""
    from builder.containers import Containers
    from builder.containers.changes import commit as keep
    from builder.containers.control import frozen
    from builder.containers.telling import tell
    from layers.oci.address import Kind
    from pybuild.exits import warn
    from pybuild.shaping import place, send

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
    target = place(name)
    reference = target.reference if target is not None and target.kind is Kind.STORE else None
    with frozen(found, wanted=pause) as why:
        if why:
            warn(f"container {found.name} does not stand still meanwhile: {why}")
        image = keep(
            context.store, found, reference, author=author, message=message, instructions=changes, squash=squash
        )
    tell(found.folder, found.settings, "commit", imageID=str(image.id), imageRef=str(reference or target or ""))
    if target is not None and reference is None:
        send(context, image, target)
    if iidfile is not None:
        Path(iidfile).write_text(str(image.id), encoding="ascii")
    click.echo(str(image.id))
    if remove:
        book.remove(found)


def newest_failed(book: Containers) -> Container:
    """What the last RUN to fail has left. Raises ContainerMissing."""
    from builder.containers import ContainerMissing

    for container in book.list():
        if container.settings.labels.get("pybuild.step"):
            return container
    raise ContainerMissing("--failed", ())
