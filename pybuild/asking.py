"""Whether something may be removed, asked where there is somebody to ask."""

from __future__ import annotations

import sys

import click


def removing(what: str) -> None:
    """Return if the user says yes. Raises click.UsageError where nobody can be asked, click.ClickException for a no."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"this removes {what}; say --force where nobody can be asked")
    if not click.confirm(f"This removes {what}. Go on?", err=True):
        raise click.ClickException("nothing was removed")
