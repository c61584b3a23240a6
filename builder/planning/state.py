"""Where a stage has come to: the config so far, its variables, its history."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any

from builder import metadata
from builder.graph import Line, Outcome
from builder.process import DEFAULT_PATH, assignments

if TYPE_CHECKING:
    from builder.graph import BaseImage
    from layers import History, Platform


class State:
    """What the instructions of one stage have made so far; each writes it on, a stage above begins with a `fork`.

    `arguments` are the declared ARGs in order, None for one without a value. `hiding`: ARGs that came after an ENV of
    their name, which they hide from what follows. `cmd_set`: CMD was given in this stage, so ENTRYPOINT keeps it.
    """

    def __init__(self, top: int, platform: Platform, runtime: Mapping[str, Any], base: BaseImage | None = None) -> None:
        self.top = top
        self.platform = platform
        self.base = base
        self.runtime = {key: dict(value) if isinstance(value, dict) else value for key, value in runtime.items()}
        """The config but for what ENV has set since; all its mappings are this state's own."""
        self.env = assignments(runtime.get("Env") or ())
        """What ENV has set."""
        self.history: tuple[History, ...] = ()
        self.lines: list[Line] = []
        self.arguments: dict[str, str | None] = {}
        self.hiding: dict[str, str] = {}
        self.shell = tuple(runtime.get("Shell") or metadata.DEFAULT_SHELL)
        self.triggers: list[str] = []
        self.author = ""
        self.cmd_set = False
        self._env_set = self._exposed = False
        self._variables: dict[str, str] | None = None

    @classmethod
    def empty(cls, top: int, platform: Platform) -> State:
        """Over files that came without a config."""
        return cls(top, platform, {"Env": [f"PATH={DEFAULT_PATH}"], "WorkingDir": "/"})

    @classmethod
    def over(cls, image: BaseImage, top: int) -> State:
        """Over an image."""
        runtime = dict(image.config.runtime)
        triggers = runtime.pop("OnBuild", None) or ()
        if "PATH" not in assignments(runtime.get("Env") or ()):
            runtime["Env"] = [*(runtime.get("Env") or ()), f"PATH={DEFAULT_PATH}"]
        runtime["WorkingDir"] = runtime.get("WorkingDir") or "/"
        runtime = {key: value for key, value in runtime.items() if value is not None}
        state = cls(top, image.config.platform, runtime, image)
        state.history = image.config.history
        state.triggers = list(triggers)
        state.author = image.config.author or ""
        return state

    def fork(self) -> State:
        """What a stage begins with that stands on this one."""
        state = copy(self)
        state.runtime = {key: value.copy() if isinstance(value, dict) else value for key, value in self.runtime.items()}
        state.env, state.lines = self.env.copy(), self.lines.copy()
        state.arguments, state.triggers = self.arguments.copy(), self.triggers.copy()
        state.hiding, state._variables = {}, None
        state.cmd_set = False
        return state

    @property
    def config(self) -> dict[str, Any]:
        """The config as the image gets it."""
        found = dict(self.runtime)
        if self._env_set:
            found["Env"] = metadata.lines(self.env)
        if self._exposed:
            found["ExposedPorts"] = dict(sorted(found["ExposedPorts"].items()))
        return found

    @property
    def outcome(self) -> Outcome:
        """What a graph is for whose target ends here."""
        runtime = {**self.config, "OnBuild": list(self.triggers)} if self.triggers else self.config
        return Outcome(self.top, self.platform, runtime, self.base, self.history, tuple(self.lines), self.author)

    @property
    def variables(self) -> Mapping[str, str]:
        """What commands see: of ARG and ENV of one name the later, in stages below always ENV."""
        if self._variables is None:
            given = {key: value for key, value in self.arguments.items() if value is not None}
            self._variables = {**given, **self.env, **self.hiding}
        return self._variables

    def lookup(self, name: str) -> str | None:
        """One of the variables, for expansions."""
        if (found := self.hiding.get(name)) is None and (found := self.env.get(name)) is None:
            found = self.arguments.get(name)
        return found

    @property
    def cwd(self) -> str:
        """The working directory of commands, clean and absolute."""
        return posixpath.normpath("/" + str(self.runtime.get("WorkingDir") or "/").lstrip("/"))

    @property
    def user(self) -> str:
        """The text of USER."""
        return str(self.runtime.get("User") or "")

    def told(self, created_by: str, step: int | None = None) -> None:
        """One more line of history; `step` made its layer and is the top now."""
        self.lines.append(Line(created_by, step))
        if step is not None:
            self.top = step

    def put(self, key: str, value: Any) -> None:
        """A value of the config; None removes it."""
        if value is None:
            self.runtime.pop(key, None)
        else:
            self.runtime[key] = value

    def mapping(self, key: str) -> dict[str, Any]:
        """A part of the config that is a mapping, to be added to."""
        found: dict[str, Any] = self.runtime.setdefault(key, {})
        return found

    def set_env(self, values: Mapping[str, str]) -> None:
        """What an ENV sets."""
        self.runtime.setdefault("Env", [])  # its place among the keys
        self.env.update(values)
        self._env_set, self._variables = True, None
        if self.hiding:
            self.hiding = {key: value for key, value in self.hiding.items() if key not in values}

    def expose(self, ports: Iterable[str]) -> None:
        """The ports of an EXPOSE."""
        if added := {port: dict[str, str]() for port in ports}:
            self.mapping("ExposedPorts").update(added)
            self._exposed = True

    def declare(self, name: str, value: str | None) -> None:
        """What an ARG declares, and its value if it has one."""
        self._variables = None
        if value is not None or self.arguments.get(name) is None:
            self.arguments[name] = value
        if value is not None and name in self.env:
            self.hiding[name] = value
