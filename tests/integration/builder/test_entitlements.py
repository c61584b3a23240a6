"""What a Dockerfile gets only if the command line allows it: all rights, the host's network."""

import re
from pathlib import Path

import pytest

from tests.support.command import Pybuild

pytestmark = pytest.mark.root

INSECURE = """FROM busybox
RUN --security=insecure mkdir /m && mount -t tmpfs x /m && grep -E 'Seccomp:|CapBnd' /proc/self/status && ls /dev/loop0
RUN --security=sandbox mount -t tmpfs x /m || echo refused
RUN mount -t tmpfs x /m || echo refused
"""


def test_all_rights_for_those_steps_that_ask(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(INSECURE)
    refused = shared_pybuild("build", tmp_path, code=1).stderr
    assert "security.insecure is not allowed" in refused
    assert "Dockerfile:2" in refused
    done = shared_pybuild("build", "--progress", "plain", "--allow", "security.insecure", tmp_path).stderr
    bounding = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "CapBnd" in line)
    assert bounding in done
    assert "Seccomp:\t0" in done
    assert len(re.findall(r"^#\d+ [\d.]+ refused$", done, re.MULTILINE)) == 2
    refused = shared_pybuild("build", tmp_path, code=1).stderr  # what is cached is no way around it
    assert "security.insecure is not allowed" in refused


def test_all_rights_are_another_result(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    for flag in ("", "--security=insecure "):
        (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN {flag}grep Seccomp: /proc/self/status >/s\n")
        said = shared_pybuild("build", "--progress", "plain", "--allow", "security.insecure", tmp_path).stderr
        assert "DONE" in said


def test_the_hosts_root_is_another_result(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    text = "FROM busybox\nRUN mknod /zero c 1 5 2>/dev/null || touch /refused\n"
    (tmp_path / "Dockerfile").write_text(text)
    for users, made in (("auto", "/refused"), ("host", "/zero"), ("auto", "/refused")):
        shared_pybuild("build", "-q", "-t", "of-root", "--userns", users, tmp_path)
        assert shared_pybuild.text("diff", "busybox", "of-root").splitlines() == [f"A {made}"]


def test_the_network_of_the_host(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN --network=host readlink /proc/self/ns/net >&2\n")
    assert "network.host is not allowed" in shared_pybuild("build", "--network", "none", tmp_path, code=1).stderr
    allowed = ["--network", "none", "--allow", "network.host", "--progress", "plain"]
    own = Path("/proc/self/ns/net").readlink()
    assert f" {own}\n" in shared_pybuild("build", *allowed, tmp_path).stderr


def test_there_are_no_other_entitlements(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\n")
    assert "--allow everything" in shared_pybuild("build", "--allow", "everything", tmp_path, code=2).stderr
