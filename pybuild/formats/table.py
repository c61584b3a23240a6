"""Rows for people: docker's columns, `--format TEMPLATE`, `--format 'table TEMPLATE'`, `--format json`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

Row = Mapping[str, Any]
_GAP = 3
_LEAST = 10
"""How wide docker makes the columns of its lists in any case."""
ACTION = re.compile(r"(\{\{.*?\}\})", re.DOTALL)
"""What is between the texts of a template."""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], least: int = 0) -> str:
    """Columns as wide as their widest cell and three blanks; no cell has what a terminal would obey."""
    lines = [tuple(heads), *(tuple(map(harmless, row)) for row in rows)]
    widths = [max(least, *(len(line[column]) + _GAP for line in lines)) for column in range(len(heads))]
    return "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def harmless(cell: str) -> str:
    """Text of anybody without control characters, whatever turns lines around, and bytes that are no text."""
    return cell if cell.isprintable() else "".join(char if char.isprintable() else "\ufffd" for char in cell)


def emit(rows: Sequence[Row], columns: Mapping[str, str], template: str | None) -> None:
    """Print rows: the `columns` (key of a row → heading), or as `--format` says."""
    if template is None or template == "table":
        click.echo(table(list(columns.values()), [[text(row[key]) for key in columns] for row in rows], _LEAST))
        return
    from pybuild.formats.template import Labelled, Template, compact

    if template == "json":
        for row in rows:
            click.echo(compact(dict(row)))
        return
    headed = template.startswith("table ")
    pattern = unescaped(template.removeprefix("table ").lstrip() if headed else template)
    parsed = Template(pattern)
    if not headed:
        for row in rows:
            click.echo(parsed.render(row), color=True)  # as it is: click would take escape sequences out of names
        return
    heads = Labelled(Headings(), **{key: columns.get(key, heading(key)) for key in (rows[0] if rows else columns)})
    cells = [line.split("\t") for line in (parsed.render(heads), *(parsed.render(row) for row in rows))]
    click.echo(table(cells[0], cells[1:], _LEAST))


class Headings(dict[str, str]):
    """Of columns of single labels: the last part of each name, as docker has it."""

    def get(self, name: str, _: Any = None) -> str:
        """`com.example.some-team` as `some team`."""
        return name.rpartition(".")[2].replace("-", " ").replace("_", " ")


def text(value: Any) -> str:
    """A cell."""
    from pybuild.formats.template import shown

    return value if isinstance(value, str) else shown(value)


def heading(key: str) -> str:
    """`CreatedAt` as `CREATED AT`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key).upper()


def unescaped(pattern: str) -> str:
    r"""`\t` and `\n`, which shells do not turn into what they mean; in texts within actions they stay Go's own."""
    texts = ACTION.split(pattern)
    texts[::2] = [text.replace("\\t", "\t").replace("\\n", "\n") for text in texts[::2]]
    return "".join(texts)


def truncated(value: str, width: int) -> str:
    """At most `width` characters, the last of them `…` if something was cut, as docker cuts."""
    return value if len(value) <= width else value[: width - 1] + "…"
