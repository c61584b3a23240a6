"""`pybuild logout`: forget a registry's credentials."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(epilog="\b\nExample:\n  pybuild logout registry.example.org")
@click.argument("server", required=False, default="docker.io")
@click.option("-a", "--all", "everywhere", is_flag=True, help="Of every registry.")
@click.option("--authfile", metavar="FILE", help="Those kept there (REGISTRY_AUTH_FILE).")
def logout(server: str, everywhere: bool, authfile: str | None) -> None:
    """Forget the credentials of SERVER."""
    from pybuild.transfers import host_of
    from registry.credentials import Credentials

    book = Credentials(authfile=Path(authfile) if authfile else None)
    hosts = book.hosts() if everywhere else [host_of(server)]
    for host in hosts:
        known = book.logout(host)
        click.echo(f"Removed the credentials of {host}" if known else f"Not logged in to {host}")
