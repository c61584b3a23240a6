"""What this process is using: one locked scratch directory, and leases that prune respects.

A session is a directory `scratch/<id>` whose lock (flock(2)) its process holds; the kernel drops
the lock when the process ends, however it ends. So whatever is unlocked is litter, and leases of an
unlocked session are dead. Nothing here trusts process numbers or clocks.
"""

from __future__ import annotations

import fcntl
import os
from _thread import allocate_lock
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from layers.disk.removal import remove
from layers.errors import StoreFull
from layers.home.db import Database
from layers.home.room import NO_ROOM, full, full_disk_explained, is_full
from layers.oci.digest import Digest

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import threading
    from _queue import SimpleQueue

EVERYTHING = (0, -1)
"""The holders of what a session made or found itself, kept until the session ends or has turned twice since."""


class Session:
    """This process at work on a store; begun by the first write."""

    def __init__(self, scratch: Path, db: Database) -> None:
        self.scratch = scratch
        self._db = db
        self._begin = allocate_lock()
        self._id = ""
        self._lock = -1
        self._pid = 0
        self._holders = 0
        self._claimed: tuple[int, set[str]] = (EVERYTHING[0], set())
        """Under which holder claims are written now, and which were."""
        self.undo = ExitStack()
        """What has to be done before the scratch directory can go."""
        self.heir: Callable[[Path, str, int], bool] | None = None
        """Who removes the scratch directory when we end with our process, and our mounts with it, given its place, name
        and lock; True if it will."""
        self._litter: SimpleQueue[Callable[[], object] | None]
        self._waiting: list[Callable[[], object]] = []
        self._broom: threading.Thread | None = None

    @property
    def id(self) -> str:
        """Name of the session's scratch directory, which is made now if it was not. Raises StoreReadOnly, StoreFull."""
        if self._db.barred is not None:
            raise self._db.barred
        with self._begin:
            if not self._id or self._pid != os.getpid():
                self._claimed = (EVERYTHING[0], set())
                self.undo.pop_all()
                self._broom, self._waiting = None, []
                self._pid = os.getpid()
                with full_disk_explained(self.scratch.parent):
                    self._id, self._lock = begin(self.scratch)
            return self._id

    @property
    def path(self) -> Path:
        """The session's scratch directory."""
        return self.scratch / self.id

    @contextmanager
    def directory(self, *, linger: bool = False) -> Iterator[Path]:
        """A fresh directory; from leaving on it is litter, removed with all that is in it while others work.

        With `linger` only after the next `tidy`.
        """
        path = self.path / os.urandom(8).hex()
        with full_disk_explained(self.scratch.parent):
            path.mkdir(mode=0o700)
        try:
            yield path
        except OSError as error:
            if error.errno in NO_ROOM and is_full(self.scratch):  # it may have been another disk that was full
                raise full(self.scratch.parent) from error
            raise
        finally:
            self.put_by(partial(discard, path))
            if not linger:
                self.tidy()

    def throw(self, path: Path) -> None:
        """Remove a tree that lies in the scratch directory, in a thread of ours; at the latest when the session ends.

        A step leaves three or four directories, and the next one need not wait for that.
        """
        self.put_by(partial(discard, path))
        self.tidy()

    def put_by(self, work: Callable[[], object]) -> None:
        """Have something done in that thread after the next `tidy`; an OSError leaves it to the end of the session."""
        with self._begin:
            self._waiting.append(work)

    def tidy(self) -> None:
        """Let the thread begin. Best called by who waits for something else: threads of Python are in each other's way.

        Everything is done in the order in which it was put by.
        """
        with self._begin:
            waiting, self._waiting = self._waiting, []
            if waiting and (self._broom is None or not self._broom.is_alive()):
                import threading
                from _queue import SimpleQueue

                self._litter = SimpleQueue()
                self._broom = threading.Thread(target=self._sweep, name="pybuild-broom", daemon=True)
                self._broom.start()
            for work in waiting:
                self._litter.put(work)

    def _sweep(self) -> None:
        while (work := self._litter.get()) is not None:
            with suppress(OSError):  # `end` removes what could not be removed now, or tells
                work()

    def file(self) -> Path:
        """A path where a file may be made that is to be renamed; in the way of nobody, litter if this process dies."""
        return self.path / os.urandom(8).hex()

    def claim(self, *digests: Digest) -> None:
        """Keep prune away from these until the session ends. Claim first, then look whether they are here.

        Where the store cannot be written nobody prunes, or nobody asks us.
        """
        if self._db.barred is not None:
            return
        session = self.id
        holder, claimed = self._claimed
        fresh = [text for digest in digests if (text := str(digest)) not in claimed]
        if not fresh:
            return
        with self._db.write() as db:
            db.executemany("INSERT OR IGNORE INTO lease VALUES (?, ?, ?)", [(session, holder, text) for text in fresh])
        claimed.update(fresh)

    def turn(self) -> None:
        """Let go of what was claimed before the last turn and not since, for a process that lives for days."""
        with self._begin:
            if not self._id or self._pid != os.getpid():
                return
            session = self._id
            older = EVERYTHING[1] if self._claimed[0] == EVERYTHING[0] else EVERYTHING[0]
        with self._db.write() as db:
            db.execute("DELETE FROM lease WHERE session = ? AND holder = ?", (session, older))
        self._claimed = (older, set())

    @contextmanager
    def lease(self, *digests: Digest) -> Iterator[Lease]:
        """Keep prune away from these, and from what is added, until leaving."""
        session = self.id
        with self._begin:
            self._holders += 1
            holder = self._holders
        lease = Lease(self._db, session, holder)
        lease.add(*digests)
        try:
            yield lease
        finally:
            if lease.held:
                with suppress(StoreFull), self._db.write() as db:  # it lives as long as the session, then
                    db.execute("DELETE FROM lease WHERE session = ? AND holder = ?", (session, holder))

    def end(self) -> None:
        """Drop the leases and the scratch directory."""
        with self._begin:
            if not self._id or self._pid != os.getpid():
                return
            if self._broom is not None:
                self._litter.put(None)
                self._broom.join()
                self._broom = None
            waiting, self._waiting = self._waiting, []
            undo = self.undo.pop_all()
            inherited = self.heir is not None and self.heir(self.scratch, self._id, self._lock)
            if not inherited:
                for work in waiting:
                    with suppress(OSError):
                        work()
                undo.close()
            with suppress(StoreFull), self._db.write() as db:  # leases of a session without a directory are dead, too
                db.execute("DELETE FROM lease WHERE session = ?", (self._id,))
            if not inherited:
                discard(self.scratch / self._id)
            os.close(self._lock)
            self._id = ""
            self._claimed = (EVERYTHING[0], set())


class Lease:
    """A set of digests (blobs, layers, chains) that stay; grows with `add`."""

    def __init__(self, db: Database, session: str, holder: int) -> None:
        self._db = db
        self._session = session
        self._holder = holder
        self._known: set[Digest] = set()
        self.held = False
        """Whether there may be a row of it."""

    def add(self, *digests: Digest) -> None:
        """Lease these as well; look whether they are here only afterwards."""
        if fresh := set(digests) - self._known:
            rows = [(self._session, self._holder, str(digest)) for digest in fresh]
            self.held = True
            with self._db.write() as db:
                db.executemany("INSERT OR IGNORE INTO lease VALUES (?, ?, ?)", rows)
            self._known |= fresh


def begin(scratch: Path) -> tuple[str, int]:
    """Make a locked directory; (its name, the descriptor that holds the lock)."""
    while True:
        name = os.urandom(8).hex()
        path = scratch / name
        path.mkdir(mode=0o700)
        try:
            held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # a sweeper was quicker than our open
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.stat(path), os.fstat(held)):
                return name, held
        except (BlockingIOError, FileNotFoundError):
            pass  # a sweeper saw it before it was locked: take another
        os.close(held)


@contextmanager
def unlocked(scratch: Path) -> Iterator[list[Path]]:
    """Litter: scratch directories whose process is gone, locked against a second sweeper meanwhile."""
    found: list[Path] = []
    held: list[int] = []
    try:
        for entry in os.scandir(scratch):
            with suppress(OSError):
                lock = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(lock)
                    continue
                held.append(lock)
                found.append(Path(entry.path))
        yield found
    finally:
        for lock in held:
            os.close(lock)


def sweep(scratch: Path, db: Database) -> int:
    """Remove the litter of dead sessions and their leases; how many there were.

    A session makes its directory before its first lease: leases without one are those of a session that ended, or
    that a power cut has left half.
    """
    lone = [row for row in db.rows("SELECT DISTINCT session FROM lease") if not (scratch / row[0]).exists()]
    if lone:
        with db.write() as connection:
            connection.executemany("DELETE FROM lease WHERE session = ?", lone)
    with unlocked(scratch) as litter:
        for path in litter:
            discard(path)
        if litter:
            with db.write() as connection:
                connection.executemany("DELETE FROM lease WHERE session = ?", [(path.name,) for path in litter])
        return len(litter)


def discard(path: Path) -> None:
    """Remove a tree of ours, whatever its modes; being gone already is fine."""
    try:
        remove(os.fspath(path))
    except OSError:
        if os.geteuid():
            raise
