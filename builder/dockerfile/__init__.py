"""The Dockerfile language: text in, typed instructions out (Dockerfile reference; BuildKit's meaning).

Names are fetched when first used, so that importing this package costs nothing.
"""

from typing import TYPE_CHECKING

from layers.faces import lazily

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

__getattr__ = lazily(
    __name__,
    {
        "expansion": ("Lookup", "expand", "expand_heredoc", "variables", "words"),
        "instructions": (
            *(
                "Add",
                "Arg",
                "Cmd",
                "Command",
                "Copy",
                "Declaration",
                "Device",
                "Entrypoint",
                "Env",
                "ExecForm",
                "Expose",
            ),
            *("From", "Healthcheck", "Heredoc", "Instruction", "Label", "Maintainer", "MountFlag", "OnBuild", "Pair"),
            *("Run", "Shell", "ShellForm", "StopSignal", "User", "Volume", "Word", "Workdir"),
        ),
        "mounts": ("RunMount", "resolve"),
        "document": ("Dockerfile", "parse", "parse_onbuild"),
        "views": ("draw", "nested", "plain", "tree"),
        "printing": ("show", "show_instruction"),
        "suggest": ("nearest",),
    },
)

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
