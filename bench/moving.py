"""Bytes on the move: unpacking, pushing, pulling beside umoci, skopeo and docker, and beside a loop that only hashes.

All of them get the same image from the same OCI layout: four layers of noise, which no compression makes smaller, or
one layer of many small files.
"""

from __future__ import annotations

import random
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.tools import Docker, Pybuild, call, unmount_below

NOISE = 4 * 42 << 20
SMALL_FILES = 50_000
STREAM = Path(__file__).with_name("stream.py")
BARE = "curl, which verifies and keeps nothing"
"""All blobs at the same time by one curl each: what the registry and the kernel alone take."""
PUT = """
url=$1; shift
for blob; do
    {
        place=$(curl -s -i -X POST "$url/v2/noise/blobs/uploads/" | tr -d '\\r' | sed -n 's/^Location: //Ip')
        curl -s -f -o /dev/null -H Expect: -T "$blob" "$place&digest=sha256:${blob##*/}"
    } &
done
wait
"""
GET = """
url=$1; shift
for blob; do curl -s -f -o /dev/null "$url/v2/noise/blobs/sha256:$blob" & done
wait
"""
Times = dict[str, list[float]]


@dataclass
class Moving:
    """The layouts, and the tools that move them."""

    folder: Path
    ours: Pybuild
    docker: Docker | None
    empty_registry: Callable[[], str]
    figures: dict[str, Times] = field(default_factory=dict)

    def layout(self, name: str, fill: Callable[[Path, random.Random], str]) -> Path:
        """An OCI layout of an image whose context `fill` writes; it returns the Dockerfile."""
        context, layout = self.folder / f"{name}-context", self.folder / f"{name}-layout"
        context.mkdir()
        (context / "Dockerfile").write_text(fill(context, random.Random(name)))
        self.ours.spend("build", "-q", "-t", f"{name}:1", str(context))
        self.ours.spend("copy", "-q", f"{name}:1", f"oci:{layout}:1")
        shutil.rmtree(context)
        return layout

    def time(self, work: str, tool: str, command: Callable[[], object]) -> None:
        """Once more."""
        began = time.perf_counter()
        command()
        self.figures.setdefault(work, {}).setdefault(tool, []).append(time.perf_counter() - began)

    def unpack(self, layout: Path, number: int) -> None:
        """A gzip layer of many files until it can be used, verified."""
        work = f"gzip layer of {SMALL_FILES:,} files, verified and ready to run"
        place = self.folder / f"unpacked-{number}"

        def ours() -> None:
            self.ours.spend("copy", "-q", f"oci:{layout}:1", "small:1", root=place.name)
            self.ours.spend("run", "--rm", "--network", "none", "small:1", "true", root=place.name)

        self.time(work, "pybuild", ours)
        store = f"containers-storage:[overlay@{place}-skopeo+{place}-run]localhost/small:1"
        self.time(work, "skopeo", lambda: call(["skopeo", "copy", "-q", f"oci:{layout}:1", store]))
        umoci = ["umoci", "raw", "unpack", "--image", f"{layout}:1", f"{place}-umoci"]
        self.time(work, "umoci", lambda: call(umoci))
        if self.docker is not None:
            reference = f"{self.empty_registry()}/small:1"
            call(["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:1", f"docker://{reference}"])
            docker = self.docker
            docker.forget()
            self.time(work, docker.name, lambda: docker.pull(reference))

    def push(self, layout: Path) -> None:
        """To a registry that has nothing."""
        work = f"push of {NOISE >> 20} MiB in four layers to an empty registry"
        for tool in ("pybuild", "skopeo", "docker", "hashing loop", BARE):
            target = f"{self.empty_registry()}/noise:1"
            match tool:
                case "pybuild":
                    command = [self.ours.program, "copy", "-q", f"oci:{layout}:1", f"docker://{target}"]
                case "skopeo":
                    command = [
                        "skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:1", f"docker://{target}"
                    ]  # fmt: skip
                case "docker":
                    if self.docker is None:
                        continue
                    docker = self.docker
                    docker.forget()
                    source = f"{self.empty_registry()}/noise:1"
                    call(["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:1", f"docker://{source}"])
                    call(docker.daemon.command("pull", "-q", source))
                    self.time(work, docker.name, lambda: docker.push(source, target))  # noqa: B023
                    continue
                case "hashing loop":
                    command = [sys.executable, "-I", str(STREAM), "push", str(layout), target]
                case _:
                    host = target.partition("/")[0]
                    command = ["sh", "-c", PUT, "sh", f"http://{host}", *map(str, (layout / "blobs/sha256").iterdir())]
            self.time(work, tool, lambda: call(command))  # noqa: B023

    def pull(self, layout: Path, number: int) -> None:
        """Into an empty layout, and for docker its own store."""
        work = f"pull of {NOISE >> 20} MiB in four layers into an empty layout"
        source = f"{self.empty_registry()}/noise:1"
        call(["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:1", f"docker://{source}"])
        place = self.folder / f"pulled-{number}"
        ours = [self.ours.program, "copy", "-q", f"docker://{source}", f"oci:{place}-pybuild:1"]
        self.time(work, "pybuild", lambda: call(ours))
        skopeo = ["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{source}", f"oci:{place}-skopeo:1"]
        self.time(work, "skopeo", lambda: call(skopeo))
        if self.docker is not None:
            docker = self.docker
            docker.forget()
            self.time(work, docker.name, lambda: call(docker.daemon.command("pull", "-q", source)))
        stream = [sys.executable, "-I", str(STREAM), "pull", str(place), source]
        self.time(work, "hashing loop", lambda: call(stream))
        blobs = [blob.name for blob in (layout / "blobs/sha256").iterdir()]
        self.time(work, BARE, lambda: call(["sh", "-c", GET, "sh", f"http://{source.partition('/')[0]}", *blobs]))
        for used in self.folder.glob(f"pulled-{number}*"):
            shutil.rmtree(used)


def noise(context: Path, source: random.Random) -> str:
    """Four layers that cannot be compressed."""
    lines = ["FROM scratch"]
    for number in range(4):
        (context / f"noise-{number}").write_bytes(source.randbytes(NOISE // 4))
        lines.append(f"COPY noise-{number} /")
    return "\n".join(lines) + "\n"


def small(base: str) -> Callable[[Path, random.Random], str]:
    """Many small files, as a source tree has them, over the base that has programs."""

    def fill(context: Path, source: random.Random) -> str:
        words = ["".join(source.choices("abcdefghij \n", k=6)) for _ in range(999)]
        for number in range(SMALL_FILES):
            file = context / "tree" / f"{number % 100:02}" / f"{number % 5000:04}" / f"{number}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("".join(source.choices(words, k=source.randrange(900))))
        return f"FROM {base}\nCOPY tree /tree\n"

    return fill


def measure(moving: Moving, base: str, rounds: int) -> dict[str, Times]:
    """All of it, in turn."""
    many, big = moving.layout("small", small(base)), moving.layout("noise", noise)
    try:
        for number in range(rounds):
            moving.unpack(many, number)
            moving.push(big)
            moving.pull(big, number)
    finally:
        unmount_below(moving.folder)
    return moving.figures


def table(figures: Mapping[str, Times]) -> str:
    """Markdown: a line for each tool."""
    lines = ["| work | tool | time | ours ÷ its |", "|---|---|---|---|"]
    for work, tools in figures.items():
        ours = statistics.median(tools["pybuild"])
        for tool, times in tools.items():
            middle = statistics.median(times)
            ratio = "" if tool == "pybuild" else f"**{ours / middle:.2f}**"
            lines.append(f"| {work} | {tool} | {middle:.2f} s ({min(times):.2f}–{max(times):.2f}) | {ratio} |")
            work = ""
    return "\n".join(lines)
