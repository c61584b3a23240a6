"""Networks of a person who is not root: played by slirp4netns, which goes with the last process that needs it."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.peers import need
from tests.support.person import FIRST, Person
from tests.support.soon import soon
from tests.support.town import MACHINE, OUTSIDE, Town, town

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("networks")]
SERVER = "echo ready; exec nc -ll -p 80 -e echo hello"


@pytest.fixture(scope="module")
def _settled() -> Iterator[tuple[Town, Person]]:
    need("newuidmap", "uidmap")
    need("slirp4netns")
    home = Path(tempfile.mkdtemp(prefix="pybuild-homes-"))
    home.chmod(0o755)
    try:
        with town(home / "store") as there:
            nsenter = shutil.which("nsenter")
            assert nsenter
            person = Person.settle(home / "person", uid=4331)
            person = replace(person, prefix=(nsenter, f"--net={there.machine.path}"))
            person.base("busybox")
            yield there, person
    finally:
        shutil.rmtree(home)


@pytest.fixture
def settled(_settled: tuple[Town, Person]) -> Iterator[tuple[Town, Person]]:
    """A machine and somebody who works there; on leaving their containers are removed, and no helper may stay."""
    yield _settled
    there, person = _settled
    if everyone := [path.name for path in person.root.glob("containers/*")]:
        person("rm", "-f", *everyone)
    assert soon(lambda: not helpers(there))
    assert there.interfaces() == set()


def helpers(there: Town) -> list[int]:
    """The programs that play networks on this machine; others' are on others."""
    found = []
    machine = os.readlink(there.machine.path)
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if (entry / "comm").read_text() == "slirp4netns\n" and os.readlink(entry / "ns/net") == machine:
                found.append(int(entry.name))
    return found


def parent(pid: int) -> int:
    """The process that began another: of a helper, whoever looks after the container."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("PPid:\t")[2].split()[0])


def serving(person: Person, name: str, *flags: str) -> None:
    """A container that greets whoever comes to port 80."""
    person("run", "-d", "--name", name, *flags, "busybox", "sh", "-c", SERVER)


def greets(there: Town, host: str, port: int) -> bool:
    """Whether the greeting is heard from the outside."""
    with suppress(OSError):
        return there.outside.connect(host, port) == b"hello\n"
    return False


def test_the_outside_and_the_machine_are_reached_but_its_loopback_is_not(settled: tuple[Town, Person]) -> None:
    there, person = settled
    seen: list[str] = []
    with (
        closing(there.outside.listen(OUTSIDE, 7030)) as outside,
        closing(there.machine.listen(MACHINE, 7031)) as machine,
        closing(there.machine.listen("127.0.0.1", 7032)),
    ):

        def answer() -> None:
            for server in (outside, machine):
                line, peer = server.accept()
                seen.append(peer[0])
                line.close()

        thread = threading.Thread(target=answer)
        thread.start()
        line = (
            f"nc -w 5 {OUTSIDE} 7030 && nc -w 5 us 7031 && ! nc -w 1 127.0.0.1 7032 && ! nc -w 1 10.0.2.2 7032 && "
            "ls /sys/class/net && hostname -i && head -n 1 /etc/resolv.conf && "
            "cat /proc/sys/net/ipv6/conf/tap0/disable_ipv6"
        )
        done = person("run", "--rm", "--add-host", "us:host-gateway", "busybox", "sh", "-c", line)
        thread.join()
    assert seen == [MACHINE, MACHINE]
    assert done.stdout.split() == ["lo", "tap0", "10.0.2.100", "nameserver", "10.0.2.3", "1"]
    assert "127.0.0.1" in done.stderr and "10.0.2.2" in done.stderr  # both refused, and nothing else was said
    assert len(done.stderr.splitlines()) == 2


def test_published_ports_lead_inside_and_are_shown(settled: tuple[Town, Person]) -> None:
    there, person = settled
    serving(person, "web", "-p", "7040:80", "-p", "127.0.0.1:7041-7049:53/udp", "--mac-address", "02:00:00:00:00:07")
    assert soon(lambda: greets(there, MACHINE, 7040))
    assert person.text("port", "web").splitlines() == ["53/udp -> 127.0.0.1:7041", "80/tcp -> 0.0.0.0:7040"]
    shown = person.text("ps", "--format", "{{.Ports}}")
    assert shown == "127.0.0.1:7041->53/udp, 0.0.0.0:7040->80/tcp"
    has = json.loads(person.text("inspect", "web"))[0]["NetworkSettings"]["Networks"]["bridge"]
    assert (has["IPAddress"], has["MacAddress"]) == ("10.0.2.100", "02:00:00:00:00:07")
    assert "02:00:00:00:00:07" in person.text("exec", "web", "ip", "link", "show", "tap0")
    heard = person.text("run", "--rm", "--network", "container:web", "busybox", "nc", "-w", "5", "127.0.0.1", "80")
    assert heard == "hello"
    folder = next(person.root.glob("containers/*"))
    assert not (folder / "slirp").exists()
    assert len(helpers(there)) == 1
    for flags, words in (
        (("-p", "7040:80"), "port is already allocated"),
        (("-p", "80:80"), "takes root"),
        (("-p", "7050:80/sctp"), "tcp and udp"),
        (("--ip", "10.0.2.3"), "the gateway or the name server"),
        (("--ip", "10.0.2.255"), "or all of it"),
        (("--ip", "127.0.0.9"), "no address that a container can have"),
        (("--network", "bridge", "--network", "bridge"), "joins a network once"),
        (("--network", "nowhere"), "not found"),
    ):
        assert words in person("run", "--rm", *flags, "busybox", "true", code=125).stderr
    person("restart", "-t", "0", "web")
    assert soon(lambda: greets(there, MACHINE, 7040))
    person("stop", "-t", "0", "web")
    assert helpers(there) == []
    assert person("port", "web").stdout == ""


def test_an_address_that_was_asked_for(settled: tuple[Town, Person]) -> None:
    there, person = settled
    flags = ("-p", "7055:80", "--mac-address", "02:00:00:00:00:07", "--userns", "keep-id", "-u", "0")
    serving(person, "placed", "--ip", "172.20.3.9", *flags)
    assert soon(lambda: greets(there, MACHINE, 7055))
    has = json.loads(person.text("inspect", "placed"))[0]["NetworkSettings"]["Networks"]["bridge"]
    assert (has["IPAddress"], has["IPPrefixLen"], has["Gateway"]) == ("172.20.3.9", 24, "172.20.3.2")
    assert has["IPAMConfig"] == {"IPv4Address": "172.20.3.9"}
    line = (
        "ip -4 -o address show tap0; ip link show tap0; ip route; hostname -i; head -n 1 /etc/resolv.conf; "
        f"nc -w 5 {OUTSIDE} 7056"
    )
    with closing(there.outside.listen(OUTSIDE, 7056)) as server:

        def hang_up() -> None:
            server.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        said = person.text("exec", "placed", "sh", "-c", line)
        thread.join()
    for words in (
        *("inet 172.20.3.9/24", "02:00:00:00:00:07", "default via 172.20.3.2", "\n172.20.3.9\n"),
        "nameserver 172.20.3.3",
    ):
        assert words in said
    person("restart", "-t", "0", "placed")
    assert soon(lambda: greets(there, MACHINE, 7055))
    assert person.text("run", "--rm", "--ip", "10.0.2.7", "busybox", "hostname", "-i") == "10.0.2.7"


def test_nothing_outlives_who_was_killed(settled: tuple[Town, Person]) -> None:
    there, person = settled
    serving(person, "killed")
    (helper,) = helpers(there)
    os.kill(parent(helper), signal.SIGKILL)
    assert soon(lambda: not helpers(there))
    assert soon(lambda: person.text("inspect", "-f", "{{.State.Status}}", "killed") == "exited")


def test_a_container_goes_on_with_its_network_when_its_user_leaves(settled: tuple[Town, Person]) -> None:
    there, person = settled
    words = person.command("run", "--name", "left", "-p", "7060:80", "busybox", "sh", "-c", SERVER)
    with subprocess.Popen(
        words, env=person.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as front:
        assert front.stdout is not None
        assert front.stdout.readline() == b"ready\n"
        person("restart", "-t", "0", "left")
        front.wait()
    assert soon(lambda: greets(there, MACHINE, 7060))
    person("stop", "-t", "0", "left")
    assert helpers(there) == []


def test_steps_have_it_if_they_ask(settled: tuple[Town, Person]) -> None:
    there, person = settled
    text = (
        "FROM busybox\nRUN grep -q 10.0.2.100.buildkit /etc/hosts && ls /sys/class/net >/a\n"
        "RUN --network=none ls /sys/class/net >/b\nRUN cat /a /b"
    )
    flags = ("--network", "bridge", "--progress", "plain", "--no-cache")
    said = person("build", *flags, "-", stdin=text).stderr
    assert [line.split()[-1] for line in said.splitlines() if line.startswith("#4 0")] == ["lo", "tap0", "lo"]
    assert helpers(there) == []
    person("build", *flags, "-", stdin="FROM busybox\nRUN exit 3", code=3)
    assert person.text("debug", ".", "ls", "/sys/class/net") == "lo\ntap0"
    assert helpers(there) == []
    assert "nowhere not found" in person("build", "--network", "nowhere", "-", stdin=text, code=1).stderr


def test_networks_that_were_made_are_bridges_behind_one_helper(settled: tuple[Town, Person]) -> None:
    there, person = settled
    for name in ("back", "other"):
        person("network", "create", name)
    serving(
        person, "db", "--network", "back", "-p", "7070:80", "--network-alias", "data", "--add-host", "us:host-gateway"
    )
    serving(person, "second", "--network", "back", "-p", "127.0.0.1:7071:80")
    serving(person, "stranger", "--network", "other")
    assert len(helpers(there)) == 1
    assert soon(lambda: greets(there, MACHINE, 7070))
    with pytest.raises(OSError):
        there.outside.connect_only(MACHINE, 7071)
    assert soon(lambda: there.machine.connect("127.0.0.1", 7071) == b"hello\n")
    assert person.text("port", "second") == "80/tcp -> 127.0.0.1:7071"
    with closing(there.outside.listen(OUTSIDE, 7072)) as server, closing(there.machine.listen(MACHINE, 7073)):
        line = (
            f"nc -w 5 data 80; nc -w 5 {OUTSIDE} 7072 </dev/null & nc -w 5 us 7073 </dev/null & "
            "sleep 0.1; grep -c us /etc/hosts"
        )
        assert person.text("exec", "db", "sh", "-c", line) == "hello\n1"
        assert server.accept()[1][0] == MACHINE
    known = json.loads(person.text("network", "inspect", "back"))[0]["Containers"]
    addresses = {one["Name"]: one["IPv4Address"].partition("/")[0] for one in known.values()}
    assert set(addresses) == {"db", "second"}
    reach = ("sh", "-c", f"nc -w 2 {addresses['db']} 80")
    assert person("exec", "stranger", *reach, code=1).stdout == ""
    person("network", "connect", "back", "stranger")
    assert person.text("exec", "stranger", "nc", "-w", "5", "db", "80") == "hello"
    person("network", "disconnect", "back", "stranger")
    assert person("exec", "stranger", *reach, code=1).stdout == ""
    taken = person("run", "--rm", "--network", "other", "-p", "7070:80", "busybox", "true", code=125)
    assert "port is already allocated" in taken.stderr
    assert "active endpoints" in person("network", "rm", "back", code=1).stderr
    text = "FROM busybox\nRUN nc -w 5 db 80 | grep hello && grep -c db /etc/hosts"
    person("build", "--no-cache", "--network", "back", "-", stdin=text)
    assert there.interfaces() == set() and there.tables() == []
    person("rm", "-f", "db", "second", "stranger")
    assert soon(lambda: not helpers(there))
    person("network", "rm", "back", "other")


def test_containers_with_numbers_of_their_own_are_in_networks_that_were_made(settled: tuple[Town, Person]) -> None:
    there, person = settled
    for name in ("back", "other"):
        person("network", "create", name)
    keep, own = ("--userns", "keep-id"), ("--uidmap", f"0:{FIRST}:3000")
    serving(person, "usual", "--network", "back")
    serving(person, "ours", "--network", "back", "--network", "other", "-p", "7090:8080", *keep, "-u", "0")
    serving(person, "mapped", "--network", "back", "--network-alias", "moved", *own)
    person("exec", "-d", "ours", "nc", "-ll", "-p", "8080", "-e", "echo", "hello")
    assert soon(lambda: greets(there, MACHINE, 7090))
    for one, other in itertools.permutations(("usual", "ours", "mapped"), 2):
        assert person.text("exec", one, "nc", "-w", "5", other, "80") == "hello"
    assert person.text("exec", "ours", "nc", "-w", "5", "moved", "80") == "hello"
    shown = json.loads(person.text("inspect", "ours"))[0]["NetworkSettings"]["Networks"]
    seen = person.text("exec", "ours", "ip", "-4", "-o", "address")
    assert all(f"inet {shown[name]['IPAddress']}/16" in seen for name in ("back", "other")), seen
    assert len(helpers(there)) == 1
    said = person.text("run", "--rm", "--network", "back", *keep, "busybox", "sh", "-c", "id -u; nc -w 5 ours 80")
    assert said == f"{person.uid}\nhello"
    refused = person("run", "--rm", "--network", "back", "--ip", "172.17.0.9", *own, "busybox", "true", code=125)
    assert "only in a network with a subnet of your own" in refused.stderr
    person("restart", "-t", "0", "ours")
    person("network", "connect", "other", "mapped")
    assert person.text("exec", "mapped", "ls", "/sys/class/net").split() == ["eth0", "eth1", "lo"]
    person("network", "disconnect", "other", "mapped")
    person("rename", "mapped", "named")
    assert person.text("exec", "usual", "nc", "-w", "5", "named", "80") == "hello"
    person("rename", "named", "mapped")
    assert person.text("exec", "mapped", "nc", "-w", "5", "ours", "80") == "hello"
    pid = int(person.text("inspect", "-f", "{{.State.Pid}}", "ours"))
    os.kill(parent(parent(pid)), signal.SIGKILL)  # who looks after it; its spawner is the parent
    assert soon(lambda: person.text("inspect", "-f", "{{.State.Status}}", "ours") == "exited")
    assert soon(lambda: "ours" not in person.text("exec", "usual", "cat", "/etc/hosts"))
    text = "FROM busybox\nRUN nc -w 5 mapped 80 | grep hello"
    person("build", "--no-cache", "--network", "back", "-", stdin=text)
    person("rm", "-f", "usual", "ours", "mapped")
    assert soon(lambda: not helpers(there))
    person("network", "rm", "back", "other")


def test_who_made_the_way_out_may_be_killed(settled: tuple[Town, Person]) -> None:
    there, person = settled
    person("network", "create", "back")
    serving(person, "maker", "--network", "back", "-p", "7080:80")
    serving(person, "heir", "--network", "back", "-p", "7081:80")
    (helper,) = helpers(there)
    os.kill(parent(helper), signal.SIGKILL)
    assert soon(lambda: person.text("inspect", "-f", "{{.State.Status}}", "maker") == "exited")
    assert soon(lambda: greets(there, MACHINE, 7081))
    assert helpers(there) == [helper]
    said = person(
        "run", "--rm", "--network", "back", "busybox", "sh", "-c", "! grep maker /etc/hosts && nc -w 5 heir 80"
    )
    assert said.stdout == "hello\n"
    serving(person, "next", "--network", "back", "-p", "7080:80")  # what the killed one had published is free again
    assert soon(lambda: greets(there, MACHINE, 7080))
    person("rm", "-f", "next", "heir", "maker")
    assert soon(lambda: not helpers(there))
    person("network", "rm", "back")


def test_what_there_is_not_is_said(settled: tuple[Town, Person]) -> None:
    there, person = settled
    without = replace(person, env={"PATH": "/nowhere"})
    done = without("run", "--rm", "busybox", "cat", "/proc/net/dev")
    assert "apt-get install slirp4netns" in done.stderr and "this machine's own network" in done.stderr
    assert "up0" in done.stdout
    said = without("run", "--rm", "--network", "bridge", "busybox", "true", code=125).stderr
    assert "apt-get install slirp4netns" in said
    person("network", "create", "mine")
    assert "apt-get install" in without("run", "--rm", "--network", "mine", "busybox", "true", code=125).stderr
    serving(person, "one")
    assert "stop it first" in person("network", "connect", "mine", "one", code=1).stderr
    person("stop", "-t", "0", "one")
    person("network", "connect", "mine", "one")
    person("start", "one")
    assert person.text("exec", "one", "ls", "/sys/class/net").split() == ["eth0", "eth1", "lo"]
    assert "10.0.2.100" not in person.text("exec", "one", "cat", "/etc/hosts")
    person("rm", "-f", "one")
    person("network", "rm", "mine")
    assert there.interfaces() == set()
