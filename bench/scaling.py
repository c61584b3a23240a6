"""How cost grows: lines, files, layers and bytes, each many times as many; a straight line through the figures."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.lines import planned, text
from bench.tools import Pybuild

LINES = (400, 2_000, 4_000)
"""With ten thousand each RUN of the history would tell of so many ARGs that the config were too large a document."""
FILES = (1_000, 10_000, 100_000)
LAYERS = (10, 100, 500)
MEGABYTES = (10, 100, 1000)


@dataclass(frozen=True, slots=True)
class Growth:
    """CPU seconds and peak memory (MiB) of one kind of work at several sizes."""

    work: str
    unit: str
    sizes: tuple[int, ...]
    cpu: tuple[float, ...]
    memory: tuple[int, ...]

    @property
    def line(self) -> tuple[float, float]:
        """Seconds for nothing, and for each unit more: through the first and the last."""
        slope = (self.cpu[-1] - self.cpu[0]) / (self.sizes[-1] - self.sizes[0])
        return self.cpu[0] - slope * self.sizes[0], slope

    def row(self) -> str:
        """A line of the table; the extrapolation is the formula at ten times the largest size."""
        start, slope = self.line
        cells = ", ".join(f"{size:,}: {cpu:.2f} s" for size, cpu in zip(self.sizes, self.cpu, strict=True))
        beyond = 10 * self.sizes[-1]
        formula = f"{start:.2f} s + {slope * 1e6:.1f} µs a {self.unit}"
        beyond_that = f"{beyond:,}: {start + slope * beyond:.1f} s"
        return f"| {self.work} | {cells} | {formula} | {beyond_that} | {max(self.memory)} MiB |"


def measure(ours: Pybuild, folder: Path, base: str, registry: str) -> list[Growth]:
    """Builds of more and more files and layers, pushes and pulls of more and more bytes."""
    folder.mkdir()

    def grow(work: str, unit: str, sizes: Sequence[int], one: Callable[[int], tuple[float, int]]) -> Growth:
        found = [one(size) for size in sizes]
        return Growth(work, unit, tuple(sizes), *zip(*found, strict=True))

    def cached(count: int) -> tuple[float, int]:
        context = folder / f"lines-{count}"
        context.mkdir()
        (context / "Dockerfile").write_text(text(count, base))
        ours.spend("build", "-q", str(context))
        spent = min((ours.spend("build", "-q", str(context)) for _ in range(5)), key=lambda one: one.cpu)
        return spent.cpu, spent.memory >> 20

    def files(count: int) -> tuple[float, int]:
        context = folder / f"files-{count}"
        for number in range(count):
            file = context / f"{number % 500:03}" / f"file-{number}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"file {number}\n" * 20)
        (context / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
        spent = ours.spend("build", "-q", str(context))
        shutil.rmtree(context)
        return spent.cpu, spent.memory >> 20

    def layers(count: int) -> tuple[float, int]:
        context = folder / f"layers-{count}"
        context.mkdir()
        copies = "".join(f"COPY Dockerfile /copy-{number}\n" for number in range(count - 1))
        (context / "Dockerfile").write_text(f"FROM {base}\n{copies}")
        ours.spend("build", "-q", "-t", f"layers-{count}", str(context))
        spent = ours.spend("run", "--rm", "--network", "none", f"layers-{count}", "true")
        return spent.cpu, spent.memory >> 20

    def noise(size: int) -> Path:
        context = folder / f"bytes-{size}"
        if not context.exists():
            context.mkdir()
            (context / "Dockerfile").write_text("FROM scratch\nCOPY noise /\n")
            source = random.Random(size)
            with (context / "noise").open("wb") as out:
                for _ in range(size):
                    out.write(source.randbytes(1_000_000))
            ours.spend("build", "-q", "-t", f"{registry}/bytes:{size}", str(context))
            (context / "noise").unlink()
        return context

    def push(size: int) -> tuple[float, int]:
        noise(size)
        spent = ours.spend("push", "-q", f"{registry}/bytes:{size}")
        return spent.cpu, spent.memory >> 20

    def pull(size: int) -> tuple[float, int]:
        spent = ours.spend("pull", "-q", f"{registry}/bytes:{size}", root="grown")
        return spent.cpu, spent.memory >> 20

    return [
        grow("plan of a Dockerfile, in process", "line", LINES, planned),
        grow("build, all cached", "line", LINES, cached),
        grow("build of one COPY", "file", FILES, files),
        grow("first run of an image", "layer", LAYERS, layers),
        grow("first push, compressing", "MB", MEGABYTES, push),
        grow("pull, verifying and inflating", "MB", MEGABYTES, pull),
    ]


def table(found: Sequence[Growth]) -> str:
    """Markdown."""
    head = "| work | CPU time at each size | formula | ten times more | peak memory |\n|---|---|---|---|---|"
    return "\n".join([head, *(growth.row() for growth in found)])
