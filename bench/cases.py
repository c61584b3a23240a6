"""What is measured, and how each measurement is prepared without being timed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.tools import Tool
from bench.workload import Workload

Timed = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table; `target` bounds our share of BuildKit's time, None where the far end sets the pace.

    `prepare` does what is not timed and returns what is.
    """

    name: str
    title: str
    target: float | None
    prepare: Callable[[Tool, Bench], Timed]


@dataclass
class Bench:
    """What cases share: workloads, a registry, a folder for archives, the round, and the `image` to pull."""

    work: Workload
    registry: str
    scratch: Path
    round: int = 0
    image: str = ""

    empty_registry: Callable[[], str] = field(default=lambda: "")
    """Starts one more registry; its host."""

    def fresh(self, tool: Tool) -> str:
        """A reference that the registry has never seen."""
        return f"{self.registry}/{tool.name}-{secrets.token_hex(4)}/app:1"


def _steps_cold(tool: Tool, bench: Bench) -> Timed:
    context = bench.work.steps()
    return lambda: tool.build(context, "steps", cache=False)


def _steps_cached(tool: Tool, bench: Bench) -> Timed:
    context = bench.work.steps()
    tool.build(context, "steps")
    return lambda: tool.build(context, "steps")


def _files_cold(tool: Tool, bench: Bench) -> Timed:
    context = bench.work.files()
    return lambda: tool.build(context, "files", cache=False)


def _files_cached(tool: Tool, bench: Bench) -> Timed:
    context = bench.work.files()
    tool.build(context, "files")
    return lambda: tool.build(context, "files")


def _files_changed(tool: Tool, bench: Bench) -> Timed:
    context = bench.work.files()
    tool.build(context, "files")
    bench.work.change_one(f"by {tool.name} in round {bench.round}")
    return lambda: tool.build(context, "files")


def _diff_archive(tool: Tool, bench: Bench) -> Timed:
    """RUN, diff, compression and archive together: no tool can have compressed the layer before."""
    context = bench.work.diff()
    dest = bench.scratch / f"{tool.name}.tar"
    dest.unlink(missing_ok=True)
    return _with_another_run(context, lambda: tool.archive(context, "diff", dest))


def _diff_push(tool: Tool, bench: Bench) -> Timed:
    """RUN, diff, compression and push together, into a registry that has nothing at all."""
    context = bench.work.diff()
    host = bench.empty_registry()

    def timed() -> None:
        tool.build(context, "diff")
        tool.push("diff", f"{host}/app:1")

    return _with_another_run(context, timed)


def _with_another_run(context: Path, timed: Timed) -> Timed:
    """The same with a RUN line that no tool has seen; the Dockerfile is put back afterwards."""
    dockerfile = context / "Dockerfile"
    text = dockerfile.read_text().split("# round")[0]
    dockerfile.write_text(text.replace("mkdir /data ", f"mkdir /data && : {secrets.token_hex(4)} ", 1))

    def restored() -> None:
        timed()
        dockerfile.write_text(text)

    return restored


def _push(tool: Tool, bench: Bench) -> Timed:
    """Into a registry that has nothing at all: no tool can mount blobs that it sent before to another repository."""
    tool.build(bench.work.diff(), "diff")
    host = bench.empty_registry()
    return lambda: tool.push("diff", f"{host}/app:1")


def _pull(tool: Tool, bench: Bench) -> Timed:
    """The same image for all tools: what the first of them pushed."""
    if not bench.image:
        bench.image = bench.fresh(tool)
        tool.build(bench.work.diff(), "diff")
        tool.push("diff", bench.image)
    tool.forget()
    return lambda: tool.pull(bench.image)


def _stages(tool: Tool, bench: Bench) -> Timed:
    context = bench.work.stages()
    return lambda: tool.build(context, "stages", cache=False)


CASES = (
    Case("steps-cold", "20 RUN steps, nothing cached", 1 / 5, _steps_cold),
    Case("steps-cached", "20 RUN steps, all cached", 1.0, _steps_cached),
    Case("copy-cold", "COPY of 20,000 files, nothing cached", 1 / 10, _files_cold),
    Case("copy-cached", "COPY of 20,000 files, all cached", 1.0, _files_cached),
    Case("copy-changed", "COPY of 20,000 files, one changed", 1 / 10, _files_changed),
    Case("run-archive", "RUN writes 150 MB in 5,000 files, to a gzip OCI archive", 0.3, _diff_archive),
    Case("run-push", "RUN writes 150 MB in 5,000 files, then push to an empty registry", 1 / 2, _diff_push),
    Case("push", "push alone (what BuildKit sends, its build has compressed already)", None, _push),
    Case("pull", "pull of that image into an empty store, and first use", 1 / 2, _pull),
    Case("stages", "four independent stages", 1.0, _stages),
)
