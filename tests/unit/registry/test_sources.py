"""Pulls through mirrors: who is asked, in which order, with whose credentials, and what is told."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from layers import Reference
from registry.credentials import Credential, Credentials
from registry.errors import Blocked, NotFound, Unavailable
from registry.registries import Place, Registries, Rule
from registry.sources import MirroredRepository, Sources
from tests.support.quick import LAYER, named, noise, quick, serve_image
from tests.support.rude import FOREVER, Doorman, Reply, Rude, mistake, rude

DATA = noise(3 << 20)
LAYER_OF_IT = named(DATA, LAYER)


@pytest.fixture
def hosts() -> Iterator[tuple[Rude, Rude, Rude]]:
    """The registry and two mirrors, all with the image."""
    with rude() as registry, rude() as first, rude() as second:
        for server in (registry, first, second):
            server.blob(DATA)
            serve_image(server, "1", [LAYER_OF_IT], b"{}")
        yield registry, first, second


def through(hosts: tuple[Rude, ...], told: list[str] | None = None, **more: Any) -> MirroredRepository:
    """The registry's repository through its mirrors."""
    registry, *mirrors = hosts
    rule = Rule(registry.host, Place(registry.host), tuple(Place(mirror.host) for mirror in mirrors))
    client = quick(tell=[].append if told is None else told.append, **more)
    found = Sources(client, Registries({registry.host: rule})).repository(Reference(registry.host, "some/app"))
    assert isinstance(found, MirroredRepository)
    return found


def pulled(remote: MirroredRepository) -> bytes:
    """The image's manifest and layer."""
    with remote.open(remote.resolve("1")) as source:
        assert json.loads(source.read())["layers"]
    with remote.open(LAYER_OF_IT) as source:
        return source.read()


def test_the_first_mirror_serves(hosts: tuple[Rude, Rude, Rude]) -> None:
    registry, first, second = hosts
    assert pulled(through(hosts)) == DATA
    assert (len(registry.seen), len(second.seen)) == (0, 0)
    assert len(first.asked()) == 3


def test_a_mirror_that_is_down_is_told_once_and_not_asked_again(hosts: tuple[Rude, Rude, Rude]) -> None:
    registry, first, second = hosts
    first.rule(".*", "", mistake(500, "UNKNOWN"), FOREVER)
    second.close()
    told: list[str] = []
    remote = through(hosts, told)
    assert pulled(remote) == DATA
    assert pulled(remote) == DATA
    assert len(told) == 2
    assert f"the mirror {first.host}/some/app was of no use" in told[0] and "HTTP 500" in told[0]
    assert f"the mirror {second.host}/some/app" in told[1]
    assert len(first.seen) == 2, "its two tries"
    assert registry.sent == 2 * len(DATA)


def test_a_mirror_that_lacks_something_is_asked_for_other_things(hosts: tuple[Rude, Rude, Rude]) -> None:
    registry, first, _ = hosts
    first.manifests.clear()
    told: list[str] = []
    remote = through((registry, first), told)
    assert pulled(remote) == DATA
    assert len(told) == 1 and "HTTP 404" in told[0]
    assert (first.sent, registry.sent) == (len(DATA), 0)


def test_when_a_mirror_dies_in_the_middle_the_next_one_goes_on(hosts: tuple[Rude, Rude, Rude]) -> None:
    registry, first, second = hosts
    first.rule("GET", "/blobs/", lambda ask: replace(first.honest(ask), cut=1 << 20))
    first.rule("GET", "/blobs/", Reply(silent=True), FOREVER)
    told: list[str] = []
    assert pulled(through(hosts, told)) == DATA
    assert second.asked("GET", "/blobs/")[0].headers["range"] == f"bytes={1 << 20}-"
    assert (first.sent, second.sent, registry.sent) == (1 << 20, len(DATA) - (1 << 20), 0)
    assert len(told) == 1


def test_the_registrys_own_failure_counts_when_all_fail(hosts: tuple[Rude, Rude, Rude]) -> None:
    for server in hosts:
        server.manifests.clear()
    with pytest.raises(NotFound, match=f"^{hosts[0].host}: "):
        through(hosts).resolve("1")


def test_what_is_written_goes_to_the_registry(hosts: tuple[Rude, Rude, Rude]) -> None:
    registry, first, second = hosts
    remote = through(hosts)
    assert not remote.has(named(b"new"))
    remote.put(named(b"new"), io.BytesIO(b"new"))
    remote.tag("2", remote.origin.resolve("1"))
    assert str(named(b"new").digest) in registry.blobs
    assert ("some/app", "2") in registry.manifests
    assert (first.seen, second.seen) == ([], [])


def test_given_credentials_never_go_to_a_mirror(hosts: tuple[Rude, Rude, Rude]) -> None:
    registry, first, _ = hosts
    doors = [Doorman(server) for server in hosts]
    own = {"auths": {first.host: {"username": "of the mirror", "password": "x"}}}
    who = Credentials(
        Credential("given", "secret"), environment={"DOCKER_AUTH_CONFIG": json.dumps(own), "HOME": "/nonexistent"}
    )
    first.manifests.clear()
    remote = through((registry, first), credentials=who)
    assert remote.resolve("1")
    asked = {door.rude.host: door.asked[0] for door in doors[:2]}
    given, mine = (Credential(name, word).basic for name, word in (("given", "secret"), ("of the mirror", "x")))
    assert asked[registry.host].headers["authorization"] == given
    assert asked[first.host].headers["authorization"] == mine
    for ask in first.seen:
        assert ask.headers.get("authorization") != given


def test_a_blocked_registry_is_not_asked() -> None:
    rule = Rule("a.example", Place("a.example"), blocked=True, file="/etc/x.conf")
    with pytest.raises(Blocked, match=r"a\.example is blocked by /etc/x\.conf"):
        Sources(quick(), Registries({"a.example": rule})).repository(Reference("a.example", "x"))


def test_rewritten_without_mirrors(hosts: tuple[Rude, Rude, Rude]) -> None:
    registry = hosts[0]
    rule = Rule("a.example/team", Place(f"{registry.host}/some"))
    sources = Sources(quick(), Registries({rule.prefix: rule}))
    assert sources.repository(Reference.parse("a.example/team/app")).resolve("1")


def test_the_first_search_registry_that_has_it_is_meant(hosts: tuple[Rude, Rude, Rude]) -> None:
    registry, first, second = hosts
    first.manifests.clear()
    sources = Sources(quick(), Registries(search=(first.host, second.host, registry.host)))
    assert str(sources.named("some/app:1")) == f"{second.host}/some/app:1"
    assert registry.seen == []
    with pytest.raises(NotFound, match="none of them has some/app:9"):
        sources.named("some/app:9")
    second.rule("HEAD", "/manifests/", mistake(500, "UNKNOWN"), FOREVER)
    with pytest.raises(Unavailable):
        sources.named("some/app:9")
