"""What the command line says about contexts: PATH, `-f` and `--build-context`, as values of a request."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click

if TYPE_CHECKING:
    from builder.sources.named import Place
    from pybuild.wiring import Context

MAGICS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
HEAD = 512
LARGEST = 16 << 20
"""Bytes of a Dockerfile."""


class Ahead:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        if size < 0:
            head, self._head = self._head, b""
            return head + self._rest.read()
        if self._head:
            head, self._head = self._head[:size], self._head[size:]
            return head
        return self._rest.read(size)


def sources(roof: Context, context: str, file: str | None) -> dict[str, Any]:
    """The fields of a request that say where its files are. Raises click.UsageError, ContextError."""
    text = _standard_input(context, file)
    name = "stdin" if text is not None else str(file or "Dockerfile")
    if text is None and file is not None and file.startswith(("http://", "https://")):
        text = _downloaded(roof, file)
    dockerfile = None if text is not None or file is None else Path(file)
    found: dict[str, Any] = {"context": None, "text": text, "name": name, "dockerfile": dockerfile}
    if context == "-":
        if file is None or text is None:
            found |= _stream(file)
        return found
    if os.path.isdir(context):
        return found | {"context": Path(context)}
    elsewhere = address(context, bare=True)
    if elsewhere is not None:
        return found | {"source": elsewhere}
    what = "is a file; give the directory, and the Dockerfile with -f" if os.path.exists(context) else "is not there"
    raise click.UsageError(f"the context {context!r} {what}")


def _standard_input(context: str, file: str | None) -> bytes | None:
    """The Dockerfile, if it is on standard input beside a context that is elsewhere."""
    if file != "-":
        return None
    if context == "-":
        raise click.UsageError("can't use stdin for both build context and dockerfile")
    return sys.stdin.buffer.read()


def _stream(file: str | None) -> dict[str, Any]:
    """A tar on standard input is the context, anything else the Dockerfile."""
    stream = sys.stdin.buffer
    head = b""
    while len(head) < HEAD and (more := stream.read(HEAD - len(head))):
        head += more
    if head.startswith(MAGICS) or _is_tar(head):
        return {"archive": cast(BinaryIO, Ahead(head, stream))}
    if file is not None:
        raise click.UsageError("ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles")
    return {"text": head + stream.read(), "name": "stdin"}


def _is_tar(head: bytes) -> bool:
    from layers.tar.tarread import is_tar

    return len(head) == HEAD and is_tar(head)


def _downloaded(roof: Context, url: str) -> bytes:
    """A Dockerfile from a URL. Raises ContextError."""
    parts: list[bytes] = []
    roof.web.get(url, {}, parts.append, LARGEST)
    return b"".join(parts)


def address(text: str, *, bare: bool = False) -> Any:
    """The git repository or URL that a word means; None for neither. Raises click.UsageError."""
    from builder.sources.gitref import git_source, redacted
    from builder.sources.web import is_url, web_source

    try:
        if (found := git_source(text, bare=bare)) is not None:
            return found
        return web_source(text, name="context") if is_url(text) else None
    except ValueError as error:
        raise click.UsageError(f"the context {redacted(text)}: {error}") from error


def agents_for(source: object) -> list[str]:
    """`--ssh default`, which a context that comes by SSH does not have to ask for where an agent runs."""
    if source is None:
        return []
    from builder.sources.gitref import GitSource

    by_ssh = isinstance(source, GitSource) and source.by_ssh
    return ["default"] if by_ssh and os.environ.get("SSH_AUTH_SOCK") else []


def named(specs: Sequence[str]) -> dict[str, Place]:
    """`--build-context NAME=…` of all kinds. Raises click.UsageError."""
    if not specs:
        return {}
    from builder.sources.named import RESERVED, key_of

    found: dict[str, Place] = {}
    for spec in specs:
        name, equals, value = spec.partition("=")
        if not equals or not name or not value:
            raise click.UsageError(f"--build-context {spec!r}: write NAME=DIRECTORY, or NAME=docker-image://IMAGE")
        base, colons, platform = name.partition("::")
        if base.lower() in RESERVED:
            raise click.UsageError(f"--build-context {spec!r}: {base} is a name that cannot be given away")
        found[f"{key_of(base)}{colons}{platform}"] = _place(spec, value)
    return found


def _place(spec: str, value: str) -> Place:
    from builder.sources.named import Directory, ImageNamed, StageNamed

    kind, _, rest = value.partition("://")
    if kind == "docker-image":
        return ImageNamed(rest)
    if kind == "oci-layout":
        return _layout(spec, rest)
    if value.startswith("target:"):
        return StageNamed(value.removeprefix("target:"))
    if (found := address(value)) is not None:
        return cast("Place", found)
    if not os.path.isdir(value):
        what = "is a file" if os.path.exists(value) else "is not there"
        raise click.UsageError(f"--build-context {spec!r}: the directory {value!r} {what}")
    return Directory(Path(value))


def _layout(spec: str, value: str) -> Place:
    """`DIR`, `DIR:TAG` or `DIR@DIGEST`; a colon may also be part of the directory's own name."""
    from builder.sources.named import LayoutImage

    path, at, digest = value.partition("@")
    tag = ""
    if not os.path.isdir(path) and (found := re.fullmatch(r"(.+):([\w.\-]+)", path)) is not None:
        path, tag = found.groups()
    if not os.path.isdir(path):
        raise click.UsageError(f"--build-context {spec!r}: there is no directory {path!r}")
    return LayoutImage(Path(path), digest if at else tag)
