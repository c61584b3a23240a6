"""What a bundle wants mounted: orders for the process that mounts it, and what it shows as detached mounts."""

import os
import posixpath
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from layers.quick import dataclass
from runner.linux import AT_FDCWD, MS_REC, MS_SHARED, MS_SLAVE, change_mount, copy_mount, map_owners
from runner.oci import options
from runner.oci.document import Node
from runner.oci.idmaps import user_namespace
from runner.oci.namespaces import id_map

if TYPE_CHECKING:
    from runner.oci.order import Place


@dataclass(frozen=True, slots=True)
class Places:
    """The mounts of the bundle in `folder`, whose `linux` part has the container's maps.

    `cgroups` is what /sys/fs/cgroup shows; `descriptors` grow with each mount that is opened, and `undo` closes them.
    """

    folder: Path
    linux: Node
    cgroups: list[tuple[str, Path]]
    descriptors: list[int]
    undo: ExitStack

    def add(self, mount: Node) -> "Place":
        """One more; what it shows is opened here. Raises BundleInvalid, OSError."""
        destination, kind, source = mount.text("destination"), mount.text("type"), mount.text("source")
        try:
            wanted = options.read(mount.texts("options"))
        except ValueError as error:
            raise mount.fail("options", str(error)) from error
        target = os.fsencode(posixpath.normpath("/" + destination).lstrip("/"))
        if not target:
            raise mount.fail("destination", f"{destination!r} is the root itself")
        maps = (id_map(mount, "uidMappings"), id_map(mount, "gidMappings"))
        if (any(maps) or wanted.mapped) and not wanted.bind:
            raise mount.fail("uidMappings", "only a bind mount can be shown with other owners")
        if wanted.bind or kind == "bind":
            place = os.path.join(self.folder, source)
            try:
                directory = stat.S_ISDIR(os.stat(place).st_mode)
                made = copy_mount(AT_FDCWD, os.fsencode(place), recursive=wanted.recursive)
            except OSError as problem:
                raise mount.fail("source", f"{place}: {problem.strerror}".lower()) from problem
            self.undo.callback(os.close, made)
            self.descriptors.append(made)
            if any(maps) or wanted.mapped:
                self._own(made, mount, maps, recursive=wanted.mapped == "ridmap")
            self._attributes(made, wanted)
            return b"bind", target, directory, {}, 0, 0, False, 1
        if kind == "cgroup" or (kind == "cgroup2" and self.cgroups):
            two = kind == "cgroup2" or all(name == "" for name, _ in self.cgroups)
            shown = [(name.removeprefix("name="), path) for name, path in self.cgroups if (name == "") is two]
            for _, path in shown:
                made = copy_mount(AT_FDCWD, os.fsencode(path))
                self.undo.callback(os.close, made)
                self._attributes(made, wanted)
                self.descriptors.append(made)
            names: dict[bytes, bytes | None] = {name.encode(): None for name, _ in shown}
            return b"cgroup", target, True, names, wanted.add, 0, False, len(shown)
        if not kind:
            raise mount.fail("type", "is missing")
        return (
            os.fsencode(kind), target, True, {**_source(kind, source), **wanted.data},
            (wanted.add | wanted.deep_add) & ~wanted.deep_clear, wanted.propagation, wanted.copied, 0,
        )  # fmt: skip

    def _attributes(self, made: int, wanted: options.Options) -> None:
        """Events of the host come in unless told otherwise; ours go out only if that was asked for."""
        if not wanted.propagation & MS_SHARED:
            change_mount(made, propagation=MS_SLAVE, recursive=True)
        if wanted.propagation:
            change_mount(made, propagation=wanted.propagation & ~MS_REC, recursive=bool(wanted.propagation & MS_REC))
        if wanted.add or wanted.clear:
            change_mount(made, add=wanted.add, clear=wanted.clear)
        if wanted.deep_add or wanted.deep_clear:
            change_mount(made, add=wanted.deep_add, clear=wanted.deep_clear, recursive=True)

    def _own(self, made: int, mount: Node, maps: tuple[bytes, bytes], *, recursive: bool) -> None:
        """Show a mount with other owners: by maps of its own, else by the container's."""
        uids, gids = maps if any(maps) else (id_map(self.linux, "uidMappings"), id_map(self.linux, "gidMappings"))
        if not uids or not gids:
            raise mount.fail("uidMappings" if not uids else "gidMappings", "is missing, here and for the container")
        with ExitStack() as undo:
            try:
                map_owners(made, user_namespace(uids, gids, undo), recursive=recursive)
            except OSError as problem:
                why = f"this file system cannot be shown with other owners ({problem.strerror})".lower()
                raise mount.fail("uidMappings", why) from problem


def _source(kind: str, source: str) -> dict[bytes, bytes | None]:
    return {b"source": os.fsencode(source)} if source and kind not in ("proc", "sysfs", "mqueue", "devpts") else {}
