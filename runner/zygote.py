"""The spawner's own side: a small single-threaded process whose children are the steps.

It is started by `runner.spawner` and reads seeds from its channel. Each is one clone3(2); the child waits for its job
and answers for itself on its status socket, and this process reports its birth (with a pidfd) and its end on the reply
socket. When the
channel closes (its maker has ended, however hard) everything it has started is killed and it ends too. All
modules are loaded first and the import system is then shut, because its children live inside untrusted roots.
"""

import errno
import gc
import marshal
import os
import select
import struct
import sys
import time
from _socket import CMSG_SPACE, SCM_RIGHTS, SOL_SOCKET, socket, socketpair

from layers.disk.removal import remove
from runner.child import AF_UNIX, IGNORED, MOST_DESCRIPTORS, MSG_CMSG_CLOEXEC, SOCK_SEQPACKET, Child
from runner.job import FIRST_JOIN, GROUPS, HUSH, LITTER, MAP, REPLY, START, STATUS, Seed
from runner.linux import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_PARENT,
    MS_REC,
    MS_SLAVE,
    PR_SET_DUMPABLE,
    clone,
    close_from,
    control,
    mount,
    setns,
    unshare,
)
from runner.suppress import suppress

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import signal
    from typing import NoReturn
else:
    import _signal as signal  # the same without enumerations

COURSE = ()  # all that is imported above (`layers.compiled`)
CHANNEL = 3
LARGEST = 4096  # bytes of a seed
ATTEMPTS, PAUSE = 50, 0.002
"""How often it is tried to remove a control group, and seconds in between."""


class Zygote:
    """The loop: seeds in, children out, their ends reported."""

    seeds: type[Seed] = Seed

    def __init__(self, channel: socket) -> None:
        self.channel = channel
        self.itself = os.pidfd_open(os.getpid())
        self.living: dict[int, int | None] = {}  # pidfd: reply descriptor; None for those who only bring another about
        self.expected: dict[int, tuple[socket, int]] = {}  # by descriptor: who will tell of a birth, and where to
        self.poll = select.poll()
        self.poll.register(channel.fileno(), select.POLLIN)

    def run(self) -> None:
        """Serve until the channel closes."""
        while True:
            for descriptor, _ in self.poll.poll():
                if descriptor in self.expected:
                    self._told(descriptor)
                elif descriptor != self.channel.fileno():
                    self._ended(descriptor)
                elif not self._next():
                    self._finish()
                    return

    def _next(self) -> bool:
        message, extra, _, _ = self.channel.recvmsg(LARGEST, CMSG_SPACE(4 * MOST_DESCRIPTORS), MSG_CMSG_CLOEXEC)
        if not message:
            return False
        if message == HUSH:
            nothing = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            os.dup2(nothing, 2)
            os.close(nothing)
            return True
        data = extra[0][2]
        descriptors = list(struct.unpack(f"{len(data) // 4}i", data))
        if message.startswith((LITTER, GROUPS)):
            if message.startswith(GROUPS):
                for path in message.split(b"\0")[1:]:
                    _take_away(path)
            else:
                with suppress(OSError):  # what stays is nobody's once its lock is open: the next sweep tries
                    remove(message[len(LITTER) :], descriptors[0])
            for descriptor in descriptors:
                os.close(descriptor)
            return True
        try:
            self._start(self.seeds.load(message), descriptors)
        except OSError as problem:
            told = marshal.dumps((problem.filename or "clone", problem.errno, b""))
            with suppress(OSError):
                os.write(descriptors[STATUS], told)
        finally:
            for descriptor in descriptors[REPLY + 1 :]:
                os.close(descriptor)
            if not self._answers(descriptors[REPLY]):
                os.close(descriptors[REPLY])
        return True

    def _answers(self, reply: int) -> bool:
        """Whether something will still be said there."""
        return reply in self.living.values() or any(reply == one for _, one in self.expected.values())

    def _start(self, seed: Seed, descriptors: list[int]) -> None:
        if seed.kind == MAP:
            self._namespace(seed, descriptors)
            return
        cgroup = descriptors[FIRST_JOIN + seed.joins] if seed.unified else None
        flags = seed.namespaces if seed.kind == START else 0
        ready = told = -1
        if flags & CLONE_NEWUSER or seed.oom_score_adj is not None:
            ready, told = os.pipe()
        hear = say = None
        if seed.kind != START:
            ends = socketpair(AF_UNIX, SOCK_SEQPACKET)
            hear, say = ends
        try:
            if seed.time_offset is not None or seed.shares_network or seed.joins_others:
                pid, pidfd = self._apart(seed, descriptors, flags, cgroup, (ready, told))
            else:
                pid, pidfd = clone(flags, into_cgroup=cgroup)
                if pid == 0:
                    self._bear(seed, descriptors, (ready, told), -1 if say is None else say.fileno())
        finally:
            if say is not None:
                say.close()
        os.set_inheritable(pidfd, False)
        self.living[pidfd] = descriptors[REPLY] if hear is None else None
        self.poll.register(pidfd, select.POLLIN)
        if hear is not None:
            self.expected[hear.fileno()] = hear, descriptors[REPLY]
            self.poll.register(hear.fileno(), select.POLLIN)
        if told >= 0:
            os.close(ready)
            try:
                if flags & CLONE_NEWUSER:
                    _tell(pid, "uid_map", seed.uid_map)
                    _tell(pid, "gid_map", seed.gid_map)
                if seed.oom_score_adj is not None:
                    _tell(pid, "oom_score_adj", b"%d" % seed.oom_score_adj)
                os.write(told, b"1")
            finally:
                os.close(told)
        if hear is None:
            _announce(descriptors[REPLY], pid, pidfd)

    def _apart(
        self, seed: Seed, descriptors: list[int], flags: int, cgroup: int | None, pipe: tuple[int, int]
    ) -> tuple[int, int]:
        """A child of ours, born of a process between us: that goes where we, if not root, could not leave again."""
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
        between, its_end = clone(0)
        if between == 0:
            try:
                if seed.time_offset is not None:
                    unshare(CLONE_NEWTIME)
                    with open("/proc/self/timens_offsets", "wb", buffering=0) as offsets:
                        offsets.write(b"monotonic %d 0\nboottime %d 0\n" % (seed.time_offset, seed.time_offset))
                if seed.shares_network:  # not the child's to do: it may be in a user namespace without rights there
                    setns(descriptors[FIRST_JOIN + seed.joins + seed.unified], CLONE_NEWNET)
                if seed.joins_others:
                    setns(descriptors[FIRST_JOIN + seed.joins + seed.unified + seed.shares_network], seed.joins_others)
                pid, pidfd = clone(flags | CLONE_PARENT, into_cgroup=cgroup)
                if pid == 0:
                    self._bear(seed, descriptors, pipe, -1)
                _announce(theirs.fileno(), pid, pidfd)
            except OSError as problem:
                theirs.send(marshal.dumps((problem.errno, problem.filename)))
            finally:
                os._exit(0)
        theirs.close()
        os.waitid(os.P_PIDFD, its_end, os.WEXITED)
        os.close(its_end)
        message, extra, _, _ = ours.recvmsg(LARGEST, CMSG_SPACE(4), MSG_CMSG_CLOEXEC)
        ours.close()
        said = marshal.loads(message)
        if not extra:
            raise OSError(said[0], os.strerror(said[0]), said[1])
        return said[1], struct.unpack("i", extra[0][2])[0]

    def _told(self, descriptor: int) -> None:
        """Somebody who entered the walls of others tells of the process that was born there, a child of ours."""
        hear, reply = self.expected.pop(descriptor)
        self.poll.unregister(descriptor)
        message, extra, _, _ = hear.recvmsg(LARGEST, CMSG_SPACE(4), MSG_CMSG_CLOEXEC)
        hear.close()
        if not extra:  # it came to nothing; why was told already
            os.close(reply)
            return
        (pidfd,) = struct.unpack("i", extra[0][2][:4])
        try:
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except OSError:  # it is no child of ours: somebody lies
            os.close(pidfd)
            os.close(reply)
            return
        self.living[pidfd] = reply
        self.poll.register(pidfd, select.POLLIN)
        _announce(reply, marshal.loads(message), pidfd)

    def _bear(self, seed: Seed, descriptors: list[int], pipe: tuple[int, int], say: int) -> "NoReturn":
        ready, told = pipe
        if ready >= 0:
            os.close(told)
            if os.read(ready, 1) != b"1":  # our maker writes the maps of ids; until then nobody is root here
                os._exit(125)
        Child(seed, descriptors, self.itself, say).live()

    def _namespace(self, seed: Seed, descriptors: list[int]) -> None:
        """Make a user namespace and send it; the process that it began with is not needed any more."""
        ready, told = os.pipe()
        pid, pidfd = clone(CLONE_NEWUSER)
        if pid == 0:
            os.close(told)
            os.read(ready, 1)
            os._exit(0)
        os.close(ready)
        try:
            _tell(pid, "uid_map", seed.uid_map)
            _tell(pid, "gid_map", seed.gid_map)
            made = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            _announce(descriptors[REPLY], pid, made)
            os.close(made)
        finally:
            os.close(told)
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
            os.close(pidfd)

    def _ended(self, pidfd: int) -> None:
        ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        moved = _moved(ended.si_pid)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        self.poll.unregister(pidfd)
        os.close(pidfd)
        reply = self.living.pop(pidfd)
        if reply is None:
            return
        code = ended.si_status
        with suppress(OSError):
            os.write(reply, marshal.dumps(("ended", code, ended.si_code != os.CLD_EXITED, moved)))
        os.close(reply)

    def _finish(self) -> None:
        for pidfd in self.living:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        while self.living:
            for pidfd in list(self.living):
                self._ended(pidfd)


def _take_away(group: bytes) -> None:
    """Remove a control group; one that stays is nobody's once its lock is open, and the next sweep tries again."""
    for _ in range(ATTEMPTS):
        try:
            os.rmdir(group)
        except OSError as problem:
            if problem.errno == errno.EBUSY:  # somebody has just ended, and the kernel has not done with it
                time.sleep(PAUSE)
                continue
        return


def _announce(reply: int, pid: int, descriptor: int) -> None:
    """Tell of a birth, with what it is known by."""
    teller = socket(AF_UNIX, SOCK_SEQPACKET, 0, os.dup(reply))
    with suppress(OSError):
        teller.sendmsg([marshal.dumps(("born", pid))], [(SOL_SOCKET, SCM_RIGHTS, struct.pack("i", descriptor))])
    teller.close()


def _moved(pid: int) -> tuple[int, int] | None:
    """Bytes read from and written to disks by a process that has ended and all that ended before it behind its walls.

    The kernel adds what a child has moved to its parent when that is told of its end, so the first one has it all.
    """
    try:
        with open(f"/proc/{pid}/io", "rb", buffering=0) as file:
            counts = dict(line.split(b": ") for line in file.read().splitlines())
        return int(counts[b"read_bytes"]), int(counts[b"write_bytes"])
    except (OSError, KeyError, ValueError):  # a kernel that does not count
        return None


def _tell(pid: int, name: str, value: bytes) -> None:
    with open(f"/proc/{pid}/{name}", "wb", buffering=0) as file:
        file.write(value)


def serve(kind: type[Zygote] = Zygote) -> None:
    """The whole life of the process: everything it needs is here, then the doors are shut."""
    channel = socket(AF_UNIX, SOCK_SEQPACKET, 0, CHANNEL)
    channel.setblocking(True)
    close_from(CHANNEL + 1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        signal.signal(number, signal.SIG_IGN if number in IGNORED else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0)
    control(PR_SET_DUMPABLE, 0)
    # Our maker's mounts last as long as we do, so that its end need not wait until the kernel has taken them away.
    os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        unshare(CLONE_NEWNS)
        mount(None, b"/", None, MS_REC | MS_SLAVE)
    except PermissionError as problem:
        assert problem.errno == errno.EPERM  # the first job will say so, with its step
    zygote = kind(channel)
    sys.path.clear()
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    gc.freeze()
    gc.disable()
    zygote.run()
