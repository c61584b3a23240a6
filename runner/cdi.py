"""Devices by name: the Container Device Interface, as vendors describe in /etc/cdi what a device needs.

https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md, versions 0.3 to 1.x. Files are read
strictly: what is unknown, or cannot be done in a sandbox, makes a file's devices unusable, and asking for one says why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from layers.quick import dataclass, field
from runner.devices import Device
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

_KIND = r"[A-Za-z][A-Za-z0-9_.-]*(?<![_.-])/[A-Za-z][A-Za-z0-9_-]*(?<![_-])"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?"
_VERSION = r"v?(?:0\.[3-9]|1)\.\d+(?:\.\d+)?"
_HARMLESS = frozenset(("bind", "rbind", "rw", "nosuid", "nodev", "private", "rprivate"))
_REFUSED = {
    "hooks": "hooks are programs that would run outside of the sandbox",
    "intelRdt": "Intel RDT classes are not set here",
    "netDevices": "network interfaces are not moved into sandboxes",
}


@dataclass(frozen=True, slots=True)
class Edits:
    """What a sandbox gets for some devices: nodes, mounts, variables, further groups."""

    devices: tuple[Device, ...] = ()
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[int, ...] = ()

    def __add__(self, other: Edits) -> Edits:
        return Edits(
            tuple(dict.fromkeys((*self.devices, *other.devices))),
            tuple(dict.fromkeys((*self.mounts, *other.mounts))),
            {**self.env, **other.env},
            tuple(dict.fromkeys((*self.groups, *other.groups))),
        )


@dataclass(frozen=True, slots=True)
class Described:
    """One device of a description; `edits` looks at the host's nodes, and raises ValueError for what cannot be."""

    kind: str
    name: str
    file: Path
    automatic: bool
    group: str
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
        self._devices: dict[str, list[Described]] = {}
        for directory in self.directories:
            found: dict[str, list[Described]] = {}
            for file in sorted(path for path in _listed(directory) if path.suffix in SUFFIXES):
                try:
                    for device in described(_read(file), file):
                        found.setdefault(device.full, []).append(device)
                except ValueError as error:
                    self.faults.append(f"{file}: {error}")
            self._devices |= found  # the later directory's

    def find(self, wanted: str) -> list[Described]:
        """The devices of `vendor/class=name`; of `vendor/class` the first one, of `vendor/class=*` all.

        A name may be that of a group, too. Raises ValueError if it is no such name, or described twice.
        """
        kind, _, name = wanted.partition("=")
        if not re.fullmatch(_KIND, kind):
            raise ValueError(f"{wanted!r} is no device: write vendor.com/class=name")
        of_kind = [one for full, one in sorted(self._devices.items()) if full.startswith(f"{kind}=")]
        if name in ("", "*"):
            found = of_kind if name else of_kind[:1]
        else:
            found = [one for one in of_kind if one[0].name == name]
            found = found or [one for one in of_kind if one[0].group == name]
        for first, *others in found:
            if others:
                raise ValueError(f"{first.full} is described twice: in {first.file} and {others[0].file}")
        return [one for one, *_ in found]

    def missing(self, wanted: str) -> str:
        """Why there is nothing of that name, in words."""
        where = " and ".join(map(str, self.directories))
        known = f"; there are {', '.join(sorted(self._devices))}" if self._devices else ""
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
        yield Described(kind, name, file, automatic, str(told.get(CLASS, "")), parts)


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
    _only(part, ("env", "deviceNodes", "mounts", "additionalGIDs", "additionalGids", *_REFUSED), "containerEdits")
    env = {}
    for text in _list(part, "env", str):
        key, equals, value = text.partition("=")
        if not key or not equals or "\0" in text:
            raise ValueError(f"env {text!r} is not NAME=VALUE")
        env[key] = value
    groups = [*_list(part, "additionalGIDs", int), *_list(part, "additionalGids", int)]
    for group in groups:
        if not 0 < group < 2**32 - 1:
            raise ValueError(f"{group} is no number of a group")
    return Edits(
        tuple(map(_node, _list(part, "deviceNodes"))), tuple(map(_mount, _list(part, "mounts"))), env, tuple(groups)
    )


def _node(node: Mapping[str, Any]) -> Device:
    numbers = ("major", "minor", "fileMode", "uid", "gid")
    _only(node, ("path", "hostPath", "type", "permissions", *numbers), "a deviceNode")
    path = _text(node, "path")
    access = _text(node, "permissions") or "rwm"
    if not path or set(access) - set("rwm"):
        raise ValueError(f"deviceNode {path!r} has {'other permissions than rwm' if path else 'no path'}")
    found = Device.like(_text(node, "hostPath") or path, path, access)
    kind = {"": found.kind, "u": "c"}.get(_text(node, "type"), _text(node, "type"))
    given = {name: value for name in numbers if (value := _number(node, name)) is not None}
    wanted = kind, given.get("major", found.major), given.get("minor", found.minor)
    if wanted != (found.kind, found.major, found.minor):
        is_, says = f"{found.kind} {found.major}:{found.minor}", f"{wanted[0]} {wanted[1]}:{wanted[2]}"
        raise ValueError(f"deviceNode {path}: {found.source} is {is_}, the description says {says}")
    mode = given.get("fileMode", found.mode) & 0o777
    return found._replace(mode=mode, uid=given.get("uid", found.uid), gid=given.get("gid", found.gid))


def _mount(mount: Mapping[str, Any]) -> Mount:
    _only(mount, ("hostPath", "containerPath", "options", "type"), "a mount")
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
