"""Seeing that a sandbox runs out of memory, while it happens, and stopping everybody in it until there is more.

Both tell of a watermark somewhat below the limit (`ceilings.watermark`). Version 1 does by an eventfd, which tells of
memory.oom_control, too; with `oom_policy="freeze"` its killer is switched off: who touches memory that is not there
waits, but a system call that needs some fails with ENOMEM, so that everybody should be stopped before. Version 2 always
kills at memory.max; it tells by POLLPRI on memory.events when memory.high is passed, which slows everybody down. What
can be reclaimed (files, swap) is no want of memory: then nothing is told. See memory.rst and cgroup-v2.rst of the
kernel.
"""

from __future__ import annotations

import errno
import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from layers.quick import dataclass, field
from runner.ceilings import UNLIMITED, watermark
from runner.cgroups import Cgroup
from runner.files import table, text, write

GLANCE = 0.05
"""Seconds between two looks at whether a frozen group has got more memory."""
LOOKS = 20
"""Looks after an event: the kernel tells of it before it counts who was killed."""
NEARLY = 15 / 16
"""How much of the watermark must be in use, with nothing to reclaim, to be out of memory."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """What has happened: "frozen" (everybody was stopped), "killed" (somebody was), or "thawed" (it goes on).

    usage and limit: bytes of memory in use and allowed.
    """

    what: Literal["frozen", "killed", "thawed"]
    usage: int
    limit: int


@dataclass
class Watch:
    """Looks at one group, in which nobody was killed before, in a thread of its own while it is a context manager.

    `told` is called in that thread. With `freeze` the group is stopped first, and goes on when its limit of memory is
    raised, or when somebody else lets it.
    """

    group: Cgroup
    told: Callable[[Pressure], None]
    freeze: bool = False
    _closing: threading.Event = field(default_factory=threading.Event)
    _wake: tuple[int, int] = field(default=(-1, -1))
    _thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        source = self._source()
        if source is not None:
            self._wake = os.pipe()
            self._thread = threading.Thread(target=self._look, args=(source,), name="pybuild-memory", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is None:
            return
        self._closing.set()
        os.close(self._wake[1])
        self._thread.join()
        os.close(self._wake[0])

    def _source(self) -> Source | None:
        """Where the kernel tells of it; None if this host counts no memory."""
        if "memory" in self.group.legacy:
            return Legacy(self.group.legacy["memory"])
        if self.group.unified is not None and (self.group.unified / "memory.events").exists():
            return Unified(self.group.unified)
        return None

    def _look(self, source: Source) -> None:
        poll = select.poll()
        poll.register(self._wake[0], select.POLLIN | select.POLLHUP)
        poll.register(source.descriptor, source.events)
        killed, looks, last = 0, 0, False
        try:
            while not last:
                if poll.poll(GLANCE * 1000 if looks or (self.freeze and source.near()) else None):
                    looks = LOOKS
                last = self._closing.is_set()  # whoever ends may just have been killed: one more look
                looks -= 1
                source.seen()
                if (now := source.kills()) > killed:
                    killed, looks = now, 0
                    self.told(Pressure("killed", source.usage(), source.limit()))
                elif self.freeze and not last and source.short():
                    looks = 0
                    self._stop(source)
        except OSError as problem:
            if problem.errno not in (errno.ENOENT, errno.ENODEV):  # the group has gone meanwhile
                raise
        finally:
            source.close()

    def _stop(self, source: Source) -> None:
        """Stop everybody, tell it, and wait until there is more memory or somebody lets them go on."""
        self.group.freeze()
        limit = source.limit()
        self.told(Pressure("frozen", source.usage(), limit))
        while not self._closing.wait(GLANCE) and self.group.frozen:
            if (more := source.limit()) > limit:
                source.raised(more)
                self.group.freeze(frozen=False)
                self.told(Pressure("thawed", source.usage(), more))
                return
        source.let()


def swap_free() -> int:
    """KiB of the host's swap that nobody uses."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("SwapFree:")).split()[1])


class Source:
    """Where one version of the kernel's control groups tells of memory."""

    events = select.POLLIN
    files: tuple[str, ...]
    """What its memory.stat calls files."""
    descriptor: int
    folder: Path

    def seen(self) -> None:
        """Make ready for the next event."""

    def kills(self) -> int:
        """How often somebody was killed."""
        raise NotImplementedError

    def near(self) -> bool:
        """Whether more of it may be in use than the watermark without another event."""
        return False

    def short(self) -> bool:
        """Whether memory has really run out."""
        raise NotImplementedError

    def _filled(self, mark: float) -> bool:
        """Whether what cannot be reclaimed has come to the mark: no file, and no room in swap."""
        stat = table(self.folder / "memory.stat")
        return self.usage() - sum(stat.get(name, 0) for name in self.files) >= mark and not self._swappable()

    def _swappable(self) -> bool:
        raise NotImplementedError

    def usage(self) -> int:
        """Bytes in use."""
        raise NotImplementedError

    def limit(self) -> int:
        """Bytes allowed."""
        raise NotImplementedError

    def raised(self, limit: int) -> None:
        """There is more memory now."""

    def let(self) -> None:
        """Somebody else lets them go on with what there is."""

    def close(self) -> None:
        """Let go."""
        os.close(self.descriptor)


class Legacy(Source):
    """Version 1: an eventfd that counts up when the watermark is passed, and each time memory runs out."""

    files = ("total_active_file", "total_inactive_file")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.mark = UNLIMITED
        self._ask("memory.oom_control")
        self.raised(self.limit())

    def _ask(self, name: str, *more: int) -> None:
        """To be told of what is in a file."""
        asked = os.open(self.folder / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            write(self.folder / "cgroup.event_control", " ".join(map(str, (self.descriptor, asked, *more))))
        finally:
            os.close(asked)

    def seen(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self.descriptor)

    def kills(self) -> int:
        return table(self.folder / "memory.oom_control").get("oom_kill", 0)

    def near(self) -> bool:
        """Told is only the passing, and then it may all be files that others take the place of."""
        return self.usage() >= self.mark

    def short(self) -> bool:
        if table(self.folder / "memory.oom_control").get("under_oom", 0):
            return True
        return self.near() and self._filled(self.mark * NEARLY)

    def _swappable(self) -> bool:
        with suppress(OSError):
            most, used = (int(text(self.folder / f"memory.memsw.{what}_in_bytes")) for what in ("limit", "usage"))
            return swap_free() > 0 and used < most * NEARLY
        return swap_free() > 0

    def usage(self) -> int:
        return int(text(self.folder / "memory.usage_in_bytes"))

    def limit(self) -> int:
        return int(text(self.folder / "memory.limit_in_bytes"))

    def raised(self, limit: int) -> None:
        """The watermark follows the limit."""
        self._move(watermark(limit))

    def let(self) -> None:
        """They are stopped again when half of the rest is used."""
        self._move((self.usage() + self.limit()) // 2)

    def _move(self, mark: int) -> None:
        self.mark = mark
        self._ask("memory.usage_in_bytes", mark)


class Unified(Source):
    """Version 2: memory.events, which can be polled."""

    events = select.POLLPRI
    files = ("active_file", "inactive_file")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.follows = text(folder / "memory.high").strip() == str(watermark(self.limit()))
        self.nearly = NEARLY
        self.descriptor = os.open(folder / "memory.events", os.O_RDONLY | os.O_CLOEXEC)
        os.read(self.descriptor, 4096)  # what has been so far is no event

    def seen(self) -> None:
        os.pread(self.descriptor, 4096, 0)

    def kills(self) -> int:
        return table(self.folder / "memory.events").get("oom_kill", 0)

    def short(self) -> bool:
        high = text(self.folder / "memory.high").strip()
        return high != "max" and self._filled(int(high) * self.nearly)

    def _swappable(self) -> bool:
        with suppress(OSError):
            most = text(self.folder / "memory.swap.max").strip()
            used = int(text(self.folder / "memory.swap.current"))
            return swap_free() > 0 and (most == "max" or used < int(most) * NEARLY)
        return False

    def usage(self) -> int:
        return int(text(self.folder / "memory.current"))

    def limit(self) -> int:
        most = text(self.folder / "memory.max").strip()
        return UNLIMITED if most == "max" else int(most)

    def raised(self, limit: int) -> None:
        """The watermark follows the limit, if it is ours."""
        self.nearly = NEARLY
        if self.follows:
            write(self.folder / "memory.high", "max" if limit == UNLIMITED else str(watermark(limit)))

    def let(self) -> None:
        """They are stopped again when half of the rest is used."""
        self.nearly = 1
        if self.follows:
            write(self.folder / "memory.high", str((self.usage() + self.limit()) // 2))
