"""Bridges: addresses, the way out, the way in, who reaches whom."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.soon import soon
from tests.support.town import MACHINE, OUTSIDE, Town, eight_at_once

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("networks")]
SERVE = "mkdir -p /www; echo hello from $(hostname) >/www/index.html; exec httpd -f -p 80 -h /www"
GET = b"GET / HTTP/1.0\r\n\r\n"


def serving(place: Town, name: str, *flags: str) -> str:
    """A detached web server; its address in its first network."""
    place.pybuild("run", "-d", "--name", name, "-h", name, *flags, "busybox", "sh", "-c", SERVE)
    listens(place, name)
    return address(place, name)


def listens(place: Town, name: str) -> None:
    """Wait until the web server of a container is there."""
    folder = Path(place.inside(name).path).parent.parent / "net"
    assert soon(lambda: any(":0050 " in (folder / table).read_text() for table in ("tcp", "tcp6")))


def address(place: Town, name: str) -> str:
    """Its address in its first network."""
    networks = json.loads(place.pybuild.text("inspect", name))[0]["NetworkSettings"]["Networks"]
    return str(next(iter(networks.values()))["IPAddress"])


def test_the_default_has_an_address_a_way_out_and_its_own_walls(place: Town) -> None:
    said = place.pybuild("run", "--rm", "busybox", "sh", "-c", "ip -4 -o a; ip r; cat /proc/net/if_inet6; id -u")
    assert re.search(r"eth0 +inet 172\.17\.0\.2/16 brd 172\.17\.255\.255", said.stdout)
    assert "default via 172.17.0.1 dev eth0" in said.stdout
    assert "eth0" not in "".join(line for line in said.stdout.splitlines() if len(line.split()) == 6)  # no IPv6
    assert "net.ipv4.ip_forward is 1" in said.stderr
    assert place.machine.shell("cat /proc/sys/net/ipv4/ip_forward") == "1\n"


def test_outside_sees_the_address_of_the_machine(place: Town) -> None:
    seen = []
    with closing(place.outside.listen(OUTSIDE, 7000)) as server:

        def answer() -> None:
            line, peer = server.accept()
            seen.append(peer[0])
            line.sendall(b"welcome\n")
            line.close()

        thread = threading.Thread(target=answer)
        thread.start()
        said = place.pybuild.text("run", "--rm", "busybox", "nc", "-w", "5", OUTSIDE, "7000")
        thread.join()
    assert (said, seen) == ("welcome", [MACHINE])


def test_a_published_port_from_outside_from_here_and_from_itself(place: Town) -> None:
    serving(place, "web", "-p", "8080:80", "-p", "127.0.0.1::80")
    ports = json.loads(place.pybuild.text("inspect", "web"))[0]["NetworkSettings"]["Ports"]
    assert ports["80/tcp"][0] == {"HostIp": "0.0.0.0", "HostPort": "8080"}
    local = int(ports["80/tcp"][1]["HostPort"])
    assert b"hello from web" in place.outside.connect(MACHINE, 8080, data=GET)
    assert b"hello from web" in place.machine.connect("127.0.0.1", 8080, data=GET)
    assert b"hello from web" in place.machine.connect(MACHINE, 8080, data=GET)
    assert b"hello from web" in place.machine.connect("127.0.0.1", local, data=GET)
    assert b"hello from web" in place.inside("web").connect(MACHINE, 8080, data=GET)  # back in by the door it went out
    with pytest.raises(OSError):
        place.outside.connect(MACHINE, local, timeout=1)
    assert "0.0.0.0:8080->80/tcp" in place.pybuild.text("ps", "--format", "{{.Ports}}")
    failed = place.pybuild("run", "--rm", "-p", "8080:80", "busybox", "true", code=125)
    assert "port is already allocated" in failed.stderr
    place.pybuild("stop", "-t", "0", "web")
    assert json.loads(place.pybuild.text("inspect", "web"))[0]["NetworkSettings"]["Ports"] == {}
    with pytest.raises(OSError):
        place.machine.connect("127.0.0.1", 8080, timeout=1)
    place.pybuild("start", "web")
    listens(place, "web")
    assert b"hello from web" in place.outside.connect(MACHINE, 8080, data=GET)


def test_a_range_finds_a_free_port_and_exposed_ones_are_published_by_P(place: Town) -> None:
    with closing(place.machine.listen("0.0.0.0", 9000)):
        serving(place, "ranged", "-p", "9000-9001:80", "--expose", "53/udp", "-P")
    ports = json.loads(place.pybuild.text("inspect", "ranged"))[0]["NetworkSettings"]["Ports"]
    assert [one["HostPort"] for one in ports["80/tcp"]] == ["9001"]
    assert int(ports["53/udp"][0]["HostPort"]) > 1024
    assert b"hello from ranged" in place.outside.connect(MACHINE, 9001, data=GET)


def test_udp_is_published(place: Town) -> None:
    place.pybuild("run", "-d", "--name", "echo", "-p", "5353:53/udp", "busybox", "sleep", "60")
    with closing(place.inside("echo").datagrams(53)) as server:

        def answer() -> None:
            for _ in range(2):
                data, peer = server.recvfrom(100)
                server.sendto(data, peer)

        thread = threading.Thread(target=answer)
        thread.start()
        assert place.machine.datagram("127.0.0.1", 5353, b"ping") == b"ping"
        assert place.outside.datagram(MACHINE, 5353, b"pong") == b"pong"
        thread.join()


def test_same_bridge_can_talk_and_another_cannot(place: Town) -> None:
    place.pybuild("network", "create", "red")
    place.pybuild("network", "create", "blue")
    red = serving(place, "red-web", "--network", "red")
    blue = serving(place, "blue-web", "--network", "blue")
    assert b"hello from red-web" in place.machine.connect(red, 80, data=GET)
    fetch = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 1 $0 80"
    same = place.pybuild.text("run", "--rm", "--network", "red", "busybox", "sh", "-c", fetch, red)
    assert "hello from red-web" in same
    for network, other in (("red", blue), ("blue", red), ("bridge", red)):
        place.pybuild("run", "--rm", "--network", network, "busybox", "sh", "-c", fetch, other, code=1)
    place.outside.shell(f"ip route add {red}/32 via {MACHINE}")
    with pytest.raises(OSError):  # nor can whoever is outside come in by itself
        place.outside.connect(red, 80, timeout=1)


def test_loopback_and_link_local_of_the_machine_are_out_of_reach(place: Town) -> None:
    place.machine.shell("ip address add 169.254.169.254/32 dev lo")
    place.outside.shell("ip address add 169.254.7.7/32 dev lo")
    place.machine.shell(f"ip route add 169.254.7.7/32 via {OUTSIDE}")
    try:
        with closing(place.machine.listen("169.254.169.254", 80)), closing(place.outside.listen("169.254.7.7", 80)):
            place.pybuild("run", "-d", "--name", "curious", "busybox", "sleep", "60")
            inside = place.inside("curious")
            for target in ("169.254.169.254", "169.254.7.7"):
                place.machine.connect_only(target, 80)
                with pytest.raises(OSError):
                    inside.connect_only(target, 80, timeout=0.5)
        # The machine takes packets for 127.0.0.1 from a bridge, for published ports need that; a container that has the
        # rights to send such packets is not heard.
        with closing(place.machine.listen("127.0.0.1", 6379)):
            inside.shell(
                "for one in all eth0; do echo 1 >/proc/sys/net/ipv4/conf/$one/route_localnet; done; "
                "ip address del 127.0.0.1/8 dev lo; "
                "ip route add 127.0.0.1/32 via $(ip route | sed -n 's/default via //; s/ dev.*//p' | head -1) dev eth0"
            )
            with pytest.raises(OSError):
                inside.connect_only("127.0.0.1", 6379, timeout=0.5)
    finally:
        place.machine.shell("ip address del 169.254.169.254/32 dev lo; ip route del 169.254.7.7/32")
        place.outside.shell("ip address del 169.254.7.7/32 dev lo")


def test_an_abstract_socket_of_the_machine_is_reached_by_host_only(place: Town, tmp_path: Path) -> None:
    looks = "cat /proc/net/unix | grep -c town-socket"
    with closing(place.machine.abstract("town-socket")):
        for network in ("none", "bridge"):
            said = place.pybuild("run", "--rm", "--network", network, "busybox", "sh", "-c", looks, code=1).stdout
            assert said == "0\n"
        assert place.pybuild.text("run", "--rm", "--network", "host", "busybox", "sh", "-c", looks) == "1"


def test_eight_at_once_have_eight_addresses(place: Town, tmp_path: Path) -> None:
    assert sorted(eight_at_once(place, tmp_path)) == [f"172.17.0.{last}/16" for last in range(2, 10)]


def keeper(root: Path) -> int:
    """Who keeps the bridge of a container that has gone."""
    (path,) = root.glob("networks/*/leases/linger")
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # it has just been closed
            if descriptor.readlink() == path:
                return int(descriptor.parts[2])
    raise AssertionError("nobody")


def test_a_bridge_stays_a_moment_for_the_next_and_then_goes(place: Town) -> None:
    once = ("run", "--rm", "busybox", "true")
    place.pybuild(*once)
    pid = keeper(place.pybuild.root)
    os.kill(pid, signal.SIGSTOP)  # the moment is as long as we need
    (bridge,) = (name for name in place.interfaces() if name.startswith("pb-"))
    index = place.machine.shell(f"ip -o link show {bridge}").split(":")[0]
    place.pybuild(*once)
    assert keeper(place.pybuild.root) == pid
    assert place.machine.shell(f"ip -o link show {bridge}").split(":")[0] == index
    os.kill(pid, signal.SIGCONT)
    assert soon(lambda: not place.tables() and bridge not in place.interfaces())
    assert soon(lambda: not list(place.pybuild.root.glob("networks/*/leases/*")))


def test_whoever_keeps_a_bridge_may_be_killed(place: Town) -> None:
    place.pybuild("network", "create", "--subnet", "10.78.0.0/24", "kept")
    place.pybuild("run", "--rm", "--network", "kept", "busybox", "true")
    pid = keeper(place.pybuild.root)
    os.kill(pid, signal.SIGKILL)
    assert soon(lambda: not Path(f"/proc/{pid}").exists())
    assert place.tables()
    place.pybuild("run", "--rm", "--network", "none", "busybox", "true")
    assert place.tables() == []
    place.pybuild("run", "--rm", "--network", "kept", "busybox", "true")
    place.pybuild("network", "rm", "kept")  # at once, bridge and all
    assert place.tables() == []
    place.pybuild("network", "create", "--subnet", "10.78.0.0/24", "kept")


def test_the_bridge_of_a_store_that_was_deleted_goes(place: Town, tmp_path: Path) -> None:
    other = replace(place.pybuild, root=tmp_path / "other")
    other.base("busybox")
    other("run", "--rm", "busybox", "true")
    assert place.tables()
    shutil.rmtree(other.root)
    assert soon(lambda: not place.tables() and not place.interfaces())


@pytest.mark.parametrize("later", [("run", "--rm", "busybox", "true"), ("network", "prune", "-f")])
def test_the_next_takes_away_the_bridge_of_a_deleted_store_that_nobody_kept(
    place: Town, tmp_path: Path, later: tuple[str, ...]
) -> None:
    place.pybuild("run", "--rm", "busybox", "true")
    place.pybuild("network", "prune", "-f")
    other = replace(place.pybuild, root=tmp_path / "other")
    other.base("busybox")
    other("network", "create", "--subnet", "172.17.0.0/16", "--ipv6", "same")  # as the default has here
    other("run", "--rm", "--network", "same", "busybox", "true")
    pid = keeper(other.root)
    os.kill(pid, signal.SIGKILL)
    assert soon(lambda: not Path(f"/proc/{pid}").exists())
    before = set(place.tables()), place.interfaces()
    assert len(before[0]) == 2  # for both kinds of addresses
    shutil.rmtree(other.root)
    place.pybuild(*later)
    assert not before[0] & set(place.tables())
    assert not before[1] & place.interfaces()


def test_a_bridge_that_somebody_is_on_stays_wherever_its_store_is(place: Town, tmp_path: Path) -> None:
    other = replace(place.pybuild, root=tmp_path / "other")
    other.base("busybox")
    other("network", "create", "--subnet", "10.79.0.0/24", "apart")
    other("run", "-d", "--name", "there", "--network", "apart", "busybox", "sleep", "1000")
    try:
        other.root.rename(tmp_path / "elsewhere")  # as seen from where it is not mounted
        before = place.interfaces()
        place.pybuild("run", "--rm", "busybox", "true")
        assert before <= place.interfaces()
    finally:
        (tmp_path / "elsewhere").rename(other.root)
        other("rm", "-f", "there")
        other("network", "rm", "apart")


def doom(place: Town, name: str) -> None:
    """End whoever looks after a container, which is the only one of the store."""
    monitors = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"--monitor" in (line := path.read_bytes()) and str(place.pybuild.root).encode() in line
    ]
    assert monitors
    for pid in monitors:
        os.kill(pid, signal.SIGKILL)
    assert soon(lambda: not json.loads(place.pybuild.text("inspect", name))[0]["State"]["Running"])


def test_kill_of_everything_leaves_nothing_that_the_next_start_does_not_sweep(place: Town) -> None:
    first = serving(place, "doomed", "-p", "8088:80")
    doom(place, "doomed")
    assert soon(lambda: not any(name.startswith("pbv") for name in place.interfaces()))
    assert place.tables()  # what nobody could take away
    place.pybuild("run", "--rm", "--network", "none", "busybox", "true")
    assert place.tables() == []
    assert not place.interfaces()
    assert serving(place, "heir", "-p", "8088:80") == first
    assert b"hello from heir" in place.machine.connect("127.0.0.1", 8088, data=GET)


def test_who_was_killed_keeps_no_port_and_no_address_while_its_interface_is_there(place: Town) -> None:
    """The kernel takes a network namespace away when it finds the time; here somebody keeps it open."""
    place.pybuild("network", "create", "--subnet", "10.88.1.0/24", "own")
    serving(place, "doomed", "-p", "8089:80", "--network", "own", "--ip", "10.88.1.9")
    with open(place.inside("doomed").path):
        doom(place, "doomed")
        assert any(name.startswith("pbv") for name in place.interfaces())
        serving(place, "heir", "-p", "127.0.0.1:8089:80")
        assert b"hello from heir" in place.machine.connect("127.0.0.1", 8089, data=GET)
        place.pybuild("rm", "-f", "heir")
        place.pybuild("start", "doomed")
        listens(place, "doomed")
        assert address(place, "doomed") == "10.88.1.9"
        assert b"hello from doomed" in place.machine.connect("127.0.0.1", 8089, data=GET)
    with open(place.inside("doomed").path):
        doom(place, "doomed")
        place.pybuild("start", "doomed")
        listens(place, "doomed")
        assert b"hello from doomed" in place.machine.connect("127.0.0.1", 8089, data=GET)
    place.pybuild("rm", "-f", "doomed")
    place.pybuild("network", "rm", "own")


def test_the_first_connection_is_not_lost(place: Town) -> None:
    """A SYN sent before both ends carry packets is sent again after a second: never here."""
    again = []
    with closing(place.outside.listen(OUTSIDE, 7001)) as server:
        for _ in range(5):
            line = f"nc -w 5 {OUTSIDE} 7001 </dev/null; grep Tcp: /proc/net/snmp"
            with subprocess.Popen(
                place.pybuild.command("run", "--rm", "busybox", "sh", "-c", line),
                env=place.pybuild.environment, stdout=subprocess.PIPE, text=True,
            ) as runs:  # fmt: skip
                server.accept()[0].close()
                names, counts = (text.split() for text in runs.communicate()[0].splitlines())
            again.append(int(counts[names.index("RetransSegs")]))
    assert sorted(again)[1] == 0  # a busy machine may be slow once


def test_sharing_the_network_of_another(place: Town) -> None:
    serving(place, "main", "-p", "8070:80")
    looks = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 127.0.0.1 80 | tail -1; hostname; cat /etc/hosts"
    said = place.pybuild.text("run", "--rm", "--network", "container:main", "busybox", "sh", "-c", looks)
    assert said.splitlines()[0] == "hello from main"
    assert f"{address(place, 'main')}\tmain" in said
    refused = place.pybuild("run", "--network", "container:main", "-p", "1:1", "busybox", "true", code=125)
    assert "conflicting options" in refused.stderr
    place.pybuild("stop", "-t", "0", "main")
    assert "not running" in place.pybuild("run", "--network", "container:main", "busybox", "true", code=125).stderr
