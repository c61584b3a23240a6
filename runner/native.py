"""Sandboxes on this kernel, without any other program: namespaces, cgroups, seccomp, an overlay as the root.

What needs judgement happens here, in the parent: look-ups, defaults, filters, groups, places to mount on. What must not
happen here, because it would follow paths of the image, happens in the child (`runner.child`, `runner.walls`).
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from layers.quick import dataclass, field
from runner import detached, masks
from runner.command import command, give
from runner.devices import Device
from runner.errors import SandboxBroken, SandboxUnavailable
from runner.ids import Ids
from runner.job import Job
from runner.linux import CLONE_NEWPID
from runner.owners import Footing, Owners
from runner.running import Ending, Running
from runner.sandbox import Exit, Sandbox
from runner.spares import Kind, Spares
from runner.spawner import Spawner

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import threading

    from runner.sandbox import Wire

DOMAIN = "kernel.domainname"
"""A setting that is made by a call of its own: its file is for the host's root only."""
PIECE = 1 << 16
LINGER = 1.0
"""Seconds that output may still come after the last process has gone: long enough to empty full pipes."""
OUR_DEV = ("pts", "shm", "mqueue", "fd", "stdin", "stdout", "stderr", "ptmx", "core", "console", "pipes")
"""Names in /dev that stay as they are."""


@dataclass
class Native:
    """The runtime of this machine; threads may share one. A `runner.Runtime`."""

    spawner: Spawner
    owners: Owners = field(init=False)
    spares: Spares = field(init=False)

    def __post_init__(self) -> None:
        self.owners = Owners(self.spawner)
        self.spares = Spares(self.spawner)

    def start(
        self,
        sandbox: Sandbox,
        streams: Sequence[int],
        *,
        tty: bool = False,
        wire: Wire | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> Running:
        """Begin a command with these descriptors as its stdin, stdout and stderr; with `tty` a terminal replaces them.

        The descriptors stay the caller's; `wire` and `meanwhile` are as in `runner.Runtime`. Raises SandboxUnavailable,
        SandboxBroken, LimitUnavailable.
        """
        with ExitStack() as undo, ExitStack() as sent:
            spare = self.spares.take(Kind.of(sandbox))
            last = sandbox.disposable and bool(spare.kind.namespaces & CLONE_NEWPID)
            undo.callback(self.spares.remove, spare.cgroup, last=last)
            unused = undo.enter_context(ExitStack())
            unused.callback(spare.sown.drop)
            if wire is not None and (pid := spare.sown.met()[0]):
                wire = _begun(wire(pid))
            try:
                mapping = self.owners.mapping(sandbox.userns)
                where = detached.root(sandbox, mapping, undo, sent)
                made = _nodes(sandbox, sent)
                binds, mounts = detached.mounts(sandbox, where, sent, nodev=not spare.guarded, mapping=mapping)
                ids = sandbox.userns or Ids.same()
                give(streams, sandbox.identity, ids)
            except OSError as problem:
                name = problem.filename or b""
                raise SandboxBroken("places to mount on", problem.errno or 0, os.fsdecode(name)) from problem
            if sandbox.emulator is not None:
                binds.append(os.open(sandbox.emulator.path, os.O_RDONLY | os.O_CLOEXEC))
                sent.callback(os.close, binds[-1])
            job = Job(
                **command(sandbox, spare.capabilities, ids, tty=tty),
                hostname=sandbox.hostname.encode(),
                domainname=dict(sandbox.sysctls).get(DOMAIN, "").encode(),
                mounts=mounts,
                shm_size=sandbox.shm_size,
                nodev=not spare.guarded,
                readonly_root=sandbox.readonly_root,
                devices=[_node(device) for device in sandbox.devices],
                given=bool(made),
                masked=[path for path in spare.kind.masked if not path.startswith(masks.KERNEL)],
                sysctls=[
                    (name.replace(".", "/").encode(), value.encode())
                    for name, value in sandbox.sysctls
                    if name != DOMAIN
                ],
                emulator=b"" if sandbox.emulator is None else sandbox.emulator.line,
                init=sandbox.init,
            )
            unused.pop_all()
            birth = spare.sown.grow(job, [*streams, where.mount, *made, *binds], wire, meanwhile)
            return Running(birth, spare.cgroup, undo.pop_all())

    def expect(self, sandbox: Sandbox) -> None:
        """A command of this kind will be started: have made what it needs. Raises SandboxUnavailable, …Broken."""
        self.owners.ask(sandbox.userns)
        self.spares.prepare(Kind.of(sandbox), 1)

    def met(self) -> tuple[int, int]:
        """Of the process that is expected: its number, if it has been made by now, else 0; and a socket.

        Whoever wires it says `runner.job.WIRED` there when that is done; else `start` does, a little later.
        """
        return self.spares.met()

    def exec_in(
        self,
        pid: int,
        sandbox: Sandbox,
        streams: Sequence[int],
        *,
        tty: bool = False,
    ) -> Running:
        """Begin a further command behind the walls of the running process `pid` (the sandbox's PID 1).

        Of `sandbox` count args, env, cwd, identity, seccomp, filter, no_new_privileges, the limits of single processes,
        and capabilities (no more than those of the running one, unless it is privileged); root, mounts, other limits
        and namespaces are those of the running one.
        Raises SandboxUnavailable if it is not running, SandboxBroken.
        """
        from runner.entering import enter

        return enter(self.spawner, pid, sandbox, streams, tty=tty)

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
        """Run it to its end, its output handed to `output` on this thread; see `runner.Runtime`."""
        import selectors

        def busy() -> None:  # it builds its walls, and we have to wait for it
            if meanwhile is not None:
                meanwhile()
            self.spares.prepare(Kind.of(sandbox), more)

        with ExitStack() as ours, selectors.DefaultSelector() as ready:
            nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            ends = [nothing]
            pipes: dict[int, int] = {}
            for stream in (1, 2):
                reader, writer = os.pipe()
                ours.callback(os.close, reader)
                ready.register(reader, selectors.EVENT_READ)
                pipes[reader] = stream
                ends.append(writer)
            try:
                running = self.start(sandbox, ends, wire=wire, meanwhile=busy)
            finally:
                for descriptor in ends:
                    os.close(descriptor)
            ending = Ending(running, sandbox, stop)
            try:
                ready.register(running, selectors.EVENT_READ)
                open_pipes, ended = len(pipes), 0.0
                while not ended or (open_pipes and time.monotonic() < ended + LINGER):
                    for key, _ in ready.select(LINGER if ended else ending.patience()):
                        if key.fileobj is running:
                            ready.unregister(running)
                            ended = time.monotonic()
                        elif data := os.read(key.fd, PIECE):
                            output(pipes[key.fd], data)
                            ended = ended and time.monotonic()  # who takes it may be slow
                        else:
                            ready.unregister(key.fd)
                            open_pipes -= 1
                    if not ended:
                        ending.look()
            except BaseException:
                running.kill()
                running.wait()
                raise
            return running.wait()

    def presume(self, ids: Ids | None, place: Path) -> Ids | None:
        """The numbers that `settle` will most likely come to; see `Owners.presume`."""
        return self.owners.presume(ids, place)

    def settle(self, ids: Ids | None, place: Path) -> Footing:
        """What can be had of a user namespace for files on the disk of `place`; see `runner.Runtime`."""
        return self.owners.settle(ids, place)

    def rest(self) -> None:
        """Let go of what was made ready for commands that did not come."""
        self.spares.rest()


def _begun(finish: Callable[[], None] | None) -> Wire:
    """What wires a process that is being wired already."""
    return lambda _: finish


def _nodes(sandbox: Sandbox, sent: ExitStack) -> list[int]:
    """The file system with nodes of the devices, if it is needed; as `runner.nodes` has it."""
    if not sandbox.devices:
        return []
    from runner.nodes import nodes  # seldom

    return nodes(sandbox.devices, sandbox.userns, sent)


def _node(device: Device) -> tuple[bytes, bytes, int, int, int, int, int]:
    """What a job says of a device."""
    path = os.path.normpath(device.target)
    if not path.startswith("/dev/") or path.split("/")[2] in OUR_DEV:
        raise SandboxUnavailable(f"a device cannot stand at {device.target}", "choose another place below /dev")
    kind = stat.S_IFBLK if device.kind == "b" else stat.S_IFCHR
    return (
        os.fsencode(path[len("/dev/") :]),
        os.fsencode(device.source),
        kind | device.mode,
        device.major,
        device.minor,
        device.uid,
        device.gid,
    )
