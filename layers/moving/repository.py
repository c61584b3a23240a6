"""A place for images, wherever it is: the one protocol that push, pull, copy, save and load stand on.

Implementations: the local store, an OCI layout, archives, skopeo's directories, a registry over HTTP; one suite holds
them to this page (tests/contracts/test_repository.py). What is atomic: `put` (the content is there whole or not at all)
and `tag`. What is idempotent: both. A Repository hands out bytes as it has them; whoever reads them checks them
(`layers.moving.transfer`). Blobs of one repository may be read and put by several threads at once.

What only some can do is a protocol of its own, asked for with `isinstance`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol, runtime_checkable

from layers.errors import NotWritable
from layers.oci.descriptor import Descriptor
from layers.oci.documents import check_size, read_document


class Repository(Protocol):
    """Content by digest and names for some of it (OCI distribution-spec, in five methods)."""

    def resolve(self, name: str) -> Descriptor:
        """What a tag, or a digest as text, points to: a manifest or an index. Raises BlobMissing, NameAmbiguous."""
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
        """Let a name point to a manifest or index that is here. Raises BlobMissing."""
        ...


def document(source: Repository, wanted: Descriptor) -> bytes:
    """A manifest, index or config, verified. Raises BlobMissing, BlobMismatch, DocumentInvalid if it is too large."""
    check_size(wanted)
    with source.open(wanted) as stream:
        return read_document(wanted, stream)


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


@runtime_checkable
class Shares(Protocol):
    """An extra ability of a target: several may want to fetch the same into it, and then one does, for all."""

    def turn(self, wanted: Descriptor, pause: Callable[[int], None]) -> AbstractContextManager[object]:
        """Nobody else fetches it into here meanwhile; `pause` as in `layers.home.turns`."""
        ...


@runtime_checkable
class Tags(Protocol):
    """An extra ability: say which names there are."""

    def tags(self) -> Sequence[str]:
        """Every name, sorted, each once."""
        ...


@runtime_checkable
class Deletes(Protocol):
    """An extra ability: forget names."""

    def delete(self, name: str) -> None:
        """Drop a tag and spare all others; a digest: drop that manifest and all its tags. Raises BlobMissing."""
        ...


@runtime_checkable
class Rewrites(Protocol):
    """An extra ability: show images in another form (layers compressed otherwise, other media types)."""

    def rewrite(self, target: Descriptor) -> Descriptor:
        """The other form of a manifest or index, which can then be opened like what it was made from."""
        ...


@runtime_checkable
class Sequential(Protocol):
    """A place that keeps things in their order: it is given one at a time, so that same images make same bytes."""

    in_order: bool


class ReadOnly:
    """What `put` and `tag` say where nothing can be written."""

    where: str

    def put(self, wanted: Descriptor, source: BinaryIO) -> None:
        """Raises NotWritable."""
        raise NotWritable(self.where)

    def tag(self, name: str, target: Descriptor) -> None:
        """Raises NotWritable."""
        raise NotWritable(self.where)
