"""`pybuild catalog`: what a registry has."""

from __future__ import annotations

import json

import click

from pybuild.transfers import connection
from pybuild.wiring import Context


@click.command(
    epilog="\b\nExamples:\n  pybuild catalog registry.example.org\n  pybuild catalog localhost:5000 --full-ref"
)
@click.argument("host")
@click.option("--full-ref", is_flag=True, help="Print each with its host.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@connection
@click.pass_obj
def catalog(context: Context, host: str, full_ref: bool, form: str) -> None:
    """List the repositories of the registry HOST that it shows us, one a line."""
    from layers import Reference
    from registry.listing import catalog as repositories

    host = Reference.parse(f"{host.removeprefix('docker://').rstrip('/')}/any").host
    found = repositories(context.client, host)
    if full_ref:
        found = tuple(f"{host}/{name}" for name in found)
    if form == "json":
        click.echo(json.dumps({"repositories": found}))
        return
    for name in found:
        click.echo(name)
