"""`pybuild logout`: forget a registry's credentials."""

from __future__ import annotations

import click


@click.command(epilog="\b\nExample:\n  pybuild logout registry.example.org")
@click.argument("server", required=False, default="docker.io")
def logout(server: str) -> None:
    """Forget the credentials of SERVER."""
    from registry.credentials import Credentials

    host = server.removeprefix("https://").removeprefix("http://").rstrip("/")
    known = Credentials().logout(host)
    click.echo(f"Removed the credentials of {host}" if known else f"Not logged in to {host}")
