"""Volumes: directories that outlive the containers which share them, each known by a name.

    volumes/<name>/_data     what is in it; owners are those that containers know
    volumes/<name>/about     who made it when, labels and options
    volumes/<name>/filling   there while what an image has at the target is being copied into it

One that is here was made whole; who makes, refers to or removes one holds the lock `volumes` of the store, so none goes
between a container's wish for it and the row that says so. Names are docker's, its options those of its driver `local`
(Docker Engine API, "Volume").
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from builder.containers.container import now
from builder.containers.errors import ContainerError
from builder.containers.names import is_name
from builder.containers.settings import Settings, Volume
from layers.disk import durable
from layers.home.eventlog import EventLog
from layers.quick import dataclass, field, replace

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

    from builder.containers.container import Container
    from layers import Store
    from runner import Footing

ANONYMOUS = "com.docker.volume.anonymous"
"""The label of volumes that nobody gave a name; they go with their container."""
BINDS = frozenset({"bind", "rbind"})


class VolumeError(ContainerError):
    """A volume cannot be made or removed."""


class VolumeMissing(VolumeError):
    """No volume has that name."""

    def __init__(self, name: str, near: Iterable[str] = ()) -> None:
        guess = f"; did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"no such volume: {name}{guess}")


class VolumeInUse(VolumeError):
    """Containers refer to it."""

    def __init__(self, name: str, users: Iterable[str]) -> None:
        super().__init__(f"volume {name} is in use by {', '.join(users)}: remove the containers first (pybuild rm)")


@dataclass(frozen=True, slots=True)
class LocalVolume:
    """One volume. `folder` is where it lies, `created` as in `2026-01-31T12:00:00Z`."""

    name: str
    folder: Path
    created: str
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def mountpoint(self) -> Path:
        """Its own directory."""
        return self.folder / "_data"

    @property
    def source(self) -> Path:
        """What containers see: its directory, or the one that its options bind."""
        return Path(self.options["device"]) if self.options else self.mountpoint

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody gave it a name."""
        return ANONYMOUS in self.labels

    def describe(self) -> dict[str, Any]:
        """Docker's object."""
        return {
            "CreatedAt": self.created,
            "Driver": "local",
            "Labels": dict(self.labels),
            "Mountpoint": str(self.mountpoint),
            "Name": self.name,
            "Options": dict(self.options),
            "Scope": "local",
        }


@dataclass(frozen=True)
class Volumes:
    """All volumes of one store."""

    store: Store

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.store.root / "volumes"

    def get(self, name: str) -> LocalVolume:
        """By its name. Raises VolumeMissing."""
        folder = self.folder / name
        if is_name(name):
            with suppress(FileNotFoundError):
                try:
                    about = json.loads((folder / "about").read_bytes())
                    return LocalVolume(name, folder, about["created"], about["labels"], about["options"])
                except (ValueError, KeyError, TypeError):  # torn by a power cut: what is in it counts
                    return LocalVolume(name, folder, now())
        import difflib

        there = os.listdir(self.folder) if self.folder.is_dir() else []
        raise VolumeMissing(name, difflib.get_close_matches(name, there, 2))

    def create(
        self, name: str = "", *, labels: Mapping[str, str] | None = None, options: Mapping[str, str] | None = None
    ) -> LocalVolume:
        """Make one, unless it is there; without a name it is anonymous. Raises VolumeError."""
        with self.store.lock("volumes"):
            return self._create(name, labels or {}, checked(options or {}))

    def _create(self, name: str, labels: Mapping[str, str], options: Mapping[str, str]) -> LocalVolume:
        if not name:
            name, labels = os.urandom(32).hex(), {**labels, ANONYMOUS: ""}
        elif not is_name(name):
            raise VolumeError(f"invalid volume name {name!r}: only [a-zA-Z0-9][a-zA-Z0-9_.-]+ is allowed")
        with suppress(VolumeMissing):
            found = self.get(name)
            if options and dict(options) != dict(found.options):
                raise VolumeError(f"volume {name} is there already, with other options: remove it (pybuild volume rm)")
            return found
        made = LocalVolume(name, self.folder / name, now(), dict(labels), dict(options))
        durable.make(self.folder, 0o700)
        with self.store.scratch() as scratch:
            part = scratch / "volume"
            part.mkdir(0o701)
            (part / "_data").mkdir()
            (part / "_data").chmod(0o755)
            about = {"created": made.created, "labels": made.labels, "options": made.options}
            durable.write(part / "about", json.dumps(about).encode())
            durable.sync(part)
            os.rename(part, made.folder)
        durable.sync(self.folder)
        self._tell("create", name)
        return made

    @contextmanager
    def wished(self, settings: Settings) -> Iterator[Settings]:
        """Settings whose volumes are there, names drawn for those without; a row may be written inside."""
        drawn = []
        with self.store.lock("volumes"):
            try:
                mounts = []
                for one in settings.volumes:
                    if one.kept:
                        made = self._create(one.source, one.labels, checked(one.options))
                        if not one.source:
                            drawn.append(made)
                        one = replace(one, source=made.name, labels={}, options={})
                    mounts.append(one)
                yield replace(settings, volumes=tuple(mounts))
            except BaseException:
                for made in drawn:
                    self._remove(made)
                raise

    def users(self, name: str) -> list[str]:
        """Names of the containers that refer to it."""
        found = []
        for owner, text in self.store.db.rows("SELECT name, settings FROM container WHERE instr(settings, ?)", name):
            if any(one.get("kept") and one["source"] == name for one in json.loads(text)["volumes"]):
                found.append(str(owner))
        return found

    def remove(self, volume: LocalVolume) -> None:
        """Delete one that no container refers to. Raises VolumeInUse, VolumeMissing."""
        with self.store.lock("volumes"):
            if users := self.users(volume.name):
                raise VolumeInUse(volume.name, users)
            self._remove(volume)

    def _remove(self, volume: LocalVolume) -> None:
        with self.store.scratch() as trash:
            try:
                os.rename(volume.folder, trash / "volume")
            except FileNotFoundError:
                raise VolumeMissing(volume.name) from None
            durable.sync(self.folder)
        self._tell("destroy", volume.name)

    def release(self, settings: Settings) -> None:
        """Delete the anonymous volumes of a container that has gone, but for those that others use."""
        for one in settings.volumes:
            if one.kept:
                with suppress(VolumeError):
                    found = self.get(one.source)
                    if found.is_anonymous:
                        self.remove(found)

    def source(self, mount: Volume) -> Path:
        """What a container sees of one of its volumes. Raises VolumeMissing, VolumeError."""
        found = self.get(mount.source)
        if not found.source.exists():
            raise VolumeError(f"volume {found.name}: {found.source} is not there")
        return found.source

    def list(self) -> list[LocalVolume]:
        """All of them, by name."""
        found = []
        with suppress(FileNotFoundError):
            for name in sorted(os.listdir(self.folder)):
                with suppress(VolumeMissing):
                    found.append(self.get(name))
        return found

    def _tell(self, action: str, name: str) -> None:
        EventLog(self.store.root).append("volume", action, name, {"driver": "local"})


def checked(options: Mapping[str, str]) -> Mapping[str, str]:
    """Options of docker's driver `local`, of which a directory of the host can be had. Raises VolumeError."""
    if not options:
        return options
    kind, device = options.get("type", "none"), options.get("device", "")
    words = frozenset(word for word in options.get("o", "").split(",") if word)
    if unknown := options.keys() - {"type", "device", "o"}:
        raise VolumeError(f"--opt {min(unknown)}: unknown; type=none, o=bind and device=DIR are known")
    if kind not in ("none", "bind") or not words & BINDS or words - BINDS - {"rw"}:
        raise VolumeError(
            f"--opt type={kind},o={options.get('o', '')}: nobody stays here to keep such a file system mounted; "
            "mount it on the host, then use type=none, o=bind, device=DIR, or --tmpfs for one in memory"
        )
    if not device.startswith("/"):
        raise VolumeError(f"--opt device={device}: an absolute path of this machine is needed")
    return options


def fill(container: Container, root: Path, footing: Footing) -> None:
    """Copy what the image has at the targets of volumes into those that are empty, as docker does once a container.

    `root` is the container's file system, mounted and not started yet.
    """
    from builder.containers.copying import spread
    from layers.disk.paths import Root
    from layers.disk.removal import clear

    def owner(uid: int, gid: int) -> tuple[int, int]:
        if footing.mapping is None or footing.ids is None:
            return uid, gid
        with suppress(KeyError):
            return footing.ids.inside(uid, gid)
        return uid, gid

    book = Volumes(container.store)
    for one in container.settings.volumes:
        if not one.kept or one.empty:
            continue
        volume = book.get(one.source)
        if volume.options:
            continue
        held = os.open(volume.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        data = os.open(volume.mountpoint, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            mark = volume.folder / "filling"
            if mark.exists():  # whoever began was killed
                clear(data)
            elif os.listdir(data):
                continue
            mark.touch()
            with Root(root) as image:
                spread(image, one.target, data, owner=owner)
            mark.unlink()
        finally:
            os.close(data)
            os.close(held)
