"""What time it is in an image: --timestamp, SOURCE_DATE_EPOCH as an argument or in the environment, and who obeys it.

As with BuildKit, SOURCE_DATE_EPOCH is the time in config and history, and files keep their own unless they are to be
rewritten; a variable of the environment is a build argument as well. As with buildah, --timestamp is the time of all.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from builder.times import Times

NAME = "SOURCE_DATE_EPOCH"


def moments(options: dict[str, Any]) -> tuple[int | None, Times | None]:
    """The time of the image and what it means for files; the argument of that name is added. Raises UsageError."""
    from builder.times import Times

    args = options["build_args"]
    if NAME not in args and (said := os.environ.get(NAME)):
        args[NAME] = said
    epoch: int | None = options["timestamp"]
    if epoch is not None:
        return epoch, Times(epoch, every=True)
    if said := args.get(NAME, ""):
        if not (said.isascii() and said.isdigit()):
            raise click.UsageError(f"{NAME}={said!r} is no number of seconds since 1970")
        epoch = int(said)
    if not (options["rewrite"] or any(map(rewrites, options["outputs"]))):
        return epoch, None
    if epoch is None:
        raise click.UsageError(f"rewriting timestamps needs a time: set {NAME}, or give --timestamp SECONDS")
    return epoch, Times(epoch)


def rewrites(spec: str) -> bool:
    """True if an output asks for it. Raises UsageError."""
    words = dict(item.partition("=")[::2] for item in spec.split(","))
    said = words.get("rewrite-timestamp", "false").lower()
    if said not in ("true", "false", "1", "0"):
        raise click.UsageError(f"--output {spec!r}: rewrite-timestamp is true or false")
    return said in ("true", "1")
