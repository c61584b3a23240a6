"""`pybuild network`, names, several networks, joining and leaving while it runs."""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.support.command import Pybuild
from tests.support.soon import soon
from tests.support.town import OUTSIDE, Town

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("networks")]


def shell(place: Town, container: str, line: str, code: int = 0) -> str:
    """What a command says in a running container."""
    return place.pybuild("exec", container, "sh", "-c", line, code=code).stdout


def sleeper(place: Town, name: str, *flags: str) -> None:
    """A container that is just there."""
    place.pybuild("run", "-d", "--name", name, *flags, "busybox", "sleep", "600")


def endpoint(place: Town, container: str, network: str) -> dict[str, object]:
    """What inspect says of one of its networks."""
    found: dict[str, object] = json.loads(place.pybuild.text("inspect", container))[0]["NetworkSettings"]["Networks"][
        network
    ]
    return found


def test_create_list_inspect_and_remove(place: Town) -> None:
    made = place.pybuild.text(
        *("network", "create", "--subnet", "10.77.0.0/24", "--gateway", "10.77.0.254", "--ip-range", "10.77.0.64/26"),
        *("--ipv4=true", "--scope", "local", "--ipam-driver", "default"),
        *("--label", "tier=back", "--opt", "com.docker.network.bridge.name=back0", "back"),
    )
    assert re.fullmatch("[0-9a-f]{64}", made)
    listed = place.pybuild.text("network", "ls").splitlines()
    assert listed[0].split() == ["NETWORK", "ID", "NAME", "DRIVER", "SCOPE"]
    assert [line.split()[1:] for line in listed[1:]] == [
        ["back", "bridge", "local"],
        ["bridge", "bridge", "local"],
        ["host", "host", "local"],
        ["none", "null", "local"],
    ]
    assert place.pybuild.text("network", "ls", "-q", "--filter", "label=tier=back") == made[:12]
    assert place.pybuild.text("network", "ls", "--filter", "type=custom", "--format", "{{.Name}}") == "back"
    sleeper(place, "one", "--network", "back", "--mac-address", "02:00:00:00:00:07")
    sleeper(place, "two", "--network", "back", "--ip", "10.77.0.9")
    found = json.loads(place.pybuild.text("network", "inspect", "back"))[0]
    assert found["IPAM"]["Config"] == [{"Subnet": "10.77.0.0/24", "Gateway": "10.77.0.254", "IPRange": "10.77.0.64/26"}]
    addresses = {one["Name"]: (one["IPv4Address"], one["MacAddress"]) for one in found["Containers"].values()}
    assert addresses == {
        "one": ("10.77.0.64/24", "02:00:00:00:00:07"),
        "two": ("10.77.0.9/24", "02:42:0a:4d:00:09"),
    }
    assert "back0" in place.interfaces()
    assert "02:00:00:00:00:07" in shell(place, "one", "ip link show eth0")
    assert "already in use" in place.pybuild(
        *("run", "--network", "back", "--ip", "10.77.0.9", "busybox", "true"), code=125
    ).stderr  # fmt: skip
    assert "active endpoints" in place.pybuild("network", "rm", "back", code=1).stderr
    place.pybuild("rm", "-f", "one", "two")
    assert soon(lambda: "back0" not in place.interfaces())
    assert place.pybuild.text("network", "rm", "back") == "back"
    assert "not found" in place.pybuild("network", "inspect", "back", code=1).stderr
    assert "pre-defined" in place.pybuild("network", "rm", "bridge", code=1).stderr


REFUSED: list[tuple[list[str], str]] = [
    (["--subnet", "198.51.100.128/25"], "overlaps 198.51.100.0/24"),
    (["--subnet", "10.1.0.1/24"], "invalid network config"),
    (["--subnet", "10.1.0.0/30"], "no room"),
    (["--subnet", "10.1.0.0/24", "--gateway", "10.2.0.1"], "no address of"),
    (["--subnet", "10.1.0.0/24", "--ip-range", "10.2.0.0/28"], "outside"),
    (["--opt", "nonsense=1"], "not known"),
    (["--opt", "com.docker.network.bridge.name=much-too-long-a-name"], "15 characters"),
    (["-d", "overlay"], "overlay"),
    (["--scope", "swarm"], "no cluster"),
    (["--ipam-driver", "mine"], "no plugins"),
    (["--ipv4=false"], "every network has IPv4 addresses"),
    (["--gateway", "10.1.0.1"], "--subnet"),
]


def test_what_does_not_fit_is_refused(place: Town) -> None:
    for words, sentence in REFUSED:
        failed = place.pybuild("network", "create", *words, "odd", code=None)
        assert failed.returncode, words
        assert sentence in failed.stderr


def test_subnets_are_chosen_apart_and_chosen_anew_when_taken(place: Town) -> None:
    for name in ("alpha", "beta"):
        place.pybuild("network", "create", name)
    subnets = {
        name: json.loads(place.pybuild.text("network", "inspect", name))[0]["IPAM"]["Config"][0]["Subnet"]
        for name in ("alpha", "beta")
    }
    assert len(set(subnets.values())) == 2
    taken = subnets["alpha"].replace("0.0/16", "7.1/16")
    place.machine.shell(f"ip link add other0 type bridge; ip address add {taken} dev other0; ip link set other0 up")
    try:
        said = place.pybuild.text("run", "--rm", "--network", "alpha", "busybox", "ip", "-4", "-o", "address")
        assert subnets["alpha"].removesuffix("0.0/16") not in said
    finally:
        place.machine.shell("ip link del other0")


def test_several_networks_in_order_with_one_way_out(place: Town) -> None:
    for name, subnet in (("front", "10.81.0.0/24"), ("back", "10.82.0.0/24"), ("vault", "10.83.0.0/24")):
        place.pybuild("network", "create", "--subnet", subnet, *(["--internal"] if name == "vault" else []), name)
    sleeper(place, "multi", "--network", "vault", "--network", "front", "--network", "name=back,alias=b,ip=10.82.0.50")
    said = shell(place, "multi", "ip -4 -o address; ip route")
    assert re.search(r"eth0 +inet 10\.83\.0\.2/24", said)
    assert re.search(r"eth1 +inet 10\.81\.0\.2/24", said)
    assert re.search(r"eth2 +inet 10\.82\.0\.50/24", said)
    assert re.findall("default via [0-9.]+ dev eth[0-9]", said) == ["default via 10.81.0.1 dev eth1"]
    said = place.pybuild.text(
        *("run", "--rm", "--network", "front", "--network", "name=back,gw-priority=5", "busybox", "ip", "route")
    )
    assert re.findall("default via [0-9.]+ dev eth[0-9]", said) == ["default via 10.82.0.1 dev eth1"]
    refused = place.pybuild("run", "--network", "front", "--network", "host", "busybox", "true", code=125)
    assert "stand alone" in refused.stderr


def test_an_internal_network_has_no_way_out_and_none_in(place: Town) -> None:
    place.pybuild("network", "create", "--internal", "vault")
    with closing(place.outside.listen(OUTSIDE, 7003)):
        place.outside.connect_only(OUTSIDE, 7003)
        place.pybuild("run", "--rm", "--network", "vault", "busybox", "nc", "-w", "1", OUTSIDE, "7003", code=1)
        route = "ip route add default via $(ip route | sed -n 's/.*src //p' | sed 's/[0-9]*$/1/'); nc -w 1 $0 7003"
        by_force = ("--cap-add", "NET_ADMIN", "busybox", "sh", "-c", route, OUTSIDE)
        place.pybuild("run", "--rm", "--network", "vault", *by_force, code=1)
    told = place.pybuild("run", "--rm", "--network", "vault", "-p", "8090:80", "busybox", "true")
    assert "not published" in told.stderr


def test_names_are_known_to_those_who_are_there(place: Town) -> None:
    for name in ("red", "blue"):
        place.pybuild("network", "create", name)
    sleeper(place, "db", "--network", "red", "--network-alias", "database", "-h", "dbhost")
    sleeper(place, "app", "--network", "red", "--network", "name=blue,alias=web")
    sleeper(place, "cache", "--network", "blue", "--add-host", "host.docker.internal:host-gateway")
    look = "grep -w {} /etc/hosts"
    db = str(endpoint(place, "db", "red")["IPAddress"])
    for word in ("db", "database"):
        assert shell(place, "app", look.format(word)).split()[0] == db
        assert shell(place, "db", look.format(word)).split()[0] == db
        shell(place, "cache", look.format(word), code=1)
    assert shell(place, "cache", look.format("web")).split()[0] == endpoint(place, "app", "blue")["IPAddress"]
    gateway = endpoint(place, "cache", "blue")["Gateway"]
    assert shell(place, "cache", look.format("host.docker.internal")).split()[0] == gateway
    assert shell(place, "db", look.format("dbhost")).split()[0] == db
    with closing(place.inside("db").listen("0.0.0.0", 5432)):
        place.inside("app").connect_only(db, 5432)
    shell(place, "app", "echo 10.0.0.1 my-own-line >>/etc/hosts")
    place.pybuild("rm", "-f", "db")
    shell(place, "app", look.format("database"), code=1)
    assert "my-own-line" in shell(place, "app", "cat /etc/hosts")
    sleeper(place, "db", "--network", "red")
    assert shell(place, "app", look.format("db")).split()[0] == endpoint(place, "db", "red")["IPAddress"]
    assert "my-own-line" in shell(place, "app", "cat /etc/hosts")


KNOWN = "sed -n 's/^[0-9.]*\\t//; /^# networks/,/^# to here/p' /etc/hosts"


def known(command: Pybuild, container: str) -> set[str]:
    """The names, other than its own, that a running container knows by its networks."""
    own = command.text("inspect", "-f", "{{.Id}}", container)[:12]
    lines = command.text("exec", container, "sh", "-c", KNOWN).splitlines()
    return {name for line in lines if "#" not in line and own not in line for name in line.split()[:-1]}


def test_who_was_there_first_knows_who_comes_later_by_all_names(place: Town) -> None:
    command = place.pybuild
    for name in ("one", "two"):
        command("network", "create", name)
    run = ("run", "-d", "--name")
    sleep = ("busybox", "sleep", "600")
    command(*run, "early", "--network", "one", "--network", "two", *sleep)
    command(*run, "late", "--network", "one", "--network-alias", "db", "--network-alias", "data", *sleep)
    command(*run, "far", "--network", "name=two,alias=second", *sleep)
    assert known(command, "early") == {"late", "db", "data", "far", "second"}
    assert (known(command, "late"), known(command, "far")) == ({"early"}, {"early"})
    command("rename", "late", "renamed")
    assert known(command, "early") == {"renamed", "db", "data", "far", "second"}
    command("stop", "-t", "0", "renamed")
    assert known(command, "early") == {"far", "second"}
    command("rename", "renamed", "again")
    command("start", "again")
    command("restart", "-t", "0", "again")
    assert known(command, "early") == {"again", "db", "data", "far", "second"}
    assert command("exec", "early", "ping", "-c", "1", "-W", "5", "data").returncode == 0
    command("network", "connect", "--alias", "joined", "one", "far")
    assert known(command, "again") == {"early", "far", "joined"}
    command("network", "disconnect", "one", "far")
    assert known(command, "again") == {"early"}
    front = ("run", "--rm", "--name", "front", "--network", "one", "-i", "busybox", "cat", "/etc/hosts", "-")
    with subprocess.Popen(
        command.command(*front), env=command.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdin is not None and running.stdout is not None
        assert any("again db data" in line for line in iter(running.stdout.readline, ""))
        assert "front" in known(command, "early")
        running.stdin.close()
    assert "front" not in known(command, "early")
    command("rm", "-f", "again", "far")
    assert known(command, "early") == set()
    command("rm", "-f", "early")
    command("network", "rm", "one", "two")


def test_connect_and_disconnect_while_it_runs_and_when_it_does_not(place: Town) -> None:
    place.pybuild("network", "create", "--subnet", "10.91.0.0/24", "late")
    sleeper(place, "one")
    sleeper(place, "peer", "--network", "late")
    place.pybuild("network", "connect", "--alias", "uno", "--ip", "10.91.0.77", "late", "one")
    assert "10.91.0.77/24" in shell(place, "one", "ip -4 -o address show eth1")
    assert "10.91.0.77" in shell(place, "peer", "grep uno /etc/hosts")
    assert len(re.findall("default via", shell(place, "one", "ip route"))) == 1
    assert "already" in place.pybuild("network", "connect", "late", "one", code=1).stderr
    place.pybuild("network", "disconnect", "bridge", "one")
    said = shell(place, "one", "ip -4 -o address; ip route")
    assert "172.17" not in said
    assert "default via 10.91.0.1 dev eth1" in said
    with closing(place.outside.listen(OUTSIDE, 7004)):
        place.inside("one").connect_only(OUTSIDE, 7004)
    place.pybuild("stop", "-t", "0", "one")
    shell(place, "peer", "grep uno /etc/hosts", code=1)
    place.pybuild("start", "one")
    assert list(json.loads(place.pybuild.text("inspect", "one"))[0]["NetworkSettings"]["Networks"]) == ["late"]
    assert "10.91.0.77/24" in shell(place, "one", "ip -4 -o address show eth0")
    assert "not connected" in place.pybuild("network", "disconnect", "bridge", "one", code=1).stderr
    place.pybuild("rm", "-f", "peer", "one")


def test_of_many_at_once_one_connects_one_disconnects_and_one_removes(place: Town) -> None:
    def at_once(*words: str) -> list[int]:
        with ThreadPoolExecutor(6) as crew:
            return sorted(done.returncode for done in crew.map(lambda _: place.pybuild(*words, code=None), range(6)))

    one = [0, 1, 1, 1, 1, 1]
    assert at_once("network", "create", "busy") == one
    sleeper(place, "popular")
    assert at_once("network", "connect", "busy", "popular") == one
    assert shell(place, "popular", "ip -o link").count(": eth") == 2
    assert at_once("network", "disconnect", "busy", "popular") == one
    assert shell(place, "popular", "ip -o link").count(": eth") == 1
    assert at_once("network", "rm", "busy") == one
    place.pybuild("rm", "-f", "popular")


def test_who_is_killed_while_it_connects_leaves_what_can_be_disconnected(place: Town) -> None:
    place.pybuild("network", "create", "half")
    place.pybuild("network", "create", "--subnet", "10.92.0.0/24", "picky")
    sleeper(place, "torn")
    script = """
import os, sys
from pybuild.__main__ import main
from builder.networks import names
names.tell = lambda *_: os.kill(os.getpid(), 9)
sys.argv[0] = "pybuild"
main()
"""
    words = [*place.pybuild.prefix, sys.executable, "-P", "-c", script, "network", "connect", "half", "torn"]
    done = subprocess.run(words, env={**place.pybuild.environment, "PYTHONPATH": os.getcwd()}, capture_output=True)
    assert done.returncode == -9, done.stderr
    assert "already" in place.pybuild("network", "connect", "half", "torn", code=1).stderr
    assert shell(place, "torn", "ip -o link").count(": eth") == 2
    place.pybuild("network", "disconnect", "half", "torn")
    assert shell(place, "torn", "ip -o link").count(": eth") == 1
    assert (
        "no address of network"
        in place.pybuild("network", "connect", "--ip", "1.2.3.4", "picky", "torn", code=1).stderr
    )
    place.pybuild("network", "connect", "picky", "torn")  # what failed has left no wish
    place.pybuild("rm", "-f", "torn")
    place.pybuild("network", "rm", "half", "picky")


def test_prune_leaves_what_a_container_is_meant_for(place: Town) -> None:
    for name in ("kept", "gone"):
        place.pybuild("network", "create", "--label", "pruned", name)
    place.pybuild("create", "--name", "later", "--network", "kept", "busybox", "true")
    words = ("network", "prune", "-f", "--filter", "label=pruned")
    assert place.pybuild.text(*words) == "Deleted Networks:\ngone"
    place.pybuild("start", "-a", "later")


def test_names_of_servers_and_domains(place: Town) -> None:
    said = place.pybuild.text(
        *("run", "--rm", "--dns", "192.0.2.53", "--dns", "2001:db8::53", "--dns-search", "example.org"),
        *("--dns-option", "ndots:2", "--add-host", "a:10.1.2.3", "busybox", "cat", "/etc/resolv.conf", "/etc/hosts"),
    )
    for line in ("nameserver 192.0.2.53", "nameserver 2001:db8::53", "search example.org", "options ndots:2"):
        assert said.splitlines().count(line) == 1
    assert "10.1.2.3\ta" in said
    assert "no IP address" in place.pybuild("run", "-p", "x:1:1", "busybox", "true", code=125).stderr
    assert "subnet of your own" in place.pybuild("run", "--ip", "172.17.0.9", "busybox", "true", code=125).stderr
    assert "created" in place.pybuild("run", "--network-alias", "x", "busybox", "true", code=125).stderr
