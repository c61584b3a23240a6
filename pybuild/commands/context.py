"""`pybuild context`: which files a build would read, how large they are, and why the others are not among them."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pybuild import units
from pybuild.formats.names import shown
from pybuild.formats.table import emit
from pybuild.wiring import Context

if TYPE_CHECKING:
    from builder.contexts.context import Context as Directory
    from builder.contexts.sending import Verdict
    from builder.ops.origin import TreeOrigin
    from layers import Entry

BLANK, BAR, FORK, LAST = "    ", "│   ", "├── ", "└── "
FILE = click.option(
    "-f", "--file", metavar="FILE", help="The Dockerfile: FILE.dockerignore counts before .dockerignore."
)
SORT = click.option("--sort", type=click.Choice(["name", "size"]), default="name", help="size: the largest first.")
PLACE = click.argument("place", metavar="[CONTEXT]", default=".")


@click.group(
    epilog="\b\nExamples:\n  pybuild context ls --sort size -n 10\n  pybuild context tree --depth 2 ../app\n"
    "  pybuild context explain src/main.py"
)
def context() -> None:
    """Show what a build reads: CONTEXT is a directory, a URL, a git repository, or - for a tar."""


@contextmanager
def opened(roof: Context, place: str, file: str | None) -> Iterator[Directory | TreeOrigin]:
    """The files of a context. Raises click.UsageError and what fetching raises."""
    from builder import BuildRequest
    from builder.contexts.contexts import Contexts
    from pybuild.contexts import sources

    request = BuildRequest(**sources(roof, place, file))
    contexts = Contexts(request, roof.bench, roof.stop)
    try:
        files = contexts()
        if files is None:
            raise click.UsageError("standard input is a Dockerfile: there is no context")
        yield files
    finally:
        contexts.close()


@context.command(
    epilog="\b\nExamples:\n  pybuild context ls --sort size -n 10\n  pybuild context ls --ignored\n"
    "  pybuild context ls --format json ."
)
@PLACE
@FILE
@SORT
@click.option("-n", "--limit", type=click.IntRange(min=1), metavar="NUMBER", help="Show so many, and count all.")
@click.option("--ignored", "left_out", is_flag=True, help="What is not sent instead, and the lines to blame.")
@click.option("--format", "template", metavar="TEMPLATE", help="A Go template, 'table TEMPLATE' or json.")
@click.pass_obj
def ls(
    roof: Context, place: str, file: str | None, sort: str, limit: int | None, left_out: bool, template: str | None
) -> None:
    """List the files that are sent; how many and how much in all goes to standard error."""
    from builder.contexts.context import Context as Directory
    from builder.contexts.sending import ignored, sent

    with opened(roof, place, file) as files:
        if left_out:
            found = list(ignored(files)) if isinstance(files, Directory) else []
            name = files.ignore.name if isinstance(files, Directory) else ""
            rows = [row(entry) | {"IgnoredBy": f"{name}:{line.line} {line.text}"} for entry, line in found]
        else:
            rows = [row(entry) for entry in sent(files) if entry.type.value != "dir"]
    if sort == "size":
        rows.sort(key=lambda each: -int(each["SizeBytes"]))
    columns = {"Size": "SIZE", **({"IgnoredBy": "IGNORED BY"} if left_out else {}), "Path": "PATH"}
    emit(rows[:limit], columns, template)
    total = sum(int(each["SizeBytes"]) for each in rows)
    what = "ignored" if left_out else "sent"
    click.echo(f"{units.plural(len(rows), 'path' if left_out else 'file')} {what}, {units.size(total)}", err=True)


def row(entry: Entry) -> dict[str, Any]:
    """One path."""
    mark = "/" if entry.type.value == "dir" else ""
    return {
        "Path": shown(entry.path) + mark,
        "Size": units.size(entry.size),
        "SizeBytes": entry.size,
        "Type": entry.type.value,
        "Mode": f"{entry.mode:04o}",
    }


@context.command(epilog="\b\nExamples:\n  pybuild context tree\n  pybuild context tree --depth 1 --sort size ..")
@PLACE
@FILE
@SORT
@click.option("--depth", type=click.IntRange(min=1), metavar="NUMBER", help="Show so many levels; sizes count all.")
@click.pass_obj
def tree(roof: Context, place: str, file: str | None, sort: str, depth: int | None) -> None:
    """Show what is sent as a tree, with the size of each directory."""
    from builder.contexts.sending import sent

    sizes: dict[str, int] = {"": 0}
    inside: dict[str, list[Entry]] = {"": []}
    with opened(roof, place, file) as files:
        for entry in sent(files):
            head = posixpath.dirname(entry.path)
            inside[head].append(entry)
            if entry.type.value == "dir":
                inside[entry.path] = []
            for way in (*above(entry.path), entry.path):
                sizes[way] = sizes.get(way, 0) + entry.size

    def ends(path: str, level: int) -> list[tuple[Entry, int, bool]]:
        if depth is not None and level > depth:
            return []
        entries = inside.get(path, [])
        if sort == "size":
            entries = sorted(entries, key=lambda each: -sizes[each.path])
        return [(each, level, at == len(entries) - 1) for at, each in enumerate(entries)][::-1]

    click.echo(f"{units.size(sizes['']):>9}  {shown(place)}")
    waiting = [(each, "") for each in ends("", 1)]
    while waiting:
        (entry, level, last), lead = waiting.pop()
        note = "/" if entry.type.value == "dir" else f" -> {shown(entry.linkname)}" if entry.linkname else ""
        name = shown(posixpath.basename(entry.path))
        click.echo(f"{units.size(sizes[entry.path]):>9}  {lead}{LAST if last else FORK}{name}{note}")
        waiting += [(each, lead + (BLANK if last else BAR)) for each in ends(entry.path, level + 1)]


def above(path: str) -> Iterator[str]:
    """The directories above a path, the context itself first."""
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(len(parts)))


@context.command(epilog="\b\nExamples:\n  pybuild context explain src/main.py\n  pybuild context explain a.log ../app")
@click.argument("path")
@PLACE
@FILE
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def explain(roof: Context, path: str, place: str, file: str | None, as_json: bool) -> None:
    """Say whether PATH is sent, and which line of which ignore file decides about it.

    PATH is relative to CONTEXT, or a path of this machine inside of it. It need not be there.
    """
    from builder import ContextError
    from builder.contexts.context import Context as Directory
    from builder.contexts.sending import explain as decide

    with opened(roof, place, file) as files:
        inside = relative(path, place)
        if not isinstance(files, Directory):
            there = files.get(inside) is not None
            if not there:
                raise ContextError(f"there is no {inside} in {place}")
            click.echo(f"{shown(inside)} is sent: no ignore file counts for a context that is no directory")
            return
        verdict, name = decide(files, inside), files.ignore.name
    click.echo(json.dumps(plain(verdict, name), indent=2) if as_json else "\n".join(told(verdict, name)))


def relative(path: str, place: str) -> str:
    """A path as the context knows it."""
    if path.startswith("/") and Path(path).absolute().is_relative_to(Path(place).absolute()):
        path = str(Path(path).absolute().relative_to(Path(place).absolute()))
    return posixpath.normpath("/" + path).lstrip("/")


def told(verdict: Verdict, name: str) -> Iterator[str]:
    """A verdict for people."""
    path, line = shown(verdict.path), verdict.decides
    state = "ignored" if verdict.ignored else "sent"
    yield f"{path} {'is' if verdict.there else 'is not there; it would be'} {state}"
    if line is None:
        yield f"  no line of {name} matches it"
        return
    via = "" if verdict.at == verdict.path else f", because it is in {shown(verdict.at)}"
    yield f"  {name}:{line.line}: {written(line)} decides{via}"
    for other in verdict.others:
        yield f"  {name}:{other.line}: {written(other)} matches, too, and is overruled"
    for other in verdict.below:
        yield f"  {name}:{other.line}: {written(other)} may keep something in it"
    if verdict.ignored:
        yield f"help: a line !{path} below line {line.line} would keep it"


def written(pattern: Any) -> str:
    """A line of an ignore file."""
    return f"{'!' if pattern.keeps else ''}{shown(pattern.text)}"


def plain(verdict: Verdict, name: str) -> dict[str, Any]:
    """A verdict for programs."""

    def line(pattern: Any) -> dict[str, Any]:
        return {"line": pattern.line, "pattern": ("!" if pattern.keeps else "") + pattern.text}

    return {
        "path": verdict.path,
        "exists": verdict.there,
        "ignored": verdict.ignored,
        "file": name,
        "decides": None if verdict.decides is None else line(verdict.decides) | {"matches": verdict.at},
        "overruled": [line(pattern) for pattern in verdict.others],
        "may_keep_below": [line(pattern) for pattern in verdict.below],
    }
