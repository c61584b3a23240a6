"""`pybuild parse`: what a Dockerfile means, at each level between its bytes and the steps of a build."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pybuild.wiring import Context

if TYPE_CHECKING:
    from builder import Stages
    from builder.dockerfile import Dockerfile
    from builder.graph import BaseImage, BuildGraph, Step
    from builder.request import BuildRequest
    from builder.span import Span
    from layers import Platform, Reference

FORMS = ("tree", "instructions", "stages", "graph")


@click.command(
    epilog="""
\b
Examples:
  pybuild parse                        the instructions of ./Dockerfile
  pybuild parse --as stages app/       which stage needs which
  pybuild parse --as graph app/        the steps that a build would take
  pybuild parse --as tree --json - < Dockerfile"""
)
@click.argument("file", default="Dockerfile")
@click.option("--as", "form", type=click.Choice(FORMS), default="instructions", show_default=True, help="What to show.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--target", metavar="STAGE", help="The stage that is wanted, by default the last one.")
@click.option("--build-arg", "build_args", metavar="NAME=VALUE", multiple=True, help="A value for an ARG.")
@click.pass_obj
def parse(
    context: Context, file: str, form: str, as_json: bool, target: str | None, build_args: tuple[str, ...]
) -> None:
    """Show what a Dockerfile means.

    FILE is a Dockerfile, a folder with one in it, or - for standard input. All errors of the file are told at once.
    Nothing is built or fetched, so a graph needs its base images to be in the store.
    """
    from builder import Stages
    from builder.dockerfile import parse as read

    data, name = _load(file)
    dockerfile = read(data, name)
    given = _given(build_args)
    shown: list[Any]
    lines: Iterator[str]
    if form == "tree":
        shown, lines = _trees(dockerfile), _drawn(dockerfile)
    elif form == "instructions":
        shown = [_plain(instruction) for instruction in dockerfile.instructions]
        lines = map(_instruction, shown)
    elif form == "stages":
        stages = Stages.of(dockerfile)
        shown = _stages(stages, _scope(stages, given, target), target)
        lines = map(_stage, shown)
    else:
        from builder.request import BuildRequest

        request = BuildRequest(context=None, text=data, name=name, target=target, build_args=given)
        shown = [_step(step) for step in _graph(context, dockerfile, request).steps]
        lines = map(_planned, shown)
    click.echo(json.dumps(shown, indent=2) if as_json else "\n".join(lines))


def _load(file: str) -> tuple[bytes, str]:
    """The bytes of the file and what to call it; raises OSError."""
    if file == "-":
        return sys.stdin.buffer.read(), "<stdin>"
    path = Path(file)
    path = path / "Dockerfile" if path.is_dir() else path
    return path.read_bytes(), str(path)


def _given(build_args: tuple[str, ...]) -> dict[str, str]:
    """The build arguments by name; raises BadParameter."""
    if bad := next((argument for argument in build_args if "=" not in argument), None):
        raise click.BadParameter(f"{bad!r} has no value; write {bad}=value", param_hint="--build-arg")
    return {name: value for name, _, value in (argument.partition("=") for argument in build_args)}


def _scope(stages: Stages, given: Mapping[str, str], target: str | None) -> dict[str, str]:
    """The variables of FROM lines when this machine builds for itself."""
    from builder import platform_arguments
    from layers import Platform

    host = Platform.host()
    return stages.scope({**platform_arguments(host, host, stages.target(target)), **given})


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


def _graph(context: Context, dockerfile: Dockerfile, request: BuildRequest) -> BuildGraph:
    """The plan of a build for this machine, from what is in the store; raises DockerfileError."""
    from builder import DockerfileError, Workbench
    from builder.bases import Bases
    from builder.planning.plan import plan
    from layers import Platform

    here = Bases(Workbench(context.store, lambda: context.runtime), pull=False)

    def images(reference: Reference, platform: Platform, span: Span) -> BaseImage:
        try:
            return here(reference, platform, span)
        except DockerfileError as error:
            error.add_note(f"parse fetches nothing: 'pybuild pull {reference.familiar}' brings the image here")
            raise

    def warn(what: str, span: Span) -> None:
        click.echo(f"warning: {what}", err=True)

    return plan(dockerfile, request, Platform.host(), images, warn)


def _step(step: Step) -> dict[str, Any]:
    """A step, and what its operation is made of where that is not the usual."""
    from builder.graph import Base
    from layers.quick import fields

    found = {
        "id": step.id,
        "stage": step.stage,
        "line": step.span.line,
        "title": step.title,
        "op": type(step.op).__name__.lower(),
        "needs": list(step.needs),
    }
    if isinstance(step.op, Base):
        return found | {"image": step.op.image.reference.familiar if step.op.image else "scratch"}
    values = {item.name: (getattr(step.op, item.name), item.default) for item in fields(step.op)}
    return found | {name: _value(value) for name, (value, usual) in values.items() if value not in (usual, {})}


def _value(value: Any) -> Any:
    from layers.quick import asdict, is_dataclass

    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple) and value and is_dataclass(value[0]):  # mounts, of several kinds
        return [{"kind": type(item).__name__.removesuffix("Mount").lower(), **asdict(item)} for item in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _planned(shown: Mapping[str, Any]) -> str:
    needs = f"  (needs {', '.join(map(str, shown['needs']))})" if shown["needs"] else ""
    title = shown["title"] if shown["title"].isprintable() else repr(shown["title"])
    return f"{shown['id']:>4}  {shown['stage']:<16} {shown['op']:<6} {title}{needs}"
