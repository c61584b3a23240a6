"""podman, buildah and docker with us as their runtime."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.tools import unmount_below
from tests.support.bases import rootfs
from tests.support.bundles import RUNTIME
from tests.support.dockerd import Dockerd, DockerdUnavailable, dockerd, remove_cgroups
from tests.support.peers import need

pytestmark = pytest.mark.root

TRAPPED = "trap 'exit 9' TERM; while :; do sleep 0.1; done"
GROUP = f"pybuild-peer-{os.getpid()}"
PARENT = ("--cgroup-parent", f"/{GROUP}")
"""Where podman makes its control groups, which it never takes away."""
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000")
"""podman's own are higher than root without CAP_SYS_RESOURCE may set."""


class Engine:
    """podman or buildah on a store of its own."""

    def __init__(self, program: str, folder: Path) -> None:
        self.words: list[str | Path] = [need(program), "--root", folder / "graph", "--runroot", folder / "run"]
        if program == "podman":
            self.words += ["--cgroup-manager", "cgroupfs", "--runtime", RUNTIME]

    def __call__(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self.words, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0 or not check, done.stderr
        return done

    def run(self, *words: str | Path) -> tuple[int, str]:
        """Run a container that is removed afterwards."""
        done = self("run", "--rm", "--network", "none", *PARENT, *LIMITS, *words, check=False)
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A short name: podman takes no longer one than fifty characters for where it runs."""
    with tempfile.TemporaryDirectory(prefix="pybuild-engines-") as place:
        yield Path(place)
        unmount_below(Path(place))
        remove_cgroups(GROUP)


@pytest.fixture(scope="module")
def podman(folder: Path) -> Iterator[Engine]:
    engine = Engine("podman", folder)
    engine("import", rootfs("busybox"), "busybox")
    yield engine
    engine("rm", "--force", "--all", "--time", "0")


def test_podman_runs(podman: Engine) -> None:
    assert podman.run("busybox", "sh", "-c", "id -u; exit 7") == (7, "0\n")
    assert podman.run("busybox", "nosuch")[0] == 127
    assert podman.run("busybox", "/etc")[0] == 126
    limit = ("-m", "24m", "busybox", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    assert podman.run(*limit) == (0, f"{24 << 20}\n")
    user = ("--user", "5:6", "--cap-add", "NET_ADMIN", "busybox", "grep", "CapEff", "/proc/self/status")
    assert podman.run(*user) == (0, "CapEff:\t0000000000001000\n")
    written = ("--read-only", "--tmpfs", "/t", "busybox", "sh", "-c", "echo 1 > /t/a && cat /t/a && ! touch /a")
    assert podman.run(*written) == (0, "1\n")
    mapped = ("--uidmap", "0:100000:1000", "--gidmap", "0:100000:1000", "busybox", "cat", "/proc/self/uid_map")
    code, told = podman.run(*mapped)
    assert (code, told.split()) == (0, ["0", "100000", "1000"])


def test_podman_lives(podman: Engine) -> None:
    podman("run", "-d", "--name", "one", *PARENT, "--network", "none", *LIMITS, "busybox", "sh", "-c", TRAPPED)
    assert podman("exec", "-e", "A=b", "-w", "/tmp", "one", "sh", "-c", "echo $A $PWD").stdout == "b /tmp\n"
    assert podman("exec", "one", "sh", "-c", "exit 5", check=False).returncode == 5
    assert podman("exec", "-u", "7", "one", "id", "-u").stdout == "7\n"
    assert "Up" in podman("ps", "--format", "{{.Status}}").stdout
    podman("pause", "one")
    assert podman("ps", "-a", "--format", "{{.Status}}").stdout.lower().startswith("paused")
    podman("unpause", "one")
    podman("stop", "-t", "5", "one")
    assert podman("ps", "-a", "--format", "{{.Status}}").stdout.startswith("Exited (9)")
    podman("start", "one")
    podman("kill", "one")
    podman("wait", "one")
    podman("rm", "one")
    assert podman("ps", "-aq").stdout == ""


def test_podman_with_a_terminal(podman: Engine) -> None:
    code, told = podman.run("-t", "busybox", "sh", "-c", "tty; stat -c %F /dev/console")
    assert (code, told.splitlines()) == (0, ["/dev/pts/0", "character special file"])


def test_buildah_builds(podman: Engine, folder: Path) -> None:
    (folder / "context").mkdir()
    (folder / "context/Dockerfile").write_text(
        "FROM localhost/busybox\nRUN id -u && echo made > /made\nUSER 5\nRUN id -u; cat /made; exit 3\n"
    )
    flags = ("--runtime", RUNTIME, "--network", "none", "--pull=never", *LIMITS)
    done = Engine("buildah", folder)("bud", *flags, folder / "context", check=False)
    assert done.returncode == 3
    assert "\n0\nSTEP" in done.stdout and done.stdout.rstrip().endswith("5\nmade")


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dockerd]:
    need("dockerd", "docker.io")
    try:
        with dockerd(tmp_path_factory.mktemp("docker"), options=f"--add-runtime pybuild={RUNTIME}") as running:
            with rootfs("busybox").open("rb") as tar:
                subprocess.run(running.command("import", "-", "busybox"), stdin=tar, check=True, capture_output=True)
            yield running
    except DockerdUnavailable as unavailable:
        pytest.skip(f"dockerd does not start here: {unavailable}")


def test_docker_runs(docker: Dockerd) -> None:
    def run(*words: str) -> tuple[int, str]:
        done = docker.docker("run", "--rm", "--runtime", "pybuild", "--network", "none", *words, check=False)
        return done.returncode, done.stdout

    assert run("busybox", "sh", "-c", "id -u; exit 7") == (7, "0\n")
    assert run("busybox", "nosuch")[0] == 127
    assert run("busybox", "/etc")[0] == 126
    assert run("--user", "5", "--pids-limit", "20", "busybox", "cat", "/sys/fs/cgroup/pids/pids.max") == (0, "20\n")
    walls = run("busybox", "grep", "-E", "CapEff|Seccomp:", "/proc/self/status")
    assert walls == (0, "CapEff:\t00000000a80425fb\nSeccomp:\t2\n")
    assert run("--init", "busybox", "sh", "-c", "exit 4") == (4, "")


def test_docker_lives(docker: Dockerd) -> None:
    call = docker.docker
    call("run", "-d", "--name", "one", "--runtime", "pybuild", "--network", "none", "busybox", "sleep", "100")
    assert call("exec", "-e", "A=b", "one", "sh", "-c", "echo $A").stdout == "b\n"
    assert call("exec", "one", "sh", "-c", "exit 5", check=False).returncode == 5
    assert "sleep 100" in call("top", "one").stdout
    call("pause", "one")
    assert "(Paused)" in call("ps", "--format", "{{.Status}}").stdout
    call("unpause", "one")
    call("update", "-m", "33m", "--memory-swap", "66m", "one")
    limit = call("exec", "one", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes").stdout
    assert limit == f"{33 << 20}\n"
    assert "33MiB" in call("stats", "--no-stream", "--format", "{{.MemUsage}}", "one").stdout
    call("kill", "one")
    assert call("wait", "one").stdout == "137\n"
    call("rm", "one")
