"""Builds for several platforms, RUN for other processors, and what registries get of it."""

import errno
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from runner.emulators import Emulator
from runner.programs import MACHINES, program
from tests.support import emulator
from tests.support.command import Pybuild
from tests.support.peers import need
from tests.support.person import Person
from tests.support.registry import RegistryServer

pytestmark = pytest.mark.root
FOUR = "linux/amd64,linux/arm64,linux/arm/v7,linux/386"


def raw(reference: str) -> dict[str, object]:
    need("skopeo")
    told = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{reference}"]
    return dict(json.loads(subprocess.run(told, capture_output=True, check=True).stdout))


def emulated(command: Pybuild) -> Pybuild:
    """The command where qemu is installed."""
    return Pybuild(command.root, {**command.env, "PATH": f"{emulator.folder()}:{os.environ['PATH']}"})


@pytest.fixture
def arm(tmp_path: Path) -> Path:
    """A context with a program for arm64 that executes another."""
    for name, code in (("parent", emulator.EXECUTES_CHILD), ("child", None), ("fine", emulator.ENDS_WELL)):
        (tmp_path / name).write_bytes(emulator.arm64(code))
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY --chmod=755 parent child fine /\nRUN ["/fine"]\n')
    return tmp_path


def test_stages_of_this_machine_serve_all_platforms(
    shared_pybuild: Pybuild, registry: RegistryServer, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM --platform=$BUILDPLATFORM busybox AS make\n"
        "ARG TARGETPLATFORM TARGETVARIANT\n"
        'RUN echo "$TARGETPLATFORM on $(uname -m)" > /made\n'
        "FROM scratch\nCOPY --from=make /made /\n"
    )
    target = registry.reference("cross:1")
    shared_pybuild("build", "--platform", FOUR, "-t", target, "--push", tmp_path)
    index = raw(target)
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    entries = index["manifests"]
    assert isinstance(entries, list)
    assert [entry["platform"] for entry in entries] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
        {"architecture": "arm", "os": "linux", "variant": "v7"},
        {"architecture": "386", "os": "linux"},
    ]
    for entry in entries:
        alone = tmp_path / entry["digest"]
        shared_pybuild("build", "-o", alone, "-", stdin=f"FROM {target.rpartition(':')[0]}@{entry['digest']}\n")
        platform = "/".join(
            entry["platform"][key] for key in ("os", "architecture", "variant") if key in entry["platform"]
        )
        assert (alone / "made").read_text() == f"{platform} on {os.uname().machine}\n"


def test_platforms_are_built_side_by_side(pybuild: Pybuild, tmp_path: Path) -> None:
    """Each waits for the other, in a place that both see; what they share runs once."""
    pybuild.base()
    (tmp_path / "Dockerfile").write_text(
        "FROM --platform=$BUILDPLATFORM busybox AS tools\n"
        "RUN --mount=type=cache,target=/m echo once >> /m/runs && cp /m/runs /\n"
        "FROM --platform=$BUILDPLATFORM busybox AS cross\n"
        "ARG TARGETARCH\n"
        "RUN --mount=type=cache,target=/meet touch /meet/$TARGETARCH; "
        "for n in $(seq 2400); do [ -e /meet/amd64 ] && [ -e /meet/arm64 ] && exit; sleep 0.05; done; exit 1\n"
        "FROM scratch\nCOPY --from=tools /runs /\nCOPY --from=cross /bin/busybox /\n"
    )
    flags = ("--platform", "linux/amd64,linux/arm64", "--network", "none")
    told = pybuild("build", *flags, "--progress", "json", "-o", tmp_path / "out", tmp_path).stderr
    events = [json.loads(line) for line in told.splitlines()]
    (planned,) = (event["steps"] for event in events if event["event"] == "planned")
    assert [step["title"].split()[0] for step in planned if step["stage"] == "tools"] == ["FROM", "RUN"]
    for platform in ("linux_amd64", "linux_arm64"):
        assert (tmp_path / "out" / platform / "runs").read_text() == "once\n"
    told = pybuild("build", *flags, "--progress", "plain", tmp_path).stderr
    assert "[linux/arm64 stage-2 3/3] COPY" in told
    assert " 0 steps run" in told


def test_a_run_that_nothing_here_executes_is_refused_before_the_first_step(pybuild: Pybuild, arm: Path) -> None:
    told = pybuild("build", "--platform", "linux/amd64,linux/arm64", arm, code=1).stderr
    assert "RUN for linux/arm64 cannot be executed on linux/amd64" in told
    assert "Dockerfile:3:1" in told and "apt-get install qemu-user-static" in told and "$BUILDPLATFORM" in told
    assert "DONE" not in told and "CACHED" not in told
    windows = "FROM --platform=windows/amd64 scratch\nRUN dir\n"
    assert "no emulator for it is known" in pybuild("build", "-", stdin=windows, code=1).stderr


def test_an_emulator_is_lent_to_the_sandbox_alone(pybuild: Pybuild, arm: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text().count("binfmt_misc"), os.listdir("/proc/sys/fs/binfmt_misc")
    command = emulated(pybuild)
    command("build", "-q", "--platform", "linux/arm64", arm)
    after = Path("/proc/self/mountinfo").read_text().count("binfmt_misc"), os.listdir("/proc/sys/fs/binfmt_misc")
    assert before == after
    with (arm / "Dockerfile").open("a") as text:
        text.write('RUN ["/parent"]\n')
    told = command("build", "--platform", "linux/arm64", arm, code=42).stderr
    assert "exit code 42" in told, "what a program executes is emulated as well"
    told = command("build", "--userns", "host", "--no-cache", "--platform", "linux/arm64", arm, code=1).stderr
    assert "has to be registered" in told
    (arm / "Dockerfile").write_text((arm / "Dockerfile").read_text().rpartition("RUN")[0])
    pybuild("build", "-q", "--platform", "linux/arm64", arm)  # cached, so nobody has to execute it


@pytest.mark.parametrize(("flags", "code"), [("PF", 42), ("P", 1)])
def test_a_registered_emulator_serves_if_it_needs_no_file_in_the_root(
    pybuild: Pybuild, arm: Path, tmp_path: Path, flags: str, code: int
) -> None:
    """It is registered in a user namespace of the test, which is all of the world for the command."""
    program = emulator.folder() / "qemu-aarch64-static"
    line = tmp_path / "line"
    line.write_bytes(b"%s%s:%s" % (Emulator("linux/arm64", program).line, os.fsencode(program), flags.encode()))
    place = "/proc/sys/fs/binfmt_misc"
    script = f'mount -t binfmt_misc none {place} && cat {line} > {place}/register && exec "$@"'
    command = Pybuild(pybuild.root, pybuild.env, ("unshare", "-Urm", "sh", "-c", script, "sh"))
    with (arm / "Dockerfile").open("a") as text:
        text.write('RUN ["/parent"]\n')
    told = command("build", "--platform", "linux/arm64", arm, code=code).stderr
    assert ("with the F flag" if code == 1 else "exit code 42") in told


def test_who_is_not_root_lends_one_too(arm: Path) -> None:
    need("newuidmap", "uidmap")
    stage = 'FROM scratch AS {}\nCOPY --chmod=755 parent child fine /\nRUN ["/fine"]\nRUN ["/fine", "{}"]\n'
    with tempfile.TemporaryDirectory(prefix="pybuild-homes-") as name:
        place = Path(name)
        place.chmod(0o755)
        shutil.copy(emulator.folder() / "qemu-aarch64-static", place)
        context = Path(shutil.copytree(arm, place / "context"))
        copies = "FROM scratch\nCOPY --from=one /fine /1\nCOPY --from=two /fine /2\n"
        (context / "Dockerfile").write_text(stage.format("one", "one") + stage.format("two", "two") + copies)
        settled = Person.settle(place / "person")
        person = Person(settled.root, {"PATH": f"{place}:{os.environ['PATH']}"}, home=settled.home)
        for path in (context, *context.iterdir()):
            path.chmod(0o755)
        person("build", "-q", "--platform", "linux/arm64", context)


def test_containers_of_other_processors_run(pybuild: Pybuild, arm: Path) -> None:
    (arm / "Dockerfile").write_text('FROM scratch\nCOPY --chmod=755 parent child fine /\nCMD ["/parent"]\n')
    command = emulated(pybuild)
    command("build", "-q", "--platform", "linux/arm64", "-t", "arm", arm)
    command("run", "--rm", "arm", code=42)
    command("run", "--rm", "arm", "/fine")
    assert "apt-get install qemu-user-static" in pybuild("run", "--rm", "arm", code=125).stderr


KEYCTL = bytes.fromhex("b820010000 31db b9fdffffff 31d2 cd80 f7d8 89c3 b801000000 cd80")
"""386: exit(-keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0)), which works where no filter forbids it."""


@pytest.mark.parametrize(("code", "end"), [(MACHINES["linux/386"].code, 42), (KEYCTL, errno.EPERM)])
def test_386_needs_no_emulator_here_and_has_a_filter_of_its_own(
    pybuild: Pybuild, tmp_path: Path, code: bytes, end: int
) -> None:
    (tmp_path / "old").write_bytes(program(MACHINES["linux/386"]._replace(code=code)))
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY --chmod=755 old /\nRUN ["/old"]\n')
    assert f"exit code {end}" in pybuild("build", "--platform", "linux/386", tmp_path, code=end).stderr
