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
        lines += written(file)
    return assigned([*lines, *options["envs"]])


def written(file: str) -> list[str]:
    """The lines of a file of variables or labels that say something, as docker reads them. Raises UsageError."""
    text = Path(file).read_text(encoding="utf-8-sig", errors="surrogateescape")
    lines = [line.removesuffix("\r").lstrip() for line in text.split("\n")]
    found = [line for line in lines if line and not line.startswith("#")]
    for line in found:
        if any(map(str.isspace, line.partition("=")[0])):
            raise click.UsageError(f"{file}: the name {line.partition('=')[0]!r} has blanks in it")
    return found


def pairs(flag: str, texts: Iterable[str]) -> dict[str, str]:
    """`KEY=VALUE` or KEY alone, as labels are. Raises UsageError for one without a name."""
    found = dict(text.partition("=")[::2] for text in texts)
    if "" in found:
        raise click.UsageError(f"{flag}: {'=' + found[''] if found[''] else 'an empty text'!r} has no name")
    return found


def assigned(lines: Iterable[str]) -> dict[str, str]:
    """`KEY=value`, or KEY alone for our own value of it, if there is one."""
    read = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if not key:
            raise click.UsageError(f"invalid environment variable: {line!r}")
        if "\0" in line:
            raise click.UsageError(
                f"invalid environment variable: {line!r} has a NUL character, so no command can have it"
            )
        if equals:
            read[key] = value
        elif key in os.environ:
            read[key] = os.environ[key]
    return read
