"""--env and --env-file of `run`, `create` and `exec`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pybuild.declared import click

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any


def variables(options: dict[str, Any]) -> dict[str, str]:
    """--env-file, then --env."""
    lines: list[str] = []
    for file in options["env_files"]:
        text = Path(file).read_text(encoding="utf-8", errors="surrogateescape")
        lines += [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    return assigned([*lines, *options["envs"]])


def assigned(lines: Iterable[str]) -> dict[str, str]:
    """`KEY=value`, or KEY alone for our own value of it, if there is one."""
    read = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if not key:
            raise click.UsageError(f"invalid environment variable: {line!r}")
        if equals:
            read[key] = value
        elif key in os.environ:
            read[key] = os.environ[key]
    return read
