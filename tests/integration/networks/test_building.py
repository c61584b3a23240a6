"""RUN in networks: joined for the time of the step, the bridge there for the time of the build."""

import re
import threading
from contextlib import closing
from pathlib import Path

import pexpect
import pytest

from tests.support.soon import soon
from tests.support.town import MACHINE, OUTSIDE, Town

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("networks")]


def dockerfile(folder: Path, *lines: str) -> Path:
    """A context of one file."""
    (folder / "Dockerfile").write_text("FROM busybox\n" + "".join(f"{line}\n" for line in lines))
    return folder


def test_steps_have_addresses_of_their_own_and_reach_the_outside(place: Town, tmp_path: Path) -> None:
    seen: list[str] = []
    with closing(place.outside.listen(OUTSIDE, 7010)) as server:

        def answer() -> None:
            for _ in range(3):
                line, peer = server.accept()
                seen.append(peer[0])
                line.close()

        thread = threading.Thread(target=answer)
        thread.start()
        folder = dockerfile(
            tmp_path,
            f"RUN nc -w 5 {OUTSIDE} 7010 && ip -4 -o address show eth0 > /first && cat /etc/hosts > /hosts",
            f"RUN nc -w 5 {OUTSIDE} 7010",
            f"RUN --network=none ! nc -w 1 {OUTSIDE} 7010 && test $(ls /sys/class/net) = lo",
            f"RUN nc -w 5 {OUTSIDE} 7010",
        )
        flags = ("--network", "bridge", "--add-host", "us:host-gateway")
        place.pybuild("build", "-t", "reached", *flags, folder)
        thread.join()
    assert seen == [MACHINE] * 3
    said = place.pybuild.text("run", "--rm", "--network", "none", "reached", "cat", "/first", "/hosts")
    assert "172.17.0.2/16" in said
    assert "172.17.0.1\tus" in said
    assert place.pybuild("build", "-q", *flags, folder).stderr == ""  # cached: no bridge is made
    assert not place.interfaces()


def test_a_step_knows_the_names_of_a_network(place: Town, tmp_path: Path) -> None:
    place.pybuild("network", "create", "back")
    place.pybuild("run", "-d", "--name", "db", "--network", "back", "busybox", "sleep", "60")
    folder = dockerfile(tmp_path, "RUN grep -w db /etc/hosts")
    place.pybuild("build", "--network", "back", folder)
    (tmp_path / "out").mkdir()
    out = dockerfile(tmp_path / "out", "RUN --network=host true")
    assert "network.host is not allowed" in place.pybuild("build", "--network", "back", out, code=1).stderr
    assert "nowhere not found" in place.pybuild(
        "build", "--network", "nowhere", "--no-cache", folder, code=1
    ).stderr  # fmt: skip


def test_steps_beside_each_other_and_a_failed_one_leave_nothing(place: Town, tmp_path: Path) -> None:
    look = "ip -4 -o address show eth0 | sed 's/.*inet //; s/ .*//'"
    lines = [f"FROM busybox AS s{at}\nRUN {look} >/a{at}" for at in range(4)]
    copies = [f"COPY --from=s{at} /a{at} /" for at in range(4)]
    place.pybuild("build", "--network", "bridge", "-t", "four", dockerfile(tmp_path, *lines, "FROM busybox", *copies))
    found = place.pybuild.text("run", "--rm", "four", "sh", "-c", "cat /a*").split()
    assert len(found) == 4
    place.pybuild("build", "--network", "bridge", dockerfile(tmp_path, "RUN exit 3"), code=3)
    assert soon(lambda: not place.tables())


def test_a_shell_where_it_failed_has_the_network_that_the_step_had(place: Town, tmp_path: Path) -> None:
    place.pybuild("network", "create", "shown")
    place.pybuild("run", "-d", "--name", "db", "--network", "shown", "busybox", "sleep", "60")
    folder = dockerfile(tmp_path, "RUN true", "RUN exit 3")
    look = "ip -4 -o address show eth0 | sed 's/.*inet //; s/ .*//'; grep -cw db /etc/hosts"
    words = place.pybuild.command("build", "--no-cache", "--debug-on-fail", "--network", "shown", str(folder))
    child = pexpect.spawn(words[0], words[1:], env=place.pybuild.environment, timeout=60, encoding="utf-8")
    child.expect("exit code 3")
    child.expect("[#$] ")
    child.sendline(look)
    child.expect(r"172\.\d+\.0\.\d+/16\r\n1\r\n")
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 3
    for which in ([], ["--before"], ["--step", "2"]):
        said = place.pybuild.text("debug", *which, ".", "sh", "-c", look)
        assert re.fullmatch(r"172\.\d+\.0\.\d+/16\n1", said)
    assert place.pybuild.text("debug", "busybox", "ls", "/sys/class/net") != "lo"
    place.pybuild("rm", "-f", "db")
    assert soon(lambda: not place.tables())
