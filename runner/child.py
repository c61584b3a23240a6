"""What a cloned process does between its birth and the command: in this order, and importing nothing.

It runs as PID 1 of its namespaces with full rights and, later, inside an untrusted root, where a late import, a codec
or a name-service look-up would load code from the image. So all modules are loaded before, work is done with bytes and
numbers, and the last steps only give rights away: bounding set, filter, groups, users, capabilities. The order of
filter and capabilities follows seccomp(2): without no_new_privs it needs CAP_SYS_ADMIN, so it goes first.
"""

import errno
import fcntl
import marshal
import os
import resource
import select
import struct
from _socket import CMSG_SPACE, SCM_RIGHTS, SOL_SOCKET, socket

from runner.covers import STRICT
from runner.job import FIRST_BIND, FIRST_JOIN, REFUSED, ROOT, START, STATUS, STDIN, WIRED, Job, Seed
from runner.linux import (
    CLONE_NEWCGROUP,
    CLONE_NEWNET,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    O_PATH,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    clone_sibling,
    close_from,
    control,
    install_filter,
    keep_bounding,
    new_session_keyring,
    open_in,
    set_capabilities,
    set_domainname,
    set_hostname,
    setns,
    unshare,
)
from runner.reaper import split
from runner.suppress import suppress
from runner.walls import Walls

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import signal
    from typing import NoReturn
else:
    import _signal as signal  # the same without enumerations

TIOCSCTTY, TIOCGPTPEER, TIOCSPTLCK, SIOCGIFFLAGS, SIOCSIFFLAGS = 0x540E, 0x5441, 0x40045431, 0x8913, 0x8914
AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET = 2, 1, 2, 5
KEPT = 3  # the only descriptor beside 0, 1 and 2 that lives until the command does: how failures are told
TOLD = 4  # and for ENTER, until its birth: how our maker is told of it
OPEN_FILES = (1024, 524288)
MSG_CMSG_CLOEXEC = 0x40000000
MOST_DESCRIPTORS = 253  # SCM_MAX_FD
IGNORED = (signal.SIGINT, signal.SIGPIPE)
"""Signals that the spawner does not want; to its children they mean what they mean to everybody."""


class Child:
    """One life from clone to exec. `at` always names the step, so that a failure can say where it happened."""

    orders: type[Job] = Job
    job: Job

    def __init__(self, seed: Seed, descriptors: list[int], maker: int, told: int = -1) -> None:
        self.seed = seed
        self.sown = descriptors
        self.given: list[int] = []
        self.maker = maker
        self.told = told
        self.at = "start"
        self.status = descriptors[STATUS]
        self.walls: Walls | None = None
        self.wired = False

    def live(self) -> "NoReturn":
        """Become the command, or tell why not and die. Nothing may leave this function."""
        try:
            self._become()
        except BaseException as problem:
            at = self.walls.at if self.walls is not None and self.at == "walls" else self.at
            number, detail = 0, b"%a" % (problem,)
            if isinstance(problem, OSError) and problem.errno:
                number, detail = problem.errno, os.fsencode(problem.filename or b"")
            with suppress(OSError):
                os.write(self.status, marshal.dumps((at, number, detail)))
        os._exit(125)

    def _become(self) -> None:
        seed = self.seed
        self.at = "parent"
        self._tie()
        self.at = "cgroup"
        for place in range(FIRST_JOIN, FIRST_JOIN + seed.joins):
            os.write(self.sown[place], b"0")
        if seed.kind == START and (seed.namespaces | seed.joins_others) & CLONE_NEWUSER:
            self._be_root()
        if seed.kind == START:
            if seed.own_cgroups:
                unshare(CLONE_NEWCGROUP)
            if seed.namespaces & CLONE_NEWNET:
                self._loopback()
            self.at = "walls"
            self.walls = Walls(seed)
            self.at = "bounding set"
            keep_bounding(seed.bounding)
        else:
            self.at = "namespaces"
            setns(self.sown[FIRST_JOIN + seed.joins + seed.unified], seed.namespaces | CLONE_NEWPID)
            if seed.namespaces & CLONE_NEWUSER:
                self._be_root()
            os.chdir(b"/")
        self.at = "keyring"
        new_session_keyring()
        self._calm()
        self._wait()
        job = self.job
        if seed.kind == START:
            self._build()
        self.at = "terminal"
        if seed.kind == START:
            os.setsid()
        if job.tty:
            self._terminal()
        self._own_standard_streams()
        self.at = "descriptors"
        status, told = (os.dup(one) if one >= 0 else -1 for one in (self.status, self.told))
        self.status = os.dup2(status, KEPT, inheritable=False)
        if told >= 0:
            os.dup2(told, TOLD, inheritable=False)
        close_from(TOLD + 1 if told >= 0 else KEPT + 1)
        os.umask(0o022)
        self._limit()
        if job.until_wired and not self.wired:
            self._wait_for_network()
        self._give_up_rights()
        self.at = "exec"
        if seed.kind == START:
            if job.init:
                split(KEPT)
        else:
            self._appear()
        self._execute()

    def _appear(self) -> None:
        """Be born among the processes of those who are behind the walls already, with nothing left to take from us.

        Until now they could not see us, so that nobody with the right to trace could reach what we held. The new one
        is a child of our maker (CLONE_PARENT), who is told of it.
        """
        self.at = "birth"
        pid, pidfd = clone_sibling()
        if pid:
            told = socket(AF_UNIX, SOCK_SEQPACKET, 0, TOLD)
            told.sendmsg([marshal.dumps(pid)], [(SOL_SOCKET, SCM_RIGHTS, struct.pack("i", pidfd))])
            os._exit(0)
        os.close(TOLD)
        os.setsid()
        if self.job.tty:
            fcntl.ioctl(0, TIOCSCTTY, 0)
        control(PR_SET_PDEATHSIG, signal.SIGKILL)

    def _be_root(self) -> None:
        """Of our user namespace: so far we are the host's root, who is nobody here and can own no file."""
        self.at = "user namespace"
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        self._tie()  # a change of user has cleared it

    def _tie(self) -> None:
        """Die with the spawner."""
        control(PR_SET_PDEATHSIG, signal.SIGKILL)
        if select.select([self.maker], [], [], 0)[0]:
            os._exit(125)  # it died before the line above

    def _wait(self) -> None:
        """For the job; there is none any more if the other end closes."""
        self.at = "job"
        orders = socket(AF_UNIX, SOCK_SEQPACKET, 0, os.dup(self.status))
        message, extra, _, _ = orders.recvmsg(16, CMSG_SPACE(4 * MOST_DESCRIPTORS), MSG_CMSG_CLOEXEC)
        if message == WIRED:
            self.wired = True
            message, extra, _, _ = orders.recvmsg(16, CMSG_SPACE(4 * MOST_DESCRIPTORS), MSG_CMSG_CLOEXEC)
        orders.close()
        if not message:
            os._exit(0)
        data = extra[0][2]
        order, *self.given = struct.unpack(f"{len(data) // 4}i", data)
        self.job = self.orders.load(os.pread(order, os.fstat(order).st_size, 0))

    def _wait_for_network(self) -> None:
        """Which others were making while we built; there is none if the other end closes."""
        self.at = "network"
        if os.read(self.status, len(WIRED)) != WIRED:
            os._exit(0)

    def _loopback(self) -> None:
        self.at = "loopback"
        with_loopback = socket(AF_INET, SOCK_DGRAM)
        name = struct.pack("16sH22x", b"lo", 0)
        flags = struct.unpack_from("H", fcntl.ioctl(with_loopback.fileno(), SIOCGIFFLAGS, name), 16)[0]
        fcntl.ioctl(with_loopback.fileno(), SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | 1))
        with_loopback.close()

    def _build(self) -> None:
        job = self.job
        if self.seed.namespaces & CLONE_NEWUTS:
            self.at = "hostname"
            set_hostname(job.hostname)
            if job.domainname:
                set_domainname(job.domainname)
        self.at = "walls"
        assert self.walls is not None
        self.walls.build(job, self.given[ROOT], self.given[FIRST_BIND:])
        if job.tty:
            self.walls.at = "/dev/console"
            self._open_terminal(self.walls.pts)
            self.walls.show_console(self.slave)
        self.walls.enter()

    def _open_terminal(self, pts: int) -> None:
        """A new pseudo-terminal of the devpts at `pts`, by descriptor: no path inside the root is believed."""
        self.master = os.open(b"ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=pts)
        fcntl.ioctl(self.master, TIOCSPTLCK, struct.pack("i", 0))
        self.slave = fcntl.ioctl(self.master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)

    def _terminal(self) -> None:
        if self.seed.kind != START:
            root = os.open(b"/", O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            self._open_terminal(open_in(root, b"dev/pts", O_PATH | os.O_DIRECTORY, resolve=STRICT))
        if self.seed.kind == START:
            fcntl.ioctl(self.slave, TIOCSCTTY, 0)
        teller = socket(AF_UNIX, SOCK_SEQPACKET, 0, os.dup(self.status))
        teller.sendmsg([b"tty"], [(SOL_SOCKET, SCM_RIGHTS, struct.pack("i", self.master))])
        teller.close()
        for place in range(3):
            self.given[STDIN + place] = self.slave

    def _own_standard_streams(self) -> None:
        self.at = "standard streams"
        spare = [os.dup(self.given[STDIN + place]) for place in range(3)]
        for place, descriptor in enumerate(spare):
            os.dup2(descriptor, place)
        if self.job.tty:  # so that it can be opened again by its user
            with suppress(PermissionError):
                os.fchown(0, self.job.uid, 5)

    def _calm(self) -> None:
        """Ordinary signals, whatever the caller's were."""
        for number in IGNORED:  # all others are as they should be since the spawner began
            signal.signal(number, signal.SIG_DFL)

    def _limit(self) -> None:
        """Ordinary limits, whatever the caller's were, and those that were asked for."""
        self.at = "ulimits"
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        hard = OPEN_FILES[1] if most == resource.RLIM_INFINITY else min(OPEN_FILES[1], most)
        usual = {
            resource.RLIMIT_NOFILE: (min(OPEN_FILES[0], hard), hard),
            resource.RLIMIT_CORE: (0, 0),
        }
        usual.update({number: (low, high) for number, low, high in self.job.ulimits})
        for number, pair in usual.items():
            resource.setrlimit(number, pair)

    def _go_to_directory(self, *, make: bool) -> None:
        path = self.job.cwd
        try:
            os.chdir(path)
        except FileNotFoundError:
            if not make:
                raise
            parts = [part for part in path.split(b"/") if part]
            for place in range(1, len(parts) + 1):
                with suppress(FileExistsError):
                    os.mkdir(b"/" + b"/".join(parts[:place]), 0o755)
            os.chdir(path)
        if not os.getcwdb().startswith(b"/"):
            raise OSError(errno.ENOENT, "outside the root", path)

    def _give_up_rights(self) -> None:
        job = self.job
        self.at = "cwd"
        denied = False
        try:
            self._go_to_directory(make=self.seed.kind == START)
        except PermissionError:
            denied = True  # such as a network file system that trusts its user more than root
        if self.seed.kind != START:
            self.at = "bounding set"
            keep_bounding(job.capabilities)
        self.at = "privileges"
        if job.no_new_privileges:
            control(PR_SET_NO_NEW_PRIVS, 1)
        self.at = "filter"
        if job.filter and not job.no_new_privileges:
            install_filter(job.filter)
        self.at = "identity"
        try:
            os.setgroups(job.groups)
        except PermissionError:  # a user namespace with one number only forbids it; others there are none
            if set(job.groups) - {0}:
                raise
        os.setresgid(job.gid, job.gid, job.gid)
        os.setresuid(job.uid, job.uid, job.uid)
        set_capabilities(job.capabilities if job.uid == 0 else 0)
        if denied:
            self.at = "cwd"
            self._go_to_directory(make=False)
        if job.filter and job.no_new_privileges:
            self.at = "filter"
            install_filter(job.filter)
        control(PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of user has cleared it

    def _execute(self) -> "NoReturn":
        worst = errno.ENOENT
        for path in self.job.candidates if self.job.args[0] else ():
            try:
                os.execve(path, self.job.args, self.job.env)
            except OSError as problem:
                if problem.errno in (errno.ENOENT, errno.ENOTDIR):
                    continue
                worst = problem.errno or errno.EACCES
                if worst != errno.EACCES:
                    break
        name = self.job.args[0] or b"''"
        if worst == errno.ENOENT:
            message, code = b"not found", 127
            if b"/" not in name:
                message += b" in PATH=" + self.job.env.get(b"PATH", b"(unset)")
        else:
            message, code = b"cannot be executed (%s)" % os.strerror(worst).encode(), 126
        with suppress(OSError):
            os.write(self.status, marshal.dumps((REFUSED, code, name + b": " + message)))
        with suppress(OSError):
            os.write(2, b"pybuild: " + name + b": " + message + b"\n")
        os._exit(code)
