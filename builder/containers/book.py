"""The containers of a store: found by id, id prefix or name; names are unique."""

from __future__ import annotations

import os
from contextlib import nullcontext, suppress
from pathlib import Path

from builder.containers import names
from builder.containers.container import PATIENCE, Container
from builder.containers.errors import ContainerError, ContainerMissing, ContainerState, NameTaken
from builder.containers.settings import Settings
from builder.containers.state import LIVE, Status
from builder.containers.telling import tell
from layers import NameAmbiguous
from layers.disk.removal import remove
from layers.quick import dataclass, replace

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from layers import Store


@dataclass(frozen=True)
class Containers:
    """All containers of one store."""

    store: Store

    @property
    def folder(self) -> Path:
        """Where their folders lie."""
        return self.store.root / "containers"

    def list(self) -> list[Container]:
        """All of them, the youngest first."""
        return [*self._those("ORDER BY created DESC")]

    def _those(self, which: str) -> Iterator[Container]:
        for identity, settings in self.store.db.rows(f"SELECT id, settings FROM container {which}"):
            container = Container(self.store, identity)
            if container.exists:  # else it is being removed
                vars(container)["settings"] = Settings.parse(settings)
                yield container

    def get(self, text: str) -> Container:
        """By whole id, name or id prefix. Raises ContainerMissing or NameAmbiguous."""
        wanted = text.removeprefix("/")
        rows = self.store.db.rows("SELECT id FROM container WHERE id = ? OR name = ? ORDER BY id != ?", *(wanted,) * 3)
        if not rows:
            rows = self.store.db.rows(
                "SELECT id FROM container WHERE substr(id, 1, ?) = ? ORDER BY id", len(wanted), wanted
            )
            if wanted and len(rows) > 1:
                raise NameAmbiguous(text, tuple(identity[:16] for (identity,) in rows))
        for (identity,) in rows if wanted else ():
            if (found := Container(self.store, identity)).exists:
                return found
        import difflib

        raise ContainerMissing(text, tuple(difflib.get_close_matches(text, self.names(), 2)))

    def names(self) -> set[str]:
        """What is taken."""
        return {name for (name,) in self.store.db.rows("SELECT name FROM container")}

    def create(self, settings: Settings, proposed: str = "") -> Container:
        """Make its folder and its row; an empty id is drawn, an empty name chosen, the `proposed` one if it is free.

        Raises NameTaken, ContainerError.
        """
        if settings.name:
            settings = replace(settings, name=checked(settings.name))
        made = Container(self.store, settings.id or os.urandom(32).hex())
        hostname = settings.hostname or made.id[:12]
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made.folder.mkdir(mode=0o700)
        try:
            if not settings.remove:
                sync(self.folder)
            with self._with_volumes(settings) as wanted, self.store.db.write(durable=not settings.remove) as db:
                name = settings.name
                while not name:
                    proposed = proposed or names.propose()
                    free = db.execute("SELECT 1 FROM container WHERE name = ?", (proposed,)).fetchone() is None
                    name, proposed = proposed if free else "", ""
                whole = replace(wanted, id=made.id, name=name, hostname=hostname)
                if owner := db.execute("SELECT id FROM container WHERE name = ?", (name,)).fetchone():
                    if Container(self.store, owner[0]).exists:
                        raise NameTaken(name, owner[0])
                    db.execute("DELETE FROM container WHERE id = ?", owner)  # who removed it was killed meanwhile
                pins = " ".join((settings.image, *settings.diff_ids)).strip()
                db.execute(
                    "INSERT INTO container VALUES (?, ?, ?, ?, ?, ?)",
                    (made.id, name, settings.created, pins, whole.text(), ""),
                )
        except BaseException:
            made.folder.rmdir()
            raise
        vars(made)["settings"] = whole
        tell(made.folder, whole, "create")
        return made

    def _with_volumes(self, settings: Settings) -> AbstractContextManager[Settings]:
        """The settings, while nobody removes the volumes that they speak of."""
        if not any(one.kept for one in settings.volumes):
            return nullcontext(settings)
        from builder.containers.volumes import Volumes

        return Volumes(self.store).wished(settings)

    def rename(self, container: Container, name: str) -> Container:
        """Give it another name. Raises NameTaken, ContainerError."""
        name = checked(name)
        old = container.name
        if name == old:
            raise NameTaken(name, container.id)
        changed = container.change(name=name)
        tell(changed.folder, changed.settings, "rename", oldName=f"/{old}")
        return changed

    def forsaken(self) -> None:
        """Remove what should have removed itself, but its supervisor was killed first."""
        for container in self._those("""WHERE settings LIKE '%"remove": true%'"""):  # every run asks: not all are read
            with suppress(OSError, ContainerState):
                if container.settings.remove and container.state().status is Status.EXITED:
                    self.remove(container)

    def remove(self, container: Container, *, volumes: bool = False) -> None:
        """Delete one that nobody runs, with `volumes` also those of it that have no name. Raises ContainerState.

        One that was to be removed when it ends takes them along in any case.
        """
        with container.claim(0.0 if container.state().status in LIVE else PATIENCE) as mine:
            if not mine:
                if not container.exists:  # it has removed itself
                    return
                raise ContainerState(container.name, f"it is {container.state().status}: stop it first, or use rm -f")
            settings = container.settings
            if settings.remove:
                self.drop(container)
                return
            self._bury(container)
        self._gone(container.folder, settings, volumes=volumes)

    def drop(self, container: Container) -> None:
        """Delete one that promised nobody to last, for who has claimed it; its folder is litter of this process."""
        settings = container.settings
        container.folder.rename(self.store.session.file())
        self._forget(container)
        self._gone(container.folder, settings, volumes=True)

    def _gone(self, folder: Path, settings: Settings, *, volumes: bool) -> None:
        """Tell that it was removed, and let go of its volumes."""
        tell(folder, settings, "destroy")
        if volumes and any(one.kept for one in settings.volumes):
            from builder.containers.volumes import Volumes

            Volumes(self.store).release(settings)

    def _bury(self, container: Container) -> None:
        """Delete one, or keep it whole, though dead. Raises ContainerState."""
        state = container.said()
        grave = self.store.session.file()  # litter, should we be killed
        container.folder.rename(grave)
        sync(self.folder)  # else a power cut could leave it under its name, half removed
        try:
            remove(os.fspath(grave))
        except OSError as error:
            grave.rename(container.folder)
            container.record(replace(state, status=Status.DEAD, error=f"it could not be removed: {error}"))
            raise ContainerState(container.name, f"it could not be removed ({error}): try rm again") from error
        self._forget(container)

    def _forget(self, container: Container) -> None:
        with self.store.db.write() as db:
            db.execute("DELETE FROM container WHERE id = ?", (container.id,))


def sync(folder: Path) -> None:
    """See that what was made or named there lasts."""
    from layers.disk import durable

    durable.sync(folder)


def checked(text: str) -> str:
    """A name, without the slash that inspect shows before it. Raises ContainerError for what cannot be one."""
    name = text.removeprefix("/")
    if not names.is_name(name):
        raise ContainerError(f"invalid container name {text!r}: only [a-zA-Z0-9][a-zA-Z0-9_.-]+ is allowed")
    return name
