"""Whether something may be removed, asked in docker's words; a `yes` that is piped in counts, too."""

from __future__ import annotations

import sys

import click


def removing(what: str) -> None:
    """Return if the user says yes. Raises click.UsageError where nobody answers; a no ends the command well."""
    click.echo(f"WARNING! This will remove {what}.\nAre you sure you want to continue? [y/N] ", nl=False, err=True)
    answer = sys.stdin.buffer.readline() if sys.stdin else b""  # None where it was closed
    if not answer:
        click.echo(err=True)
        raise click.UsageError("nothing was removed; say --force where nobody can be asked")
    if answer.strip().lower() not in (b"y", b"yes"):
        click.echo("nothing was removed", err=True)
        raise click.exceptions.Exit(0)
