"""The process of a bundle, or a further one for `exec`: `process` of config.json as numbers and bytes."""

import os
import resource
from pathlib import Path

from layers.quick import dataclass
from runner.linux import PR_CAPBSET_READ, control
from runner.oci.document import Node
from runner.sandbox import CAPABILITIES

SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")
CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
LSM = Path("/sys/kernel/security/lsm")


@dataclass(slots=True)
class Process:
    """What is executed and as whom. `sets` are masks in the order of SETS."""

    args: list[bytes]
    env: dict[bytes, bytes]
    cwd: bytes
    uid: int
    gid: int
    groups: list[int]
    umask: int
    terminal: bool
    size: tuple[int, int]
    sets: tuple[int, int, int, int, int]
    rlimits: list[tuple[int, int, int]]
    no_new_privileges: bool
    oom_score: int | None
    label: bytes
    priority: int

    def order(self) -> dict[str, object]:
        """As fields of a Job and an Order."""
        name = self.args[0]
        if b"/" in name:
            candidates = [name]
        else:
            candidates = [(folder or b".") + b"/" + name for folder in self.env.get(b"PATH", b"").split(b":")]
            candidates = candidates if self.env.get(b"PATH") else []
        return {
            "args": self.args,
            "candidates": candidates,
            "env": self.env,
            "cwd": self.cwd,
            "uid": self.uid,
            "gid": self.gid,
            "groups": self.groups,
            "umask": self.umask,
            "tty": self.terminal,
            "size": self.size,
            "sets": self.sets,
            "no_new_privileges": self.no_new_privileges,
            "label": self.label,
            "priority": self.priority,
            "init": False,
            "capabilities": 0,
        }


def read(process: Node) -> Process:
    """The process that an object of config.json asks for. Raises BundleInvalid."""
    args = process.texts("args")
    if not args or not args[0]:
        raise process.fail("args", "is empty")
    cwd = process.text("cwd")
    if not cwd.startswith("/"):
        raise process.fail("cwd", f"must be an absolute path, not {cwd!r}")
    for key in ("scheduler", "execCPUAffinity", "selinuxLabel"):
        if process.value.get(key):
            raise process.fail(key, "is not supported")
    user, size = process.table("user"), process.table("consoleSize")
    terminal = process.flag("terminal")
    return Process(
        args=[os.fsencode(word) for word in args],
        env=environment(process),
        cwd=os.fsencode(cwd),
        uid=user.number("uid", high=2**32 - 2) or 0,
        gid=user.number("gid", high=2**32 - 2) or 0,
        groups=user.numbers("additionalGids"),
        umask=0o022 if (umask := user.number("umask", high=0o777)) is None else umask,
        terminal=terminal,
        size=(size.number("height", high=65535) or 0, size.number("width", high=65535) or 0) if terminal else (0, 0),
        sets=_capabilities(process),
        rlimits=_rlimits(process),
        no_new_privileges=process.flag("noNewPrivileges"),
        oom_score=process.number("oomScoreAdj", low=-1000, high=1000),
        label=_profile(process),
        priority=_priority(process),
    )


def environment(process: Node) -> dict[bytes, bytes]:
    """`env`; of two values for one name the last counts. Raises BundleInvalid."""
    found: dict[bytes, bytes] = {}
    for line in process.texts("env"):
        name, equals, value = line.partition("=")
        if not name or not equals:
            raise process.fail("env", f"{line!r} is not NAME=VALUE")
        found[os.fsencode(name)] = os.fsencode(value)
    return found


def mask(process: Node, key: str, names: list[str]) -> int:
    """The bits of capabilities. Those that this kernel does not know are left out, as they can be nobody's."""
    bits = 0
    for name in names:
        bit = CAPABILITIES.get(name.upper().removeprefix("CAP_"))
        if bit is None:
            raise process.fail(key, f"{name!r} is no capability")
        try:
            control(PR_CAPBSET_READ, bit)
        except OSError:
            continue
        bits |= 1 << bit
    return bits


def own_capabilities() -> int:
    """The mask of what this process can give."""
    return next(
        int(line.split()[1], 16)
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("CapPrm:")
    )


def refuse_more(process: Node, sets: tuple[int, ...], own: int) -> None:
    """Raise BundleInvalid if capabilities are asked for that this process does not have itself."""
    lacking = [f"CAP_{name}" for name, bit in CAPABILITIES.items() if any(one & ~own & 1 << bit for one in sets[1:])]
    if lacking:
        raise process.fail("capabilities", f"{', '.join(lacking)}: this process has none to give")


def _capabilities(process: Node) -> tuple[int, int, int, int, int]:
    table = process.table("capabilities")
    bounding, effective, permitted, inheritable, ambient = (mask(table, key, table.texts(key)) for key in SETS)
    return bounding, effective, permitted, inheritable, ambient


def _rlimits(process: Node) -> list[tuple[int, int, int]]:
    found: dict[int, tuple[int, int, int]] = {}
    for limit in process.tables("rlimits"):
        name = limit.text("type")
        number = getattr(resource, name, None) if name.startswith("RLIMIT_") else None
        number = {"RLIMIT_LOCKS": 10}.get(name, number)
        if not isinstance(number, int):
            raise limit.fail("type", f"{name!r} is no limit of this system")
        if number in found:
            raise limit.fail("type", f"{name} is limited twice")
        soft, hard = limit.number("soft"), limit.number("hard")
        if soft is None or hard is None:
            raise limit.fail("soft" if soft is None else "hard", "is missing")
        if soft > hard:
            raise limit.fail("soft", f"{soft} is more than the hard limit {hard}")
        found[number] = (number, soft, hard)
    return list(found.values())


def _priority(process: Node) -> int:
    asked = process.table("ioPriority")
    if not asked.value:
        return -1
    name = asked.text("class")
    if name not in CLASSES:
        raise asked.fail("class", f"{name!r} is no class")
    return CLASSES[name] << 13 | (asked.number("priority", high=7) or 0)


def _profile(process: Node) -> bytes:
    """The AppArmor profile, where this kernel has AppArmor."""
    name = process.text("apparmorProfile")
    if name in ("", "unconfined"):
        return b""
    try:
        there = "apparmor" in LSM.read_text().split(",")
    except OSError:
        there = False
    if not there:
        raise process.fail("apparmorProfile", f"{name!r} cannot be applied: this kernel runs without AppArmor")
    return os.fsencode(name)
