"""The containers of a store: created under one lock, found by id, id prefix or name.

A container is a folder `containers/<id>`. Who runs it holds a lock on its `lock` file; a state that
says "running" while that lock is free belongs to a supervisor that died, and is settled by the next reader.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.containers import names
from builder.containers.errors import ContainerError, ContainerMissing, ContainerState, NameTaken
from builder.containers.settings import Settings
from builder.containers.state import LIVE, State, Status
from builder.containers.telling import tell
from layers import NameAmbiguous
from layers.disk import durable
from layers.quick import dataclass

if TYPE_CHECKING:
    from layers import Store

KILLED = 137
LOOK = 0.02
"""Seconds between two looks at a lock or a state."""
PATIENCE = 5.0
"""Seconds for a supervisor that has recorded an end to let go."""


def now() -> str:
    """The time as states and settings write it."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True)
class Container:
    """One container on disk."""

    folder: Path

    @cached_property
    def settings(self) -> Settings:
        """What it was created as."""
        return Settings.read(self.folder / "config.json")

    @property
    def id(self) -> str:
        """64 hex digits."""
        return self.folder.name

    @property
    def name(self) -> str:
        """What people call it."""
        return self.settings.name

    @property
    def log(self) -> Path:
        """The file of what it wrote."""
        return self.folder / "log"

    @property
    def upper(self) -> Path:
        """Where what it changed lies."""
        return self.folder / "upper"

    def state(self) -> State:
        """Where it is in its life, as it really is: a dead supervisor's word is corrected first."""
        state = State.read(self.folder / "state.json")
        if state.status in LIVE:
            with self.claim() as mine:
                if mine:
                    state = State.read(self.folder / "state.json")
                    if state.status in LIVE:
                        state = replace(
                            state,
                            status=Status.EXITED,
                            pid=0,
                            exit_code=KILLED,
                            finished=now(),
                            error="its supervisor was killed, and the container with it",
                        )
                        self.record(state)
                        tell(self.folder, self.settings, "die", exitCode=str(KILLED))
        return state

    def change(self, **words: Any) -> Container:
        """Write some settings anew; the caller holds the store's lock "containers"."""
        fresh = Container(self.folder)
        replace(fresh.settings, **words).write(self.folder / "config.json")
        durable.sync(self.folder)
        return Container(self.folder)

    def record(self, state: State) -> None:
        """Say a new state."""
        state.write(self.folder / "state.json")

    @contextmanager
    def claim(self, patience: float = 0.0) -> Iterator[bool]:
        """Try for `patience` seconds to be the one who may run, change or remove it; yields False if somebody else is.

        Whoever has just recorded an end still holds the lock for a moment, and so does a reader of a state.
        """
        try:
            fd = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # removed meanwhile
            yield False
            return
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES):
                raise
            yield False  # who may not write changes nothing
            return
        try:
            until = time.monotonic() + patience
            while not (mine := _locked(fd)) and time.monotonic() < until:
                time.sleep(LOOK)
            yield mine
        finally:
            os.close(fd)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@dataclass(frozen=True)
class Containers:
    """All containers of one store."""

    store: Store

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.store.root / "containers"

    def list(self) -> list[Container]:
        """All of them, the youngest first."""
        try:
            found = [Container(Path(entry)) for entry in os.scandir(self.folder) if is_id(entry.name)]
        except FileNotFoundError:
            return []
        whole = []
        for container in found:
            with suppress(FileNotFoundError):  # removed meanwhile
                whole.append((container.settings.created, container))
        return [container for _, container in sorted(whole, key=lambda pair: pair[0], reverse=True)]

    def get(self, text: str) -> Container:
        """By whole id, name or id prefix. Raises ContainerMissing or NameAmbiguous."""
        everyone = self.list()
        wanted = text.removeprefix("/")
        for container in everyone:
            if wanted in (container.id, container.name):
                return container
        fitting = [container for container in everyone if wanted and container.id.startswith(wanted)]
        if len(fitting) > 1:
            raise NameAmbiguous(text, tuple(container.id[:16] for container in fitting))
        if not fitting:
            import difflib

            near = difflib.get_close_matches(text, [container.name for container in everyone], 2)
            raise ContainerMissing(text, tuple(near))
        return fitting[0]

    def create(self, settings: Settings) -> Container:
        """Make its folder, whole or not at all; an empty name is chosen, an empty id drawn. Raises NameTaken."""
        if settings.name:
            checked(settings.name)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.store.lock("containers"):
            taken = {container.name: container.id for container in self.list()}
            name = settings.name
            if name in taken:
                raise NameTaken(name, taken[name])
            while not name:
                proposed = names.propose()
                name = "" if proposed in taken else proposed
            identity = settings.id or secrets.token_hex(32)
            hostname = settings.hostname or identity[:12]
            draft = self.folder / f".{identity}"
            draft.mkdir(mode=0o700)
            replace(settings, id=identity, name=name, hostname=hostname).write(draft / "config.json")
            pins = "".join(f"{line}\n" for line in (settings.image, *settings.diff_ids))
            durable.write(draft / "pins", pins.encode())
            durable.sync(draft)
            final = self.folder / identity
            draft.rename(final)
            durable.sync(self.folder)
        made = Container(final)
        tell(final, made.settings, "create")
        return made

    def rename(self, container: Container, name: str) -> Container:
        """Give it another name. Raises NameTaken, ContainerError."""
        checked(name)
        with self.store.lock("containers"):
            for other in self.list():
                if other.name == name:
                    raise NameTaken(name, other.id)
            old = container.name
            changed = container.change(name=name)
        tell(changed.folder, changed.settings, "rename", oldName=f"/{old}")
        return changed

    def update(self, container: Container, **words: Any) -> Container:
        """Other `limits` or another `restart` policy, remembered; what runs is told by its supervisor."""
        with self.store.lock("containers"):
            return container.change(**words)

    def forsaken(self) -> None:
        """Remove what should have removed itself, but its supervisor was killed first."""
        for container in self.list():
            with suppress(OSError, ContainerState):
                if container.settings.remove and container.state().status is Status.EXITED:
                    self.remove(container)

    def remove(self, container: Container) -> None:
        """Delete one that nobody runs. Raises ContainerState."""
        with container.claim(0.0 if container.state().status in LIVE else PATIENCE) as mine:
            if not mine:
                if not container.folder.exists():  # it has removed itself
                    return
                raise ContainerState(container.name, f"it is {container.state().status}: stop it first, or use rm -f")
            settings, state = container.settings, State.read(container.folder / "state.json")
            container.record(replace(state, status=Status.REMOVING))
            grave = self.folder / f".{container.id}"
            container.folder.rename(grave)
            durable.sync(self.folder)  # else a power cut could leave it under its name, half removed
            try:
                shutil.rmtree(grave)
            except OSError as error:
                grave.rename(container.folder)
                container.record(replace(state, status=Status.DEAD, error=f"it could not be removed: {error}"))
                raise ContainerState(settings.name, f"it could not be removed ({error}): try rm again") from error
        tell(container.folder, settings, "destroy")


def checked(name: str) -> None:
    """Raise ContainerError for what cannot be a name."""
    if not names.is_name(name):
        raise ContainerError(f"invalid container name {name!r}: only [a-zA-Z0-9][a-zA-Z0-9_.-]+ is allowed")


def is_id(text: str) -> bool:
    """64 lower-case hex digits."""
    return len(text) == 64 and all(char in "0123456789abcdef" for char in text)
