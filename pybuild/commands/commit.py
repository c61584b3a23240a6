"""`pybuild commit`: an image of what a container changed."""

from __future__ import annotations

from collections.abc import Sequence

import click

from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild commit crashed post-mortem\n"
    "  pybuild commit -m 'with vim' -c 'CMD [\"bash\"]' web web:debug"
)
@click.argument("container")
@click.argument("name", required=False)
@click.option("-a", "--author", default="", metavar="NAME", help="Who made it.")
@click.option("-m", "--message", default="", metavar="TEXT", help="The comment in its history.")
@click.option("-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="Set CMD, ENV, USER …")
@click.option("-p", "--pause/--no-pause", default=True, help="Freeze it meanwhile (the default).")
@click.option("--squash", is_flag=True, help="One layer of everything.")
@click.pass_obj
def commit(
    context: Context,
    container: str,
    name: str | None,
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
    from layers import Reference

    reference = Reference.parse(name) if name else None
    found = Containers(context.store).get(container)
    with frozen(found, wanted=pause):
        image = keep(
            context.store, found, reference, author=author, message=message, instructions=changes, squash=squash
        )
    click.echo(str(image.id))
