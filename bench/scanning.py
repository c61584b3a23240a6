"""Looking at a large context that has not changed, beside a loop that only lists directories and calls lstat(2)."""

from __future__ import annotations

import os
import stat
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

FILES, FOLDERS = 50_000, 500


def measure(folder: Path, rounds: int) -> str:
    """A sentence. A process of its own measures: like a build it forks its helper before it has threads."""
    for number in range(FILES):
        file = folder / "context" / f"{number % FOLDERS:03}" / f"file-{number}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"file {number}\n" * 20)
    command = [sys.executable, "-m", "bench.scanning", str(folder), str(rounds)]
    bare, ours = map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    return (
        f"A context of {FILES:,} files, all known from the build before, is looked at in {ours * 1000:.0f} ms; a bare "
        f"loop of scandir and lstat takes {bare * 1000:.0f} ms: **{ours / bare:.2f}** (target: ≤ 1.3)."
    )


def _bare(top: str) -> None:
    waiting = [top]
    while waiting:
        with os.scandir(waiting.pop()) as found:
            for one in found:
                if stat.S_ISDIR(one.stat(follow_symlinks=False).st_mode):
                    waiting.append(one.path)


def _main(folder: Path, rounds: int) -> None:
    from builder.contexts.batch import Batch
    from builder.contexts.context import Context
    from builder.graph import Copy, Step
    from builder.ops.select import select
    from layers import Platform, Store, helper

    helper.start()
    op = Copy(("",), "/")
    step = Step(0, op, None, "COPY . /", "", 0, Platform.host())

    def scan(store: Store) -> Context:
        context = Context.open(folder / "context", None, store)
        selection = select(lambda _: context, op, step)
        assert sum(len(one) for one in selection.sources[0].items if isinstance(one, Batch)) == FILES
        context.close()
        return context

    def timed(work: Callable[[], object]) -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    with Store.open(folder / "store") as store:
        scan(store).remember(store)
        figures = [(timed(lambda: _bare(str(folder / "context"))), timed(lambda: scan(store))) for _ in range(rounds)]
    print(*map(statistics.median, zip(*figures, strict=True)))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]))
