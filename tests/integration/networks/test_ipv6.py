"""`network create --ipv6`: addresses, names, ways out and in, and what stays closed."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv6Network

import pytest

from tests.support.soon import soon
from tests.support.town import Town

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("networks")]
MACHINE6, OUTSIDE6 = "fd11::1", "fd11::2"
SERVER = ("busybox", "sh", "-c", "exec nc -ll -p 80 -e echo hello")
SLEEP = ("busybox", "sleep", "600")


@pytest.fixture(scope="module", autouse=True)
def _addresses(_town: Town) -> Iterator[None]:
    _town.machine.shell(f"ip address add {MACHINE6}/64 dev up0 nodad; ip -6 route add default via {OUTSIDE6}")
    _town.outside.shell(f"ip address add {OUTSIDE6}/64 dev up0 nodad; ip -6 route add fd00:7::/64 via {MACHINE6}")
    yield


def described(place: Town, *words: str) -> dict[str, object]:
    """What inspect says."""
    found: dict[str, object] = json.loads(place.pybuild.text(*words))[0]
    return found


def endpoint(place: Town, container: str, network: str) -> dict[str, object]:
    """What a container has in a network."""
    settings = described(place, "inspect", container)["NetworkSettings"]
    found: dict[str, object] = settings["Networks"][network]  # type: ignore[index]
    return found


def test_addresses_names_and_both_ways(place: Town) -> None:
    command = place.pybuild
    command("network", "create", "--ipv6", "--subnet", "10.7.0.0/24", "--subnet", "fd00:7::/64", "seven")
    command("network", "create", "--ipv6", "six")
    made = described(place, "network", "inspect", "seven")
    assert made["EnableIPv6"] is True
    assert made["IPAM"]["Config"][1] == {"Subnet": "fd00:7::/64", "Gateway": "fd00:7::1"}  # type: ignore[index]
    assert command.text("network", "ls", "--format", "{{.IPv6}}", "--filter", "name=s").split() == [
        *("false", "true", "true"),
    ]
    said = command("run", "-d", "--name", "web", "--network", "seven", "--ip6", "fd00:7::3", "-p", "7100:80", *SERVER)
    assert "net.ipv6.conf.all.forwarding is 1" in said.stderr and "accept_ra is 2" in said.stderr
    command("run", "-d", "--name", "app", "--network", "seven", "--network", "six", "-h", "apphost", *SLEEP)
    web, app, far = endpoint(place, "web", "seven"), endpoint(place, "app", "seven"), endpoint(place, "app", "six")
    assert (web["GlobalIPv6Address"], web["GlobalIPv6PrefixLen"], web["IPv6Gateway"]) == ("fd00:7::3", 64, "fd00:7::1")
    assert web["IPAMConfig"] == {"IPv6Address": "fd00:7::3"}
    assert (app["IPAddress"], app["GlobalIPv6Address"]) == ("10.7.0.4", "fd00:7::4")  # the third is taken
    subnet = described(place, "network", "inspect", "six")["IPAM"]["Config"][1]["Subnet"]  # type: ignore[index]
    assert str(far["GlobalIPv6Address"]) == str(IPv6Network(subnet)[2]) and str(subnet).startswith("fd")
    line = (
        "grep -c apphost /etc/hosts; grep -w web /etc/hosts; ip -6 route show default; "
        "ping -6 -c 1 -W 5 web >/dev/null; "
        f"nc -w 5 fd00:7::3 80 </dev/null; cat /proc/sys/net/ipv6/conf/eth?/accept_ra; nc -w 5 {OUTSIDE6} 7101"
    )
    with closing(place.outside.listen(OUTSIDE6, 7101)) as server:
        seen: list[str] = []

        def answer() -> None:
            caller, peer = server.accept()
            seen.append(peer[0])
            caller.close()

        thread = threading.Thread(target=answer)
        thread.start()
        said_inside = command.text("exec", "app", "sh", "-c", line).splitlines()
        thread.join()
    assert seen == [MACHINE6]
    assert said_inside[:3] == ["4", f"{web['IPAddress']}\tweb {endpoint_id(place, 'web')}", said_inside[2]]
    assert said_inside[2].startswith("fd00:7::3\tweb ") and said_inside[3].startswith("default via fd00:7::1 dev eth0")
    assert said_inside[4:] == ["hello", "0", "0"]
    assert command.text("port", "web").splitlines() == ["80/tcp -> 0.0.0.0:7100", "80/tcp -> [::]:7100"]
    assert "0.0.0.0:7100->80/tcp, [::]:7100->80/tcp" in command.text("ps")
    assert place.outside.connect(MACHINE6, 7100) == b"hello\n"
    assert place.machine.connect(MACHINE6, 7100) == b"hello\n"
    with pytest.raises(ConnectionRefusedError):  # at once, so that who tries ::1 first goes on to 127.0.0.1
        place.machine.connect_only("::1", 7100)
    assert place.machine.connect("127.0.0.1", 7100) == b"hello\n"
    with pytest.raises(OSError):  # not published
        place.outside.connect_only("fd00:7::3", 80, timeout=0.3)
    text = "FROM busybox\nRUN nc -w 5 fd00:7::3 80 </dev/null | grep hello && ping -6 -c 1 -W 5 web"
    command("build", "--no-cache", "--network", "seven", "-", stdin=text)
    command("network", "disconnect", "seven", "app")
    assert f"via {far['IPv6Gateway']}" in command.text("exec", "app", "ip", "-6", "route", "show", "default")
    command("exec", "app", "nc", "-w", "1", "fd00:7::3", "80", code=1)  # another bridge
    command("network", "connect", "--ip6", "fd00:7::99", "seven", "app")
    assert command.text("exec", "app", "nc", "-w", "5", "fd00:7::3", "80") == "hello"
    assert endpoint(place, "app", "seven")["GlobalIPv6Address"] == "fd00:7::99"
    command("run", "-d", "--name", "only", "--network", "six", "-p", f"[{MACHINE6}]:7102:80", *SERVER)
    assert command.text("port", "only") == f"80/tcp -> [{MACHINE6}]:7102"
    assert place.outside.connect(MACHINE6, 7102) == b"hello\n"
    taken = command("run", "--rm", "--network", "six", "-p", f"[{MACHINE6}]:7100:80", "busybox", "true", code=125)
    assert f"Bind for [{MACHINE6}]:7100/tcp failed" in taken.stderr
    command("rm", "-f", "web", "app", "only")
    assert soon(lambda: place.machine.shell("ip -6 route show fd00:7::/64") == "")


def endpoint_id(place: Town, container: str) -> str:
    """The short id, as hosts files have it."""
    return place.pybuild.text("inspect", "-f", "{{.Id}}", container)[:12]


def test_an_internal_one_has_no_way_out_and_isolated_ones_do_not_talk(place: Town) -> None:
    command = place.pybuild
    command("network", "create", "--ipv6", "--internal", "--subnet", "fd00:8::/64", "vault")
    command("network", "create", "--ipv6", "-o", "com.docker.network.bridge.enable_icc=false", "apart")
    command("run", "-d", "--name", "inner", "--network", "vault", *SERVER)
    command("run", "-d", "--name", "lone", "--network", "apart", *SERVER)
    assert command.text("exec", "inner", "ip", "-6", "route", "show", "default") == ""
    ping = ("ping", "-6", "-c", "1", "-W")
    command("run", "--rm", "--network", "vault", "busybox", *ping, "30", "inner")
    command("run", "--rm", "--network", "apart", "busybox", *ping, "1", "lone", code=1)
    command("run", "--rm", "--network", "apart", "busybox", *ping, "30", OUTSIDE6)


REFUSED: list[tuple[list[str], str]] = [
    (["--subnet", "fd00::/64"], "add --ipv6"),
    (["--ipv6", "--subnet", "fd00:9::1/64"], "invalid network config"),
    (["--ipv6", "--subnet", "fd00:9::/112"], "/96 is the smallest"),
    (["--ipv6", "--subnet", "fe80::/64"], "mean something else"),
    (["--ipv6", "--subnet", "fd00:9::/64", "--gateway", "fd00:8::1"], "no address of fd00:9::/64"),
    (["--ipv6", "--subnet", "fd11::/48"], "overlaps fd11::/64, which is in use on this machine"),
    (["--ipv6", "--subnet", "fd00:9::/64", "--subnet", "fd00:a::/64"], "one of IPv4 and one of IPv6"),
    (["--ipv6", "--gateway", "fd00:9::1"], "say that, too"),
]


def test_what_does_not_fit_is_refused(place: Town) -> None:
    for words, sentence in REFUSED:
        failed = place.pybuild("network", "create", *words, "odd", code=None)
        assert failed.returncode and sentence in failed.stderr, (words, failed.stderr)
    place.pybuild("network", "create", "--ipv6", "--subnet", "fd00:9::/64", "odd")
    place.pybuild("network", "create", "--ipv6", "free")
    runs = {
        ("odd", "--ip6", "fd00:9::1"): "already in use",
        ("odd", "--ip6", "fd00:a::5"): "no address of network odd",
        ("odd", "--ip6", "10.0.0.5"): "--ip and --ip6 are for one each",
        ("free", "--ip6", "fd00:9::5"): "only in a network with an IPv6 subnet of your own",
        ("bridge", "--ip6", "fd00:9::5"): "has no IPv6",
        ("bridge", "-p", "[::]:7103:80"): "has no IPv6",
    }
    for (network, *words), sentence in runs.items():
        failed = place.pybuild("run", "--rm", "--network", network, *words, "busybox", "true", code=125)
        assert sentence in failed.stderr
