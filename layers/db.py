"""The store's tables: one SQLite file in WAL mode, shared by processes and threads.

A row implies bytes that are durable already (files are synced and named before their row is
written), so losing the last rows to a power cut loses work, never truth. Hence synchronous=NORMAL
by default (a commit takes some 0.03 ms and cannot tear); transactions that people were told about
(names) or that files are deleted after are `durable`, that is synchronous=FULL.

Transactions are short and immediate: no reading or writing of files inside one, but for renames.
A connection is never used across fork: a child connects anew.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from layers.errors import StoreFormat, StoreFull

VERSION = 1
"""Of the schema; a store of another version is refused, never guessed at."""
APPLICATION = 0x70796264  # "pybd", so that file(1) and we can tell whose database this is
PATIENCE = 60.0
"""Seconds that a transaction waits for those of other processes, which take well below one."""

SCHEMA = """
CREATE TABLE ref (name TEXT PRIMARY KEY, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE INDEX ref_digest ON ref (digest);
CREATE TABLE document (digest TEXT PRIMARY KEY, media_type TEXT NOT NULL, size INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE image (manifest TEXT PRIMARY KEY, config TEXT NOT NULL, added REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX image_config ON image (config);
CREATE TABLE edge (parent TEXT NOT NULL, child TEXT NOT NULL, PRIMARY KEY (parent, child)) WITHOUT ROWID;
CREATE INDEX edge_child ON edge (child);
CREATE TABLE variant (digest TEXT PRIMARY KEY, diff_id TEXT NOT NULL, codec TEXT NOT NULL, level INTEGER,
    size INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX variant_diff_id ON variant (diff_id, codec, level);
CREATE TABLE record (key TEXT PRIMARY KEY, value TEXT NOT NULL, made REAL NOT NULL, used REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE lease (session TEXT NOT NULL, holder INTEGER NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (session, holder, digest)) WITHOUT ROWID;
CREATE TABLE served (repository TEXT NOT NULL, digest TEXT NOT NULL, subject TEXT, PRIMARY KEY (repository, digest))
    WITHOUT ROWID;
CREATE INDEX served_digest ON served (digest);
CREATE INDEX served_subject ON served (subject);
CREATE TABLE snapshot (chain TEXT PRIMARY KEY, parent TEXT, diff_id TEXT NOT NULL, boot_id TEXT NOT NULL) WITHOUT ROWID;
"""

abandoned: list[sqlite3.Connection] = []
"""Connections inherited over fork: never used and never closed, for closing would touch the parent's locks."""


class Database:
    """One connection, taken in turns by the threads of this process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._pid = 0

    def open(self) -> None:
        """Connect and check whose database this is, laying it out if it is new. Raises StoreFormat."""
        with self._turn, self._explained():
            connection = self._connect()
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and self._is_blank(connection):
                self._lay_out(connection)
            elif version != VERSION or connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
                self.close()
                raise StoreFormat(
                    str(self.path.parent),
                    f"its format is version {version}, this program reads version {VERSION}; choose another "
                    "directory with --root, or use the program that made it",
                )

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
    def write(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """One immediate transaction, committed on leaving and undone by an exception. Do not nest."""
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

    def close(self) -> None:
        """Give the connection back; it is made again when needed."""
        with self._turn:
            if self._connection is not None:
                if self._pid == os.getpid():
                    self._connection.close()
                else:
                    abandoned.append(self._connection)
                self._connection = None

    def _connect(self) -> sqlite3.Connection:
        if self._connection is not None and self._pid == os.getpid():
            return self._connection
        if self._connection is not None:
            abandoned.append(self._connection)
        connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous=NORMAL")
        self._connection, self._pid = connection, os.getpid()
        return connection

    def _lay_out(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN IMMEDIATE")
        if not self._is_blank(connection):
            connection.execute("ROLLBACK")  # another process was faster
            return
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id={APPLICATION}")
        connection.execute(f"PRAGMA user_version={VERSION}")
        connection.execute("COMMIT")

    @staticmethod
    def _is_blank(connection: sqlite3.Connection) -> bool:
        return not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what SQLite says about the disk into the errors of this package."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                raise StoreFull(str(self.path.parent)) from error
            raise StoreFormat(str(self.path.parent), f"{self.path.name}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreFormat(str(self.path.parent), f"{self.path.name} cannot be used: {error}") from error
