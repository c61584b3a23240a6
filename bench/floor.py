"""What the far end alone costs: a plain loop that sends bytes to a registry and hashes them, and nothing else."""

from __future__ import annotations

import hashlib
import http.client
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import IO, BinaryIO

SIZE = 78_000_000
"""Bytes: what the benchmark's image has, compressed."""
CHUNK = 1 << 20


class _Hashed:
    """A file that is hashed while it is read."""

    def __init__(self, file: IO[bytes] | BinaryIO) -> None:
        self._file = file
        self.hasher = hashlib.sha256()

    def read(self, _: int = -1) -> bytes:
        """The next piece."""
        piece = self._file.read(CHUNK)
        self.hasher.update(piece)
        return piece


def plain_put(empty_registry: Callable[[], str], rounds: int) -> float:
    """Median seconds of one monolithic upload of SIZE bytes to an empty registry."""
    found = []
    with tempfile.TemporaryFile(dir="/var/tmp") as file:
        data = os.urandom(SIZE)
        digest = hashlib.sha256(data).hexdigest()
        file.write(data)
        for _ in range(rounds):
            host = empty_registry()
            file.seek(0)
            began = time.perf_counter()
            connection = http.client.HTTPConnection(host)
            connection.request("POST", "/v2/floor/blobs/uploads/")
            answer = connection.getresponse()
            answer.read()
            place = (answer.getheader("Location") or "").split(host, 1)[-1]
            mark = "&" if "?" in place else "?"
            headers = {"Content-Length": str(SIZE), "Content-Type": "application/octet-stream"}
            connection.request("PUT", f"{place}{mark}digest=sha256:{digest}", _Hashed(file), headers)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            if answer.status != http.HTTPStatus.CREATED:
                raise RuntimeError(f"the registry answered {answer.status} to a plain upload")
            found.append(time.perf_counter() - began)
    return statistics.median(found)
