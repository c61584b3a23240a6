"""`RUN --mount=type=…,key=value,…`: from the unexpanded flag to a typed mount.

Keys and their legal mixes follow the Dockerfile reference, "RUN --mount". Every value but that of
`from` may hold variables, so a flag is checked when the file is parsed (if it holds none) and
resolved again when the plan knows the values.
"""

import csv
import posixpath
import re
from collections.abc import Callable
from typing import Literal, cast

from builder.dockerfile.expansion import Lookup, check, expand
from builder.dockerfile.instructions import MountFlag, Word
from builder.dockerfile.suggest import nearest
from builder.errors import DockerfileError
from builder.span import Span
from layers.quick import dataclass, replace

MountType = Literal["bind", "cache", "tmpfs", "secret", "ssh"]
Sharing = Literal["shared", "private", "locked"]

TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
SHARINGS = ("shared", "private", "locked")

_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_SWITCHES = ("readonly", "readwrite", "required")
BOOLS = {**dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True)} | dict.fromkeys(
    ("0", "f", "F", "FALSE", "false", "False"), False
)
_ANY = frozenset(("type", "from", "source", "target", "readonly", "readwrite", "id", "env"))
_ALLOWED = {
    "bind": _ANY,
    "cache": _ANY | {"sharing", "mode", "uid", "gid"},
    "tmpfs": (_ANY | {"size"}) - {"source"},
    "secret": (_ANY | {"required", "mode", "uid", "gid"}) - {"from"},
    "ssh": (_ANY | {"required", "mode", "uid", "gid"}) - {"source"},
}
_KEYS = frozenset().union(*_ALLOWED.values()) | _ALIASES.keys()
_SIZE = r"([0-9]+(?:\.[0-9]+)?) ?([kmgtp]?)i?b?"


@dataclass(frozen=True, slots=True)
class RunMount:
    """One mount of a RUN. `from_` "" is the context (bind) or nothing (cache); `size` in bytes.

    `target` may be "" for secret and ssh, which have a usual place; it is relative to WORKDIR.
    """

    type: MountType
    target: str = ""
    source: str = ""
    from_: str = ""
    readonly: bool = False
    id: str = ""
    sharing: Sharing = "shared"
    required: bool = False
    size: int | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    env: str | None = None


def mount_flag(value: str, span: Span, escape: str) -> MountFlag:
    """The options of `--mount=value`, which is one line of CSV."""
    fields = next(csv.reader([value], strict=False), [])
    pairs = ((key.lower(), text if sign else None) for key, sign, text in (part.partition("=") for part in fields))
    return MountFlag(tuple(pairs), span, escape)


def check_mount(flag: MountFlag) -> None:
    """Raise what can be known to be wrong before any variable has a value."""
    values = [value for _, value in flag.options if value is not None]
    for key, value in flag.options:
        if key == "from" and re.search(r"\$.", value or ""):
            what = "'from' doesn't support variable expansion, define alias stage instead"
            raise DockerfileError(flag.span, what, help="write FROM $IMAGE AS name and --mount=from=name")
    if any("$" in value for value in values):
        for value in values:
            check(Word(value, flag.span, flag.escape))
    else:
        resolve(flag, lambda name: None)


def resolve(flag: MountFlag, lookup: Lookup) -> RunMount:
    """The mount that a flag means once its variables have values; raises DockerfileError."""
    given: dict[str, str | None] = {}
    for key, value in flag.options:
        name = _ALIASES.get(key, key)
        if name not in _KEYS:
            near = nearest(key, _KEYS)
            guess = f" (did you mean {' or '.join(near)}?)" if near else ""
            raise DockerfileError(flag.span, f"unexpected key '{key}' in --mount{guess}")
        if value is None and name not in _SWITCHES:
            raise DockerfileError(flag.span, f"invalid field '{key}' must be a key=value pair")
        literal = value is None or name == "from"
        given[name] = value if literal else expand(Word(value or "", flag.span, flag.escape), lookup)
    return _Reader(flag, given).mount()


@dataclass(frozen=True, slots=True)
class _Reader:
    """The expanded options of one flag, being read."""

    flag: MountFlag
    given: dict[str, str | None]

    def fail(self, what: str, help: str = "") -> DockerfileError:
        return DockerfileError(self.flag.span, what, help=help)

    def mount(self) -> RunMount:
        """All of them."""
        type_ = self.choice("type", TYPES)
        for key in self.given:
            if key not in _ALLOWED[type_]:
                raise self.fail(f"unexpected key '{key}' for mount type '{type_}'")
        found = RunMount(
            cast(MountType, type_),
            self.text("target"),
            self.text("source"),
            self.text("from"),
            self.readonly(type_),
            self.text("id"),
            cast(Sharing, self.choice("sharing", SHARINGS)),
            self.switch("required"),
            self.number("size", _size),
            self.number("mode", _mode),
            self.number("uid", _id),
            self.number("gid", _id),
            self.given.get("env") if type_ == "secret" else None,
        )
        if "=" in (found.env or ""):
            raise self.fail(f"invalid value {found.env} for env: no variable has a name with =")
        return self.secret(found) if type_ == "secret" else self.placed(found)

    def placed(self, mount: RunMount) -> RunMount:
        """bind, cache and tmpfs need a place, which is not the root."""
        if mount.type != "ssh" and not mount.target:
            raise self.fail(f"{mount.type} mount requires a target", "add target=/some/path")
        if mount.target.startswith("/") and posixpath.normpath(mount.target).strip("/") == "":
            raise self.fail(f"invalid mount target {mount.target!r}: it would cover the whole root")
        return mount

    def secret(self, mount: RunMount) -> RunMount:
        """A secret has one name: its id, or its source, or the last part of its target."""
        if mount.source and mount.id:
            raise self.fail("both source and id can't be set")
        name = mount.id or mount.source or mount.target.rstrip("/").rpartition("/")[2]
        if not name:
            raise self.fail("invalid secret mount. one of source, target required", "add id=name")
        return replace(mount, id=name, source="")

    def text(self, key: str) -> str:
        return self.given.get(key) or ""

    def choice(self, key: str, values: tuple[str, ...]) -> str:
        text = self.given.get(key)
        if text is None:
            return values[0]
        if text.lower() not in values:
            near = nearest(text, values)
            kind = "mount type" if key == "type" else f"{key} value"
            help = f"did you mean {' or '.join(near)}?" if near else f"one of {', '.join(values)}"
            raise self.fail(f"unsupported {kind} {text!r}", help)
        return text.lower()

    def switch(self, key: str) -> bool:
        if key not in self.given:
            return False
        value = self.given[key]
        if value is not None and value not in BOOLS:
            raise self.fail(f"invalid value for {key}: {value}")
        return value is None or BOOLS[value]

    def readonly(self, type_: str) -> bool:
        """The last of readonly and readwrite decides; without them only cache and tmpfs can be written to."""
        for key in reversed(self.given):
            if key in ("readonly", "readwrite"):
                return self.switch(key) == (key == "readonly")
        return type_ not in ("cache", "tmpfs")

    def number(self, key: str, read: Callable[[str], int | None]) -> int | None:
        text = self.given.get(key)
        if text is None:
            return None
        value = read(text)
        if value is None or value >= 1 << 63:
            raise self.fail(f"invalid value {text} for {key}")
        return value


def _mode(text: str) -> int | None:
    """Permissions; there may be more bits, which are not kept."""
    return int(text, 8) & 0o777 if re.fullmatch("[0-7]{1,20}", text, re.ASCII) else None


def _id(text: str) -> int | None:
    """A user or group number: 32 bits."""
    return int(text) if re.fullmatch("[0-9]{1,10}", text, re.ASCII) and int(text) < 1 << 32 else None


def _size(text: str) -> int | None:
    """Bytes: `64m` is 64 · 1024²."""
    found = re.fullmatch(_SIZE, text, re.IGNORECASE)
    return int(float(found[1]) * 1024 ** " kmgtp".index(found[2].lower() or " ")) if found else None
