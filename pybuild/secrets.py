"""`--secret` and `--ssh` of a build, as buildx writes them, as values. What is not there is refused at once."""

from __future__ import annotations

import csv
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builder import Secret

SECRET = "write id=NAME, with src=FILE or env=VARIABLE"


def secret(spec: str) -> tuple[str, Secret]:
    """`id=NAME[,src=FILE|,env=VARIABLE][,type=file|env]`. Raises ValueError.

    Without either it is the variable NAME, if there is one, else the file NAME; with type=env src names a variable.
    """
    from builder import Secret

    words: dict[str, str] = {}
    for item in next(csv.reader([spec]), []):
        key, equals, value = item.partition("=")
        key = {"source": "src"}.get(key.lower(), key.lower())
        if not equals or key not in ("id", "src", "env", "type"):
            raise ValueError(f"--secret {spec!r}: unknown part {item!r}; {SECRET}")
        words[key] = value
    id, kind = words.get("id", ""), words.get("type", "")
    if not id:
        raise ValueError(f"--secret {spec!r} has no id; {SECRET}")
    if kind not in ("", "file", "env"):
        raise ValueError(f"--secret {spec!r}: type is file or env")
    path, variable = words.get("src", ""), words.get("env", "")
    if path and variable:
        raise ValueError(f"--secret {spec!r} has both src and env; which of them is it?")
    if kind == "env" or (kind == "" and not path and not variable and id in os.environ):
        path, variable = "", variable or path or id
    elif not variable:
        path = path or id
    if variable:
        if kind == "file":
            raise ValueError(f"--secret {spec!r}: a file has src, not env")
        if variable not in os.environ:
            raise ValueError(f"--secret {spec!r}: the environment has no {variable}")
        return id, Secret(variable=variable)
    file = Path(path)
    if not file.exists() or file.is_dir():
        raise ValueError(f"--secret {spec!r}: {path} is {'a directory' if file.is_dir() else 'not there'}; {SECRET}")
    return id, Secret(path=file.absolute())


def agent(spec: str) -> tuple[str, Path]:
    """`default`, or `ID=SOCKET`: an SSH agent, by default that of SSH_AUTH_SOCK. Raises ValueError."""
    id, _, place = spec.partition("=")
    if not id:
        raise ValueError(f"--ssh {spec!r} has no id; write default, or ID=SOCKET")
    if not place:
        place = os.environ.get("SSH_AUTH_SOCK", "")
        if not place:
            raise ValueError(
                f"--ssh {spec!r}: no agent runs here (SSH_AUTH_SOCK is not set); start one, or add =SOCKET"
            )
    try:
        is_socket = stat.S_ISSOCK(os.stat(place).st_mode)
    except OSError as error:
        raise ValueError(f"--ssh {spec!r}: {place}: {error.strerror}") from error
    if not is_socket:
        help = "keys are not read here; load them into an agent (ssh-add FILE) and give its socket"
        raise ValueError(f"--ssh {spec!r}: {place} is no socket; {help}")
    return id, Path(place).absolute()
