"""Bytes on disk, found by their digest.

A blob is here whole or not at all: written to a file without a name (O_TMPFILE, open(2)), hashed,
flushed, and only then named by linkat(2); a crash leaves nothing, and a name always leads to the whole.
The directory is synced before a row says that a blob is here (`settle`), once for all blobs of an image.
When two processes put the same blob, the first one names it and both succeed. Every digest is
claimed for this process before it is named, so that a prune running meanwhile does not take it away.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from layers.disk import durable
from layers.errors import BlobMismatch, BlobMissing
from layers.home import room
from layers.oci.descriptor import Descriptor
from layers.oci.digest import Digest, hexdigest
from layers.quick import dataclass

if TYPE_CHECKING:
    from layers.tar.pipeline import Behind

CHUNK = 1 << 20
STRETCH = 1 << 23
"""Bytes after which the disk is told to begin: a blob of fewer is written at once."""
PIECE = 1 << 14
"""Bytes of one write(2): for more at once the kernel looks for memory that lies together, and where there is little of
that, or the machine is a virtual one whose host has to find it, that takes ten times as long as the writing."""
GATHER = 1 << 16
"""Bytes below which writes are gathered: a tar header is no reason for a system call."""


@dataclass(frozen=True, slots=True)
class Blobs:
    """A content-addressed directory that processes may share."""

    root: Path
    claim: Callable[[Digest], None]
    scratch: Callable[[], AbstractContextManager[Path]]

    def path(self, digest: Digest) -> Path:
        """Where a blob lies once it is here."""
        return self.root / digest.algorithm / digest.hex

    def _place(self, digest: Digest) -> str:
        return f"{self.root}/{digest.algorithm}/{digest.hex}"  # lists ask for thousands, and a Path costs more

    def has(self, digest: Digest) -> bool:
        """True if the blob is here, whole."""
        return os.path.exists(self._place(digest))

    def all(self) -> Iterator[Digest]:
        """Every blob that is here, in no order."""
        for algorithm in os.scandir(self.root):
            yield from (Digest(algorithm.name, entry.name) for entry in os.scandir(algorithm))

    def settle(self) -> None:
        """Let the names of all blobs outlive a power cut: to be done before a row that relies on some is written."""
        for algorithm in os.scandir(self.root):
            durable.sync(Path(algorithm.path))

    def size(self, digest: Digest) -> int:
        """Bytes of a blob. Raises BlobMissing."""
        try:
            return os.stat(self._place(digest)).st_size
        except FileNotFoundError as error:
            raise BlobMissing(str(digest), f"the store {self.root.parent}") from error

    def open(self, digest: Digest) -> BinaryIO:
        """A blob's bytes, seekable, as they lie on disk. Raises BlobMissing."""
        try:
            return open(self._place(digest), "rb", buffering=0)
        except FileNotFoundError as error:
            raise BlobMissing(str(digest), f"the store {self.root.parent}") from error

    def read(self, digest: Digest, *, limit: int = 4 << 20) -> bytes:
        """A small document, verified. Raises BlobMissing, and BlobMismatch if the disk lied or it is too large."""
        with self.open(digest) as source:
            data = source.read(limit + 1)
        met = hexdigest(data, digest.algorithm)
        if len(data) > limit or met != digest.hex:
            wanted = Descriptor("application/octet-stream", digest, min(len(data), limit))
            damaged = BlobMismatch(wanted, received=len(data), digest=f"{digest.algorithm}:{met}")
            damaged.add_note(f"it lies in the store {self.root.parent}, and is damaged: see pybuild system check")
            raise damaged
        return data

    def put(self, wanted: Descriptor, source: BinaryIO) -> None:
        """Keep `source` as the blob that it claims to be, or keep nothing and raise BlobMismatch."""
        self.claim(wanted.digest)
        if self.has(wanted.digest):
            return
        room.demand(self.root.parent, wanted.size)
        with self.writer(wanted.digest.algorithm) as writer:
            left = wanted.size + 1  # one byte beyond the promise already breaks it
            while left and (chunk := source.read(min(CHUNK, left))):
                left -= len(chunk)
                writer.write(chunk)
            met = writer.digest
            if left != 1 or met != wanted.digest:
                raise BlobMismatch(wanted, received=writer.size, digest=str(met))
            writer.commit()

    def keep(self, data: bytes, media_type: str) -> Descriptor:
        """Keep bytes that are in memory."""
        wanted = Descriptor.of(data, media_type)
        self.claim(wanted.digest)
        if not self.has(wanted.digest):
            with self.writer() as writer:
                writer.write(data)
                writer.commit()
        return wanted

    @contextmanager
    def writer(self, algorithm: str = "sha256") -> Iterator[BlobWriter]:
        """Write a blob whose digest is not known yet; leaving without `commit` keeps nothing. Raises StoreFull."""
        directory = self.root / algorithm
        if not directory.exists():
            durable.make(directory)
        with room.full_disk_explained(self.root.parent), ExitStack() as undo:
            try:
                part = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o444)
                name = None
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
                    raise
                name = undo.enter_context(self.scratch()) / "part"  # this file system has no nameless files
                part = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o444)
            undo.callback(os.close, part)
            writer = BlobWriter(self, algorithm, part, name)
            undo.callback(writer.settle)
            yield writer


class BlobWriter:
    """A blob being written: hashes what it is given, in a thread beside the writing of it if it is much."""

    def __init__(self, blobs: Blobs, algorithm: str, part: int, name: Path | None, kept: int = 0) -> None:
        self.kept = kept
        """Bytes that are in the file already: they are to be written once more, to be hashed."""
        self._skip = kept
        self._blobs = blobs
        self._algorithm = algorithm
        self._part = part
        self._name = name
        import hashlib

        self._hasher = hashlib.new(algorithm)
        self._hashing: Behind | None = None
        self._gathered = bytearray()
        self._written = self._begun = 0
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes; returns how many. A view has to stay as it is while it is hashed (`layers.tar.pipeline`)."""
        length = len(data)
        self.size += length
        if length < GATHER:
            self._gathered += data
            if len(self._gathered) >= CHUNK:
                self.flush()
        else:
            self.flush()
            self._emit(data)
        return length

    @property
    def digest(self) -> Digest:
        """The name of all that was written so far."""
        self.flush()
        self.settle()
        return Digest(self._algorithm, self._hasher.hexdigest())

    def reader(self) -> BinaryIO:
        """What was written so far, from its beginning; to look at before it is named."""
        self.flush()
        return open(f"/proc/self/fd/{self._part}", "rb", buffering=0)

    @contextmanager
    def flushing(self) -> Iterator[None]:
        """Flush much to the disk in a thread while something else is done; `commit` has little to wait for then."""
        self.flush()
        if self.size < CHUNK:
            yield
            return
        failures: list[OSError] = []

        def flush() -> None:
            try:
                os.fdatasync(self._part)
            except OSError as failure:  # told once by the kernel: a later fdatasync would say that all is well
                failures.append(failure)

        thread = threading.Thread(target=flush, name="pybuild-flush", daemon=True)
        thread.start()
        try:
            yield
        finally:
            thread.join()
        if failures:
            raise failures[0]

    def commit(self) -> tuple[Digest, int]:
        """Flush to the disk and name it; (digest, bytes). The name lasts when `Blobs.settle` was called."""
        digest = self.digest
        target = self._blobs.path(digest)
        self._blobs.claim(digest)
        if not self._blobs.has(digest):
            os.fdatasync(self._part)
            os.fchmod(self._part, 0o444)
            directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                source = f"/proc/self/fd/{self._part}" if self._name is None else str(self._name)
                with suppress(FileExistsError):
                    os.link(source, target.name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=True)
            finally:
                os.close(directory)
        return digest, self.size

    def flush(self) -> None:
        """Write what was gathered to the file."""
        if self._gathered:
            self._emit(bytes(self._gathered))
            self._gathered.clear()

    def settle(self) -> None:
        """Wait until all that was written is hashed."""
        if self._hashing is not None:
            self._hashing.__exit__(None)
            self._hashing = None

    def _emit(self, data: bytes | memoryview) -> None:
        if self._hashing is None:
            from layers.tar.pipeline import Behind

            self._hashing = Behind(self._hasher.update)
        self._hashing(data)
        view = memoryview(data)
        if self._skip:
            here = min(self._skip, len(view))
            self._skip -= here
            view = view[here:]
        try:
            while view:
                count = os.write(self._part, view[:PIECE])
                self._written += count
                view = view[count:]
        except OSError as error:
            if error.errno not in room.NO_ROOM:
                raise
            freed = os.fstat(self._part).st_blocks * 512
            raise room.full(self._blobs.root.parent, needed=self.size, freed=freed) from error
        if (count := self._written - self._begun) >= STRETCH:
            durable.begin(self._part, self.kept + self._begun, count)
            self._begun = self._written
