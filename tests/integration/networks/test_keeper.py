"""Whoever keeps a bridge makes it ready for others, who do without as soon as it does not answer."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from builder.networks import asked
from builder.networks.asked import LINE, Asked
from builder.networks.wish import Member, Wish
from layers import Store
from layers.disk.locks import is_locked
from layers.quick import replace
from runner.net.bridge import within
from runner.sockets import Socket
from tests.support.soon import soon
from tests.support.town import Place, Town, eight_at_once

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("networks")]
T = TypeVar("T")
ONCE = ("run", "--rm", "busybox", "true")


class Caller:
    """Somebody on the machine who wants a process to be on the default bridge."""

    def __init__(self, place: Town, folder: Path, name: str) -> None:
        self.place = place
        self.hosts = folder / name
        self.hosts.write_text("127.0.0.1\tlocalhost\n")
        self.process = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        mine = os.readlink("/proc/self/ns/net")
        self.inside = Place(f"/proc/{self.process.pid}/ns/net")
        assert soon(lambda: _else(self.inside, mine))
        self.told: list[str] = []
        self.asked: list[Asked] = []
        self.store = Store.open(place.pybuild.root)
        self.member = Member(
            wishes=(Wish(network="bridge"),), hosts=self.hosts, container=name * 8, name=name, hostname=name
        )

    def there(self, action: Callable[[], T]) -> T:
        """What it gives on the machine."""
        netns = os.open(self.place.machine.path, os.O_RDONLY)
        try:
            return within(netns, action)
        finally:
            os.close(netns)

    def ask(self) -> Asked:
        """Begin; if a slow machine has come too late, once more."""
        while (found := self.there(lambda: Asked.of(self.store, self.member, self.told.append))) is None:
            revive(self.place)
        self.asked.append(found)
        return found

    def address(self) -> str:
        """What its process has."""
        return self.inside.shell("ip -4 -o address show eth0").split()[3]

    def close(self) -> None:
        """It leaves, and its process ends."""
        self.process.kill()
        self.process.wait()
        for one in self.asked:
            self.there(one.close)


def _else(place: Place, mine: str) -> bool:
    with suppress(FileNotFoundError):
        return os.readlink(place.path) != mine
    return False


@contextmanager
def calling(place: Town, folder: Path, name: str = "somebody") -> Iterator[Caller]:
    """A caller whose process ends with us."""
    found = Caller(place, folder, name)
    try:
        yield found
    finally:
        found.close()


def leases(place: Town) -> set[str]:
    """Names of all leases."""
    return {path.name for path in place.pybuild.root.glob("networks/*/leases/*")}


def revive(place: Town) -> None:
    """Have somebody keep the default bridge, and answer."""
    place.pybuild(*ONCE)
    assert soon(lambda: [*place.pybuild.root.glob(f"networks/*/{LINE}")])


@contextmanager
def served(place: Town, folder: Path) -> Iterator[tuple[Caller, Asked]]:
    """A caller whose process was wired by whoever keeps the bridge; a slow machine may come too late now and then."""
    for _ in range(10):
        with calling(place, folder) as caller:
            it = caller.ask()
            it.meet(caller.process.pid)
            caller.there(it.wire(caller.process.pid))
            if it.instead is None:
                yield caller, it
                return
    raise AssertionError("nobody answers in time")


def kill(place: Town) -> None:
    """End whoever keeps the bridge, now."""
    for path in place.pybuild.root.glob("networks/*/leases/linger"):
        for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
            if leads(descriptor, path):
                os.kill(int(descriptor.parts[2]), signal.SIGKILL)
        assert soon(partial(unlocked, path))


def unlocked(path: Path) -> bool:
    """Whether nobody holds it."""
    return not is_locked(path)


def leads(descriptor: Path, path: Path) -> bool:
    """Whether it is open there."""
    with suppress(OSError):  # it has just been closed
        return descriptor.readlink() == path
    return False


def test_it_does_the_work(place: Town, tmp_path: Path) -> None:
    with served(place, tmp_path) as (caller, it):
        assert not caller.told
        ip = caller.address().partition("/")[0]
        assert f"{ip}\tsomebody\n" in caller.hosts.read_text()
        assert "default via 172.17.0.1" in caller.inside.shell("ip route")
        (path,) = place.pybuild.root.glob(f"networks/*/leases/{ip}")
        assert is_locked(path)
        it.leave()
        it.close()
        it.close()  # once more is well
        assert leases(place) <= {"linger"}


def test_a_lease_is_its_owners_alone(place: Town, tmp_path: Path) -> None:
    """It outlives who drew it, so its address is nobody else's."""
    with served(place, tmp_path) as (caller, it):
        mine = caller.address().partition("/")[0]
        kill(place)
        shown = place.pybuild.text("run", "--rm", "busybox", "ip", "-4", "-o", "a", "show", "eth0").split()[3]
        assert shown != caller.address()
        assert mine in leases(place)
        caller.there(it.close)
        assert mine not in leases(place)


def test_it_may_be_killed_before_its_guest_leaves(place: Town, tmp_path: Path) -> None:
    with served(place, tmp_path) as (caller, it):
        kill(place)
        ip = caller.address().partition("/")[0]
        caller.there(it.close)
        assert ip not in leases(place)


@pytest.mark.parametrize("moment", ["asked", "met"])
def test_it_may_be_killed_while_it_works(place: Town, tmp_path: Path, moment: str) -> None:
    with calling(place, tmp_path) as caller:
        it = caller.ask()
        if moment == "met":
            it.meet(caller.process.pid)
        kill(place)
        caller.there(it.wire(caller.process.pid))
        assert it.instead is not None
        ip = caller.address().partition("/")[0]
        assert caller.hosts.read_text().count(f"{ip}\tsomebody\n") == 1
        assert caller.inside.shell("ip -o link").count(": eth") == 1
        caller.there(it.close)
        assert ip not in leases(place)


@pytest.mark.parametrize("moment", ["asked", "met"])
def test_who_hangs_up_has_nothing(place: Town, tmp_path: Path, moment: str) -> None:
    def had() -> bool:
        with calling(place, tmp_path) as caller:
            it = caller.ask()
            found = soon(lambda: leases(place) - {"linger"}, seconds=1)
            if moment == "met":
                it.meet(caller.process.pid)
                found = soon(lambda: "eth0" in caller.inside.shell("ip -o link"), seconds=1)
            it.close()
            assert soon(lambda: leases(place) <= {"linger"})
            return found

    assert soon(had), "nobody answers in time"


def test_what_a_killed_one_has_left_goes_with_the_bridge(place: Town, tmp_path: Path) -> None:
    with served(place, tmp_path) as (_, it):
        assert leases(place) - {"linger"}
        it.line.close()
        for one in it.held:
            os.close(one)
        it.end, it.held = "", []
    assert soon(lambda: not leases(place))
    assert soon(lambda: not place.tables() and not place.interfaces())


def test_another_program_is_not_served(place: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with calling(place, tmp_path) as caller:
        while (elsewhere := Asked.of(caller.store, caller.member, caller.told.append)) is None:  # not on the machine
            revive(place)
        assert elsewhere.line.recv(1) == b""
        elsewhere.close()
        monkeypatch.setattr(asked, "PROGRAM", ("/another", 1))
        it = caller.ask()
        caller.there(it.wire(caller.process.pid))
        assert it.instead is not None
        assert caller.address()
        caller.there(it.close)
        assert leases(place) <= {"linger"}


def test_nonsense_ends_nothing(place: Town, tmp_path: Path) -> None:
    revive(place)
    (folder,) = (path.parent for path in place.pybuild.root.glob("networks/*/config.json"))
    for said in ((b"leave",), (b"names",), (b"",), (b"wire",), (b"\xff" * 100,), (b"i\1\0\0\0",)):
        while (line := Socket.calling(folder, LINE, 60.0)) is None:
            revive(place)
        with line:
            for one in said:
                line.send(one)
            assert line.recv(1) == b""
    with served(place, tmp_path) as (_, it):
        it.close()


def test_eight_at_once_have_eight_addresses(place: Town, tmp_path: Path) -> None:
    revive(place)
    assert len(set(eight_at_once(place, tmp_path))) == 8
    assert leases(place) <= {"linger"}


def test_a_container_goes_through_its_life(place: Town) -> None:
    """Whom it asked is long gone when it is started again, or ends."""
    revive(place)
    place.pybuild("network", "create", "other")
    place.pybuild("run", "-d", "--name", "lives", "busybox", "sleep", "1000")
    place.pybuild("network", "connect", "other", "lives")
    assert len(leases(place) - {"linger"}) == 2
    place.pybuild("restart", "-t", "0", "lives")
    assert len(leases(place) - {"linger"}) == 2
    place.pybuild("rm", "-f", "lives")
    assert leases(place) <= {"linger"}


def test_only_its_owner_may_ask(place: Town) -> None:
    modes: list[int] = []
    while not modes:
        revive(place)
        with suppress(FileNotFoundError):  # it has just gone
            modes = [path.stat().st_mode for path in place.pybuild.root.glob(f"networks/*/{LINE}")]
    assert modes[0] & 0o077 == 0


def test_names_are_told_to_those_who_are_there(place: Town) -> None:
    place.pybuild("network", "create", "club")
    place.pybuild("run", "--rm", "--network", "club", "busybox", "true")
    for name in ("first", "second"):
        place.pybuild("run", "-d", "--name", name, "--network", "club", "busybox", "sleep", "1000")
    there = "until grep -q second /etc/hosts; do sleep 0.05; done; cut -f 2 /etc/hosts | grep -e first -e second"
    assert place.pybuild.text("exec", "first", "sh", "-c", there).split()[::2] == ["first", "second"]
    place.pybuild("rm", "-f", "second")
    assert "second" not in place.pybuild.text("exec", "first", "cat", "/etc/hosts")
    assert place.pybuild.text("exec", "first", "hostname", "-i")
    place.pybuild("rm", "-f", "first")
    place.pybuild("network", "rm", "club")


def test_what_does_not_begin_has_left(place: Town) -> None:
    revive(place)
    place.pybuild("run", "--rm", "busybox", "no-such-program", code=127)
    assert leases(place) <= {"linger"}
    place.pybuild("run", "--rm", "--ip", "172.17.0.9", "busybox", "true", code=125)
    assert soon(lambda: leases(place) <= {"linger"})


def test_a_network_that_was_made_ready_for_another_name_is_not_taken(place: Town, tmp_path: Path) -> None:
    """The one that was proposed was taken meanwhile, or an option says more of it: it is asked for once more."""
    with calling(place, tmp_path) as caller:
        revive(place)
        it = caller.ask()
        assert it.serves(caller.member)
        assert not it.serves(replace(caller.member, name="another"))
        it.close()
    revive(place)
    published = place.pybuild.text(
        "run", "--rm", "-p", "127.0.0.1::80", "busybox", "ip", "-4", "-o", "a", "show", "eth0"
    )
    assert "172.17.0." in published
    assert soon(lambda: leases(place) <= {"linger"})
    revive(place)
    mac = "02:00:00:00:00:0a"
    assert mac in place.pybuild.text(
        "run", "--rm", "--mac-address", mac, "busybox", "cat", "/sys/class/net/eth0/address"
    )
    assert soon(lambda: leases(place) <= {"linger"})
    revive(place)
    place.pybuild("run", "--rm", "--pull", "never", "no/such:image", code=125)
    assert soon(lambda: leases(place) <= {"linger"})


def test_who_is_another_after_all_is_wired_anew(place: Town, tmp_path: Path) -> None:
    """The name that was proposed was taken when the network had been made ready already."""
    with calling(place, tmp_path) as caller:
        revive(place)
        it = caller.ask()
        before = it.has_met
        it.meet(caller.process.pid)
        assert (before, it.has_met) == (False, True)
        assert soon(lambda: "eth0" in caller.inside.shell("ip -o link"))
        it.change(replace(caller.member, name="another", hostname="another"))
        caller.there(it.wire(caller.process.pid))
        ip = caller.address().partition("/")[0]
        assert f"{ip}\tanother\n" in caller.hosts.read_text() and "somebody" not in caller.hosts.read_text()
        assert caller.inside.shell("ip -o link").count(": eth") == 1
        assert soon(lambda: leases(place) <= {"linger", ip})
        caller.there(it.close)
        assert leases(place) <= {"linger"}


def test_a_name_that_is_taken_meanwhile(place: Town, tmp_path: Path) -> None:
    place.pybuild("run", "-d", "--name", "first", "busybox", "sleep", "1000")
    revive(place)
    script = """
import sys
from builder.containers import names
from pybuild.__main__ import main
from pybuild.commands import run
proposals = iter(["first", "second"])
names.propose = lambda: next(proposals)
sys.argv = ["pybuild", "run", "--rm", "busybox", "sh", "-c", "ip -o link | grep -c eth; hostname -i"]
main()
"""
    words = ["nsenter", f"--net={place.machine.path}", sys.executable, "-P", "-c", script]
    done = subprocess.run(
        words, env={**place.pybuild.environment, "PYTHONPATH": os.getcwd()}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    count, address = done.stdout.split()
    assert count == "1" and address.startswith("172.17.0.")
    place.pybuild("rm", "-f", "first")
    assert soon(lambda: leases(place) <= {"linger"})


def test_who_looks_for_its_image_for_long_keeps_nobody(place: Town, tmp_path: Path) -> None:
    with calling(place, tmp_path) as caller:
        revive(place)
        it = caller.ask()
        assert soon(lambda: len(leases(place)) == 2)
        assert soon(lambda: not leases(place))
        it.meet(caller.process.pid)
        caller.there(it.wire(caller.process.pid))
        assert it.instead is not None
        assert caller.address().startswith("172.17.0.")
