"""`pybuild version`: what is installed, for bug reports."""

from __future__ import annotations

import click


@click.command(epilog="\b\nExamples:\n  pybuild version\n  pybuild version --format '{{.Client.Version}}'")
@click.option("-f", "--format", "template", metavar="TEMPLATE", help="A Go template, or json: docker's object.")
def version(template: str | None) -> None:
    """Show versions of pybuild and what it stands on."""
    from pybuild import machine

    found = machine.program()
    if template is not None:
        from pybuild.formats.described import render

        render([found], template)
        return
    client = found["Client"]
    rows = {"pybuild": client["Version"], "python": client["PythonVersion"], "kernel": client["KernelVersion"]}
    for name, value in (rows | machine.parts()).items():
        click.echo(f"{name:<12}{value}")
