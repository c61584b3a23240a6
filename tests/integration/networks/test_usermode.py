"""The network of those without root, tried on a namespace inside a user namespace."""

import os
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from runner import NetworkUnavailable
from runner.net import usermode
from runner.net.bridge import within
from tests.support.peers import need
from tests.support.soon import soon
from tests.support.town import MACHINE, OUTSIDE, Place, town

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("networks")]


@contextmanager
def nobody() -> Iterator[int]:
    """A process in new user and network namespaces; its number."""
    process = subprocess.Popen(["unshare", "-U", "-r", "-n", "sleep", "infinity"])
    mine = os.readlink("/proc/self/ns/net")
    try:
        assert soon(lambda: os.readlink(f"/proc/{process.pid}/ns/net") != mine)
        assert soon(lambda: Path(f"/proc/{process.pid}/uid_map").read_text().split()[:1] == ["0"])
        yield process.pid
    finally:
        process.kill()
        process.wait()


def test_the_outside_is_reached_and_the_loopback_of_the_machine_is_not(tmp_path: Path) -> None:
    need("slirp4netns")
    with town(tmp_path / "store") as there, nobody() as pid:
        machine = os.open(there.machine.path, os.O_RDONLY)
        try:
            helper = within(machine, lambda: usermode.start(pid))
        finally:
            os.close(machine)
        try:
            inside = Place(f"/proc/{pid}/ns/net")
            with closing(there.outside.listen(OUTSIDE, 7020)) as server:
                inside.connect_only(OUTSIDE, 7020)
                assert server.accept()[1][0] == MACHINE
            with closing(there.machine.listen("127.0.0.1", 7021)):
                there.machine.connect_only("127.0.0.1", 7021)
                for target in ("10.0.2.2", "127.0.0.1"):
                    with pytest.raises(OSError):
                        inside.connect_only(target, 7021, timeout=1)
        finally:
            pidfd = os.dup(helper.pidfd)
            helper.close()
            helper.close()
        assert select.select([pidfd], [], [], 0)[0]  # it has ended
        os.close(pidfd)


def test_the_helper_does_not_outlive_whoever_started_it() -> None:
    need("slirp4netns")
    with nobody() as pid:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            helper = usermode.start(pid)
            os.write(writer, str(helper._process.pid).encode())
            signal.pause()
        number = int(os.read(reader, 20))
        pidfd = os.pidfd_open(number)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert select.select([pidfd], [], [], 5)[0]
        for one in (reader, writer, pidfd):
            os.close(one)


def test_a_device_that_cannot_be_opened_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usermode, "TUN", str(tmp_path / "tun"))
    with pytest.raises(NetworkUnavailable, match="load the module tun"):
        usermode.start(os.getpid())
    monkeypatch.setattr(usermode, "TUN", str(tmp_path))
    with pytest.raises(NetworkUnavailable, match="chmod 0666"):
        usermode.start(os.getpid())


def test_a_process_that_has_gone_is_an_error_with_the_reason() -> None:
    need("slirp4netns")
    gone = subprocess.Popen(["true"])
    gone.wait()
    with pytest.raises(NetworkUnavailable, match="slirp4netns could not make a network"):
        usermode.start(gone.pid)
