"""The Dockerfile language: text in, typed instructions out (Dockerfile reference; BuildKit's meaning).

Names are fetched when first used, so that importing this package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from builder.dockerfile.document import Dockerfile, parse, parse_onbuild
    from builder.dockerfile.expansion import Lookup, expand, expand_heredoc, variables, words
    from builder.dockerfile.instructions import (
        Add,
        Arg,
        Cmd,
        Command,
        Copy,
        Declaration,
        Device,
        Entrypoint,
        Env,
        ExecForm,
        Expose,
        From,
        Healthcheck,
        Heredoc,
        Instruction,
        Label,
        Maintainer,
        MountFlag,
        OnBuild,
        Pair,
        Run,
        Shell,
        ShellForm,
        StopSignal,
        User,
        Volume,
        Word,
        Workdir,
    )
    from builder.dockerfile.mounts import RunMount, resolve
    from builder.dockerfile.printing import show, show_instruction
    from builder.dockerfile.suggest import nearest
    from builder.dockerfile.views import draw, nested, plain, tree

_HOMES = {
    "expansion": ("Lookup", "expand", "expand_heredoc", "variables", "words"),
    "instructions": (
        *("Add", "Arg", "Cmd", "Command", "Copy", "Declaration", "Device", "Entrypoint", "Env", "ExecForm", "Expose"),
        *("From", "Healthcheck", "Heredoc", "Instruction", "Label", "Maintainer", "MountFlag", "OnBuild", "Pair"),
        *("Run", "Shell", "ShellForm", "StopSignal", "User", "Volume", "Word", "Workdir"),
    ),
    "mounts": ("RunMount", "resolve"),
    "document": ("Dockerfile", "parse", "parse_onbuild"),
    "views": ("draw", "nested", "plain", "tree"),
    "printing": ("show", "show_instruction"),
    "suggest": ("nearest",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


__all__ = [
    "Add",
    "Arg",
    "Cmd",
    "Command",
    "Copy",
    "Declaration",
    "Device",
    "Dockerfile",
    "Entrypoint",
    "Env",
    "ExecForm",
    "Expose",
    "From",
    "Healthcheck",
    "Heredoc",
    "Instruction",
    "Label",
    "Lookup",
    "Maintainer",
    "MountFlag",
    "OnBuild",
    "Pair",
    "Run",
    "RunMount",
    "Shell",
    "ShellForm",
    "StopSignal",
    "User",
    "Volume",
    "Word",
    "Workdir",
    "draw",
    "expand",
    "expand_heredoc",
    "nearest",
    "nested",
    "parse",
    "parse_onbuild",
    "plain",
    "resolve",
    "show",
    "show_instruction",
    "tree",
    "variables",
    "words",
]
