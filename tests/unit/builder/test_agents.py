"""The way to an SSH agent: keys can be used, and nothing else can be done to it."""

import os
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from builder.agents import FAILURE, MOST, AgentProxy
from tests.support.agent import ssh_add, ssh_agent
from tests.support.soon import soon


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """The socket of OpenSSH's agent, which has one key."""
    with ssh_agent(tmp_path / "key") as place:
        yield place


@pytest.fixture
def proxy(agent: Path, tmp_path: Path) -> Iterator[Path]:
    """A path of its own, and a name too long for a socket."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    with (
        AgentProxy(folder / "sock", agent, mode=0o640, uid=os.getuid(), gid=os.getgid()),
        tempfile.TemporaryDirectory(dir="/tmp") as short,
    ):
        Path(short, "way").symlink_to(folder)
        yield Path(short, "way/sock")


def end_of(client: socket.socket) -> bytes:
    """What still comes; nothing, if the other end has gone without having read all that we said."""
    with suppress(ConnectionResetError):
        return client.recv(10)
    return b""


def test_keys_can_be_listed_and_used_but_not_changed(agent: Path, proxy: Path, tmp_path: Path) -> None:
    assert stat.S_IMODE(proxy.stat().st_mode) == 0o640
    assert ssh_add(proxy, "-L").stdout == ssh_add(agent, "-L").stdout != ""
    assert ssh_add(proxy, "-T", str(tmp_path / "key.pub")).returncode == 0  # signs and verifies
    for change in (["-D"], ["-d", str(tmp_path / "key")], ["-x"], [str(tmp_path / "key")]):
        assert ssh_add(proxy, *change).returncode != 0
    assert ssh_add(agent, "-L").stdout != ""


def test_it_ends_while_clients_hold_on(agent: Path, tmp_path: Path) -> None:
    threads = threading.active_count()
    client = socket.socket(socket.AF_UNIX)
    with client:
        with AgentProxy(tmp_path / "s", agent, mode=0o600, uid=os.getuid(), gid=os.getgid()):
            client.connect(str(tmp_path / "s"))
            client.sendall(b"\0\0\0\1\x13")  # SSH_AGENTC_REMOVE_ALL_IDENTITIES
            assert client.recv(10) == FAILURE
            client.sendall(b"\0\0\0\1")  # half of a message
        assert end_of(client) == b""
    assert threading.active_count() <= threads


def test_a_flood_of_clients_is_turned_away(agent: Path, tmp_path: Path) -> None:
    def asked(client: socket.socket) -> bytes:
        client.settimeout(10)
        client.connect(str(tmp_path / "s"))
        with suppress(BrokenPipeError):
            client.sendall(b"\0\0\0\1\x0c")  # no question
        return end_of(client)

    with ExitStack() as ends, AgentProxy(tmp_path / "s", agent, mode=0o600, uid=os.getuid(), gid=os.getgid()):
        clients = [ends.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(MOST + 5)]
        answers = [asked(client) for client in clients]
        assert answers == [FAILURE] * MOST + [b""] * 5
        for client in clients:
            client.close()

        def one_more() -> bool:
            with socket.socket(socket.AF_UNIX) as client:
                return asked(client) == FAILURE

        assert soon(one_more)


@pytest.mark.parametrize("message", [b"\xff\xff\xff\xff\x0b", b"\0\0\0\0"])
def test_broken_messages(agent: Path, tmp_path: Path, message: bytes) -> None:
    with AgentProxy(tmp_path / "s", agent, mode=0o600, uid=os.getuid(), gid=os.getgid()):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(tmp_path / "s"))
            client.sendall(message)
            assert end_of(client) in (b"", FAILURE)
        with socket.socket(socket.AF_UNIX) as client:  # others are served as before
            client.connect(str(tmp_path / "s"))
            client.sendall(b"\0\0\0\1\x0b")
            assert client.recv(1 << 16)[4] == 12  # SSH_AGENT_IDENTITIES_ANSWER
