"""`pybuild parse`: what a Dockerfile means, at each level between its bytes and the steps of a build."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from builder import Stages
    from builder.dockerfile import Dockerfile

FORMS = ("tree", "instructions", "stages")


@click.command(
    epilog="""
\b
Examples:
  pybuild parse                        the instructions of ./Dockerfile
  pybuild parse --as stages app/       which stage needs which
  pybuild parse --as tree --json - < Dockerfile"""
)
@click.argument("file", default="Dockerfile")
@click.option("--as", "form", type=click.Choice(FORMS), default="instructions", show_default=True, help="What to show.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--target", metavar="STAGE", help="The stage that is wanted, by default the last one.")
@click.option(
    "--build-arg", "build_args", metavar="NAME=VALUE", multiple=True, help="A value for an ARG of FROM lines."
)
def parse(file: str, form: str, as_json: bool, target: str | None, build_args: tuple[str, ...]) -> None:
    """Show what a Dockerfile means.

    FILE is a Dockerfile, a folder with one in it, or - for standard input. Nothing is built or fetched; all errors of
    the file are told at once.
    """
    from builder import Stages
    from builder.dockerfile import parse as read

    dockerfile = read(*_load(file))
    stages = Stages.of(dockerfile)
    shown: list[Any]
    lines: Iterator[str]
    if form == "tree":
        shown, lines = _trees(dockerfile), _drawn(dockerfile)
    elif form == "instructions":
        shown = [_plain(instruction) for instruction in dockerfile.instructions]
        lines = map(_instruction, shown)
    else:
        shown = _stages(stages, _scope(stages, build_args, target), target)
        lines = map(_stage, shown)
    click.echo(json.dumps(shown, indent=2) if as_json else "\n".join(lines))


def _load(file: str) -> tuple[bytes, str]:
    """The bytes of the file and what to call it; raises OSError."""
    if file == "-":
        return sys.stdin.buffer.read(), "<stdin>"
    path = Path(file)
    path = path / "Dockerfile" if path.is_dir() else path
    return path.read_bytes(), str(path)


def _scope(stages: Stages, build_args: tuple[str, ...], target: str | None) -> dict[str, str]:
    """The variables of FROM lines when this machine builds for itself."""
    from builder import platform_arguments
    from layers import Platform

    if bad := next((argument for argument in build_args if "=" not in argument), None):
        raise click.BadParameter(f"{bad!r} has no value; write {bad}=value", param_hint="--build-arg")
    host = Platform.host()
    return stages.scope(platform_arguments(host, host, target or "") | dict(arg.split("=", 1) for arg in build_args))


def _trees(dockerfile: Dockerfile) -> list[Any]:
    from builder.dockerfile import nested, tree

    return [{"line": line.span().line} | nested(tree(line, dockerfile.escape)) for line in dockerfile.source.lines]


def _drawn(dockerfile: Dockerfile) -> Iterator[str]:
    from builder.dockerfile import draw, tree

    for line in dockerfile.source.lines:
        first, *rest = draw(tree(line, dockerfile.escape))
        yield f"{first} {line.span().line}"
        yield from rest


def _plain(instruction: Any) -> dict[str, Any]:
    from builder.dockerfile import plain

    return plain(instruction)


def _instruction(shown: Mapping[str, Any]) -> str:
    """`   3  COPY  sources=['a'] dest='/x'`; texts are quoted, so that nothing in them reaches the terminal raw."""
    arguments = (
        f"{name}={value!r}" for name, value in shown.items() if name not in ("instruction", "line", "end_line")
    )
    return f"{shown['line']:>4}  {shown['instruction']:<11} {' '.join(arguments)}".rstrip()


def _stages(stages: Stages, scope: Mapping[str, str], target: str | None) -> list[dict[str, Any]]:
    wanted = stages.order(stages.target(target), scope.get)
    return [
        {
            "index": stage.index,
            "name": stage.name or None,
            "line": stage.span.line,
            "from": stages.image(stage, scope.get),
            "needs": [other.title for other in stages.needs(stage, scope.get)],
            "instructions": len(stage.instructions),
            "built": stage in wanted,
        }
        for stage in stages.all
    ]


def _stage(shown: Mapping[str, Any]) -> str:
    name = shown["name"] or f"stage-{shown['index']}"
    count = f"{shown['instructions']} instruction{'s' * (shown['instructions'] != 1)}"
    image = shown["from"]
    facts = [f"FROM {image if image.isprintable() else repr(image)}", count]
    if shown["needs"]:
        facts.append(f"needs {', '.join(shown['needs'])}")
    if not shown["built"]:
        facts.append("not built")
    return f"{shown['line']:>4}  {name:<16} {'; '.join(facts)}"
