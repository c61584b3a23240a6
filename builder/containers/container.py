"""One container of a store: a row that says what it was created as and how it is, and a folder of what it changed.

Who runs it holds a lock on the folder's `lock` file; a state that says "running" while that lock is free belongs to a
supervisor that died, and is settled by the next reader.
"""

from __future__ import annotations

import fcntl
import os
import time
from _sqlite3 import IntegrityError
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from builder.containers.errors import ContainerMissing, ContainerState, NameTaken
from builder.containers.settings import Settings
from builder.containers.state import LIVE, State, Status
from builder.containers.telling import tell
from layers.disk import locks
from layers.quick import dataclass, replace

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

    from layers import Store

KILLED = 137
CODE = 16
"""Bytes of a lock that may be an exit code."""
LOOK = 0.02
"""Seconds between two looks at a lock or a state."""
PATIENCE = 5.0
"""Seconds for a supervisor that has recorded an end to let go."""


def now() -> str:
    """The time as states and settings write it."""
    seconds, millionths = divmod(time.time_ns() // 1000, 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{millionths:06}Z"


@dataclass(frozen=True)
class Container:
    """One container; its settings are read once, its state each time."""

    store: Store
    id: str
    """64 hex digits."""

    @cached_property
    def settings(self) -> Settings:
        """What it was created as. Raises ContainerMissing."""
        row = self.store.db.row("SELECT settings FROM container WHERE id = ?", self.id)
        if row is None:
            raise ContainerMissing(self.id[:12])
        return Settings.parse(row[0])

    @property
    def name(self) -> str:
        """What people call it."""
        return self.settings.name

    @cached_property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.store.root / "containers" / self.id

    @property
    def log(self) -> Path:
        """The file of what it wrote."""
        return self.folder / "log"

    @property
    def upper(self) -> Path:
        """Where what it changed lies; a container that changed nothing may have none."""
        return self.folder / "upper"

    @property
    def exists(self) -> bool:
        """False once it was removed."""
        return self.folder.exists()

    def said(self) -> State:
        """The last word about it, which may be that of a supervisor that is dead."""
        row = self.store.db.row("SELECT state FROM container WHERE id = ?", self.id)
        return State.parse(row[0]) if row is not None else State()

    def state(self) -> State:
        """Where it is in its life, as it really is: a dead supervisor's word is corrected first."""
        state = self.said()
        if state.status in LIVE and self.store.db.barred is None:  # who may not write changes nothing
            with self.held() as lock:
                if lock is not None and (state := self.said()).status in LIVE:
                    code = os.pread(lock, CODE, 0)
                    state = replace(
                        state,
                        status=Status.EXITED,
                        pid=0,
                        exit_code=int(code or KILLED),
                        finished=now(),
                        error="" if code else "its supervisor was killed, and the container with it",
                    )
                    self.record(state)
                    tell(self.folder, self.settings, "die", exitCode=str(state.exit_code))
        return state

    def again(self) -> Container:
        """The same one, its settings not read yet."""
        return Container(self.store, self.id)

    def change(self, **words: Any) -> Container:
        """Write some settings anew. Raises NameTaken, ContainerMissing."""
        with self.store.db.write(durable=True) as db:
            row = db.execute("SELECT settings FROM container WHERE id = ?", (self.id,)).fetchone()
            if row is None:
                raise ContainerMissing(self.id[:12])
            settings = replace(Settings.parse(row[0]), **words)
            try:
                db.execute(
                    "UPDATE container SET name = ?, settings = ? WHERE id = ?",
                    (settings.name, settings.text(), self.id),
                )
            except IntegrityError:
                owner = db.execute("SELECT id FROM container WHERE name = ?", (settings.name,)).fetchone()
                raise NameTaken(settings.name, owner[0]) from None
        return self.again()

    def record(self, state: State) -> None:
        """Say a new state."""
        with self.store.db.write() as db:
            db.execute("UPDATE container SET state = ? WHERE id = ?", (state.text(), self.id))

    @contextmanager
    def claim(self, patience: float = 0.0) -> Iterator[bool]:
        """Try for `patience` seconds to be the one who may run, change or remove it; yields False if somebody else is.

        Whoever has just recorded an end still holds the lock for a moment, and so does a reader of a state; who runs it
        holds it for long. Nobody is the one of a container that was removed meanwhile. Raises StoreReadOnly.
        """
        with self.held(patience) as lock:
            yield lock is not None

    @contextmanager
    def held(self, patience: float = 0.0) -> Iterator[int | None]:
        """As `claim`, with the descriptor that holds the lock, for a process of ours that goes on with it; or None."""
        if self.store.db.barred is not None:
            raise self.store.db.barred
        path = self.folder / "lock"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # removed meanwhile
            yield None
            return
        try:
            until = time.monotonic() + patience
            while not (mine := _locked(fd)) and time.monotonic() < until and self.said().status not in LIVE:
                time.sleep(LOOK)
            yield fd if mine and locks.stands(fd, path) else None
        finally:
            os.close(fd)

    @contextmanager
    def beginning(self) -> Iterator[int]:
        """Claim it to run it; the descriptor that holds the lock. Raises ContainerState, ContainerMissing."""
        with self.held(0.0 if self.state().status in LIVE else PATIENCE) as lock:
            if lock is None:
                if not self.exists:
                    raise ContainerMissing(self.id[:12])
                raise ContainerState(self.name, "it is running already")
            os.ftruncate(lock, 0)  # the code of an end that could not be said
            yield lock

    def leave_code(self, code: int) -> None:
        """Write its exit code into its lock, for those who wait for that and then find the container gone, or find that
        its end could not be said."""
        lock = os.open(self.folder / "lock", os.O_WRONLY | os.O_CLOEXEC)
        try:
            with suppress(OSError):  # there is no room for that either
                os.write(lock, b"%d" % code)
        finally:
            os.close(lock)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
