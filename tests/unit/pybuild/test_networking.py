"""What the options of networks come to, where there is no bridge to be had, and wrong words."""

from collections.abc import Callable

import click
import pytest

from builder.networks.wish import Wish
from pybuild import networking
from runner import NetworkUnavailable
from runner.net import nft


def test_without_nft_a_container_has_the_network_of_this_machine_and_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("runner.net.rules_program", lambda: None)
    monkeypatch.setattr(nft, "rules_program", lambda: None)
    assert networking.default(Wish(network="default")) == Wish(network="host")
    assert "nft is not installed" in capsys.readouterr().err
    monkeypatch.setattr("runner.rootless.owner", lambda: 1000)
    assert networking.default(Wish(network="default")) == Wish(network="bridge"), "slirp4netns plays it"
    monkeypatch.setenv("PATH", "/nonexistent")
    assert networking.default(Wish(network="default")) == Wish(network="host")
    assert "apt-get install slirp4netns" in capsys.readouterr().err
    with pytest.raises(NetworkUnavailable, match="install the package nftables"):
        nft.run("list tables")


def test_with_nft_and_root_it_has_a_bridge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.net.rules_program", lambda: "/usr/sbin/nft")
    assert networking.default(Wish(network="default", priority=3)) == Wish(network="bridge", priority=3)


def test_the_long_form_of_a_network() -> None:
    text = "name=back,alias=a,alias=b,ip=10.0.0.9,mac-address=02-00-00-00-00-0A,gw-priority=-2"
    found = networking.wish(text)
    assert found == Wish(network="back", aliases=("a", "b"), ip="10.0.0.9", mac="02:00:00:00:00:0a", priority=-2)
    assert networking.wish("back") == Wish(network="back")


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (networking.wish, "alias=a"),
        (networking.wish, "name=a,colour=red"),
        (networking.wish, "name=a,ip=10.0.0"),
        (networking.wish, "name=a,gw-priority=high"),
        (networking.mac, "01:00:00:00:00:00"),
        (networking.mac, "02:00:00:00:00"),
        (lambda text: networking.address("--ip", text), "fd00::1"),
        (lambda text: networking.address("--dns", text), "example.org"),
    ],
)
def test_wrong_words(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(click.UsageError):
        read(text)
