"""The tools that are compared, each told the same things in its own words.

Every tool keeps its state below one folder of the benchmark; nothing of the host's own is used or changed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.support.dockerd import Dockerd, dockerd

IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)
"""What Python ignores, and a shell does not."""


class ToolFailed(Exception):
    """A command of a tool did not do what the benchmark asked; the text ends with what it said."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a command said and took, its children included: seconds, those of CPU, its largest process's peak in bytes.

    `seconds` are its own, from its start to its end, without what the benchmark does around it.
    """

    text: str
    seconds: float
    cpu: float
    memory: int


def spend(command: list[str], env: Mapping[str, str] | None = None) -> Spent:
    """Run to the end, or raise ToolFailed."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        environment = {**os.environ, **(env or {})}
        streams: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, out.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, err.fileno(), 2),
        ]
        began = time.perf_counter()
        pid = os.posix_spawnp(command[0], command, environment, file_actions=streams, setsigdef=IGNORED)
        _, status, usage = os.wait4(pid, 0)
        seconds = time.perf_counter() - began
        code = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if code != 0:
            raise ToolFailed(f"{' '.join(command)}: exit {code}\n{err.read()[-2000:]}")
        return Spent(out.read(), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10)


def call(command: list[str], env: Mapping[str, str] | None = None) -> str:
    """Run to the end and give what it said, or raise ToolFailed."""
    return spend(command, env).text


class Tool(Protocol):
    """What is asked of each."""

    name: str
    version: str

    def base(self, rootfs: Path, tag: str) -> None:
        """Make the base image from the tar of its root."""
        ...

    def build(self, context: Path, tag: str, *, cache: bool = True) -> None:
        """Build a directory; `cache=False` runs every step anew."""
        ...

    def archive(self, context: Path, tag: str, dest: Path) -> None:
        """From a build that is all cached to an OCI archive, layers compressed by gzip."""
        ...

    def push(self, tag: str, reference: str) -> None:
        """Send an image to a registry over HTTP."""
        ...

    def pull(self, reference: str) -> None:
        """Fetch an image into a store that has nothing of it, ready to be run."""
        ...

    def forget(self) -> None:
        """Empty the store that `pull` fills."""
        ...


@dataclass
class Pybuild:
    """This project, as it stands in the tree. `pull` unpacks, as the others do: it mounts the image once."""

    folder: Path
    name: str = "pybuild"
    version: str = ""
    program: str = field(default=str(Path(sys.executable).with_name("pybuild")))
    memory: int = 0
    """Peak of all commands since somebody set it to 0, in bytes."""

    def __post_init__(self) -> None:
        self.version = self.spend("--version").text.split()[-1]

    def spend(self, *words: str, root: str = "store") -> Spent:
        """Run a command on one of the stores."""
        spent = spend([self.program, *words], {"PYBUILD_ROOT": str(self.folder / root)})
        self.memory = max(self.memory, spent.memory)
        return spent

    def _say(self, *words: str, root: str = "store") -> None:
        self.spend(*words, root=root)

    def base(self, rootfs: Path, tag: str) -> None:
        self._say("import", str(rootfs), tag)

    def build(self, context: Path, tag: str, *, cache: bool = True) -> None:
        options = [] if cache else ["--no-cache"]
        self._say("build", "-q", "--network", "none", *options, "-t", tag, str(context))

    def archive(self, context: Path, tag: str, dest: Path) -> None:
        # The compressed layer is remembered: a store that never compressed it is what is measured.
        self._say("build", "-q", "--network", "none", "-t", tag, "-o", f"type=oci,dest={dest}", str(context))

    def push(self, tag: str, reference: str) -> None:
        self._say("push", "-q", tag, reference)

    def pull(self, reference: str) -> None:
        self._say("pull", "-q", reference, root="pulled")
        self._say("run", "--rm", "--network", "none", reference, "true", root="pulled")

    def forget(self) -> None:
        shutil.rmtree(self.folder / "pulled", ignore_errors=True)


@dataclass
class Docker:
    """A docker daemon with BuildKit inside, warm before the first measurement."""

    daemon: Dockerd
    name: str
    version: str = ""
    _base: str = ""

    def __post_init__(self) -> None:
        server = self.say("version", "--format", "{{.Server.Version}}").strip()
        buildx = self.say("buildx", "version").split()[1]
        self.version = f"docker {server}, buildx {buildx}"

    def spend(self, *words: str) -> Spent:
        """Run a command."""
        return spend(self.daemon.command(*words))

    def say(self, *words: str) -> str:
        """What a command says."""
        return self.spend(*words).text

    def base(self, rootfs: Path, tag: str) -> None:
        self.say("import", str(rootfs), tag)
        self._base = tag

    def build(self, context: Path, tag: str, *, cache: bool = True) -> None:
        options = [] if cache else ["--no-cache"]
        words = ("buildx", "build", "-q", "--network", "none", "--provenance=false", *options, "-t", tag, str(context))
        try:
            self.say(*words)
        except ToolFailed as problem:
            if "parent snapshot" not in str(problem):
                raise
            self.say(*words)  # its garbage collection has taken a layer from under it: an outlier for the median

    def archive(self, context: Path, tag: str, dest: Path) -> None:
        where = f"type=oci,dest={dest},compression=gzip,force-compression=true"
        self.say("buildx", "build", "-q", "--network", "none", "--provenance=false", "-o", where, str(context))

    def push(self, tag: str, reference: str) -> None:
        self.say("tag", tag, reference)
        self.say("push", "-q", reference)

    def pull(self, reference: str) -> None:
        self.say("pull", "-q", reference)
        self.say("run", "--rm", "--network", "none", reference, "true")

    def forget(self) -> None:
        images = {
            image for image in self.say("images", "-q").split() if image not in self.say("images", "-q", self._base)
        }
        if images:
            self.say("rmi", "-f", *images)
        self.say("builder", "prune", "-a", "-f")


@dataclass
class Buildah:
    """buildah with its overlay store; runs by runc. Pulls by skopeo into the same kind of store."""

    folder: Path
    name: str = "buildah"
    version: str = ""

    def __post_init__(self) -> None:
        self.version = call(["buildah", "--version"]).split()[2]

    def _store(self, place: str) -> list[str]:
        return [
            "--root",
            f"{self.folder}/{place}",
            "--runroot",
            f"{self.folder}/{place}-run",
            "--storage-driver",
            "overlay",
        ]

    def _say(self, *words: str, place: str = "store") -> str:
        return call(["buildah", *self._store(place), *words])

    def base(self, rootfs: Path, tag: str) -> None:
        dockerfile = self.folder / "base"
        dockerfile.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(rootfs, dockerfile / "rootfs.tar")
        (dockerfile / "Dockerfile").write_text('FROM scratch\nADD rootfs.tar /\nCMD ["sh"]\n')
        self._say("bud", "-q", "-t", tag, str(dockerfile))

    def build(self, context: Path, tag: str, *, cache: bool = True) -> None:
        options = ["--layers"] if cache else ["--layers", "--no-cache"]
        runtime = ["--runtime", "/usr/sbin/runc", "--network", "none", "--pull=never"]
        self._say("bud", "-q", *runtime, *options, "-t", tag, str(context))

    def archive(self, context: Path, tag: str, dest: Path) -> None:
        self.build(context, tag)
        self._say("push", "-q", tag, f"oci-archive:{dest}")

    def push(self, tag: str, reference: str) -> None:
        self._say("push", "-q", "--tls-verify=false", tag, f"docker://{reference}")

    def pull(self, reference: str) -> None:
        store = f"containers-storage:[overlay@{self.folder}/pulled+{self.folder}/pulled-run]{reference}"
        call(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{reference}", store])

    def forget(self) -> None:
        for place in ("pulled", "pulled-run"):
            shutil.rmtree(self.folder / place, ignore_errors=True)


@dataclass
class Podman(Buildah):
    """podman, which builds as buildah does."""

    name: str = "podman"

    def __post_init__(self) -> None:
        self.version = call(["podman", "--version"]).split()[2]

    def _say(self, *words: str, place: str = "store") -> str:
        verb = ["build" if word == "bud" else word for word in words[:1]]
        manager = ["--cgroup-manager", "cgroupfs", "--runtime", "/usr/sbin/runc"]
        return call(["podman", *self._store(place), *manager, *verb, *words[1:]])

    def build(self, context: Path, tag: str, *, cache: bool = True) -> None:
        options = ["--layers"] if cache else ["--layers", "--no-cache"]
        self._say("build", "-q", "--network", "none", "--pull=never", *options, "-t", tag, str(context))

    def pull(self, reference: str) -> None:
        self._say("pull", "-q", "--tls-verify=false", reference, place="pulled")


@contextmanager
def buildah(folder: Path, kind: type[Buildah] = Buildah) -> Iterator[Buildah]:
    """buildah, or podman, with stores below `folder`; the mounts that it leaves there are taken away in the end."""
    folder.mkdir()
    try:
        yield kind(folder)
    finally:
        unmount_below(folder)


def unmount_below(folder: Path) -> None:
    """Take away what tools have left mounted."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((point for point in points if point.startswith(str(folder))), reverse=True):
        subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)


@contextmanager
def newest_docker(folder: Path, shared: Path) -> Iterator[Docker | None]:
    """Docker of the unstable chroot if `bench/peers/sid` has made it, else this Debian's, else None."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    sid = cache / "pybuild-peers/sid"
    if (sid / ".complete").exists():
        with dockerd(folder, root=sid, shared=[shared], options="--feature containerd-snapshotter=true") as daemon:
            yield Docker(daemon, "buildkit")
    elif Path("/usr/sbin/dockerd").exists():
        with dockerd(folder, shared=[shared]) as daemon:
            yield Docker(daemon, "docker")
    else:
        yield None
