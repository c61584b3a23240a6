"""Members of tars, written by the standard library, for layers with every edge that a header can have."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from typing import NamedTuple

from layers import NewLayer, Store
from layers.home.ingest import bring


class Member(NamedTuple):
    """A member: its name, what it holds, and the fields of its header (`tarfile.TarInfo`)."""

    name: str
    content: bytes = b""
    fields: dict[str, object] = {}  # noqa: RUF012 (never changed)


def file(name: str, content: bytes = b"", **fields: object) -> Member:
    """A regular file, unless `type` says otherwise."""
    return Member(name, content, fields)


def folder(name: str, mode: int = 0o755, **fields: object) -> Member:
    """A directory."""
    return Member(name, fields={"type": tarfile.DIRTYPE, "mode": mode, **fields})


def soft(name: str, target: str, **fields: object) -> Member:
    """A symbolic link."""
    return Member(name, fields={"type": tarfile.SYMTYPE, "linkname": target, **fields})


def hard(name: str, target: str, **fields: object) -> Member:
    """Another name for a file."""
    return Member(name, fields={"type": tarfile.LNKTYPE, "linkname": target, **fields})


def node(name: str, kind: bytes, major: int = 0, minor: int = 0, **fields: object) -> Member:
    """A device or a pipe."""
    return Member(name, fields={"type": kind, "devmajor": major, "devminor": minor, **fields})


def noted(name: str, attributes: dict[str, str], content: bytes = b"", **fields: object) -> Member:
    """A file with extended attributes; their bytes are those of surrogateescape."""
    headers = {f"SCHILY.xattr.{key}": value for key, value in attributes.items()}
    return Member(name, content, {"pax_headers": headers, **fields})


def packed(members: Iterable[Member], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of these."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as tar:
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.size = len(member.content)
            for key, value in member.fields.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(member.content))
    return buffer.getvalue()


def layer(store: Store, *members: Member) -> NewLayer:
    """A layer of the store that consists of these."""
    return bring(store, io.BytesIO(packed(members)))
