"""A request as endpoints see it, and what they answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, unquote

from layers.quick import dataclass, replace
from registry.server.wire import Body, Head, Malformed

MOST_PARAMETERS = 200


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `path` is decoded; `words` are the variable parts of the route that it took."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: Body
    words: Mapping[str, str]

    @classmethod
    def of(cls, head: Head, body: Body) -> Request:
        """Take a request line apart. Raises Malformed."""
        path, _, query = head.target.partition("?")
        if path.lower().startswith(("http://", "https://")):  # as proxies write it
            path = "/" + path.split("/", 3)[3] if path.count("/") > 2 else "/"
        if not path.startswith("/"):
            raise Malformed("the target is no path")
        try:
            words = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
        except ValueError as error:
            raise Malformed("too many parameters", status=414) from error
        return cls(head.method, unquote(path), tuple(words), head.headers, body, {})

    def routed(self, words: Mapping[str, str]) -> Request:
        """The same, with the words of its route."""
        return replace(self, words=words)

    def one(self, name: str) -> str | None:
        """The first value of a parameter."""
        return next((value for key, value in self.query if key == name), None)

    def every(self, name: str) -> list[str]:
        """All values of a parameter, in order."""
        return [value for key, value in self.query if key == name]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: `body`, or `count` bytes of `file` from `offset` on, which the sender closes."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    file: BinaryIO | None = None
    offset: int = 0
    count: int = 0

    @classmethod
    def json(cls, value: Mapping[str, Any], *headers: tuple[str, str], kind: str = "application/json") -> Answer:
        """A document."""
        return cls(200, (("Content-Type", kind), *headers), json.dumps(value, ensure_ascii=False).encode())

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return len(self.body) if self.file is None else self.count
