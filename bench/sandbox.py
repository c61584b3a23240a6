"""What walls cost: an empty RUN, a container from start to end, a command in one that runs, what they take on disk."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.tools import Docker, Pybuild, Spent
from builder.containers import Containers
from builder.containers.sandboxes import entering
from layers import Store
from runner.native import Native
from runner.spawner import Spawner

STEPS = 40
CONTAINERS = 100
BUSY = "i=0; while [ $i -lt {} ]; do i=$((i+1)); done"
SHORT, LONG = 30_000, 150_000
"""Rounds of that: a twentieth, and a quarter of a second."""
STAGE = 6
"""Steps of the stages that are compared: one alone, and two beside each other."""


@dataclass(frozen=True, slots=True)
class Row:
    """One work: our time, the rival's if it can do it, in milliseconds, and what was asked for."""

    work: str
    ours: float
    theirs: float | None
    target: str


def measure(tool: Pybuild, rival: Docker | None, folder: Path, base: str, rounds: int) -> str:
    """Markdown; commands in turn, medians."""
    folder.mkdir()
    rows = [
        _steps(tool, rival, folder, base, rounds),
        _whole(tool, rival, ["run", "--rm", "--network", "none", base, "true"], rounds, "≤ 60 ms, ≤ 1/5"),
        _whole(tool, rival, ["run", "--rm", base, "true"], rounds, "≤ 60 ms, ≤ 1/5"),
        *_exec(tool, rival, base, rounds),
    ]
    lines = ["| work | pybuild | docker | ours ÷ docker | target |", "|---|---|---|---|---|"]
    for row in rows:
        theirs = "– | –" if row.theirs is None else f"{row.theirs:.1f} ms | **{row.ours / row.theirs:.2f}**"
        lines.append(f"| {row.work} | {row.ours:.1f} ms | {theirs} | {row.target} |")
    grown = _growth(tool, base) / 1e6
    short, long = (_stages(tool, folder / str(work), base, rounds, BUSY.format(work)) for work in (SHORT, LONG))
    return "\n".join(
        (
            *lines,
            "",
            f"{CONTAINERS} containers of one image that have run take {grown:.2f} MB of the store (target: under 1).",
            f"Two stages beside each other do {long:.2f} times the work of one in the same time (target: 1.8), if a"
            f" step takes a quarter of a second; {short:.2f} times, if it takes a twentieth.",
        )
    )


def _medians(rounds: int, *works: Callable[[], object] | None) -> list[float | None]:
    """Milliseconds of each, done in turn; of a command its own."""
    found: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, times in zip(works, found, strict=True):
            if work is not None:
                began = time.perf_counter()
                spent = work()
                seconds = spent.seconds if isinstance(spent, Spent) else time.perf_counter() - began
                times.append(seconds * 1000)
    return [statistics.median(times) if times else None for times in found]


def _steps(tool: Pybuild, rival: Docker | None, folder: Path, base: str, rounds: int) -> Row:
    many, one = (_context(folder / str(count), base, ["true"] * count) for count in (STEPS + 1, 1))
    tools = [tool, *([rival] if rival is not None else [])]
    works = [lambda t=t, c=c: t.build(c, "empty", cache=False) for t in tools for c in (many, one)]
    found = [value or 0.0 for value in _medians(rounds, *works)]
    each = [(found[at] - found[at + 1]) / STEPS for at in range(0, len(found), 2)]
    return Row("an empty RUN step, no network", each[0], each[1] if rival is not None else None, "≤ 10 ms, ≤ 1/8")


def _whole(tool: Pybuild, rival: Docker | None, words: list[str], rounds: int, target: str) -> Row:
    ours, theirs = _medians(
        3 * rounds, lambda: tool.spend(*words), None if rival is None else lambda: rival.spend(*words)
    )
    return Row(f"`{' '.join(words)}`, the whole command", ours or 0.0, theirs, target)


def _exec(tool: Pybuild, rival: Docker | None, base: str, rounds: int) -> list[Row]:
    words = ("run", "-d", "--name", "bench-exec", "--network", "none", base, "sleep", "600")
    tools: list[Callable[..., object]] = [tool.spend, *([rival.spend] if rival is not None else [])]
    for say in tools:
        say(*words)
    works = [lambda say=say: say("exec", "bench-exec", "true") for say in tools]
    found = _medians(3 * rounds, *works)
    with _entering(tool, "bench-exec") as once:
        once()  # the spawner has begun
        (inside,) = _medians(10 * rounds, once)
    for say in tools:
        say("rm", "-f", "bench-exec")
    return [
        Row("`exec` of true, the whole command", found[0] or 0.0, found[1] if len(found) > 1 else None, "–"),
        Row("`exec` of true, inside our process", inside or 0.0, None, "≤ 10 ms"),
    ]


@contextmanager
def _entering(tool: Pybuild, name: str) -> Iterator[Callable[[], None]]:
    """What runs true in a container, from the order to its end, in this process."""
    with ExitStack() as stack:
        store = stack.enter_context(Store.open(tool.folder / "store"))
        spawner = Spawner()
        stack.callback(spawner.close)
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        stack.callback(os.close, nothing)
        container, runtime = Containers(store).get(name), Native(spawner)
        pid = container.state().pid

        def once() -> None:
            sandbox = entering(container, pid, ("true",))
            assert runtime.exec_in(pid, sandbox, (nothing,) * 3).wait().code == 0

        yield once


def _growth(tool: Pybuild, base: str) -> float:
    """Bytes that the store takes more."""
    before = _taken(tool.folder / "store")
    for _ in range(CONTAINERS):
        tool.spend("run", "--network", "none", base, "true")
    return _taken(tool.folder / "store") - before


def _taken(folder: Path) -> float:
    return sum(512.0 * path.lstat().st_blocks for path in folder.rglob("*"))


def _stages(tool: Pybuild, folder: Path, base: str, rounds: int, busy: str) -> float:
    """How much more two stages get done in the same time than one: the same steps in each, and a result of each."""
    contexts = [folder / names for names in ("a", "ab")]
    for context in contexts:
        context.mkdir(parents=True)
        stages, ends = [], ["FROM scratch"]
        for name in context.name:
            runs = [f"RUN {busy}; : {name} {number}" for number in range(STAGE)]
            stages += [f"FROM {base} AS {name}", *runs, f"RUN echo {name} > /out"]
            ends.append(f"COPY --from={name} /out /{name}")
        (context / "Dockerfile").write_text("\n".join((*stages, *ends, "")))
    alone, both = _medians(rounds, *(lambda c=c: tool.build(c, "stages", cache=False) for c in contexts))
    return 2 * (alone or 0.0) / (both or 1.0)


def _context(folder: Path, base: str, commands: list[str]) -> Path:
    folder.mkdir()
    runs = "".join(f"RUN {command}; : {number}\n" for number, command in enumerate(commands))
    (folder / "Dockerfile").write_text(f"FROM {base}\n{runs}")
    return folder
