"""`pybuild version`: what is installed, for bug reports."""

from __future__ import annotations

import click

from pybuild import __version__

PARTS = ("click", "isal", "lark", "oras", "requests", "rich", "zstandard")


@click.command(epilog="\b\nExample:\n  pybuild version")
def version() -> None:
    """Show versions of pybuild and what it stands on."""
    import os
    import platform
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    rows = {"pybuild": __version__, "python": platform.python_version(), "kernel": os.uname().release}
    for name in PARTS:
        try:
            rows[name] = installed(name)
        except PackageNotFoundError:
            rows[name] = "missing"
    for name, value in rows.items():
        click.echo(f"{name:<12}{value}")
