"""The floor: a plain loop that sends or fetches the blobs of an image one after another, hashes them, and does no more.

python -I stream.py push LAYOUT HOST/PATH:TAG        python -I stream.py pull DIRECTORY HOST/PATH:TAG
"""

from __future__ import annotations

import hashlib
import http.client
import json
import sys
from pathlib import Path
from typing import Any

CHUNK = 1 << 20
KIND = "application/vnd.oci.image.manifest.v1+json"


class Hashed:
    """A file that is hashed while it is read."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.hasher = hashlib.sha256()

    def read(self, _: int = -1) -> bytes:
        """The next piece."""
        piece: bytes = self._file.read(CHUNK)
        self.hasher.update(piece)
        return piece


def ask(connection: http.client.HTTPConnection, method: str, path: str, *more: Any) -> http.client.HTTPResponse:
    """One request; its answer, which must be a success."""
    connection.request(method, path, *more)
    answer = connection.getresponse()
    if answer.status >= 300:
        raise SystemExit(f"{method} {path}: {answer.status}")
    return answer


def push(layout: Path, host: str, path: str, tag: str) -> None:
    """Everything that the first entry of the layout's index names."""
    connection = http.client.HTTPConnection(host)
    blobs = layout / "blobs/sha256"
    entry = json.loads((layout / "index.json").read_text())["manifests"][0]
    raw = (blobs / entry["digest"][7:]).read_bytes()
    manifest = json.loads(raw)
    for blob in (manifest["config"], *manifest["layers"]):
        answer = ask(connection, "POST", f"/v2/{path}/blobs/uploads/")
        answer.read()
        place = (answer.getheader("Location") or "").split(host, 1)[-1]
        mark = "&" if "?" in place else "?"
        with (blobs / blob["digest"][7:]).open("rb") as file:
            hashed = Hashed(file)
            headers = {"Content-Length": str(blob["size"]), "Content-Type": "application/octet-stream"}
            ask(connection, "PUT", f"{place}{mark}digest={blob['digest']}", hashed, headers).read()
        if hashed.hasher.hexdigest() != blob["digest"][7:]:
            raise SystemExit("the file is not what it is called")
    ask(connection, "PUT", f"/v2/{path}/manifests/{tag}", raw, {"Content-Type": entry["mediaType"]}).read()


def pull(folder: Path, host: str, path: str, tag: str) -> None:
    """Everything that a manifest names, into files."""
    connection = http.client.HTTPConnection(host)
    folder.mkdir()
    manifest = json.loads(ask(connection, "GET", f"/v2/{path}/manifests/{tag}", None, {"Accept": KIND}).read())
    for blob in (manifest["config"], *manifest["layers"]):
        hasher = hashlib.sha256()
        answer = ask(connection, "GET", f"/v2/{path}/blobs/{blob['digest']}")
        with (folder / blob["digest"][7:]).open("wb", buffering=0) as file:
            while piece := answer.read(CHUNK):
                hasher.update(piece)
                file.write(piece)
        if hasher.hexdigest() != blob["digest"][7:]:
            raise SystemExit("other bytes came than were asked for")


def main() -> None:
    """What the command line says."""
    verb, folder, reference = sys.argv[1:]
    host, _, rest = reference.partition("/")
    path, _, tag = rest.rpartition(":")
    {"push": push, "pull": pull}[verb](Path(folder), host, path, tag)


if __name__ == "__main__":
    main()
