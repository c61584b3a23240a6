"""The web as a build meets it: what goes wrong there is an error of the build, which knows the line that asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from builder.errors import ContextError
from registry.errors import RegistryError

if TYPE_CHECKING:
    from registry.web import Answer, Web


class Fetching:
    """A `builder.sources.web.Web`."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def head(self, url: str, headers: Mapping[str, str]) -> Answer | None:
        """See the protocol."""
        return self._web.head(url, headers)

    def get(
        self, url: str, headers: Mapping[str, str], write: Callable[[bytes], object], most: int | None = None
    ) -> Answer:
        """See the protocol. Raises ContextError."""
        try:
            return self._web.get(url, headers, write, most)
        except RegistryError as error:
            raise ContextError(error.what, help=error.help or "") from error
