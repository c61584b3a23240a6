"""What happens when the memory of a container runs out: everybody in it is stopped, or told about, while it happens."""

from __future__ import annotations

import os
from collections import deque

from builder.containers.state import Status

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import subprocess

    from builder.containers.container import Container
    from builder.containers.supervise import Supervisor
    from runner.pressure import Pressure, Watch
    from runner.running import Running

SHELL = "/bin/sh"
"""Of the host: a hook is the user's own program."""


class Hunger:
    """Does a container's --oom-policy and --on-oom while it runs, if either was asked for.

    What the kernel tells comes in a thread of its own, and is dealt with on the supervisor's loop.
    """

    def __init__(self, boss: Supervisor, running: Running) -> None:
        self.boss = boss
        self.pid = running.pid
        self._hooks: list[subprocess.Popen[bytes]] = []
        self._heard: deque[Pressure] = deque()
        self._bell = -1
        self._watch: Watch | None = None
        if running.cgroup is None:
            return
        from runner.pressure import Watch

        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        boss.loop.watch(self._bell, self._hear)
        self._watch = Watch(running.cgroup, self._told, freeze=boss.settings.limits.oom_policy == "freeze")
        self._watch.__enter__()

    def end(self) -> None:
        """It runs no more; what is still to be told is told."""
        if self._watch is not None:
            self._watch.__exit__()
            self._watch = None
            self._hear()
            self.boss.loop.forget(self._bell)
            os.close(self._bell)

    def _told(self, pressure: Pressure) -> None:
        self._heard.append(pressure)
        os.eventfd_write(self._bell, 1)

    def _hear(self) -> None:
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            return
        while self._heard:
            self._feel(self._heard.popleft())

    def _feel(self, pressure: Pressure) -> None:
        boss = self.boss
        if boss.foreground is not None:
            boss.foreground.show(2, f"pybuild: {sentence(boss.settings.name, pressure)}\n".encode())
        if pressure.what == "frozen":
            boss.record(status=Status.PAUSED)
            boss.tell("oom", policy="freeze", memory=str(pressure.limit))
        elif pressure.what == "thawed":
            boss.record(status=Status.RUNNING)
            boss.tell("unpause")
        if boss.settings.oom_hook and pressure.what != "thawed":
            self._hooks = [one for one in self._hooks if one.poll() is None]
            try:
                self._hooks.append(hook(boss.container, boss.settings.oom_hook, self.pid, pressure))
            except OSError as error:
                boss.said(2, f"pybuild: --on-oom {boss.settings.oom_hook}: {error.strerror}\n".encode())


def sentence(name: str, pressure: Pressure) -> str:
    """What happened and what can be done."""
    match pressure.what:
        case "frozen":
            raise_it = f"pybuild update --memory BYTES {name}"
            return f"{name} is out of memory ({pressure.limit} bytes) and stands still; raise the limit: {raise_it}"
        case "killed":
            return f"{name} is out of memory ({pressure.limit} bytes): the kernel has killed a process in it"
        case "thawed":
            return f"{name} has more memory now ({pressure.limit} bytes) and goes on"


def hook(container: Container, line: str, pid: int, pressure: Pressure) -> subprocess.Popen[bytes]:
    """Begin the container's --on-oom command; it says what it has to say on our standard error.

    It runs before we go on, for the container may be about to end and we with it; nobody waits for its end, for it may
    want to start or remove the container.
    """
    environment = {
        **os.environ,
        "PYBUILD_ROOT": str(container.folder.parent.parent),
        "PYBUILD_CONTAINER": container.id,
        "PYBUILD_CONTAINER_NAME": container.name,
        "PYBUILD_PID": str(pid),
        "PYBUILD_OOM": pressure.what,
        "PYBUILD_MEMORY_USAGE": str(pressure.usage),
        "PYBUILD_MEMORY_LIMIT": str(pressure.limit),
    }
    import subprocess

    return subprocess.Popen([SHELL, "-c", line], env=environment, stdin=subprocess.DEVNULL, stdout=2)
