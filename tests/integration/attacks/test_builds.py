"""Hostile Dockerfiles: what they leave in the image, in the store and on the host; numbers as in the list."""

import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.command import Pybuild
from tests.support.residue import leaked

pytestmark = pytest.mark.root


def dockerfile(folder: Path, *lines: str) -> Path:
    """A context whose Dockerfile is on busybox."""
    (folder / "Dockerfile").write_text("\n".join(("FROM busybox", *lines)) + "\n")
    return folder


def test_places_that_are_mounted_on_cannot_be_taken_away(shared_pybuild: Pybuild, tmp_path: Path) -> None:  # 40
    lines = (
        "RUN rm -rf /proc /sys /dev 2>/dev/null; rm -f /etc/resolv.conf /etc/hosts /etc/hostname 2>/dev/null; "
        "mv /etc/hosts /h 2>/dev/null; "
        "mv /etc /e 2>/dev/null; mv /proc /p 2>/dev/null; echo left; ls -d /etc /proc /sys",
    )
    done = shared_pybuild("build", "--progress", "plain", "-t", "attacked", dockerfile(tmp_path, *lines))
    assert " /proc" in done.stderr
    told = {line.split(" ", 1)[1] for line in shared_pybuild.text("diff", "busybox", "attacked").splitlines()}
    places = {f"/etc/{name}" for name in ("resolv.conf", "hosts", "hostname")}
    assert {path for path in told if path in places or path.split("/")[1] in ("proc", "sys", "dev")} == set()
    shared_pybuild("rmi", "attacked")


def test_names_of_every_kind_are_packed_and_taken_away(pybuild: Pybuild, tmp_path: Path) -> None:  # 25
    lines = (
        "RUN n=$(printf '%0250d' 1); i=0; mkdir /deep; cd /deep; "
        "while [ $i -lt 14 ]; do i=$((i+1)); mkdir $n && cd $n; done; : >leaf",
        "RUN mkdir /wide; cd /wide; touch \"$(printf 'a\\nb')\" \"$(printf '\\377')\" -- -rf '*' ' ' '\\'; "
        "i=0; while [ $i -lt 800 ]; do i=$((i+1)); : >f$i; done",
        "RUN ls /wide | wc -l; rm -rf /deep /wide",
    )
    pybuild.base("busybox")
    with leaked(pybuild.root) as left:
        done = pybuild("build", "--progress", "plain", "-t", "attacked", dockerfile(tmp_path, *lines))
        assert " 807\n" in done.stderr or " 806\n" in done.stderr
    assert not left
    pybuild("rmi", "attacked")
    pybuild("prune", "-a", "-f")


@pytest.mark.parametrize("line", ["head -c 40m /dev/zero | tr '\\0' x", "head -c 1m /dev/zero | tr '\\0' '\\n'"])  # 27
def test_output_without_measure(shared_pybuild: Pybuild, tmp_path: Path, line: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    words = shared_pybuild.command("build", "--progress", "plain", dockerfile(tmp_path, f"RUN {line}"))
    done = subprocess.run(words, env=shared_pybuild.environment, stderr=subprocess.DEVNULL, check=False, timeout=200)
    assert done.returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert after <= max(before, 120 << 10)  # KiB


@pytest.mark.parametrize(
    "numbers", [[signal.SIGINT, signal.SIGINT], [signal.SIGHUP], [signal.SIGTERM], [signal.SIGKILL]]
)
def test_interrupted(shared_pybuild: Pybuild, tmp_path: Path, numbers: list[int]) -> None:  # 31
    place = dockerfile(tmp_path, "RUN trap '' TERM INT; echo ready; sleep 1000 & sleep 1000")
    with leaked(shared_pybuild.root) as left:
        words = shared_pybuild.command("build", "--progress", "plain", "--no-cache", place)
        process = subprocess.Popen(
            ["env", "--default-signal=HUP", *words],  # whoever runs the tests may ignore it, as nohup does
            env=shared_pybuild.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        while "ready" not in (line := process.stderr.readline()) or "RUN" in line:
            assert line
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.1)
        process.stderr.read()
        process.stderr.close()
        assert process.wait(30) != 0
        if signal.SIGKILL in numbers or signal.SIGHUP in numbers or len(numbers) > 1:
            shared_pybuild("run", "--rm", "busybox", "true")  # the next one clears up
    assert not left


def test_nobody_reads_any_more(shared_pybuild: Pybuild, tmp_path: Path) -> None:  # 31
    place = dockerfile(tmp_path, "RUN i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line $i; done")
    with leaked(shared_pybuild.root) as left:
        words = shared_pybuild.command("build", "--progress", "plain", "--no-cache", place)
        process = subprocess.Popen(words, env=shared_pybuild.environment, stderr=subprocess.PIPE)
        assert process.stderr is not None
        process.stderr.readline()
        process.stderr.close()
        process.wait(60)
        shared_pybuild("run", "--rm", "busybox", "true")
    assert not left


@pytest.mark.parametrize(  # 10
    "flag",
    ["type=cache,id=../../../escape,target=/c", "type=cache,id=/etc,target=/c", "type=cache,target=../../c"],
)
def test_names_of_caches_lead_nowhere(shared_pybuild: Pybuild, tmp_path: Path, flag: str) -> None:
    before = set(os.listdir("/etc")), set(os.listdir(shared_pybuild.root.parent))
    shared_pybuild("build", "--no-cache", dockerfile(tmp_path, f"RUN --mount={flag} touch /c/owned"), code=None)
    assert (set(os.listdir("/etc")), set(os.listdir(shared_pybuild.root.parent))) == before
    assert not (shared_pybuild.root.parent / "escape").exists()


def test_a_host_whose_mounts_are_shared(shared_pybuild: Pybuild, tmp_path: Path) -> None:  # 49
    place = dockerfile(tmp_path, "RUN true", "RUN --mount=type=tmpfs,target=/m mkdir /m/x")
    build = " ".join(map(str, shared_pybuild.command("build", "-q", "--no-cache", place)))
    script = f"cat /proc/self/mountinfo >{tmp_path}/before; {build} && cat /proc/self/mountinfo >{tmp_path}/after"
    words = ["unshare", "-m", "--propagation", "shared", "sh", "-c", script]
    subprocess.run(words, env=shared_pybuild.environment, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text()
    assert "shared:" in (tmp_path / "before").read_text()
