"""From config.json to the orders for the process that becomes the container. No decision is left to that process.

What cannot be given is refused here, before anything is made. Reference: the OCI runtime-spec, config.md and
config-linux.md.
"""

import os
import posixpath
import re
import stat
from contextlib import ExitStack
from pathlib import Path

from layers.quick import dataclass
from runner.linux import (
    AT_FDCWD,
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MS_REC,
    MS_SLAVE,
    change_mount,
    copy_mount,
)
from runner.oci import namespaces, options, process, seccomp
from runner.oci.document import LARGEST, Node
from runner.oci.hooks import Hook
from runner.oci.namespaces import id_map
from runner.oci.places import Places
from runner.owners import nested
from runner.walls import DEVICES

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
        made, joined = namespaces.wanted(config)
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
            "uid_map": id_map(self.linux, "uidMappings"),
            "gid_map": id_map(self.linux, "gidMappings"),
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
        opened = Places(self.folder, part, cgroups, descriptors, undo)
        places = [opened.add(mount) for mount in config.tables("mounts")]
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
            "in_user": nested() or bool(self.kinds & CLONE_NEWUSER),
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
                if not id_map(part, key):
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


def _inside(part: Node, key: str) -> list[bytes]:
    found = part.texts(key)
    for path in found:
        if not path.startswith("/"):
            raise part.fail(key, f"{path!r} is no absolute path")
    return [os.fsencode(posixpath.normpath(path).lstrip("/")) for path in found if posixpath.normpath(path) != "/"]
