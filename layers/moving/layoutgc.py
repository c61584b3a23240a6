"""Blobs of an OCI layout that nothing leads to, found as umoci gc finds them, and taken away.

Whatever is JSON is followed wherever it holds descriptors, so that documents of kinds that are not known here keep what
they name. Digests of unknown algorithms are not touched. A layout into which somebody writes is left alone: blobs come
before the names that lead to them.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from layers.errors import BlobMissing, DigestInvalid, LayoutBusy
from layers.moving import outside
from layers.moving.layout import Layout
from layers.oci.digest import Digest
from layers.oci.documents import MAX_DOCUMENT


def collect(layout: Layout, *, dry: bool = False) -> list[tuple[Digest, int]]:
    """Remove what nothing leads to, or only look; digests and sizes of it.

    Raises LayoutBusy, BlobMissing, DocumentInvalid.
    """
    blobs = layout.root / "blobs"
    with outside.locked(layout.root):
        held = os.open(blobs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LayoutBusy(str(layout.root)) from error
            live = reached(layout)
            gone = [(digest, path) for digest, path in there(blobs) if digest not in live]
            found = [(digest, path.stat().st_size) for digest, path in gone]
            for _, path in () if dry else gone:
                path.unlink()
        finally:
            os.close(held)
    return found


def there(blobs: Path) -> Iterator[tuple[Digest, Path]]:
    """Every blob of a layout whose name is a digest that is understood, sorted."""
    for path in sorted(blobs.glob("*/*")):
        with suppress(DigestInvalid):
            yield Digest.parse(f"{path.parent.name}:{path.name}"), path


def reached(layout: Layout) -> set[Digest]:
    """All that index.json leads to."""
    todo = list(named(layout.names().value))
    seen: set[Digest] = set()
    while todo:
        digest = todo.pop()
        if digest in seen:
            continue
        seen.add(digest)
        with suppress(BlobMissing, ValueError, RecursionError):
            todo += named(json.loads(head(layout, digest)))
    return seen


def head(layout: Layout, digest: Digest) -> bytes:
    """A blob that may be a document; nothing of one that is not. Raises BlobMissing."""
    path = layout.root / "blobs" / digest.algorithm / digest.hex
    with outside.open_regular(path, str(digest), str(layout.root)) as file:
        if os.fstat(file.fileno()).st_size > MAX_DOCUMENT:
            return b""
        data = file.read(MAX_DOCUMENT)
    return data if data.lstrip()[:1] in (b"{", b"[") else b""


def named(value: Any) -> Iterator[Digest]:
    """The digests of all descriptors in a JSON value."""
    if isinstance(value, dict):
        if isinstance(value.get("digest"), str):
            with suppress(DigestInvalid):
                yield Digest.parse(value["digest"])
        for inner in value.values():
            yield from named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from named(inner)
