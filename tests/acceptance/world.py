"""Sixteen Dockerfiles of the kinds that people write: what they compile, install and serve is real.

Each is a directory of `examples/world`. The lines `# $ pybuild …` of its Dockerfile are what is done with it, in this
order (IMAGE stands for the image, OUT for a directory), `# exits with N` is about the command above it, and the file
`expected` holds what all of them print. Packages come from the directory of debian-apt, so that no mirror is asked.

`python -m tests.acceptance.world CHROOT [NAME…]` asks the BuildKit inside the docker of a chroot (made by
`bench/peers/sid`) what it makes of them, and writes `world.golden.json`.
"""

import io
import json
import re
import shlex
import sys
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.bases import DOCKERFILES, rootfs
from tests.support.examples import EXAMPLES
from tests.support.images import Tree, merge

GOLDEN = Path(__file__).with_name("world.golden.json")
BASES = {
    name: f"{name}:{'latest' if name == 'busybox' else 'bookworm'}"
    for name in ("busybox", "debian-gcc", "debian-python", "debian-apt", "debian-rust")
}
_LINE = re.compile(r"^# (?:\$ pybuild (?P<command>.*)|exits with (?P<code>\d+))$", re.MULTILINE)

_NOISE = re.compile(
    r"(dev|proc|sys|var/(cache|log|lib/(dpkg|apt))|etc/(g?shadow-?|ld\.so\.cache))(/|$)"
    r"|.*/__pycache__(/|$)|opt/venv/bin/[Aa]ctivate"
)
"""Where packages and their tools write what depends on the day or on their version."""
_PROGRAM = b"\x7fELF"
_ARCHIVE = b"!<arch>\n"


@dataclass(frozen=True, slots=True)
class World:
    """One directory: commands with the exit code that each has, and all that they print."""

    directory: Path
    commands: tuple[tuple[tuple[str, ...], int], ...]
    expected: str

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def flags(self) -> list[str]:
        """How the image itself is built: the words of the last command of that name, without the context."""
        return [*next(words for words, _ in reversed(self.commands) if words[0] == "build")][1:-1]

    @classmethod
    def read(cls, directory: Path) -> "World":
        commands: list[tuple[tuple[str, ...], int]] = []
        for match in _LINE.finditer((directory / "Dockerfile").read_text(encoding="utf-8")):
            if match["code"]:
                commands[-1] = (commands[-1][0], int(match["code"]))
            else:
                commands.append((tuple(shlex.split(match["command"])), 0))
        return cls(directory, tuple(commands), (directory / "expected").read_text(encoding="utf-8"))


def worlds() -> list[World]:
    """All of them, by name."""
    return [World.read(file.parent) for file in sorted(EXAMPLES.glob("world/*/Dockerfile"))]


def packages() -> Path:
    """The directory of packages that the builds install from."""
    return rootfs("debian-apt").with_name("pool")


@cache
def folders() -> frozenset[str]:
    """The directories that some base has, which a layer may name or not."""
    found = set()
    for name in BASES:
        with tarfile.open(rootfs(name)) as tar:
            found |= {member.name.removeprefix("./").rstrip("/") for member in tar if member.isdir()}
    return frozenset({*found, "", "."})


def told(config: dict[str, Any], layers: Sequence[bytes]) -> dict[str, Any]:
    """What is compared: config, history without times, and what the layers have that is no package's own."""
    tree: Tree = merge(layers)
    owned, programs = known(layers)
    found = {}
    for path, node in tree.items():
        if path in owned or _NOISE.match(path) or (node[0] == "dir" and path in folders()):
            continue
        if path in programs:  # the compiler of another day makes others
            node = [*node[:3], "program", "program", *node[5:]]
        found[path] = node
    return {
        "config": config.get("config", {}),
        "history": [[row.get("created_by", ""), row.get("empty_layer", False)] for row in config["history"]],
        "tree": found,
    }


def known(layers: Iterable[bytes]) -> tuple[set[str], set[str]]:
    """The paths that dpkg knows, and those of programs and packages."""
    owned: set[str] = set()
    programs: set[str] = set()
    for raw in layers:
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            for member in tar:
                if not member.isreg() or not (data := tar.extractfile(member)):
                    continue
                path = member.name.removeprefix("./")
                if re.fullmatch(r"var/lib/dpkg/info/[^/]*\.list", path):
                    listed = {line.strip("/") for line in data.read().decode().splitlines()}
                    owned |= listed | {f"usr/{path}" for path in listed}  # /lib and /bin are links
                elif data.read(len(_ARCHIVE)).startswith((_PROGRAM, _ARCHIVE)):
                    programs.add(path)
    return owned, programs


def main(chroot: Path, names: Sequence[str] = ()) -> None:
    """Write the golden file."""
    import shutil
    import tempfile

    from tests.support.dockerd import dockerd
    from tests.support.images import read_image

    golden = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        work = Path(scratch)
        shutil.copytree(packages(), work / "pool")
        options = "--feature containerd-snapshotter=true"
        with dockerd(work / "daemon", root=chroot, shared=[work], options=options) as peer:
            for base, tag in BASES.items():
                context = work / base
                context.mkdir()
                shutil.copy(rootfs(base), context / "rootfs.tar")
                shutil.copy(DOCKERFILES / base / "Dockerfile", context)
                peer.docker("buildx", "build", "--provenance=false", "-t", tag, context)
            bases = json.loads(peer.docker("image", "inspect", *BASES.values()).stdout)
            below = {diff_id for base in bases for diff_id in base["RootFS"]["Layers"]}
            for world in (world for world in worlds() if not names or world.name in names):
                context = work / "world" / world.name
                shutil.copytree(world.directory, context)
                out = work / f"{world.name}.tar"
                # fmt: off
                peer.docker("buildx", "build", "--provenance=false", "--network=none", "--no-cache",
                            "--build-context", f"debian={work}/pool", *world.flags,
                            "-o", f"type=oci,dest={out},compression=uncompressed", context)
                # fmt: on
                image = read_image(out)
                layers = zip(image.layers, image.config["rootfs"]["diff_ids"], strict=True)
                golden[world.name] = told(image.config, [raw for raw, diff_id in layers if diff_id not in below])
                print(world.name, flush=True)
    lines = (f" {json.dumps(name)}: {json.dumps(golden[name], sort_keys=True)}" for name in sorted(golden))
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
