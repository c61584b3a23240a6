"""A way out for a network namespace of somebody who may not make bridges: slirp4netns(1) plays the network.

It opens a tap interface inside and connects as an ordinary program outside. Services of this machine's loopback, which
it would show by default, stay closed. It ends with its `--exit-fd`, so with us, even if we are killed.
"""

import os
import select
import shutil
import subprocess
from contextlib import suppress

from layers.quick import dataclass
from runner.errors import NetworkUnavailable

TUN = "/dev/net/tun"
READY = 10.0
"""Seconds for the interface to be there."""
GRACE = 2.0
"""Seconds between asking the helper to end and killing it."""
INTERFACE = "tap0"
NAMESERVER = "10.0.2.3"
"""Where it answers for this machine's name servers."""
ELSE = "or use --network host or none"


@dataclass(slots=True)
class Helper:
    """The running program: `pidfd` is readable when it has ended, `close` ends it."""

    pidfd: int
    _process: subprocess.Popen[bytes]
    _exit: int

    def close(self) -> None:
        """End it, and wait for that; nothing happens the second time."""
        if self._exit < 0:
            return
        os.close(self._exit)
        self._exit = -1
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()
        os.close(self.pidfd)


def start(pid: int) -> Helper:
    """Give the network namespace of a process, and of its user namespace, a way out; returns when it is there.

    Raises NetworkUnavailable.
    """
    check()
    if (path := shutil.which("slirp4netns")) is None:
        raise NetworkUnavailable("a network without root needs slirp4netns", f"install the package slirp4netns, {ELSE}")
    ready, tell = os.pipe()
    ends, ours = os.pipe()
    words = [path, "--configure", "--mtu=65520", "--disable-host-loopback", "--enable-sandbox", "--enable-seccomp"]
    process = subprocess.Popen(
        [*words, f"--ready-fd={tell}", f"--exit-fd={ends}", str(pid), INTERFACE],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=(tell, ends),
        start_new_session=True,  # Ctrl-C is for the container, which may need its network to end well
    )
    os.close(tell)
    os.close(ends)
    helper = Helper(os.pidfd_open(process.pid), process, ours)
    with os.fdopen(ready, "rb", 0) as end:
        known, _, _ = select.select([end], [], [], READY)
        if known and end.read(1) == b"1":
            return helper
    with suppress(ProcessLookupError):
        process.kill()
    assert process.stderr is not None
    said = process.stderr.read().decode(errors="replace").strip().splitlines()
    helper.close()
    raise NetworkUnavailable(f"slirp4netns could not make a network ({said[-1] if said else 'no reason given'})", ELSE)


def check() -> None:
    """Raises NetworkUnavailable if this user cannot open the device that such a network is made of."""
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as problem:
        missing = isinstance(problem, FileNotFoundError)
        fix = "load the module tun" if missing else f"let this user open it (chmod 0666 {TUN})"
        raise NetworkUnavailable(
            f"a network without root needs {TUN}, which cannot be used ({problem.strerror})", f"{fix}, {ELSE}"
        ) from problem
