"""The spawner of bundles' processes: one child, in namespaces that are made or joined, which outlives it.

Like `runner.zygote`, whose loop it is; but a child that is ready is nobody's to kill, so it only leaves.
"""

import marshal
import os
import select
import signal
import struct
from _socket import SCM_RIGHTS, SOL_SOCKET, socket
from contextlib import suppress

from runner import zygote
from runner.child import AF_UNIX, SOCK_SEQPACKET
from runner.job import ENTER, REPLY, Seed
from runner.linux import CLONE_NEWPID, CLONE_NEWTIME, CLONE_NEWUSER, clone, setns, unshare
from runner.oci.init import Init
from runner.oci.order import FIRST_NAMESPACE, BundleSeed

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import NoReturn


class Nursery(zygote.Zygote):
    """The loop, for bundles."""

    seeds = BundleSeed

    def _start(self, seed: Seed, descriptors: list[int]) -> None:
        assert isinstance(seed, BundleSeed)
        self._enter(seed, descriptors)
        ready = told = -1
        if seed.namespaces & CLONE_NEWUSER:
            ready, told = os.pipe()
        pid, pidfd = clone(seed.namespaces)
        if pid == 0:
            self._child(seed, descriptors, ready, told)
        os.set_inheritable(pidfd, False)
        self.living[pidfd] = descriptors[REPLY]
        if told >= 0:
            os.close(ready)
            self._map(pid, seed, told)
        self.poll.register(pidfd, select.POLLIN)
        reply = socket(AF_UNIX, SOCK_SEQPACKET, 0, os.dup(descriptors[REPLY]))
        with suppress(OSError):
            reply.sendmsg([marshal.dumps(("born", pid))], [(SOL_SOCKET, SCM_RIGHTS, struct.pack("i", pidfd))])
        reply.close()

    def _enter(self, seed: BundleSeed, descriptors: list[int]) -> None:
        """Join what is to be shared. This process has one child, so it need not come back."""
        if seed.kind == ENTER:
            setns(descriptors[FIRST_NAMESPACE], CLONE_NEWPID)
            return
        last = lambda pair: pair[0] == CLONE_NEWUSER  # noqa: E731 (there we have no rights over the others)
        for kind, descriptor in sorted(zip(seed.entered, descriptors[FIRST_NAMESPACE:], strict=False), key=last):
            setns(descriptor, kind)
        if seed.offsets:
            unshare(CLONE_NEWTIME)
            with open("/proc/self/timens_offsets", "wb", buffering=0) as offsets:
                offsets.write(seed.offsets)

    def _map(self, pid: int, seed: BundleSeed, told: int) -> None:
        try:
            for name, numbers in (("uid_map", seed.uid_map), ("gid_map", seed.gid_map)):
                try:
                    with open(f"/proc/{pid}/{name}", "wb", buffering=0) as file:
                        file.write(numbers)
                except OSError as problem:
                    os.kill(pid, signal.SIGKILL)
                    raise OSError(problem.errno, problem.strerror, name) from problem
            os.write(told, b"1")
        finally:
            os.close(told)

    def _child(self, seed: Seed, descriptors: list[int], ready: int, told: int) -> "NoReturn":
        if ready >= 0:
            os.close(told)
            if os.read(ready, 1) != b"1":
                os._exit(125)
            os.close(ready)
        Init(seed, descriptors, self.itself).live()

    def _finish(self) -> None:
        """Leave: who is not ready yet dies with us (PR_SET_PDEATHSIG), the others live on."""


def serve() -> None:
    """The whole life of the process."""
    zygote.serve(Nursery)
