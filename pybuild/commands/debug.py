"""`pybuild debug`: a shell where a build failed, or before and after any of its steps."""

from __future__ import annotations

from contextlib import suppress

import click

from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild debug\n  pybuild debug --before\n  pybuild debug --step 3 . ls -l /out\n"
    "  pybuild debug crashed\n  pybuild debug --list",
    context_settings={"allow_interspersed_args": False},
)
@click.option("--step", metavar="STEP", help="A step of the last build: NUMBER, STAGE/NUMBER or its first words.")
@click.option("--before", is_flag=True, help="What it was before that step, not after.")
@click.option("--list", "listing", is_flag=True, help="List the steps of the last build.")
@click.argument("target", metavar="[.|IMAGE|CONTAINER]", required=False, default=".")
@click.argument("words", metavar="[COMMAND...]", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def debug(context: Context, step: str | None, before: bool, listing: bool, target: str, words: tuple[str, ...]) -> int:
    """Open a shell, or run COMMAND, where the last build failed (.), in an IMAGE or in a CONTAINER that has ended.

    The last build is looked at after its failed step, else after its last one. --step of an image counts the lines of
    its history, 1 is the oldest. What is changed is forgotten, but for containers and failed steps: theirs stays, and
    `pybuild commit --failed IMAGE` makes an image of it.
    """
    from builder import trail
    from builder.containers import ContainerMissing, Containers
    from pybuild.debugging import chosen, in_container, in_image, in_trace, on_terminal
    from pybuild.formats.table import emit

    tty = on_terminal()
    if listing:
        columns = {"number": "STEP", "stage": "STAGE", "line": "LINE", "status": "STATUS", "title": "INSTRUCTION"}
        emit([{key: str(getattr(one, key)) for key in columns} for one in trail.last(context.store)], columns, None)
        return 0
    if target == ".":
        trace = chosen(trail.last(context.store), step)
        return in_trace(context, trace, words, before=before, tty=tty)
    with suppress(ContainerMissing):
        container = Containers(context.store).get(target)
        if step is not None or before:
            raise click.UsageError("--step and --before are of builds and images; a container is as it ended")
        return in_container(context, container, words, tty=tty)
    if step is not None and not step.isdigit():
        raise click.UsageError(f"--step {step!r}: of an image it is a line of its history, 1 is the oldest")
    image = context.store.images.get(target)
    return in_image(context, image, None if step is None else int(step), words, before=before, tty=tty)
