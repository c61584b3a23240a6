"""The instructions that change only the config: each writes the state of its stage on."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from builder import metadata
from builder.dockerfile import (
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Pair,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
    expand,
    words,
)
from builder.errors import DockerfileError

if TYPE_CHECKING:
    from builder.planning.state import State


def _env(instruction: Env, state: State) -> None:
    pairs = _expanded(instruction.pairs, state)
    state.set_env(dict(pairs))
    state.told(f"ENV {_shown(pairs)}")


def _label(instruction: Label, state: State) -> None:
    pairs = _expanded(instruction.pairs, state)
    state.mapping("Labels").update(pairs)
    state.told(f"LABEL {_shown(pairs)}")


def _expanded(pairs: tuple[Pair, ...], state: State) -> list[tuple[str, str]]:
    """All pairs of an instruction see the variables as they were before it."""
    return [(expand(pair.key, state.lookup), expand(pair.value, state.lookup)) for pair in pairs]


def _shown(pairs: list[tuple[str, str]]) -> str:
    return " ".join(f"{key}={value}" for key, value in pairs)


def _maintainer(instruction: Maintainer, state: State) -> None:
    state.author = instruction.name
    state.told(f"MAINTAINER {instruction.name}")


def _user(instruction: User, state: State) -> None:
    user = expand(instruction.user, state.lookup)
    state.put("User", user or None)
    state.told(f"USER {user}")


def _shell(instruction: Shell, state: State) -> None:
    state.shell = instruction.args
    state.put("Shell", list(instruction.args))
    state.told(f"SHELL [{' '.join(instruction.args)}]")


def _cmd(instruction: Cmd, state: State) -> None:
    args = metadata.argv(instruction.command, state.shell)
    state.cmd_set = True
    state.put("Cmd", args or None)
    state.put("ArgsEscaped", True)
    state.told(f"CMD {metadata.quoted(args)}")


def _entrypoint(instruction: Entrypoint, state: State) -> None:
    args = metadata.argv(instruction.command, state.shell)
    state.put("Entrypoint", args or None)
    if not state.cmd_set:
        state.put("Cmd", None)
    state.told(f"ENTRYPOINT {metadata.quoted(args)}")


def _expose(instruction: Expose, state: State) -> None:
    ordered = sorted(instruction.ports, key=lambda word: word.text)
    given = [text for word in ordered for text in words(word, state.lookup)]
    try:
        found = metadata.ports(given)
    except ValueError as error:
        raise DockerfileError(instruction.span, str(error)) from error
    state.expose(found)
    state.told(f"EXPOSE [{' '.join(found)}]")


def _volume(instruction: Volume, state: State) -> None:
    paths = [expand(path, state.lookup) for path in instruction.paths]
    for word, path in zip(instruction.paths, paths, strict=True):
        if not path.strip():
            raise DockerfileError(word.span, "VOLUME specified can not be an empty string")
    state.mapping("Volumes").update({path: {} for path in paths})
    state.told(f"VOLUME [{' '.join(paths)}]")


def _stop_signal(instruction: StopSignal, state: State) -> None:
    try:
        found = metadata.signal(expand(instruction.signal, state.lookup))
    except ValueError as error:
        raise DockerfileError(instruction.span, str(error)) from error
    state.put("StopSignal", found)
    state.told(f"STOPSIGNAL {found}")


def _healthcheck(instruction: Healthcheck, state: State) -> None:
    check = metadata.healthcheck(instruction, state.shell)
    state.put("Healthcheck", check)
    state.told(metadata.healthcheck_text(check))


def _onbuild(instruction: OnBuild, state: State) -> None:
    state.triggers.append(instruction.trigger)


def _workdir(instruction: Workdir, state: State) -> None:
    state.told(f"WORKDIR {enter(instruction, state)}")


def enter(instruction: Workdir, state: State) -> str:
    """Only what a WORKDIR does to the config: the path that it puts there."""
    path = expand(instruction.path, state.lookup)
    if not path:  # only variables that are empty: it stays where it was
        path = str(state.runtime.get("WorkingDir") or "/")
    if not path.startswith("/"):
        path = posixpath.normpath(posixpath.join(state.cwd, path))
    state.put("WorkingDir", path)
    return path


CHANGES: Mapping[type[Instruction], Callable[[Any, State], None]] = {
    Cmd: _cmd,
    Entrypoint: _entrypoint,
    Env: _env,
    Expose: _expose,
    Healthcheck: _healthcheck,
    Label: _label,
    Maintainer: _maintainer,
    OnBuild: _onbuild,
    Shell: _shell,
    StopSignal: _stop_signal,
    User: _user,
    Volume: _volume,
    Workdir: _workdir,
}


def configure(instruction: Instruction, state: State) -> None:
    """The config after an instruction, and its line of history. Raises DockerfileError."""
    CHANGES[type(instruction)](instruction, state)
