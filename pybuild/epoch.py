"""What time it is in an image: --timestamp, who obeys SOURCE_DATE_EPOCH, and that variable of the environment.

Where nobody says anything the inputs decide (`builder.times`). As with BuildKit, SOURCE_DATE_EPOCH is the time in
config and history, and a variable of the environment is a build argument as well (`builder.epoch`); no file of a new
layer is younger, unless that is refused. As with buildah, --timestamp is the time of all.
"""

from __future__ import annotations

import os
from typing import Any

import click

from pybuild.units import truth

NOW = "now"


def moments(options: dict[str, Any]) -> dict[str, Any]:
    """The times of a BuildRequest that flags give; the argument SOURCE_DATE_EPOCH is added. Raises UsageError."""
    from builder.times import NAME

    args = options["build_args"]
    if NAME not in args and (said := os.environ.get(NAME)):
        args[NAME] = said
    wanted = [options["rewrite"], *map(rewrites, options["outputs"])]
    rewrite = next((one for one in wanted if one is not None), None)
    if options["timestamp"] is not None:
        return given(options["timestamp"], rewrite)
    return {"rewrite": rewrite is not False}


def given(text: str, rewrite: bool | None) -> dict[str, Any]:
    """What --timestamp says. Raises UsageError."""
    from builder.times import Times

    if text == NOW:
        if rewrite:
            raise click.UsageError("--timestamp now leaves files their times: they cannot be rewritten, too")
        return {"clock": True}
    if not (text.isascii() and text.isdigit()):
        raise click.UsageError(f"--timestamp {text!r} is no number of seconds since 1970, nor {NOW}")
    return {"epoch": int(text), "times": Times(int(text), every=True)}


def rewrites(spec: str) -> bool | None:
    """Whether an output asks for it, None if it says nothing. Raises UsageError."""
    words = dict(item.partition("=")[::2] for item in spec.split(","))
    if (said := words.get("rewrite-timestamp")) is None:
        return None
    if (found := truth(said)) is None:
        raise click.UsageError(f"--output {spec!r}: rewrite-timestamp is true or false")
    return found
