"""The usual words of a command: read, and the command run, without click."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pybuild.catalogue import COMMANDS, Listed
from pybuild.declared import Declared, Unsure
from pybuild.exits import conclude
from pybuild.settings import Settings
from pybuild.wiring import Context


def run_usual(words: Sequence[str], listed: Listed) -> int | None:
    """Run a command and give its exit code, or give None, nothing done, if only click can read its words."""
    root, at = (words[1], 2) if words[0] == "--root" else (None, 0)
    if COMMANDS.get(words[at]) is not listed:
        return None
    module, _, name = listed.target.partition(":")
    __import__(module)
    command = getattr(sys.modules[module], name)
    if not isinstance(command, Declared):
        return None
    try:
        parameters = command.read(words[at + 1 :])
    except Unsure:
        return None
    settings = Settings.gather(os.environ, root=root)

    def act() -> object:
        with placed(words[at]):
            return command.function(Context(settings, ends=True), **parameters)

    return conclude(act, failure=listed.failure, debug=settings.debug)


@contextmanager
def placed(name: str) -> Iterator[None]:
    """Have a mistake in the use of a command tell where its help is, as click does."""
    try:
        yield
    except Exception as error:
        click = sys.modules.get("click")
        if click is not None and isinstance(error, click.UsageError) and error.ctx is None:
            from pybuild.cli import roof

            above = click.Context(roof, info_name="pybuild")
            error.ctx = click.Context(roof.get_command(above, name), above, name)
        raise
