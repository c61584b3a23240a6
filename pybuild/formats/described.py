"""What is known of things by name, as docker's `inspect` commands of one kind of thing show it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from pybuild.exits import tell
from pybuild.formats.table import unescaped
from pybuild.formats.template import Template, compact, indented


def describe(
    names: Sequence[str], look: Callable[[str], dict[str, Any]], missing: type[Exception], template: str | None
) -> int:
    """An array of all that `look` finds, or each by a template; what raises `missing` is told, and the code is 1."""
    found, failed = [], False
    for name in names:
        try:
            found.append(look(name))
        except missing as error:
            failed = True
            tell(f"error: {error}")
    if template and template != "json":
        render(found, template)
    else:
        click.echo(compact(found) if template else indented(found))
    return int(failed)


def render(values: Iterable[object], template: str) -> None:
    """Each through a Go template, or as JSON, a line each. Raises click.UsageError for what is no template."""
    parsed = None if template == "json" else Template(unescaped(template))
    for value in values:
        click.echo(parsed.render(value) if parsed else compact(value))
