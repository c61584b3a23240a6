"""From config.json to the orders for the process that becomes the container. No decision is left to that process.

What cannot be given is refused here, before anything is made. Reference: the OCI runtime-spec, config.md and
config-linux.md.
"""

import os
import posixpath
import re
import stat
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from runner import linux
from runner.linux import (
    AT_FDCWD,
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MS_REC,
    MS_SHARED,
    MS_SLAVE,
    change_mount,
    copy_mount,
    map_owners,
)
from runner.oci import options, process, seccomp
from runner.oci.document import LARGEST, Node
from runner.oci.errors import BundleInvalid
from runner.oci.hooks import Hook
from runner.oci.idmaps import user_namespace
from runner.walls import DEVICES

NAMESPACES = {
    "pid": CLONE_NEWPID,
    "network": CLONE_NEWNET,
    "mount": CLONE_NEWNS,
    "ipc": CLONE_NEWIPC,
    "uts": CLONE_NEWUTS,
    "user": CLONE_NEWUSER,
    "cgroup": CLONE_NEWCGROUP,
    "time": CLONE_NEWTIME,
}
HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
VERSION = "1.2.1"
"""Of the runtime-spec that is followed."""
IPC_SYSCTL = re.compile(r"kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)|fs\.mqueue\..+")
PERSONALITIES = {"LINUX": 0, "LINUX32": 8}
OTHERS = ("solaris", "windows", "vm", "zos", "freebsd")


@dataclass(slots=True)
class Bundle:
    """A directory with a config.json, read and checked as far as that needs no kernel."""

    folder: Path
    config: Node
    process: process.Process
    made: int
    joined: list[tuple[int, str]]

    @classmethod
    def open(cls, folder: Path) -> "Bundle":
        """Read a bundle. Raises BundleInvalid, FileNotFoundError."""
        folder = folder.absolute()
        path = folder / "config.json"
        with path.open("rb") as file:
            return cls.of(folder, Node.read(file.read(LARGEST)))

    @classmethod
    def of(cls, folder: Path, config: Node) -> "Bundle":
        """The bundle with this config."""
        version = config.text("ociVersion")
        if not re.fullmatch(r"1\.\d+\.\d+([-+].*)?", version):
            raise config.fail("ociVersion", f"{version!r} is no version 1 of the specification")
        for key in OTHERS:
            if key in config:
                raise config.fail(key, "is for another kind of system; this is linux")
        if "process" not in config:
            raise config.fail("process", "is missing")
        if "linux" not in config:
            raise config.fail("linux", "is missing")
        _refused(config)
        made, joined = _namespaces(config)
        bundle = cls(folder, config, process.read(config.table("process")), made, joined)
        bundle._check()
        return bundle

    @property
    def linux(self) -> Node:
        """The part for this kind of system."""
        return self.config.table("linux")

    @property
    def root(self) -> Path:
        """The root file system on the host."""
        path = self.config.table("root").text("path")
        if not path:
            raise self.config.table("root").fail("path", "is missing")
        return Path(os.path.normpath(self.folder / path))

    @property
    def annotations(self) -> dict[str, str]:
        """What the config is annotated with."""
        return self.config.pairs("annotations")

    @property
    def kinds(self) -> int:
        """The namespaces that are not the host's."""
        return self.made | sum(kind for kind, _ in self.joined)

    def hooks(self, kind: str) -> list[Hook]:
        """The hooks of one kind, in order."""
        return hooks_of(self.config, kind)

    def seed(self) -> dict[str, object]:
        """What a BundleSeed has to know but its kind."""
        return {
            # The control groups are entered first, and their namespace is made then.
            "namespaces": self.made & ~(CLONE_NEWCGROUP | CLONE_NEWTIME),
            "entered": [kind for kind, _ in self.joined],
            "offsets": self._offsets(),
            "uid_map": _map(self.linux, "uidMappings"),
            "gid_map": _map(self.linux, "gidMappings"),
            "joins": 0,
            "unified": False,
            "time_offset": None,
            "cgroup_view": [],
        }

    def order(self, cgroups: list[tuple[str, Path]], undo: ExitStack) -> tuple[dict[str, object], list[int]]:
        """The fields of an Order but its hooks, and the descriptors of its root and mounts, closed by `undo`.

        `cgroups` are the container's groups: what /sys/fs/cgroup shows. Raises BundleInvalid, OSError.
        """
        config, part = self.config, self.linux
        root = copy_mount(AT_FDCWD, os.fsencode(self.root), recursive=True)
        undo.callback(os.close, root)
        propagation = part.text("rootfsPropagation")
        change_mount(root, propagation=MS_SLAVE, recursive=True)
        descriptors = [root]
        places = [self._place(mount, cgroups, descriptors, undo) for mount in config.tables("mounts")]
        own_dev = not any(place[1] == b"dev" and place[0] == b"bind" for place in places)
        return {
            **self.process.order(),
            "filter": seccomp.program(part.table("seccomp")) if "seccomp" in part else b"",
            "hostname": config.text("hostname").encode(),
            "domainname": config.text("domainname").encode(),
            "places": places,
            "nodes": self._nodes() if own_dev else [],
            "own_dev": own_dev,
            "masked": _inside(part, "maskedPaths"),
            "readonly": _inside(part, "readonlyPaths"),
            "sysctl": [(key.replace(".", "/").encode(), value.encode()) for key, value in part.pairs("sysctl").items()],
            "readonly_root": config.table("root").flag("readonly"),
            "root_propagation": options.PROPAGATION[propagation] | MS_REC if propagation else 0,
            "in_user": bool(self.kinds & CLONE_NEWUSER),
            "own_cgroup": bool(self.made & CLONE_NEWCGROUP),
            "personality": self._personality(),
            "mounts": [],
            "shm_size": 0,
            "nodev": False,
        }, descriptors

    def _check(self) -> None:
        config, part = self.config, self.linux
        if not self.made & CLONE_NEWNS:
            raise part.fail("namespaces", "a mount namespace of its own is needed: no other root can be given safely")
        if not self.root.is_dir():
            raise config.table("root").fail("path", f"{self.root} is no directory")
        for key in ("hostname", "domainname"):
            if config.text(key) and not self.kinds & CLONE_NEWUTS:
                raise config.fail(key, "cannot be set without a uts namespace")
        if self.made & CLONE_NEWUSER:
            for key in ("uidMappings", "gidMappings"):
                if not _map(part, key):
                    raise part.fail(key, "is missing: the user namespace needs it")
        elif "uidMappings" in part and not self.kinds & CLONE_NEWUSER:
            raise part.fail("uidMappings", "has no meaning without a user namespace")
        for key in part.pairs("sysctl"):
            self._check_sysctl(key)
        if (name := part.text("rootfsPropagation")) and name not in options.PROPAGATION:
            raise part.fail("rootfsPropagation", f"{name!r} is no propagation")
        if not self.kinds & CLONE_NEWUSER:
            process.refuse_more(config.table("process"), self.process.sets, process.own_capabilities())
        for kind in HOOKS:
            self.hooks(kind)
        self._offsets()
        self._personality()

    def _check_sysctl(self, key: str) -> None:
        if not all(key.replace(".", "/").split("/")) or not re.fullmatch(r"[\w.\-/]+", key):
            raise self.linux.fail("sysctl", f"{key!r} is no name of a setting")
        for fits, kind, name in (
            (IPC_SYSCTL.fullmatch(key), CLONE_NEWIPC, "ipc"),
            (key.startswith("net."), CLONE_NEWNET, "network"),
            (key in ("kernel.domainname", "kernel.hostname"), CLONE_NEWUTS, "uts"),
            (key.startswith("user."), CLONE_NEWUSER, "user"),
        ):
            if fits:
                if not self.kinds & kind:
                    raise self.linux.fail("sysctl", f"{key} is the host's without a {name} namespace")
                return
        raise self.linux.fail("sysctl", f"{key} belongs to no namespace: it would be set for the whole machine")

    def _place(
        self, mount: Node, cgroups: list[tuple[str, Path]], descriptors: list[int], undo: ExitStack
    ) -> tuple[bytes, bytes, bool, dict[bytes, bytes | None], int, int, bool, int]:
        """One mount; what it shows is opened here, and added to `descriptors`."""
        destination, kind, source = mount.text("destination"), mount.text("type"), mount.text("source")
        try:
            wanted = options.read(mount.texts("options"))
        except ValueError as error:
            raise mount.fail("options", str(error)) from error
        target = os.fsencode(posixpath.normpath("/" + destination).lstrip("/"))
        if not target:
            raise mount.fail("destination", f"{destination!r} is the root itself")
        maps = (_map(mount, "uidMappings"), _map(mount, "gidMappings"))
        if (any(maps) or wanted.mapped) and not wanted.bind:
            raise mount.fail("uidMappings", "only a bind mount can be shown with other owners")
        if wanted.bind or kind == "bind":
            place = os.path.join(self.folder, source)
            try:
                directory = stat.S_ISDIR(os.stat(place).st_mode)
                made = copy_mount(AT_FDCWD, os.fsencode(place), recursive=wanted.recursive)
            except OSError as problem:
                raise mount.fail("source", f"{place}: {problem.strerror}".lower()) from problem
            undo.callback(os.close, made)
            descriptors.append(made)
            if any(maps) or wanted.mapped:
                self._own(made, mount, maps, recursive=wanted.mapped == "ridmap")
            self._attributes(made, wanted)
            return b"bind", target, directory, {}, 0, 0, False, 1
        if kind == "cgroup" or (kind == "cgroup2" and cgroups):
            two = kind == "cgroup2" or all(name == "" for name, _ in cgroups)
            shown = [(name.removeprefix("name="), path) for name, path in cgroups if (name == "") is two]
            for _, path in shown:
                made = copy_mount(AT_FDCWD, os.fsencode(path))
                undo.callback(os.close, made)
                self._attributes(made, wanted)
                descriptors.append(made)
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
        uids, gids = maps if any(maps) else (_map(self.linux, "uidMappings"), _map(self.linux, "gidMappings"))
        if not uids or not gids:
            raise mount.fail("uidMappings" if not uids else "gidMappings", "is missing, here and for the container")
        with ExitStack() as undo:
            try:
                map_owners(made, user_namespace(uids, gids, undo), recursive=recursive)
            except OSError as problem:
                why = f"this file system cannot be shown with other owners ({problem.strerror})".lower()
                raise mount.fail("uidMappings", why) from problem

    def _nodes(self) -> list[tuple[bytes, int, int, int, int, int]]:
        found = {
            b"dev/" + name: (b"dev/" + name, stat.S_IFCHR | 0o666, major, minor, 0, 0) for name, major, minor in DEVICES
        }
        types = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
        for device in self.linux.tables("devices"):
            path = os.fsencode(posixpath.normpath("/" + device.text("path")).lstrip("/"))
            kind = device.text("type")
            if kind not in types or not path:
                raise device.fail("type" if path else "path", f"{kind!r} is no type of device" if path else "is empty")
            mode = device.number("fileMode", high=0o177777)
            found[path] = (
                path, types[kind] | (0o666 if mode is None else stat.S_IMODE(mode)),
                device.number("major", high=2**32 - 1) or 0, device.number("minor", high=2**32 - 1) or 0,
                device.number("uid", high=2**32 - 2) or 0, device.number("gid", high=2**32 - 2) or 0,
            )  # fmt: skip
        return list(found.values())

    def _offsets(self) -> bytes:
        lines = b""
        offsets = self.linux.table("timeOffsets")
        for clock in offsets.value:
            if clock not in ("monotonic", "boottime"):
                raise offsets.fail(clock, "is no clock that can be set ahead")
            one = offsets.table(clock)
            seconds, parts = one.number("secs", low=-(2**62), high=2**62) or 0, one.number("nanosecs", high=999_999_999)
            lines += b"%b %d %d\n" % (clock.encode(), seconds, parts or 0)
        if lines and not self.made & CLONE_NEWTIME:
            raise self.linux.fail("timeOffsets", "has no meaning without a time namespace")
        return lines or (b"monotonic 0 0\n" if self.made & CLONE_NEWTIME else b"")

    def _personality(self) -> int:
        asked = self.linux.table("personality")
        if not asked.value:
            return -1
        domain = asked.text("domain")
        if domain not in PERSONALITIES:
            raise asked.fail("domain", f"{domain!r} is neither LINUX nor LINUX32")
        if asked.texts("flags"):
            raise asked.fail("flags", "are not supported: no specification names any")
        return PERSONALITIES[domain]


def hooks_of(config: Node, kind: str) -> list[Hook]:
    """The hooks of one kind that a config names, in order. Raises BundleInvalid."""
    found: list[Hook] = []
    for hook in config.table("hooks").tables(kind):
        path = hook.text("path")
        if not path.startswith("/"):
            raise hook.fail("path", f"must be an absolute path, not {path!r}")
        timeout = hook.number("timeout", high=2**31)
        if timeout == 0:
            raise hook.fail("timeout", "must be greater than zero")
        args = [os.fsencode(word) for word in hook.texts("args")] or [os.fsencode(path)]
        found.append((os.fsencode(path), args, process.environment(hook), timeout or 0))
    return found


def _refused(config: Node) -> None:
    part = config.table("linux")
    for key in ("intelRdt", "netDevices", "memoryPolicy", "mountLabel"):
        if part.value.get(key):
            raise part.fail(key, "is not supported")


def _namespaces(config: Node) -> tuple[int, list[tuple[int, str]]]:
    made, joined, seen = 0, [], set()
    for namespace in config.table("linux").tables("namespaces"):
        name, path = namespace.text("type"), namespace.text("path")
        if name not in NAMESPACES:
            raise namespace.fail("type", f"{name!r} is no namespace")
        if name in seen:
            raise namespace.fail("type", f"{name} is there twice")
        seen.add(name)
        if not path:
            made |= NAMESPACES[name]
        elif name == "mount":
            raise namespace.fail("path", "a mount namespace cannot be joined: the root would be another's")
        elif not path.startswith("/"):
            raise namespace.fail("path", f"must be an absolute path, not {path!r}")
        else:
            joined.append((NAMESPACES[name], path))
    return made, joined


def open_namespaces(joined: list[tuple[int, str]], undo: ExitStack) -> list[int]:
    """Descriptors of namespaces to join, each of the kind that it is said to be. Raises BundleInvalid."""
    found = []
    for kind, path in joined:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            undo.callback(os.close, descriptor)
            if linux.namespace_kind(descriptor) != kind:
                raise BundleInvalid("linux.namespaces", f"{path} is a namespace of another kind")
        except OSError as problem:
            raise BundleInvalid("linux.namespaces", f"{path}: {problem.strerror}".lower()) from problem
        found.append(descriptor)
    return found


def _map(part: Node, key: str) -> bytes:
    lines = []
    for one in part.tables(key):
        numbers = [one.number(name, high=2**32 - 1) for name in ("containerID", "hostID", "size")]
        if not numbers[2]:
            raise one.fail("size", "must be greater than zero")
        lines.append("{} {} {}\n".format(*(number or 0 for number in numbers)))
    return "".join(lines).encode()


def _inside(part: Node, key: str) -> list[bytes]:
    found = part.texts(key)
    for path in found:
        if not path.startswith("/"):
            raise part.fail(key, f"{path!r} is no absolute path")
    return [os.fsencode(posixpath.normpath(path).lstrip("/")) for path in found if posixpath.normpath(path) != "/"]


def _source(kind: str, source: str) -> dict[bytes, bytes | None]:
    return {b"source": os.fsencode(source)} if source and kind not in ("proc", "sysfs", "mqueue", "devpts") else {}
