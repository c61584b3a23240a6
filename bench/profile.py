"""Where our own time goes: start of the process, each step, and the rest, from the events of a build."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

from bench.tools import Pybuild, call
from bench.workload import Workload


def where_time_goes(folder: Path, work: Workload) -> str:
    """Markdown: for the cold and the cached build of 20 steps, and the COPY."""
    tool = Pybuild(folder / "pybuild")
    env = {**os.environ, "PYBUILD_ROOT": str(tool.folder / "store")}
    started = time.perf_counter()
    call([tool.program, "--version"])
    bare = time.perf_counter() - started
    lines = [
        "| build | whole | start of the process | until the plan | in steps | after the last step |",
        "|---|---|---|---|---|---|",
    ]
    for title, context, options in (
        ("20 RUN steps, nothing cached", work.steps(), ["--no-cache"]),
        ("20 RUN steps, all cached", work.steps(), []),
        ("COPY of 20,000 files, nothing cached", work.files(), ["--no-cache"]),
    ):
        command = [
            tool.program,
            "build",
            "--progress",
            "json",
            "--network",
            "none",
            *options,
            "-t",
            "profile",
            str(context),
        ]
        began = time.perf_counter()
        planned = last = began
        in_steps = 0.0
        with subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            assert process.stderr is not None
            for line in process.stderr:
                now = time.perf_counter()
                event = json.loads(line)
                if event["event"] == "planned":
                    planned = now
                elif event["event"] in ("step_finished", "step_cached"):
                    last = now
                    in_steps += event.get("seconds", 0.0)
        whole = time.perf_counter() - began
        figures = (whole, bare, planned - began - bare, in_steps, began + whole - last)
        lines.append(f"| {title} | " + " | ".join(f"{figure * 1000:.0f} ms" for figure in figures) + " |")
    return "\n".join(lines)


def native_diff(folder: Path, tag: str) -> str:
    """A sentence: what a container changed, found in its upper directory, over an image of many files."""
    from builder.containers.book import Containers
    from builder.containers.changes import places
    from layers import Store
    from layers.views.lifted import Lifted

    tool = Pybuild(folder / "pybuild")
    script = "for i in 0 1 2 3 4 5 6 7 8 9; do echo $i > /new-$i; echo $i >> /tree/0$i/000$i/$i.txt; done"
    tool.spend("run", "--name", "changed", "--network", "none", tag, "sh", "-c", script)
    with Store.open(folder / "pybuild/store") as store:
        container = Containers(store).get("changed")
        below = store.tree(container.settings.chain)
        files = sum(1 for _ in below.walk())
        times = []
        for _ in range(5):
            began = time.perf_counter()
            now = Lifted(below, container.upper, places(container, below))
            times.append(time.perf_counter() - began)
        found = sum(change.entry.type.value == "file" for change in now.changes)
    tool.spend("rm", "changed")
    return (
        f"What a container changed ({found} files over an image of {files:,}) is known after "
        f"{min(times) * 1000:.1f} ms, the tables of contents being loaded."
    )
