"""What a process behind walls is: the order for it, and how it ended.

A `Sandbox` holds only numbers, paths and strings that need no further look-up: users by number, the root
as a directory that is already there. Names in /etc/passwd, Dockerfile words and layers are not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from layers.quick import dataclass, field
from runner.devices import Device, Rule
from runner.ids import Ids
from runner.limits import Limits, Usage

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import threading
    from typing import Literal, Protocol

    from runner.emulators import Emulator
    from runner.owners import Footing

    Wire = Callable[[int], Callable[[], None] | None]
    """Gives a process, by its number, a network; what it gives, if anything, returns when that is there."""
else:
    Protocol = object

# The bits are those of capabilities(7); the default is the set that container engines agree on: 0xa80425fb.
CAPABILITIES: Mapping[str, int] = {
    name: bit
    for bit, name in enumerate(
        "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
        "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT "
        "SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL "
        "SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF "
        "CHECKPOINT_RESTORE".split()
    )
}
DEFAULT_CAPABILITIES = frozenset(
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL "
    "AUDIT_WRITE".split()
)


@dataclass(frozen=True)
class Identity:
    """Who the command is, in numbers: user, group, further groups, and those `mentioned`, if the namespace has them."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    mentioned: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for number in (self.uid, self.gid, *self.groups, *self.mentioned):
            if not 0 <= number < 2**32 - 1:  # 2^32-1 means "leave as it is" to setresuid(2)
                raise ValueError(f"{number} is no user or group number (0 to {2**32 - 2})")


@dataclass(frozen=True)
class Mount:
    """Something attached at `target`, an absolute path inside the root; missing targets are made and taken away again.

    A bind shows the host's `source`, a file or a directory; a tmpfs is empty, `size` bytes large at most, with
    `inodes` files at most, its top directory of `owner` and with `mode`; with `noexec` nothing in it is executed.
    Symbolic links in the target are followed inside the root only. Owners of a bind are seen inside by the numbers
    that they have on disk, whatever the user namespace; unless they are `moved` there already.
    """

    target: str
    source: Path | None = None
    kind: Literal["bind", "tmpfs"] = "bind"
    readonly: bool = False
    size: int | None = None
    mode: int | None = None
    noexec: bool = False
    moved: bool = False
    owner: tuple[int, int] = (0, 0)
    inodes: int | None = None

    def __post_init__(self) -> None:
        if not self.target.startswith("/"):
            raise ValueError(f"a mount target is an absolute path inside the root, not {self.target!r}")
        if (self.kind == "bind") != (self.source is not None):
            raise ValueError(
                f"the {self.kind} mount at {self.target} {'needs a' if self.kind == 'bind' else 'takes no'} source"
            )


@dataclass(frozen=True)
class Sandbox:
    """One command behind walls.

    root: a directory, normally an overlay. args[0] is looked up in the PATH of `env` inside the root. network:
    "none" is an empty network with loopback, "host" the host's own, a descriptor the network namespace that it
    stands for. shares: other namespaces of the host's that it has: pid, ipc (with /dev/shm), uts, cgroup; all but
    uts need the host's users. capabilities: names without CAP_. init: our reaper is PID 1. userns: the numbers of
    users in a user namespace of its own, None for the host's. time_offset: seconds that the clocks since boot are
    ahead inside a time namespace. stop_signal and grace (seconds) are used when it is stopped early. devices stand
    in its /dev; device_rules say what else may be opened. mask, unmask: see `runner.masks`. sysctls: (name, value),
    of its own namespaces. filter: a system-call filter instead of the usual one. writable_sys: /sys and the control
    groups can be written. emulator: executes programs of another processor, in a user namespace only. i386: 32-bit
    programs are run by a processor of 64 bits. privileged: as a further command, it may have rights that the first
    one has not.
    """

    root: Path
    args: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    identity: Identity = Identity()
    hostname: str = "localhost"
    mounts: tuple[Mount, ...] = ()
    network: Literal["none", "host"] | int = "none"
    capabilities: frozenset[str] = DEFAULT_CAPABILITIES
    seccomp: bool = True
    no_new_privileges: bool = False
    shares: frozenset[str] = frozenset()
    readonly_root: bool = False
    init: bool = False
    limits: Limits = field(default_factory=Limits)
    userns: Ids | None = None
    time_offset: int | None = None
    shm_size: int = 64 << 20
    stop_signal: int = 15
    grace: float = 10.0
    devices: tuple[Device, ...] = ()
    device_rules: tuple[Rule, ...] = ()
    mask: tuple[str, ...] = ()
    unmask: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    filter: bytes | None = None
    writable_sys: bool = False
    emulator: Emulator | None = None
    i386: bool = False
    companion: int | None = None
    """A process (pidfd) whose namespace of processes it has; and that of users, with `userns` as its numbers."""
    privileged: bool = False
    disposable: bool = False
    """Its root is thrown away when it has ended: places to mount on that are made in it may stay. Whoever waits for it
    ends soon, too: what the kernel takes its time for is done a moment later."""

    def __post_init__(self) -> None:
        if not self.args:
            raise ValueError("a sandbox needs a command")
        unknown = self.capabilities - CAPABILITIES.keys()
        if unknown:
            raise ValueError(f"unknown capabilities: {', '.join(sorted(unknown))}")
        if any("\0" in text for text in (*self.args, self.cwd, *self.env, *self.env.values())):
            raise ValueError("a NUL character cannot be passed to a command")


@dataclass(frozen=True)
class Exit:
    """How it ended. code: the command's own, 128+signal, 127 not found, 126 not executable.

    oom_killed says that a process inside was killed for want of memory; the code alone may hide it (a shell goes on).
    """

    code: int
    signal: int | None = None
    oom_killed: bool = False
    timed_out: bool = False
    usage: Usage = field(default_factory=Usage)


class Runtime(Protocol):
    """A way to run a command behind walls.

    `run` returns when the command and all it has started are gone. `output` is called with 1 or 2 and bytes, in
    order for each stream, on the calling thread. Setting `stop` ends the command: signal, grace, kill. `more` is how
    many commands like it may follow: it may make ready for them, until `rest`. `wire` is called with the process's
    number when its namespaces are there, to give it a network; what that gives, if anything, is called while it is
    becoming the command, which it is not before that has returned. `meanwhile` is called once while there is nothing to
    do but to wait for it. A command that fails is an Exit; SandboxBroken, SandboxUnavailable and LimitUnavailable mean
    that it never began.
    """

    def run(
        self,
        sandbox: Sandbox,
        output: Callable[[int, bytes], None],
        stop: threading.Event,
        *,
        more: int = 0,
        wire: Wire | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> Exit:
        """Run it to its end."""

    def settle(self, ids: Ids | None, place: Path) -> Footing:
        """What can be had of `ids` for a sandbox whose root and binds are on the disk of `place`.

        Raises SandboxUnavailable if it is nothing, unless that is good enough for `ids`.
        """

    def rest(self) -> None:
        """Let go of what was made ready: no more commands come for now."""
