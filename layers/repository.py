"""A place for images, wherever it is: the one protocol that push, pull, save and load stand on.

Implementations: the local store, an OCI layout directory, archives, a registry over HTTP. What is
atomic: `put` (the content is there whole or not at all) and `tag`. What is idempotent: both. A
Repository hands out bytes as it has them; whoever reads them checks them (`layers.transfer`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Protocol, runtime_checkable

from layers.descriptor import Descriptor


class Repository(Protocol):
    """Content by digest and names for some of it (OCI distribution-spec, in five methods)."""

    def resolve(self, name: str) -> Descriptor:
        """What a tag, or a digest as text, points to: a manifest or an index. Raises BlobMissing."""
        ...

    def has(self, wanted: Descriptor) -> bool:
        """True if the content is here whole."""
        ...

    def open(self, wanted: Descriptor) -> BinaryIO:
        """The bytes of some content, to be read once and closed. Raises BlobMissing."""
        ...

    def put(self, wanted: Descriptor, source: BinaryIO) -> None:
        """Keep content, blobs before the manifests that name them. Raises BlobMismatch and keeps nothing."""
        ...

    def tag(self, name: str, target: Descriptor) -> None:
        """Let a name point to a manifest or index that is here."""
        ...


@runtime_checkable
class Mounts(Protocol):
    """An extra ability: take a blob over from another repository of the same host without moving bytes."""

    def mount(self, wanted: Descriptor, source: Repository) -> bool:
        """True if the blob is here afterwards (OCI distribution-spec, "Mounting a blob")."""
        ...


@runtime_checkable
class Resumes(Protocol):
    """An extra ability of a source: to begin in the middle, for a copy that was broken off."""

    def open_from(self, wanted: Descriptor, offset: int) -> BinaryIO:
        """The bytes of some content from `offset` on, which is at most its size. Raises BlobMissing."""
        ...


@runtime_checkable
class Gathers(Protocol):
    """An extra ability of a target: to keep what came of a blob when the rest does not, and to go on from there."""

    def gather(self, wanted: Descriptor, open_at: Callable[[int], BinaryIO]) -> None:
        """Keep a blob; `open_at` gives its bytes from an offset on. Raises BlobMismatch and keeps nothing then."""
        ...
