"""The bytes of blobs as they are: read once, hashed and inflated, two blobs at a time.

Hashing and inflating release the interpreter's lock, so that two threads keep two processors busy.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from layers.errors import BlobMissing, LayerError
from layers.home.blobs import CHUNK
from layers.oci.digest import Digest

if TYPE_CHECKING:
    from layers.home.blobs import Blobs

JOBS = 2
Progress = Callable[[int, int], object]
"""Told how many bytes were read, and how many there are; from several threads."""
Found = TypeVar("Found")


class Tally:
    """Bytes that were read, of those that are to be read."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._turn = threading.Lock()
        self.done = 0
        self.total = 0

    def add(self, count: int) -> None:
        """So many more were read."""
        with self._turn:
            self.done += count
        if self._progress is not None:
            self._progress(self.done, self.total)


class Reader:
    """Reads blobs of one store, and counts."""

    def __init__(self, blobs: Blobs, tally: Tally) -> None:
        self._blobs = blobs
        self._tally = tally

    def size(self, digests: Iterable[Digest]) -> int:
        """Bytes of blobs together."""
        return sum(map(self._size, digests))

    def hashed(self, digests: Iterable[Digest]) -> Iterator[tuple[Digest, int, str]]:
        """Each blob that is here, its size, and the digest of its bytes or why they cannot be read."""
        for digest, met in self._both(self._hash, digests):
            if met is not None:
                yield digest, *met

    def inflated(self, digests: Iterable[Digest]) -> Iterator[tuple[Digest, str]]:
        """Each blob that is here, and the digest of what it holds uncompressed or why that cannot be read."""
        for digest, met in self._both(self._inflate, digests):
            if met is not None:
                yield digest, met

    def _both(self, look: Callable[[Digest], Found], digests: Iterable[Digest]) -> Iterator[tuple[Digest, Found]]:
        listed = list(digests)
        with ThreadPoolExecutor(JOBS, thread_name_prefix="pybuild-check") as pool:
            yield from zip(listed, pool.map(look, listed), strict=True)

    def _size(self, digest: Digest) -> int:
        try:
            return self._blobs.size(digest)
        except BlobMissing:
            return 0

    def _hash(self, digest: Digest) -> tuple[int, str] | None:
        hasher, size, buffer = hashlib.new(digest.algorithm), 0, memoryview(bytearray(CHUNK))
        try:
            with self._blobs.open(digest) as file:
                while count := file.readinto(buffer):  # type: ignore[attr-defined]
                    hasher.update(buffer[:count])
                    size += count
                    self._tally.add(count)
        except BlobMissing:  # pruned by another process a moment ago
            return None
        except OSError as error:
            return size, f"unknown: {error.strerror}"
        return size, f"{digest.algorithm}:{hasher.hexdigest()}"

    def _inflate(self, digest: Digest) -> str | None:
        from layers.tar.codec import decompress

        hasher = hashlib.sha256()
        try:
            with self._blobs.open(digest) as source:
                stream = decompress(source)
                while chunk := stream.read(CHUNK):
                    hasher.update(chunk)
        except BlobMissing:
            return None
        except (LayerError, OSError) as error:
            return f"none: {error}"
        self._tally.add(self._size(digest))
        return f"sha256:{hasher.hexdigest()}"
