"""What the process of a bundle does between its birth and its command; see `runner.child` for the rules it follows.

It talks with the runtime three times: when its file system is built but the root not yet changed (the runtime's hooks
are run then), before it gives up its rights (limits are set then), and when nothing is left to do but to execute the
command. After that it is on its own: nobody's death is its death, and it waits in a fifo until somebody starts it.
"""

import errno
import fcntl
import marshal
import os
import select
import signal
import stat
import struct
import termios
from contextlib import suppress

from runner.child import IGNORED, Child
from runner.job import START
from runner.linux import (
    CLONE_NEWCGROUP,
    CLONE_NEWNET,
    PR_CAP_AMBIENT,
    PR_SET_KEEPCAPS,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    call,
    close_from,
    control,
    install_filter,
    keep_bounding,
    new_session_keyring,
    set_capabilities,
    set_domainname,
    set_hostname,
    setns,
    unshare,
)
from runner.oci import hooks
from runner.oci.house import House, security_file, set_priority
from runner.oci.order import FIRST_NAMESPACE, FIRST_PRESERVED, GO, HOOKS, LIMITS, READY, BundleSeed, Order

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import NoReturn

LARGEST_PASSWD = 4 << 20


class Init(Child):
    """One life from clone to exec, for a bundle's first process and for those that follow it in."""

    orders = Order
    job: Order
    seed: BundleSeed
    house: House | None = None
    waiting = -1
    label = -1

    def live(self) -> "NoReturn":
        """Become the command, or tell why not and die."""
        try:
            self._become()
        except hooks.HookFailed as problem:
            self._tell(self.at, 0, str(problem).encode())
        except BaseException as problem:
            at = self.house.at if self.house is not None and self.at == "house" else self.at
            number, detail = 0, b"%a" % (problem,)
            if isinstance(problem, OSError) and problem.errno:
                number, detail = problem.errno, os.fsencode(problem.filename or b"")
            self._tell(at, number, detail)
        os._exit(1)

    def _tell(self, at: str, number: int, detail: bytes) -> None:
        with suppress(OSError):
            os.write(self.status, marshal.dumps((at, number, detail)))

    def _become(self) -> None:
        self.at = "parent"
        control(PR_SET_PDEATHSIG, signal.SIGKILL)
        if select.select([self.maker], [], [], 0)[0]:
            os._exit(125)  # the spawner died before the line above
        for number in IGNORED:
            signal.signal(number, signal.SIG_DFL)
        self._wait()
        job = self.job
        if job.keyring:
            new_session_keyring()
        self.at = "terminal"
        os.setsid()
        if self.seed.kind == START:
            self._build()
        else:
            self.at = "namespaces"
            setns(self.sown[FIRST_NAMESPACE], self.seed.entered[0])
            self._be_root()
            os.chdir(b"/")
        self.at = "terminal"
        if job.tty:
            self._terminal()
            if any(job.size):
                fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("4H", *job.size, 0, 0))
        self._own_standard_streams()
        self._arrange()
        self._settle()
        path = self._program()
        control(PR_SET_PDEATHSIG, 0)
        self._ask(READY)
        self._await_start()
        self._leave(path)

    def _ask(self, word: bytes) -> None:
        """Tell the runtime where we are, and wait until it has done its part."""
        os.write(self.status, word)
        if os.read(self.status, 16) != GO:
            os._exit(125)

    def _be_root(self) -> None:
        if self.job.in_user:
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)

    def _build(self) -> None:
        job = self.job
        self.at = "user namespace"
        self._be_root()
        if job.own_cgroup:
            self.at = "cgroup namespace"
            unshare(CLONE_NEWCGROUP)
        self.at = "hostname"
        if job.hostname:
            set_hostname(job.hostname)
        if job.domainname:
            set_domainname(job.domainname)
        if self.seed.namespaces & CLONE_NEWNET:
            self._loopback()
        if job.label:
            self.at = "security profile"
            self.label = security_file()
        self.at = "house"
        first = FIRST_PRESERVED + job.preserved + job.waits
        self.house = House(job, self.given[first], iter(self.given[first + 1 :]), self.seed.namespaces)
        self.house.build()
        if job.tty:
            self._open_terminal(self.house.pts())
            self.house.show_console(self.slave)
        if job.hooked:
            self.at = "hooks"
            self._ask(HOOKS)
        self.at = "createContainer hooks"
        hooks.run(job.inside_hooks, job.state)
        self.at = "house"
        self.house.enter()

    def _arrange(self) -> None:
        """What the command inherits from 3 on, what we keep until then above it, and nothing else."""
        self.at = "descriptors"
        job = self.job
        first = FIRST_PRESERVED + job.preserved
        inherited = self.given[FIRST_PRESERVED:first]
        kept = [self.status, self.given[first] if job.waits else -1, self.label]
        high = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, first + len(kept)) for one in (*inherited, *kept) if one >= 0]
        places = [FIRST_PRESERVED + place for place in range(job.preserved)]
        places += [first + place for place, one in enumerate(kept) if one >= 0]
        for place, one in zip(places, high, strict=True):
            os.dup2(one, place, inheritable=place < first)
        self.status = first
        if job.waits:
            self.waiting = first + 1
            fcntl.flock(self.waiting, fcntl.LOCK_SH)
        if self.label >= 0:
            self.label = first + 2
        for hole in (first + 1, first + 2):
            if hole not in places:
                with suppress(OSError):
                    os.close(hole)
        close_from(first + len(kept))

    def _settle(self) -> None:
        """Give up every right that the command shall not have."""
        job = self.job
        bounding, effective, permitted, inheritable, ambient = job.sets
        self.at = "home directory"
        if b"HOME" not in job.env:
            job.env[b"HOME"] = _home(job.uid)
        self.at = "cwd"
        denied = False
        try:
            self._go_to_directory(make=True)
        except PermissionError:
            denied = True
        self.at = "personality"
        if job.personality >= 0:
            call("personality", job.personality)
        if job.priority >= 0:
            self.at = "ioPriority"
            set_priority(job.priority)
        os.umask(job.umask)
        self._ask(LIMITS)  # now: later we may be somebody whose limits the runtime may not set
        self.at = "capabilities"
        keep_bounding(bounding)
        if job.no_new_privileges:
            control(PR_SET_NO_NEW_PRIVS, 1)
        self.at = "seccomp"
        if job.filter and not job.no_new_privileges:
            install_filter(job.filter)
        self.at = "user"
        control(PR_SET_KEEPCAPS, 1)
        try:
            os.setgroups(job.groups)
        except PermissionError:
            if job.groups or not job.in_user:  # setgroups(2) can be denied to a whole user namespace
                raise
        os.setresgid(job.gid, job.gid, job.gid)
        os.setresuid(job.uid, job.uid, job.uid)
        control(PR_SET_KEEPCAPS, 0)
        self.at = "capabilities"
        set_capabilities(effective, permitted, inheritable)
        for bit in range(64):
            if ambient & permitted & inheritable & 1 << bit:  # others cannot be, says capabilities(7)
                control(PR_CAP_AMBIENT, 2, bit)
        if denied:
            self.at = "cwd"
            self._go_to_directory(make=False)

    def _program(self) -> bytes:
        """The path of the command, looked for by who will be it; the words of a failure are runc's."""
        self.at = "exec"
        name = self.job.args[0]
        worst = errno.ENOENT
        for path in self.job.candidates:
            try:
                there = os.stat(path)
            except PermissionError:
                worst = errno.EACCES
                continue
            except OSError as problem:
                worst = worst if problem.errno in (errno.ENOENT, errno.ENOTDIR) else problem.errno or worst
                continue
            if stat.S_ISREG(there.st_mode) and os.access(path, os.X_OK, effective_ids=True):
                return path
            worst = errno.EACCES
        quoted = b'exec: "%b": ' % name
        if b"/" not in name and worst == errno.ENOENT:
            raise OSError(worst, "", quoted + b"executable file not found in $PATH")
        reason = os.strerror(worst).lower().encode()
        raise OSError(worst, "", quoted + (b"stat %b: " % name if worst == errno.ENOENT else b"") + reason)

    def _await_start(self) -> None:
        if self.waiting < 0:
            return
        os.read(self.waiting, 16)
        try:
            hooks.run(self.job.start_hooks, self.job.state)
        except hooks.HookFailed as problem:
            os.write(self.waiting, b"startContainer " + str(problem).encode()[: select.PIPE_BUF - 32])
            os._exit(1)

    def _leave(self, path: bytes) -> "NoReturn":
        job = self.job
        try:
            if self.label >= 0:
                os.write(self.label, b"exec " + job.label)
            if job.filter and job.no_new_privileges:
                install_filter(job.filter)
            os.execve(path, job.args, job.env)
        except OSError as problem:
            reason = (os.strerror(problem.errno) if problem.errno else "failed").lower()
            os.write(2, b"exec %b: %b\n" % (path, reason.encode()))
        os._exit(1)


def _home(uid: int) -> bytes:
    """Where a user lives, after the root's own passwd; "/" if it does not say."""
    with suppress(OSError):
        file = os.open(b"/etc/passwd", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            if stat.S_ISREG(os.fstat(file).st_mode):
                for line in os.read(file, LARGEST_PASSWD).splitlines():
                    fields = line.split(b":")
                    if len(fields) > 5 and fields[2] == b"%d" % uid:
                        return fields[5] or b"/"
        finally:
            os.close(file)
    return b"/"
