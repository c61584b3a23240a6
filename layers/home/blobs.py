"""Bytes on disk, found by their digest.

A blob is here whole or not at all: written to a file without a name (O_TMPFILE, open(2)), hashed,
flushed, and only then named by linkat(2); a crash leaves nothing, and a name always leads to the whole.
The directory is synced before a row says that a blob is here (`settle`), once for all blobs of an image, and not
again for one that was here before.
When two processes put the same blob, the first one names it and both succeed. Every digest is
claimed for this process before it is named, so that a prune running meanwhile does not take it away.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path

from layers.errors import BlobMismatch, BlobMissing
from layers.home import room
from layers.oci.descriptor import Descriptor
from layers.oci.digest import Digest, hexdigest
from layers.quick import dataclass, field

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import BinaryIO

    from layers.tar.pipeline import Behind

CHUNK = 1 << 20
STRETCH = 1 << 23
"""Bytes after which the disk is told to begin: a blob of fewer is written at once."""
PIECE = 1 << 14
"""Bytes of one write(2): for more at once the kernel looks for memory that lies together, and where there is little of
that, or the machine is a virtual one whose host has to find it, that takes ten times as long as the writing."""
GATHER = 1 << 16
"""Bytes below which writes are gathered: a tar header is no reason for a system call."""


@dataclass(frozen=True)
class Blobs:
    """A content-addressed directory that processes may share."""

    root: Path
    claim: Callable[[Digest], None]
    scratch: Callable[[], AbstractContextManager[Path]]
    _settled: dict[Digest, tuple[int, int] | None] = field(default_factory=dict)

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

    def settle(self, *relied: Digest) -> None:
        """Let the names of blobs outlive a power cut: to be done before a row that relies on some is written.

        Told which, nothing is done if they are the very files whose names this process has seen to before.
        """
        files = {digest: self._identity(digest) for digest in relied}
        if relied and all(file and self._settled.get(digest) == file for digest, file in files.items()):
            return
        from layers.disk import durable

        for algorithm in os.scandir(self.root):
            durable.sync(Path(algorithm.path))
        self._settled.update(files)

    def _identity(self, digest: Digest) -> tuple[int, int] | None:
        """What tells a file from another one that was given its name later; None if there is none."""
        try:
            status = os.stat(self._place(digest))
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_ctime_ns

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
            data = source.read(min(limit, os.fstat(source.fileno()).st_size) + 1)
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
        with room.full_disk_explained(self.root.parent), ExitStack() as undo:
            writer = BlobWriter(self, algorithm, partial(self._part, self.root / algorithm, undo))
            undo.callback(writer.settle)
            yield writer

    def _part(self, directory: Path, undo: ExitStack) -> tuple[int, Path | None]:
        """A new file, and its name if it has one; closed by `undo`."""
        if not directory.exists():
            from layers.disk import durable

            durable.make(directory)
        name = None
        try:
            part = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o444)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
                raise
            name = undo.enter_context(self.scratch()) / "part"  # this file system has no nameless files
            part = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o444)
        undo.callback(os.close, part)
        return part, name


class BlobWriter:
    """A blob being written: hashes what it is given, in a thread beside the writing of it if it is much.

    What is little stays in memory, and is never written if it turns out to be here. `make` makes the file: its
    descriptor, and its name if it has one.
    """

    def __init__(
        self, blobs: Blobs, algorithm: str, make: Callable[[], tuple[int, Path | None]], kept: int = 0
    ) -> None:
        self.kept = kept
        """Bytes that are in the file already: they are to be written once more, to be hashed."""
        self._skip = kept
        self._blobs = blobs
        self._algorithm = algorithm
        self._make = make
        import hashlib

        self._hasher = hashlib.new(algorithm)
        self._hashing: Behind | None = None
        self._gathered = bytearray()
        self._hashed = 0
        """Bytes of that which are hashed already."""
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

    @cached_property
    def _file(self) -> tuple[int, Path | None]:
        return self._make()

    @property
    def digest(self) -> Digest:
        """The name of all that was written so far."""
        if self._written:
            self.flush()
        self.settle()
        self._hasher.update(self._gathered[self._hashed :])
        self._hashed = len(self._gathered)
        return Digest(self._algorithm, self._hasher.hexdigest())

    def reader(self) -> BinaryIO:
        """What was written so far, from its beginning; to look at before it is named."""
        self.flush()
        return open(f"/proc/self/fd/{self._file[0]}", "rb", buffering=0)

    @contextmanager
    def flushing(self) -> Iterator[None]:
        """Flush much to the disk in a thread while something else is done; `commit` has little to wait for then."""
        if self.size < CHUNK:
            yield
            return
        self.flush()
        import threading

        failures: list[OSError] = []

        def flush() -> None:
            try:
                os.fdatasync(self._file[0])
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
            self.flush()
            part, name = self._file
            os.fdatasync(part)
            os.fchmod(part, 0o444)
            directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                source = f"/proc/self/fd/{part}" if name is None else str(name)
                with suppress(FileExistsError):
                    os.link(source, target.name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=True)
            finally:
                os.close(directory)
        return digest, self.size

    def flush(self) -> None:
        """Write what was gathered to the file."""
        if self._gathered:
            self._emit(bytes(self._gathered), self._hashed)
            self._gathered.clear()
            self._hashed = 0

    def settle(self) -> None:
        """Wait until all that was written is hashed."""
        if self._hashing is not None:
            self._hashing.__exit__(None)
            self._hashing = None

    def _emit(self, data: bytes | memoryview, hashed: int = 0) -> None:
        view, part = memoryview(data), self._file[0]
        if hashed < len(view):
            if self._hashing is None:
                from layers.tar.pipeline import Behind

                self._hashing = Behind(self._hasher.update)
            self._hashing(view[hashed:])
        if self._skip:
            here = min(self._skip, len(view))
            self._skip -= here
            view = view[here:]
        try:
            if len(view) >= GATHER and is_zero(view):  # as in a sparse file: reads the same, and takes no room
                os.ftruncate(part, os.lseek(part, len(view), os.SEEK_CUR))
                self._written += len(view)
                return
            while view:
                count = os.write(part, view[:PIECE])
                self._written += count
                view = view[count:]
        except OSError as error:
            if error.errno not in room.NO_ROOM:
                raise
            freed = os.fstat(part).st_blocks * 512
            raise room.full(self._blobs.root.parent, needed=self.size, freed=freed) from error
        if (count := self._written - self._begun) >= STRETCH:
            from layers.disk import durable

            durable.begin(part, self.kept + self._begun, count)
            self._begun = self._written


def is_zero(view: memoryview) -> bool:
    """True for zeros only; what is none is seldom looked at beyond its ends."""
    return not (view[0] or view[-1] or view[len(view) >> 1]) and bytes(view) == bytes(len(view))
