"""RUN --device and run --device with names of descriptions: nodes, mounts, variables, for those who may have them."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Pybuild

pytestmark = pytest.mark.root
KIND = "vendor.example/device"
LOOK = "echo $FOO; cat /vendor/told; head -c 3 /dev/other | wc -c; ls -l /dev/loops | cut -c 1; id -G"


@pytest.fixture
def described(shared_pybuild: Pybuild, tmp_path: Path) -> Pybuild:
    """The command, with a description of two devices."""
    (tmp_path / "cdi").mkdir()
    (tmp_path / "told").write_text("of the host\n")
    edits = {
        "env": ["FOO=injected"],
        "deviceNodes": [
            {"path": "/dev/other", "hostPath": "/dev/zero", "permissions": "r"},
            {"path": "/dev/loops", "hostPath": "/dev/loop-control", "type": "c"},
        ],
        "mounts": [{"hostPath": str(tmp_path / "told"), "containerPath": "/vendor/told", "options": ["ro", "bind"]}],
        "additionalGIDs": [44],
    }
    hook = {"hooks": [{"hookName": "createRuntime", "path": "/bin/true"}]}
    devices = [{"name": "foo", "containerEdits": edits}, {"name": "hooked", "containerEdits": hook}]
    free = {"name": "free", "annotations": {"org.mobyproject.buildkit.device.autoallow": "true"}}
    free |= {"containerEdits": {"env": ["FREE=1"]}}
    document = {"cdiVersion": "0.7.0", "kind": KIND, "devices": [*devices, free]}
    (tmp_path / "cdi/vendor.json").write_text(json.dumps(document))
    environment = {**shared_pybuild.env, "PYBUILD_CDI_SPEC_DIRS": str(tmp_path / "cdi")}
    return Pybuild(shared_pybuild.root, environment)


@pytest.fixture
def build(described: Pybuild, tmp_path: Path) -> Callable[..., str]:
    """Build a RUN with a flag: what was said."""

    def built(flag: str, command: str, *options: str, code: int = 0) -> str:
        (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN {flag} {command}\n")
        return described("build", "--progress", "plain", *options, tmp_path, code=code).stderr

    return built


@pytest.mark.parametrize("userns", ["auto", "host"])
def test_a_run_has_what_is_described(build: Callable[..., str], userns: str) -> None:
    options = ("--allow", "device", "--no-cache", "--userns", userns)
    said = build(f"--device={KIND}=foo", LOOK, *options)
    shown = re.findall(r"^#2 [\d.]+ (.*)$", said, re.MULTILINE)
    assert shown[:4] == ["injected", "of the host", "3", "c"]
    assert shown[4].split()[-1] == "44"
    build("", '[ -z "$FOO$(ls -d /vendor /dev/loops)" ]', *options)


def test_the_walls_stand(build: Callable[..., str]) -> None:
    numbers = os.stat("/dev/loop-control").st_rdev
    own = f"mknod /own c {os.major(numbers)} {os.minor(numbers)} && (: </own) ; mknod /kmsg c 1 11; (: </kmsg)"
    options = ("--allow", f"device={KIND}=foo", "--userns", "host")
    assert build(f"--device={KIND}=foo", f"{own} || rm /own /kmsg", *options).count("not permitted") == 1
    assert build("", f"{own} || rm /own /kmsg", *options).count("not permitted") == 2


def test_nobody_has_them_unasked(build: Callable[..., str]) -> None:
    refused = build(f"--device={KIND}=foo", "true", code=1)
    assert f"device {KIND}=foo is not allowed" in refused
    assert f"--allow device={KIND}=foo" in refused
    assert "Dockerfile:2" in refused
    assert "not allowed" in build(f"--device={KIND}=foo", "true", "--allow", f"device={KIND}=free", code=1)
    build(f"--device={KIND}=foo", '[ "$FOO" = injected ]', "--allow", f"device={KIND}")
    build(f"--device=name={KIND}=free,required", '[ "$FREE" = 1 ]')


def test_what_is_not_there(build: Callable[..., str]) -> None:
    said = build(f"--device={KIND}=none", '[ -z "$FOO" ]')
    assert f"has the device {KIND}=none" in said
    assert "it runs without" in said
    refused = build(f"--device={KIND}=none,required=true", "true", code=1)
    assert f"has the device {KIND}=none; there are {KIND}=foo" in refused
    assert "Dockerfile:2" in refused
    build(f"--device={KIND}=none,required=0", "true")
    hooked = build(f"--device={KIND}=hooked", "true", "--allow", "device", code=1)
    assert "hooks are programs that would run outside of the sandbox" in hooked


def test_a_device_is_of_the_key(build: Callable[..., str]) -> None:
    first = build(f"--device={KIND}=free", "echo key $FREE >/key")
    assert "CACHED" not in first.partition("#2")[2]
    assert "CACHED" in build(f"--device={KIND}=free", "echo key $FREE >/key").partition("#2")[2]
    assert "CACHED" not in build("", "echo key $FREE >/key").partition("#2")[2]


def test_nothing_of_it_is_in_the_layer(described: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN --device={KIND}=foo touch /made\n")
    described("build", "-q", "-t", "with-device", "--allow", "device", tmp_path)
    assert described.text("diff", "busybox", "with-device").splitlines() == ["A /made"]
    config = json.loads(described.text("inspect", "with-device"))[0]["Config"]
    assert not any(line.startswith("FOO=") for line in config["Env"])


@pytest.mark.parametrize("userns", ["auto", "host"])
def test_containers_take_names_too(described: Pybuild, userns: str) -> None:
    flags = ["--rm", "--network", "none", "--userns", userns, "--device", f"{KIND}=foo"]
    shown = described.text("run", *flags, "busybox", "sh", "-c", LOOK).splitlines()
    assert shown[:4] == ["injected", "of the host", "3", "c"]
    assert shown[4].split()[-1] == "44"
    assert "there are" in described("run", "--device", f"{KIND}=none", "busybox", "true", code=125).stderr
    assert "hooks" in described("run", "--device", f"{KIND}=hooked", "busybox", "true", code=125).stderr
    assert os.path.exists("/dev/loop-control")
