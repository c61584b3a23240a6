"""Whatever goes wrong, and in whatever order: the right bytes come through, or an error; never other bytes."""

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from layers import BlobMismatch
from registry.errors import RegistryError, Unavailable
from tests.support.quick import named, noise, quick, repository, stream
from tests.support.rude import Ask, Reply, Rude, mistake, rude

DATA = noise(40_000)
WANTED = named(DATA)
Fault = Callable[[Rude, int], Callable[[Ask], Reply]]

DOWN: dict[str, Fault] = {
    "cut": lambda server, at: lambda ask: replace(server.honest(ask), cut=at),
    "silent": lambda server, at: lambda ask: Reply(silent=True),
    "503": lambda server, at: lambda ask: mistake(503, "UNAVAILABLE"),
    "no range": lambda server, at: lambda ask: Reply(body=DATA),
    "no range, cut": lambda server, at: lambda ask: Reply(body=DATA, cut=at),
    "416": lambda server, at: lambda ask: Reply(416 if "range" in ask.headers else 503),
    "another range": lambda server, at: (
        lambda ask: (
            Reply(206, {"Content-Range": f"bytes {at}-{len(DATA) - 1}/{len(DATA)}"}, DATA[at:])
            if "range" in ask.headers
            else server.honest(ask)
        )
    ),
}
HONEST_FAULTS = st.lists(st.tuples(st.sampled_from(sorted(DOWN)), st.integers(0, len(DATA) - 1)), max_size=3)


@settings(max_examples=40, deadline=None)
@given(HONEST_FAULTS, st.integers(0, len(DATA)))
def test_downloads(faults: list[tuple[str, int]], offset: int) -> None:
    with rude() as server:
        server.blob(DATA)
        for name, at in faults:
            server.rule("GET", "/blobs/", DOWN[name](server, at))
        with repository(server, quick(first=0.0001)).open_from(WANTED, offset) as source:
            assert source.read() == DATA[offset:], "three faults are within the tries"


LIES: dict[str, Fault] = {
    "short": lambda server, at: lambda ask: Reply(body=DATA[:at]),
    "long": lambda server, at: lambda ask: Reply(body=DATA + b"x" * at),
    "long, cut": lambda server, at: lambda ask: Reply(body=DATA, claimed=len(DATA) + 1 + at),
    "206 unasked": lambda server, at: lambda ask: Reply(206, {"Content-Range": f"bytes 0-{at}/*"}, DATA[: at + 1]),
    **DOWN,
}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(LIES)), st.integers(0, len(DATA) - 1)), max_size=8))
def test_downloads_from_liars(faults: list[tuple[str, int]]) -> None:
    with rude() as server:
        server.blob(DATA)
        for name, at in faults:
            server.rule("GET", "/blobs/", LIES[name](server, at))
        try:
            with repository(server, quick(first=0.0001)).open(WANTED) as source:
                assert source.read(len(DATA) + 1) == DATA
        except (RegistryError, BlobMismatch):
            assert faults


def lost(server: Rude) -> Callable[[Ask], Reply]:
    def act(ask: Ask) -> Reply:
        server.honest(ask)
        return Reply(silent=True)

    return act


def unknown(server: Rude) -> Callable[[Ask], Reply]:
    def act(ask: Ask) -> Reply:
        server.uploads.clear()
        return server.honest(ask)

    return act


UP: dict[str, Callable[[Rude, int], Reply | Callable[[Ask], Reply]]] = {
    "cut": lambda server, at: Reply(take=at),
    "lost": lambda server, at: lost(server),
    "500": lambda server, at: mistake(500, "UNKNOWN"),
    "429": lambda server, at: Reply(429, {"Retry-After": "0"}),
    "restarted": lambda server, at: unknown(server),
}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(UP)), st.integers(0, 10_000)), max_size=1),
    st.sampled_from([0, 7_000, 40_000]),
    st.sampled_from(["PUT", "PATCH", "PUT|PATCH", "GET|PUT|PATCH"]),
)
def test_uploads_survive_a_fault(faults: list[tuple[str, int]], chunk: int, where: str) -> None:
    with rude() as server:
        server.chunk_least = chunk or None
        for name, at in faults:
            server.rule(where, "/blobs/uploads/u", UP[name](server, at))
        repository(server, quick(first=0.0001), chunk=5_000).put(WANTED, stream(DATA))
        assert server.blobs == {str(WANTED.digest): DATA}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(UP)), st.integers(0, 10_000)), max_size=8),
    st.sampled_from([0, 7_000]),
    st.booleans(),
)
def test_uploads_end_well_or_with_an_error(faults: list[tuple[str, int]], chunk: int, once: bool) -> None:
    with rude() as server:
        server.chunk_least = chunk or None
        for name, at in faults:
            server.rule("PUT|PATCH|GET|HEAD", "/blobs/", UP[name](server, at))
        try:
            repository(server, quick(first=0.0001), chunk=5_000).put(WANTED, stream(DATA, once=once))
        except RegistryError as error:
            assert isinstance(error, Unavailable) or error.status in (404, 429), error
            assert faults
        else:
            assert server.blobs == {str(WANTED.digest): DATA}
