"""The benchmark: every tool in turn, round after round, in one run; medians and ratios.

python -m bench                          all cases, three rounds
python -m bench --only steps-cold push   some of them
python -m bench --write                  and into docs/performance.md
"""

from __future__ import annotations

import argparse
import compileall
import gc
import secrets
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bench import moving, report, sandbox, scaling, scanning
from bench.cases import CASES, Bench, Case
from bench.floor import plain_put
from bench.profile import native_diff, where_time_goes
from bench.tools import Docker, Podman, Pybuild, Tool, ToolFailed, buildah, newest_docker
from bench.workload import Workload
from runner import private
from tests.support.bases import rootfs
from tests.support.registry import registry_server

BASE = "bench-base:latest"
PARTS = ("build", "moving", "sandbox", "scaling", "scan")
PAGE = Path(__file__).parent.parent / "docs/performance.md"


def main() -> int:
    """Measure what the command line asks for; 1 if something of ours failed."""
    options = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    options.add_argument("--rounds", type=int, default=3, metavar="N")
    options.add_argument("--only", nargs="+", choices=[case.name for case in CASES], metavar="CASE")
    options.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=f"of: {' '.join(PARTS)}"
    )
    options.add_argument("--tools", nargs="+", metavar="TOOL", help="of: pybuild buildkit docker buildah podman")
    options.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    asked = options.parse_args()
    cases = [case for case in CASES if "build" in asked.parts and (not asked.only or case.name in asked.only)]
    for package in ("builder", "layers", "pybuild", "registry", "runner"):  # as an installation would
        compileall.compile_dir(PAGE.parent.parent / package, quiet=1)
    private.enter()  # what tools leave mounted is theirs and ours alone, and goes with this process
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pb-bench-", dir="/var/tmp")))
        tools = _tools(folder, stack, asked.tools)
        server = stack.enter_context(registry_server(folder / "registry"))
        (folder / "scratch").mkdir()

        def another() -> str:
            return stack.enter_context(registry_server(folder / f"registry-{secrets.token_hex(4)}")).host

        bench = Bench(Workload(folder / "shared", BASE), server.host, folder / "shared", empty_registry=another)
        figures = _measure(bench, cases, tools, asked.rounds)
        ours = any(tool.name == report.US for tool in tools)
        profile = where_time_goes(folder, bench.work) if ours else "pybuild was not measured."
        if any(case.name == "push" for case in cases):
            floor = plain_put(another, asked.rounds)
            profile += (
                f"\n\nPushing is bounded by the registry: a loop that only sends the same bytes takes {floor:.2f} s."
            )
        text = _page(figures, cases, tools, asked.rounds, profile)
        us = next((tool for tool in tools if isinstance(tool, Pybuild)), None)
        if us is not None and "moving" in asked.parts:
            rival = next((tool for tool in tools if isinstance(tool, Docker)), None)
            (folder / "shared/moving").mkdir()
            moved = moving.measure(moving.Moving(folder / "shared/moving", us, rival, another), BASE, asked.rounds)
            text += f"\n\n## Bytes on the move\n\n{moving.table(moved)}\n\n{native_diff(folder, 'small:1')}"
        if us is not None and "sandbox" in asked.parts:
            rival = next((tool for tool in tools if isinstance(tool, Docker)), None)
            walls = sandbox.measure(us, rival, folder / "shared/sandbox", BASE, asked.rounds)
            text += f"\n\n## What walls cost\n\n{walls}"
        if us is not None and "scan" in asked.parts:
            text += f"\n\n## Looking at a context\n\n{scanning.measure(folder / 'scanned', asked.rounds)}"
        if us is not None and "scaling" in asked.parts:
            grown = scaling.measure(us, folder / "scaling", BASE, server.host)
            text += f"\n\n## How cost grows\n\n{scaling.table(grown)}"
        print(text)
        for (case, tool), why in figures.failures.items():
            print(f"\n{tool} failed at {case}:\n{why}", file=sys.stderr)
        if asked.write:
            PAGE.write_text(text + "\n")
    return int(any(tool == report.US for _, tool in figures.failures))


def _tools(folder: Path, stack: ExitStack, wanted: list[str] | None) -> list[Tool]:
    """Whatever is installed, each with the base image."""
    shared = folder / "shared"
    shared.mkdir()
    found: list[Tool] = [Pybuild(folder / "pybuild")]
    docker = stack.enter_context(newest_docker(folder / "d", shared))
    found += [] if docker is None else [docker]
    if Path("/usr/bin/buildah").exists():
        found.append(stack.enter_context(buildah(folder / "buildah")))
    if Path("/usr/bin/podman").exists():
        found.append(stack.enter_context(buildah(folder / "podman", Podman)))
    kept = [tool for tool in found if not wanted or tool.name in wanted]
    tar = shared / "rootfs.tar"
    tar.write_bytes(rootfs("busybox").read_bytes())
    for tool in kept:
        tool.base(tar, BASE)
    return kept


def _measure(bench: Bench, cases: list[Case], tools: list[Tool], rounds: int) -> report.Figures:
    figures = report.Figures()
    for case in cases:
        for tool in tools:
            if isinstance(tool, Pybuild):
                tool.memory = 0
        for number in range(rounds):
            bench.round = number
            for tool in tools:
                if (case.name, tool.name) in figures.failures:
                    continue
                try:
                    timed = case.prepare(tool, bench)
                    gc.collect()
                    started = time.perf_counter()
                    timed()
                    figures.add(case, tool.name, time.perf_counter() - started)
                except ToolFailed as failure:
                    figures.failures[case.name, tool.name] = str(failure)
        told = (
            f"{tool.name} {seconds:.2f}" for tool in tools if (seconds := figures.median(case, tool.name)) is not None
        )
        figures.memory[case.name] = max((tool.memory for tool in tools if isinstance(tool, Pybuild)), default=0)
        print(f"{case.name}: {', '.join(told)}", file=sys.stderr, flush=True)
    return figures


def _page(figures: report.Figures, cases: list[Case], tools: list[Tool], rounds: int, profile: str) -> str:
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    return f"""# Performance

Measured {day} by `./do bench --write` on {report.machine()}. Medians of {rounds} rounds (lowest–highest), whole
processes, the tools in turn within each round. {report.versions({tool.name: tool.version for tool in tools})}.
BuildKit's daemon is warm. Every RUN has no network. A pull ends with the first use of the image: a container that
runs `true`, or for buildah and podman the unpacked store. A ratio below 1 means that pybuild is faster.

{report.table(figures, cases, [tool.name for tool in tools])}

## Where the time goes

{profile}"""


if __name__ == "__main__":
    sys.exit(main())
