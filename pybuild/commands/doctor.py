"""`pybuild doctor`: what this machine can do, tried, and what to type where it cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from layers.quick import asdict
from pybuild.wiring import Context

if TYPE_CHECKING:
    from pybuild.doctor.finding import Finding

WORDS = {"ok": ("ok", "green"), "missing": ("missing", "red"), "absent": ("absent", "yellow")}


@click.command(epilog="\b\nExamples:\n  pybuild doctor\n  pybuild doctor --format json | jq -r '.[].fix'")
@click.option("--format", "shape", type=click.Choice(["table", "json"]), default="table", help="table or json.")
@click.option("-q", "--quiet", is_flag=True, help="Only what is not there.")
@click.pass_obj
def doctor(context: Context, shape: str, quiet: bool) -> int:
    """Try what builds and containers need on this machine; 1 if something is missing without which builds fail.

    Everything is tried for real, in processes and folders of its own. `absent` is what only some features need; below
    it, and below what is `missing`, stands the line to type.
    """
    found = []
    for finding in findings(context):
        if quiet and finding.verdict == "ok":
            continue
        found.append(finding)
        if shape == "table":
            show(finding, color=context.settings.color)
    if shape == "json":
        click.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    return int(any(finding.verdict == "missing" for finding in found))


def findings(context: Context) -> Iterator[Finding]:
    """Everything, in the order in which things stand on each other."""
    from pybuild.doctor import kernel, outside, storage

    yield from kernel.findings(context.settings.root)
    yield from outside.findings()
    yield from storage.findings(context)


def show(finding: Finding, *, color: bool) -> None:
    """One line, and one for the remedy."""
    word, hue = WORDS[finding.verdict]
    told = click.style(word.ljust(8), fg=hue) if color else word.ljust(8)
    click.echo(f"{told} {finding.name:<27} {finding.found}")
    if finding.verdict != "ok":
        click.echo(f"{'':8} {'':27} for: {finding.serves}")
        if finding.fix:
            click.echo(f"{'':8} {'':27} fix: {finding.fix}")
