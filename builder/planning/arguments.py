"""ARG: which values build arguments get, and which of those given nobody asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from builder.dockerfile import Arg, expand

if TYPE_CHECKING:
    from builder.planning.state import State
    from builder.stages import Stages

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
PROXY_NAMES = frozenset((*PROXIES, *(name.lower() for name in PROXIES)))
UNUSED_IS_FINE = PROXY_NAMES | {"SOURCE_DATE_EPOCH"}
MAGIC = "BUILDKIT_"
"""How arguments begin that are for the builder, not for the Dockerfile."""


class Arguments:
    """The build arguments of one planning.

    `scope` are the variables of FROM lines: those `given`, the platform's, and the ARGs before the first FROM.
    """

    def __init__(self, stages: Stages, given: Mapping[str, str], platform: Mapping[str, str]) -> None:
        self.given = given
        self.scope = stages.scope({**platform, **given})
        self._used = {declaration.name.text for argument in stages.arguments for declaration in argument.declarations}
        self._inherited = self._used | platform.keys()
        """Names that an ARG without a default takes from outside of its stage."""

    def declare(self, instruction: Arg, state: State) -> None:
        """The state after an ARG; what it declares later sees what it has declared before."""
        texts = []
        for declaration in instruction.declarations:
            name = declaration.name.text
            self._used.add(name)
            value = self.given.get(name)
            if value is None and declaration.default is not None:
                value = expand(declaration.default, state.lookup)
            elif value is None and name in self._inherited:
                value = self.scope.get(name)
            state.declare(name, value)
            texts.append(name if value is None else f"{name}={value}")
        state.told(f"ARG {' '.join(texts)}")

    def unused(self) -> Iterable[str]:
        """The names of those given that no ARG has declared, though one should."""
        names = self.given.keys() - self._used - UNUSED_IS_FINE
        return sorted(name for name in names if not name.startswith(MAGIC))
