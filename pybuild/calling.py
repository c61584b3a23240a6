"""`build --check` and `build --call=…`: what BuildKit's frontend answers instead of building."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from pybuild.checking import Checking, located
from pybuild.formats import checks

if TYPE_CHECKING:
    from builder import BuildRequest
    from pybuild.wiring import Context

CALLS = ("build", "check", "lint", "outline", "targets")


def parsed(call: str) -> tuple[str, bool, bool]:
    """`check,format=json,ignorestatus=true`: what, as JSON or not, whether the exit code stays 0. Raises UsageError."""
    kind, as_json, harmless = "", False, False
    for word in call.split(","):
        key, equals, value = word.partition("=")
        if not equals and not kind:
            kind = word
        elif key == "format" and value in ("json", "text"):
            as_json = value == "json"
        elif key == "ignorestatus" and value in ("true", "false", "1", "0", ""):
            harmless = value not in ("false", "0")
        else:
            raise click.UsageError(f"--call {call!r}: {word!r} is neither format=json nor ignorestatus=true")
    if kind not in CALLS:
        raise click.UsageError(f"--call {call!r}: it is one of {', '.join(CALLS)}")
    return "check" if kind == "lint" else kind, as_json, harmless


def call(roof: Context, request: BuildRequest, kind: str, *, as_json: bool, harmless: bool) -> int:
    """Answer; the exit code. Raises BuildError where there is no answer."""
    path, source = None, request.text
    if source is None and request.elsewhere:
        source = fetched(roof, request)
    elif source is None:
        path = located(request.context, request.dockerfile)
        source = path.read_bytes()
    subject = Checking(
        roof,
        source,
        request.name if path is None else str(path),
        request.context,
        path,
        request.target,
        request.build_args,
        next(iter(request.platforms), None),
    )
    if kind == "check":
        return check(subject, as_json=as_json, harmless=harmless)
    from builder.outline import outline, targets

    if kind == "targets":
        click.echo(checks.targets(targets(subject.dockerfile), source, as_json=as_json))
    else:
        found = outline(subject.dockerfile, request.target, request.build_args, subject.platform)
        click.echo(checks.outline(found, source, as_json=as_json))
    return 0


def check(subject: Checking, *, as_json: bool, harmless: bool) -> int:
    """BuildKit's rules alone, in BuildKit's form: 1 if anything was found."""
    from builder.checks.rules import BUILDKIT

    findings, error = subject.run(BUILDKIT)
    if as_json:
        name = subject.path.name if subject.path else subject.name
        click.echo(json.dumps(checks.data(findings, name, subject.source, error), indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(checks.text(findings, broken=error is not None)))
        if error is not None:
            raise error
    return 0 if harmless else int(bool(findings) or error is not None)


def fetched(roof: Context, request: BuildRequest) -> bytes:
    """The Dockerfile of a context that is no directory of this machine. Raises BuildError."""
    from builder.contexts.contexts import Contexts

    contexts = Contexts(request, roof.bench, roof.stop)
    try:
        contexts.dockerfile()
        return contexts.text
    finally:
        contexts.close()
