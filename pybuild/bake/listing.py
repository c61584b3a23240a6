"""`bake --list`: the targets and groups, or the variables, of bake files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from pybuild.bake.definition import Definition


def listing(definition: Definition, spec: str) -> str:
    """`targets`, `variables`, or `type=targets,format=json`, as text. Raises click.UsageError."""
    words = dict(item.partition("=")[::2] if "=" in item else ("type", item) for item in spec.split(","))
    kind, form = words.pop("type", ""), words.pop("format", "table")
    if words or kind not in ("targets", "variables") or form not in ("json", "table"):
        raise click.UsageError(f"--list {spec}: write targets or variables, or type=targets,format=json")
    rows = definition.variables() if kind == "variables" else targets(definition)
    if form == "json":
        return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"
    if kind == "targets":
        table = [("TARGET", "DESCRIPTION"), *((row["name"], row.get("description", "")) for row in rows)]
        return columns(table)
    heads = ("name", "type", "value", "description")
    return columns(
        [("VARIABLE", "TYPE", "VALUE", "DESCRIPTION"), *(tuple(row.get(key, "") for key in heads) for row in rows)]
    )


def targets(definition: Definition) -> list[dict[str, Any]]:
    """All targets and groups by name."""
    found: dict[str, dict[str, Any]] = {}
    for name, target in definition.targets.items():
        about = target.get("description")
        found[name] = {"name": name, **({"description": about} if about else {})}
    for name, group in definition.groups.items():
        about = group.get("description") or ", ".join(group["targets"])
        found[name] = {"name": name, "description": about, "group": True}
    return [found[name] for name in sorted(found)]


def columns(rows: Sequence[tuple[str, ...]]) -> str:
    """A table."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in lines)
