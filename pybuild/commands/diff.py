"""`pybuild diff`: which paths a container, an image, a layer or a directory adds (A), changes (C) and deletes (D)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Chain
    from layers.views.changes import Change
    from layers.views.files import Files
    from layers.views.treediff import Difference, Reason
    from pybuild.subject import Subject

NAMES = ("content", "link", "mode", "mtime", "owner", "type", "xattr")
TOLD = re.compile(r"json|Reasons|Words")
"""In a template: that the reasons are wanted."""
WORTH = 1 << 20
"""Bytes that a layer must hold a second time for the plain list to mention it."""


@click.command(
    epilog="\b\nExamples:\n  pybuild diff crashed               a container: what it changed\n"
    "  pybuild diff --reasons app         an image: what its last layer changed, and in what\n"
    "  pybuild diff --stat app@1 app@3    two steps: how much, in which directories\n"
    "  pybuild diff -p debian:12 app      two images: a patch of their text files\n"
    "  pybuild diff --exit-code --ignore mtime app ./rootfs   fails if an image is not what a directory holds"
)
@click.argument("first", metavar="A")
@click.argument("second", metavar="[B]", required=False)
@click.option(
    "--format", "template", metavar="TEMPLATE", help="A Go template (.Kind .Path .Reasons .Old .New), or json."
)
@click.option("--reasons", is_flag=True, help="Tell in what a changed path differs, old -> new.")
@click.option("--stat", is_flag=True, help="Count paths and bytes for each top directory instead.")
@click.option("-p", "--patch", is_flag=True, help="Show the changes of text files as a patch instead.")
@click.option("--exit-code", is_flag=True, help="End with 1 if anything differs.")
@click.option("--ignore", metavar="REASON,...", multiple=True, help=f"What does not count: {', '.join(NAMES)}.")
@click.pass_obj
def diff(
    context: Context,
    first: str,
    second: str | None,
    template: str | None,
    reasons: bool,
    stat: bool,
    patch: bool,
    exit_code: bool,
    ignore: Sequence[str],
) -> int:
    """Show which paths differ: A added, C changed, D deleted.

    A and B are containers, images (elsewhere, too: docker://REF, oci:DIR:NAME), steps written IMAGE@N (the image after
    its N-th layer), layers (a digest, or twelve digits of it), bundles, or directories written ./PATH. With A alone a
    container is compared with its image, an image with itself before its last layer, a layer with those below it. What
    was in a deleted directory is not listed.
    """
    from layers.views.treediff import Reason
    from pybuild.formats.tally import Tally
    from pybuild.subject import subject

    chosen = [name for text in ignore for name in text.split(",")]
    if unknown := sorted(set(chosen).difference(NAMES)):
        raise click.UsageError(f"--ignore {unknown[0]}: it can be {', '.join(NAMES)}")
    if stat + patch + (template is not None) > 1:
        raise click.UsageError("--stat, --patch and --format are three forms of one answer: choose one")
    every = reasons or stat or patch or bool(template and TOLD.search(template))
    ignored = frozenset(map(Reason, chosen))
    one = subject(context.store, first)
    if second is None:
        before, after, found = alone(one, every=every, ignore=ignored)
        added = True
    else:
        other = subject(context.store, second)
        before, after = one.files, other.files
        found = differences(before, after, every=every, ignore=ignored)
        added = one.chain is not None and stands(other, one.chain)
    tally = Tally(before, after)
    if stat:
        for difference in tally.watch(found):
            tally.count(difference)
        tally.print()
    elif patch:
        from pybuild.formats.patch import patch as lines

        for difference in tally.watch(found):
            for line in lines(difference, before, after):
                click.echo(line, nl=False)
    elif template is not None:
        from pybuild.formats.table import emit

        rows = [row(each, before, after) for each in tally.watch(found)]
        emit(rows, {"Kind": "KIND", "Path": "PATH"}, template)
    else:
        from pybuild.formats.names import shown
        from pybuild.formats.reasons import words

        for each in tally.watch(found):
            why = words(each, before, after) if reasons else {}
            told = f"  ({', '.join(f'{name} {text}' for name, text in why.items())})" if why else ""
            click.echo(f"{each.kind.value} {shown('/' + each.path)}{told}")
    if added:
        tally.warn(least=1 if reasons or stat else WORTH)
    return int(exit_code and tally.any)


def alone(one: Subject, *, every: bool, ignore: Collection[Reason]) -> tuple[Files, Files, Iterable[Difference]]:
    """What a container changed, the last layer of an image, or a layer: both sides and what leads from one to other."""
    from layers import Chain
    from layers.views.lifted import Lifted

    store = one.store
    if one.folder is not None:
        raise click.UsageError(f"{one.text} is a directory: name a second thing to compare it with")
    below = one.below if one.below is not None else Chain(())
    before = store.tree(below)
    if one.container is not None:
        after = one.files
        found = after.changes if isinstance(after, Lifted) else ()
        return before, after, judged(found, before, after, every=every, ignore=ignore)
    after = store.tree(below.push(one.layer) if one.layer is not None else one.chain or below)
    if one.layer is not None and one.below is None:
        return before, after, [*differences(before, after, every=every, ignore=ignore), *deletions(one)]
    return before, after, differences(before, after, every=every, ignore=ignore)


def differences(before: Files, after: Files, *, every: bool, ignore: Collection[Reason]) -> Iterator[Difference]:
    """What leads from one tree to another, the root itself left out."""
    from layers.views.treediff import diff as trees

    return trees(before, after, ignore=ignore, reasons=every)


def judged(
    changes: Iterable[Change], before: Files, after: Files, *, every: bool, ignore: Collection[Reason]
) -> Iterator[Difference]:
    """What an upper directory says, docker's rows: a directory counts as changed when names in it came or went."""
    from layers.views.changes import ChangeKind
    from layers.views.treediff import Difference, compare

    for change in changes:
        if change.implied:
            continue
        path = change.entry.path
        old, new = before.get(path), after.get(path)
        why: tuple[Reason, ...] = ()
        if change.kind is ChangeKind.MODIFIED and old is not None and new is not None and (every or ignore):
            try:
                why = compare(before, after, old, new, ignore=ignore)
            except FileNotFoundError:
                continue  # a container that runs has just removed it
            if ignore and not why:
                continue
        yield Difference(change.kind, path, old, new, why)


def deletions(one: Subject) -> Iterator[Difference]:
    """What a layer that no image has deletes of whatever is below it."""
    from layers import EntryType
    from layers.views.changes import ChangeKind
    from layers.views.treediff import Difference

    assert one.layer is not None
    for entry in one.store.toc(one.layer):
        if entry.type is EntryType.WHITEOUT:
            yield Difference(ChangeKind.REMOVED, entry.path, None, None)


def stands(other: Subject, chain: Chain) -> bool:
    """True if an image or container stands on these layers."""
    mine = other.chain if other.container is None else other.below
    return mine is not None and mine.diff_ids[: len(chain)] == chain.diff_ids


def row(one: Difference, before: Files, after: Files) -> dict[str, Any]:
    """A difference as data: sizes are bytes, null where nothing is there."""
    from pybuild.formats.reasons import words

    why = words(one, before, after)
    return {
        "Kind": str(one.kind.value),
        "Path": f"/{one.path}",
        "Reasons": list(why),
        "Words": why,
        "Old": None if one.old is None else one.old.size,
        "New": None if one.new is None else one.new.size,
    }
