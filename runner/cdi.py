"""Devices by name: the Container Device Interface, as vendors describe in /etc/cdi what a device needs.

https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md, versions 0.3 to 1.x. Files are read
strictly: of one with what is unknown nothing is there, and who asks for it is told why; what cannot be done in a
sandbox is refused to who asks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from layers.quick import dataclass
from runner.devices import Device
from runner.edits import Edits
from runner.sandbox import Mount

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

DIRECTORIES = (Path("/etc/cdi"), Path("/var/run/cdi"))
"""Where descriptions lie; of two of one device that in the later directory counts."""
SUFFIXES = (".json", ".yaml", ".yml")
AUTOMATIC = "org.mobyproject.buildkit.device.autoallow"
CLASS = "org.mobyproject.buildkit.device.class"
"""Annotations that BuildKit knows: whoever describes a device may let every build have it, and name groups of them."""
SIZE = 4 << 20
"""Most bytes of a description."""

_KIND = r"[A-Za-z][A-Za-z0-9_.-]*(?<![_.-])/[A-Za-z][A-Za-z0-9_.-]*(?<![_.-])"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?"
_VERSION = r"v?(?:0\.[3-9]|1)\.\d+(?:\.\d+)?"
_NUMBERS = ("major", "minor", "fileMode", "uid", "gid")
_HARMLESS = frozenset(("bind", "rbind", "rw", "nosuid", "nodev", "private", "rprivate"))
_REFUSED = {
    "hooks": "hooks are programs that would run outside of the sandbox",
    "intelRdt": "Intel RDT classes are not set here",
    "netDevices": "network interfaces are not moved into sandboxes",
}


@dataclass(frozen=True, slots=True)
class Described:
    """One device of a description; `edits` looks at the host's nodes, and raises ValueError for what cannot be."""

    kind: str
    name: str
    file: Path
    automatic: bool
    group: str | None
    parts: tuple[Mapping[str, Any], ...]

    @property
    def full(self) -> str:
        """`vendor.com/class=name`."""
        return f"{self.kind}={self.name}"

    def edits(self) -> Edits:
        """What it needs. Raises ValueError."""
        try:
            return sum((_edits(part) for part in self.parts), Edits())
        except ValueError as error:
            raise ValueError(f"{self.file}: device {self.name}: {error}") from None


class Registry:
    """The devices that some directories describe."""

    def __init__(self, directories: Iterable[Path] = DIRECTORIES) -> None:
        self.directories = tuple(directories)
        self.faults: list[str] = []
        """Of the files that could not be read."""
        devices: dict[str, list[Described]] = {}
        for directory in self.directories:
            found: dict[str, list[Described]] = {}
            for file in sorted(path for path in _listed(directory) if path.suffix in SUFFIXES):
                try:
                    for device in described(_read(file), file):
                        found.setdefault(device.full, []).append(device)
                except ValueError as error:
                    self.faults.append(f"{file}: {error}")
            devices |= found  # the later directory's
        self._devices: dict[str, Described] = {}
        for full, (first, *others) in sorted(devices.items()):
            if others:
                self.faults.append(f"{full} is described twice, so not at all: in {first.file} and {others[0].file}")
            else:
                self._devices[full] = first

    def find(self, wanted: str) -> list[Described]:
        """The devices of `vendor/class=name`; of `vendor/class` the first one, of `vendor/class=*` all.

        What is no such name, or none that is described, may be the name of a group.
        """
        kind, _, name = wanted.partition("=")
        of_kind = [one for one in self._devices.values() if one.kind == kind]
        if name in ("", "*"):
            found = of_kind if name else of_kind[:1]
        else:
            found = [one for one in of_kind if one.name == name]
        return found or [one for one in self._devices.values() if one.group == wanted]

    def missing(self, wanted: str) -> str:
        """Why there is nothing of that name, in words."""
        where = " and ".join(map(str, self.directories))
        known = f"; there are {', '.join(self._devices)}" if self._devices else ""
        faults = "".join(f"\n{fault}" for fault in self.faults)
        return f"no description in {where} has the device {wanted}{known}{faults}"


def described(document: Any, file: Path) -> Iterator[Described]:
    """The devices of one document, which lies in `file`. Raises ValueError."""
    _only(document, ("cdiVersion", "kind", "annotations", "devices", "containerEdits"), "the description")
    version, kind = document.get("cdiVersion"), document.get("kind")
    if not isinstance(version, str) or not re.fullmatch(_VERSION, version):
        raise ValueError(f"cdiVersion {version!r} is not known")
    if not isinstance(kind, str) or not re.fullmatch(_KIND, kind):
        raise ValueError(f"kind {kind!r} is not vendor.com/class")
    notes = _mapping(document, "annotations")
    common = _mapping(document, "containerEdits")
    devices = _list(document, "devices")
    if not devices:
        raise ValueError("it has no devices")
    for device in devices:
        _only(device, ("name", "annotations", "containerEdits"), "a device")
        name = device.get("name")
        if not isinstance(name, str) or not re.fullmatch(_NAME, name):
            raise ValueError(f"{name!r} is no name of a device")
        told = {**notes, **_mapping(device, "annotations")}
        automatic = str(told.get(AUTOMATIC, "")).lower() in ("1", "t", "true")
        parts = (common, _mapping(device, "containerEdits"))
        for part in parts:
            _check(part)
        if (needed := _needed(kind, bool(told), name, parts)) > _version(version):
            raise ValueError(f"cdiVersion {version} is too old for what it says: 0.{needed}.0 has that")
        group = told.get(CLASS)
        yield Described(kind, name, file, automatic, None if group is None else str(group), parts)


def _version(text: str) -> int:
    """The second number of a version of 0.x, more than any for later ones."""
    first, second, *_ = text.removeprefix("v").split(".")
    return int(second) if first == "0" else 1 << 30


def _needed(kind: str, noted: bool, name: str, parts: Iterable[Mapping[str, Any]]) -> int:
    """The first version of 0.x that knows all that is said, as the reference implementation asks for it."""
    needed = [3]
    for part in parts:
        if part.get("intelRdt") is not None or part.get("additionalGIDs"):
            needed.append(7)
        if any(_text(node, "hostPath") for node in _list(part, "deviceNodes")):
            needed.append(5)
        if any(_text(mount, "type") for mount in _list(part, "mounts")):
            needed.append(4)
    if noted or "." in kind.partition("/")[2]:
        needed.append(6)
    if name[0].isdigit():
        needed.append(5)
    return max(needed)


def _check(part: Mapping[str, Any]) -> None:
    """Whether it says what it may. Raises ValueError."""
    _only(part, ("env", "deviceNodes", "mounts", "additionalGIDs", "additionalGids", *_REFUSED), "containerEdits")
    for text in _list(part, "env", str):
        if "=" not in text[1:] or "\0" in text:
            raise ValueError(f"env {text!r} is not NAME=VALUE")
    for node in _list(part, "deviceNodes"):
        _only(node, ("path", "hostPath", "type", "permissions", *_NUMBERS), "a deviceNode")
        path = _text(node, "path")
        if not path or set(_text(node, "permissions")) - set("rwm"):
            raise ValueError(f"deviceNode {path!r} has {'other permissions than rwm' if path else 'no path'}")
        for name in _NUMBERS:
            _number(node, name)
    for mount in _list(part, "mounts"):
        _only(mount, ("hostPath", "containerPath", "options", "type"), "a mount")


def _listed(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read(file: Path) -> Any:
    try:
        with file.open("rb") as stream:
            data = stream.read(SIZE + 1)
    except OSError as error:
        raise ValueError(error.strerror) from None
    if len(data) > SIZE:
        raise ValueError(f"it has more than {SIZE} bytes")
    try:
        if file.suffix == ".json":
            return json.loads(data)
        import yaml

        try:
            return yaml.safe_load(data)
        except yaml.YAMLError as error:
            raise ValueError(f"it is no YAML: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it cannot be read: {error}") from None


def _edits(part: Mapping[str, Any]) -> Edits:
    for key, why in _REFUSED.items():
        if part.get(key):
            raise ValueError(f"{key} of containerEdits: {why}")
    env = dict(text.split("=", 1) for text in _list(part, "env", str))
    groups = [*_list(part, "additionalGIDs", int), *_list(part, "additionalGids", int)]
    for group in groups:
        if not 0 < group < 2**32 - 1:
            raise ValueError(f"{group} is no number of a group")
    return Edits(
        tuple(map(_node, _list(part, "deviceNodes"))), tuple(map(_mount, _list(part, "mounts"))), env, tuple(groups)
    )


def _node(node: Mapping[str, Any]) -> Device:
    path = _text(node, "path")
    access = _text(node, "permissions") or "rwm"
    found = Device.like(_text(node, "hostPath") or path, path, access)
    kind = {"": found.kind, "u": "c"}.get(_text(node, "type"), _text(node, "type"))
    given = {name: value for name in _NUMBERS if (value := _number(node, name)) is not None}
    wanted = kind, given.get("major", found.major), given.get("minor", found.minor)
    if wanted != (found.kind, found.major, found.minor):
        is_, says = f"{found.kind} {found.major}:{found.minor}", f"{wanted[0]} {wanted[1]}:{wanted[2]}"
        raise ValueError(f"deviceNode {path}: {found.source} is {is_}, the description says {says}")
    mode = given.get("fileMode", found.mode) & 0o777
    return found._replace(mode=mode, uid=given.get("uid", found.uid), gid=given.get("gid", found.gid))


def _mount(mount: Mapping[str, Any]) -> Mount:
    source, target, kind = (_text(mount, key) for key in ("hostPath", "containerPath", "type"))
    options = set(_list(mount, "options", str))
    if kind not in ("", "bind", "none"):
        raise ValueError(f"mount {target!r}: type {kind} is not mounted here, only bind is")
    if unknown := options - _HARMLESS - {"ro"}:
        raise ValueError(f"mount {target!r}: option {min(unknown)} is not known here")
    if not source.startswith("/") or not target.startswith("/"):
        raise ValueError(f"mount of {source!r} at {target!r}: both must be absolute paths")
    if not Path(source).exists():
        raise ValueError(f"mount {target!r}: {source} is not there")
    return Mount(target, Path(source), readonly="ro" in options)


def _only(value: Any, known: Sequence[str], what: str) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is no object")
    if unknown := sorted(map(str, value.keys() - set(known))):
        raise ValueError(f"{what} has {unknown[0]!r}, which is not known here")


def _mapping(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    if found is not None and not isinstance(found, dict):
        raise ValueError(f"{key} is no object")
    return found or {}


def _list(value: Mapping[str, Any], key: str, kind: Callable[..., Any] = dict) -> list[Any]:
    found = value.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(type(one) is kind for one in found):
        raise ValueError(f"{key} is no list of {getattr(kind, '__name__', 'value')}s")
    return found


def _text(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    if found is not None and (not isinstance(found, str) or "\0" in found):
        raise ValueError(f"{key} {found!r} is no text")
    return found or ""


def _number(value: Mapping[str, Any], key: str) -> int | None:
    found = value.get(key)
    if found is not None and (type(found) is not int or not 0 <= found < 1 << 32):
        raise ValueError(f"{key} {found!r} is no number")
    return found
