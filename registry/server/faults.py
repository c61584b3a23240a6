"""What the registry answers when it does not do what was asked: error codes as data (distribution-spec, "Error Codes").

A Fault is an answer, not a failure of ours: it is raised where the fact is known, becomes one JSON body, and never
leaves the server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

STATUS: Mapping[str, int] = {
    "BLOB_UNKNOWN": 404,
    "BLOB_UPLOAD_INVALID": 400,
    "BLOB_UPLOAD_UNKNOWN": 404,
    "DENIED": 403,
    "DIGEST_INVALID": 400,
    "MANIFEST_BLOB_UNKNOWN": 400,
    "MANIFEST_INVALID": 400,
    "MANIFEST_UNKNOWN": 404,
    "NAME_INVALID": 400,
    "NAME_UNKNOWN": 404,
    "PAGINATION_NUMBER_INVALID": 400,
    "RANGE_INVALID": 416,
    "SIZE_INVALID": 400,
    "TOOMANYREQUESTS": 429,
    "UNAUTHORIZED": 401,
    "UNKNOWN": 500,
    "UNSUPPORTED": 405,
}
"""The status that goes with a code, unless the place knows better."""


class Fault(Exception):
    """One error answer: its code, a sentence for people, and the headers that it needs."""

    def __init__(
        self, code: str, message: str, *, status: int | None = None, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = STATUS[code] if status is None else status
        self.headers = headers

    def body(self) -> bytes:
        """The JSON that clients read."""
        return json.dumps({"errors": [{"code": self.code, "message": self.message}]}).encode()
