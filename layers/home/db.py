"""The store's tables: one SQLite file in WAL mode, shared by processes and threads.

A row implies bytes that are durable already (files are synced and named before their row is
written), so losing the last rows to a power cut loses work, never truth. Hence synchronous=NORMAL
by default (a commit takes some 0.03 ms and cannot tear); transactions that people were told about
(names) or that files are deleted after are `durable`, that is synchronous=FULL.

Transactions are short and immediate: no reading or writing of files inside one, but for renames.
A connection is never used across fork: a child connects anew.
"""

from __future__ import annotations

import _sqlite3 as sqlite3  # `sqlite3` without what makes dates of texts, and loads `datetime`
import os
import struct
import time
from _thread import RLock
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from layers.errors import LayerError, StoreFormat
from layers.home import room

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

APPLICATION = 0x70796264
"""SQLite's application_id: "pybd", so that file(1) and we can tell whose database this is."""
VERSION = 4
"""Of the stores that this program writes (SQLite's user_version): as many as `layers.home.schema` has steps."""
PATIENCE = 60.0
"""Seconds that a transaction waits for those of other processes, which take well below one."""
FRESH = 600.0
"""Seconds within which a further use of a record or an image is not worth writing down."""
LITTLE = 1 << 17
"""Bytes of a log that a process which ends leaves as it is: that saves 3 ms, and takes who comes next 0.1. More would
save more, but a hundred containers are to take less than a megabyte."""
WORTH = 1 << 20
"""Bytes of unused pages for which the file is written anew."""

HEADER = struct.Struct(">16s44xI4xI")
"""Of the file (sqlite.org/fileformat2.html, "The Database Header"): magic, user_version, application_id."""
MAGIC = b"SQLite format 3\0"

abandoned: list[sqlite3.Connection] = []
"""Connections inherited over fork: never used and never closed, for closing would touch the parent's locks."""


class Database:
    """One connection, taken in turns by the threads of this process."""

    def __init__(self, path: Path, *, barred: LayerError | None = None) -> None:
        self.path = path
        self.barred = barred
        """Why it may only be read, if so: what whoever wants to write is told."""
        self._turn = RLock()
        self._connection: sqlite3.Connection | None = None
        self._pid = 0

    def open(self) -> None:
        """Connect, after a look whose database this is; lay it out if it is new, bring an older one up to date.

        Raises StoreFormat, without having written anything, for what another program or a later version made.
        """
        found = None if self._has_log() else header(self.path)  # a power cut may have torn what the log makes whole
        if found is not None:
            refuse_strange(self.path, *found)
        if self._version() == VERSION:
            return
        if self.barred is not None:
            raise self.barred
        from layers.disk import locks
        from layers.home.schema import upgrade

        with room.full_disk_explained(self.path.parent), locks.alone(self.path.with_name("locks") / "schema"):
            if self._version() == VERSION:  # another process was faster
                return
            with self._turn, self._explained():
                self._keep_log()
                with self.write(durable=True) as db:
                    upgrade(db, self._looked_at(db))
                self._connect().execute("PRAGMA wal_checkpoint(PASSIVE)")  # so that the header says the version

    def _version(self) -> int:
        with self.reading() as db:
            return self._looked_at(db)

    def _keep_log(self) -> None:
        """Have changes written to a log first, from now on (sqlite.org/wal.html). SQLite waits for no reader here."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self._connect().execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
            time.sleep(0.005)

    def _looked_at(self, db: sqlite3.Connection) -> int:
        """The version of a database that we may use. Raises StoreFormat."""
        version, application = (
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id")
        )
        blank = not db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
        refuse_strange(self.path, version, application, blank=blank)
        return int(version)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._turn, self._explained():
            return self._connect().execute(query, values).fetchall()

    def row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        """The first row of a query, if any."""
        with self._turn, self._explained():
            found: tuple[Any, ...] | None = self._connect().execute(query, values).fetchone()
            return found

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Several queries of one moment, whatever others write meanwhile."""
        with self._turn, self._explained():
            connection = self._connect()
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def write(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """One immediate transaction, committed on leaving and undone by an exception. Do not nest.

        Raises StoreReadOnly, StoreFull.
        """
        if self.barred is not None:
            raise self.barred
        with self._turn, self._explained():
            connection = self._connect()
            if durable:
                connection.execute("PRAGMA synchronous=FULL")
            try:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                    raise
            finally:
                if durable:
                    connection.execute("PRAGMA synchronous=NORMAL")

    def rewind(self) -> None:
        """Move all that the log holds into the tables, so that it begins anew in the blocks that it has."""
        with self._turn, self._explained():
            self._connect().execute("PRAGMA wal_checkpoint(RESTART)")

    def shrink(self) -> None:
        """Give the disk back what rows took that are gone, if that is most of the file and worth the copying."""
        with self._turn, self._explained():
            connection = self._connect()
            pages, idle, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
            if 2 * idle > pages and idle * size > WORTH:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Give the connection back; it is made again when needed."""
        with self._turn:
            if self._connection is not None:
                if self._pid == os.getpid():
                    self._connection.close()
                else:
                    abandoned.append(self._connection)
                self._connection = None

    def leave(self) -> None:
        """End with the process: what the log holds is moved into the tables by the next who comes, if it is little."""
        with self._turn:
            if self._connection is not None and self._log_size() < LITTLE:
                abandoned.append(self._connection)
                self._connection = None
        self.close()

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None and self._pid == os.getpid():
            return self._connection
        if self._connection is not None:
            abandoned.append(self._connection)
        if self.barred is not None:
            connection = sqlite3.connect(
                f"{self.path.as_uri()}?{self._as_it_lies()}", uri=True, isolation_level=None, check_same_thread=False
            )
        else:
            connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA synchronous=NORMAL")
        self._connection, self._pid = connection, os.getpid()
        return connection

    def _as_it_lies(self) -> str:
        """How SQLite can read a file in WAL mode where it may not write: with its log, or as one that has none."""
        return "mode=ro" if self._has_log() else "immutable=1"

    def _has_log(self) -> bool:
        """True if there is more than what the file itself says: transactions that were not moved into it yet."""
        return self._log_size() > 0

    def _log_size(self) -> int:
        try:
            return os.stat(f"{self.path}-wal").st_size
        except FileNotFoundError:
            return 0

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what SQLite says about the disk into the errors of this package."""
        try:
            yield
        except sqlite3.OperationalError as error:
            kind = error.sqlite_errorcode & 0xFF
            troubled = kind in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and self.barred is None
            if kind == sqlite3.SQLITE_FULL or (troubled and room.is_full(self.path.parent)):
                raise room.full(self.path.parent) from error
            raise StoreFormat(str(self.path.parent), f"{self.path.name}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreFormat(str(self.path.parent), f"{self.path.name} cannot be used: {error}") from error


def header(path: Path) -> tuple[int, int] | None:
    """(version, application) as the file's first bytes say, or None of a new file. Raises StoreFormat."""
    try:
        with path.open("rb") as file:
            data = file.read(HEADER.size)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise StoreFormat(str(path.parent), "it may not be read; give yourself the right, or use another") from error
    if not data:
        return None
    if len(data) < HEADER.size or (found := HEADER.unpack(data))[0] != MAGIC:
        raise StoreFormat(str(path.parent), f"{path.name} is no database; restore it, or use another store with --root")
    return int(found[1]), int(found[2])


def refuse_strange(path: Path, version: int, application: int, *, blank: bool = True) -> None:
    """Raise StoreFormat unless it is a store of ours that we can read; `blank`: it may be one that was not laid out."""
    if application != APPLICATION and not (blank and version == application == 0):
        raise StoreFormat(
            str(path.parent),
            f"{path.name} belongs to another program (application id {application:#x}); use another"
            " directory with --root",
        )
    if version > VERSION:
        raise StoreFormat(
            str(path.parent),
            f"its format is version {version}, this program knows versions up to {VERSION}; nothing was changed. "
            "Use the program that made it, a newer one, or another directory with --root",
        )
