"""`pybuild doctor`: what it tries is what it says, and what is missing has its remedy."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pybuild.doctor.finding import Lacking, apart, examine
from runner.programs import MACHINES, NATIVE, program, runs
from tests.support.command import Pybuild
from tests.support.residue import leaked

pytestmark = pytest.mark.root


def told(pybuild: Pybuild, *, code: int = 0) -> dict[str, dict[str, Any]]:
    """The findings by name."""
    return {one["name"]: one for one in json.loads(pybuild("doctor", "--format", "json", code=code).stdout)}


def test_this_machine_can_build(pybuild: Pybuild) -> None:
    with leaked(pybuild.root) as left:
        found = told(pybuild)
    assert not left
    for name in ("kernel", "mount namespace", "mount API", "seccomp", "overlayfs", "sandbox", "store", "disk"):
        assert found[name]["verdict"] == "ok", found[name]
    assert found[NATIVE[os.uname().machine]]["verdict"] == "ok"
    assert all(one["verdict"] != "missing" for one in found.values())
    assert not list(pybuild.root.glob("doctor-*"))
    assert "sandbox" in pybuild.text("doctor") and "sandbox" not in pybuild.text("doctor", "-q")


def test_what_is_wrong_around_us_is_named(pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "docker-config").mkdir()
    (tmp_path / "docker-config/config.json").write_text('{"credHelpers": {"x.example": "nosuch"}}')
    (tmp_path / "registries.conf").write_text("[[registry]\n")
    env = {"CONTAINERS_REGISTRIES_CONF": str(tmp_path / "registries.conf"), "PATH": str(tmp_path)}
    found = told(Pybuild(pybuild.root, {**pybuild.env, **env}))
    assert "docker-credential-nosuch, which is not installed" in found["credentials"]["found"]
    assert found["credentials"]["fix"] == "apt-get install docker-credential-nosuch"
    assert str(tmp_path / "registries.conf") in found["registries.conf"]["found"]
    for name, fix in (("git", "git"), ("newuidmap", "uidmap"), ("slirp4netns", "slirp4netns")):
        assert found[name]["verdict"] == "absent" and found[name]["fix"] == f"apt-get install {fix}"


def test_a_damaged_store_is_missing(pybuild: Pybuild) -> None:
    pybuild.base("busybox")
    for blob in (pybuild.root / "blobs/sha256").rglob("*"):
        if blob.is_file():
            blob.unlink()
    found = told(pybuild, code=1)
    assert found["store"]["verdict"] == "missing" and found["store"]["fix"] == "pybuild system check --repair"


@pytest.mark.parametrize("platform", MACHINES)
def test_the_smallest_programs(platform: str, tmp_path: Path) -> None:
    text = program(MACHINES[platform])
    assert text.startswith(b"\x7fELF") and len(text) < 200
    if platform == NATIVE[os.uname().machine]:
        assert runs(platform, tmp_path)
    assert not list(tmp_path.iterdir())


def test_probes_end_with_their_process() -> None:
    def killed() -> str:
        os.kill(os.getpid(), 9)
        return ""

    def lacking() -> str:
        raise Lacking("not there", "fetch it")

    def broken() -> str:
        raise PermissionError(1, "no", "call")

    assert examine("x", apart(lambda: "seen")).found == "seen"
    assert examine("x", apart(killed), needed=True).verdict == "missing"
    found = examine("x", apart(lacking), fix="no")
    assert (found.verdict, found.found, found.fix) == ("absent", "not there", "fetch it")
    assert examine("x", apart(broken)).found == "call: no"


@pytest.mark.parametrize(("options", "verdict"), [("noexec,nodev", "ok"), ("ro", "missing")])
def test_a_disk_where_nothing_is_executed_or_written(
    options: str, verdict: str, pybuild: Pybuild, tmp_path: Path
) -> None:
    make, change = f"mount -t tmpfs -o size=8g x {tmp_path}", f"mount -o remount,{options} {tmp_path}"
    script = f'{make} && "$1" images >/dev/null && {change} && exec "$@"'
    prefix = ("unshare", "-m", "sh", "-c", script, "sh")
    found = told(Pybuild(tmp_path / "store", pybuild.env, prefix), code=verdict != "ok")
    assert found["sandbox"]["verdict"] == verdict, found["sandbox"]
