"""The conversation with a process while it becomes a container's: see `runner.oci.init` for its side."""

import marshal
import os
import resource
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from layers.quick import dataclass
from runner.errors import SandboxUnavailable
from runner.oci.errors import StartFailed
from runner.oci.order import GO, HOOKS, LIMITS, READY, BundleSeed, Order
from runner.sockets import Socket
from runner.spawner import Birth, Spawner

LARGEST = 1 << 16
"""Bytes of an answer."""
MODULE = "runner.oci.nursery"


@dataclass(slots=True)
class Growing:
    """A process that has been born and waits for its order."""

    pid: int
    pidfd: int
    reply: Socket
    status: Socket
    undo: ExitStack
    master: int | None = None

    def grow(
        self,
        order: Order,
        descriptors: Sequence[int],
        *,
        hooks: Callable[[], None],
        leave: Callable[[], None],
        rlimits: Sequence[tuple[int, int, int]] = (),
    ) -> Birth:
        """Let it get ready; its `hooks` are run when it says so. Raises StartFailed; it is gone then.

        `leave` is called before it goes on: to let the spawner go, so that its end is told to whoever adopts it.
        """
        text = os.memfd_create("order")
        try:
            os.write(text, order.dump())
            self.status.send_with(b"job", [text, *descriptors])
        except OSError as problem:
            raise self._dead() from problem
        finally:
            os.close(text)
        while True:
            word, given = self._hear()
            if word == b"tty":
                self.master = given[0]
                self.undo.callback(os.close, self.master)
            elif word == HOOKS:
                hooks()
                self.status.send(GO)
            elif word == LIMITS:
                self._limit(rlimits)
                self.status.send(GO)
            elif word == READY:
                leave()
                self.status.send(GO)
                break
            elif not word:
                raise self._dead()
            else:
                raise StartFailed(words(*marshal.loads(word)))
        self.status.close()
        self.undo.pop_all()
        return Birth(self.pid, self.pidfd, self.reply, self.master)

    def _hear(self) -> tuple[bytes, list[int]]:
        try:
            return self.status.receive_with(LARGEST, 1)
        except ConnectionResetError:
            return b"", []

    def _limit(self, rlimits: Sequence[tuple[int, int, int]]) -> None:
        for number, soft, hard in rlimits:
            pair = [-1 if value >= 2**64 - 1 else value for value in (soft, hard)]
            try:
                resource.prlimit(self.pid, number, (pair[0], pair[1]))
            except (OSError, ValueError, OverflowError) as problem:
                reason = problem.strerror if isinstance(problem, OSError) else str(problem)
                raise StartFailed(f"error setting rlimit type {number} to {soft}:{hard}: {reason}".lower()) from problem

    def _dead(self) -> StartFailed:
        return StartFailed("its process has died before it was ready")


def sow(spawner: Spawner, seed: BundleSeed, descriptors: Sequence[int], undo: ExitStack) -> Growing:
    """Have a process made; `undo` kills it unless it has grown. Raises StartFailed, SandboxUnavailable."""
    sown = spawner.sow(seed, descriptors)
    reply, status = sown.take()
    inner = ExitStack()
    inner.callback(reply.close)
    inner.callback(status.close)
    born, given = reply.receive_with(LARGEST, 1)
    if not born:
        told = status.recv(LARGEST)
        inner.close()
        if told:
            raise StartFailed(words(*marshal.loads(told)))
        raise SandboxUnavailable("the process that starts containers has died", "look for its message above")
    pid = marshal.loads(born)[1]
    inner.callback(os.close, given[0])
    undo.push(inner)
    return Growing(pid, given[0], reply, status, inner)


def words(at: str, number: int, detail: bytes) -> str:
    """A failure of the process, as a sentence."""
    said = os.fsdecode(detail)
    if at == "exec":
        return said
    where = f"{at} ({said})" if said else at
    return f"{where}: {os.strerror(number).lower()}" if number else f"{at}: {said}"
