"""The networks of a store while others change them."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from builder.networks import leases
from builder.networks.book import UNUSED, Networks
from builder.networks.errors import NetworkMissing
from builder.networks.leases import Lease
from builder.networks.network import Network
from layers import Store
from layers.disk.removal import remove
from runner.net.bridge import within
from runner.net.rtnetlink import Netlink
from tests.support.soon import soon

pytestmark = pytest.mark.root
NOBODY = Lease(network="", address="", gateway="", mac="", outer="")


@pytest.fixture
def book(tmp_path: Path) -> Networks:
    return Networks(Store.open(tmp_path / "store"))


@pytest.fixture
def elsewhere() -> Iterator[Callable[[Callable[[], object]], object]]:
    """Does something in a network namespace where there is nothing yet."""
    mine = os.stat("/proc/self/ns/net")
    with subprocess.Popen(["unshare", "-n", "sleep", "infinity"]) as keeper:
        path = f"/proc/{keeper.pid}/ns/net"
        held = -1
        try:
            assert soon(lambda: not os.path.samestat(os.stat(path), mine))
            held = os.open(path, os.O_RDONLY)
            yield lambda action: within(held, action)
        finally:
            with suppress(OSError):
                os.close(held)
            keeper.kill()


def test_who_comes_after_a_network_has_moved_is_led_there(
    book: Networks, elsewhere: Callable[[Callable[[], object]], object]
) -> None:
    """One process has looked the network up; then its subnet is taken, and another process moves it."""

    def scene() -> None:
        before = book.usable("bridge")
        assert before.subnet == "172.17.0.0/16"
        with Netlink() as kernel:
            kernel.add_address(1, IPv4Interface("172.17.7.1/16"))
        moved, first, one = leases.reserve(book, before, NOBODY, "")
        found, second, other = leases.reserve(book, before, NOBODY, "")
        assert (moved.subnet, found) == ("172.18.0.0/16", moved)
        assert [first.address, second.address] == ["172.18.0.2/16", "172.18.0.3/16"]
        os.close(one)
        os.close(other)

    elsewhere(scene)


def test_the_default_has_the_first_subnet_whoever_is_made_first(
    book: Networks, elsewhere: Callable[[Callable[[], object]], object]
) -> None:
    def scene() -> None:
        assert book.create("mine").subnet == "172.18.0.0/16"
        assert book.usable("bridge").subnet == "172.17.0.0/16"

    elsewhere(scene)


def test_who_comes_after_a_network_has_gone_is_told(
    book: Networks, elsewhere: Callable[[Callable[[], object]], object]
) -> None:
    def scene() -> None:
        before = book.create("brief")
        remove(os.fspath(book.place(before)))
        with pytest.raises(NetworkMissing, match="brief not found"):
            leases.reserve(book, before, NOBODY, "")
        with pytest.raises(NetworkMissing, match="brief not found"):
            leases.hold(book, before)

    elsewhere(scene)


def test_a_network_is_made_and_removed_at_once_or_is_litter(book: Networks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is killed meanwhile leaves nothing that would be half a network."""

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Network, "write", die)
        with pytest.raises(Killed):
            book.create("brief", subnet="10.77.0.0/24")
    assert book.get("bridge") == UNUSED
    made = book.create("brief", subnet="10.77.0.0/24")
    assert os.listdir(book.folder) == [made.id]
    with monkeypatch.context() as patch:
        patch.setattr("layers.disk.removal.remove", die)
        with pytest.raises(Killed):
            book.remove(made)
    assert book.made() == [] and os.listdir(book.folder) == []
    book.store.close()
    assert os.listdir(book.store.root / "scratch") == []


def test_only_one_removes_a_network(book: Networks) -> None:
    made = book.create("brief", subnet="10.77.0.0/24")
    book.remove(made)
    with pytest.raises(NetworkMissing, match="brief not found"):
        book.remove(made)
