"""Whatever is asked, the answer is one of the protocol's: never a defect, never a file of the host."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layers import Store
from registry.server.faults import Fault
from registry.server.messages import Answer, Request
from registry.server.routes import answer
from registry.server.shelf import Shelf
from registry.server.wire import Body, Head
from tests.support.distribution import INDEX, MANIFEST, digest_of
from tests.support.documents import json_values
from tests.unit.registry.server.test_wire import fed

WORDS = (
    st.sampled_from(
        "v2 _catalog tags list blobs uploads manifests referrers app a.b .. %2e%2e %00 ~ %FF sha256:.. ü".split()
    )
    | st.sampled_from(["", "%2Fetc%2Fpasswd", "latest", digest_of(b""), digest_of(b"", "sha512"), "%0d%0aX: y"])
    | st.text(max_size=8)
)
METHODS = st.sampled_from(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "BREW"])
QUERY = st.lists(
    st.tuples(
        st.sampled_from(["digest", "mount", "from", "n", "last", "tag", "artifactType", "digest-algorithm"]),
        st.sampled_from(["", "1", "-1", digest_of(b""), "sha256:", "app", "..", "md5", "%0d%0a"]) | st.text(max_size=8),
    ),
    max_size=3,
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "range": st.sampled_from(["bytes=0-", "bytes=-0", "bytes=9-1", "x"]) | st.text(max_size=12),
        "content-range": st.sampled_from(["0-0", "0-9", "1-"]) | st.text(max_size=12),
        "content-type": st.sampled_from(["application/vnd.oci.image.index.v1+json", "text/plain;"])
        | st.text(max_size=12),
        "if-none-match": st.sampled_from(["*", "x"]),
    },
)
BODIES = st.sampled_from(
    [
        b"",
        b"{}",
        b'{"mediaType":1}',
        b'{"schemaVersion":2,"manifests":[],"mediaType":[]}',
        b"[" * 9999,
        b'{"subject":3}',
    ]
) | st.binary(max_size=30)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """A store that holds the empty blob."""
    with Store.open(tmp_path_factory.mktemp("hostile") / "store") as store:
        store.blobs.keep(b"", "application/octet-stream")
        yield Shelf(store)


REQUESTS = st.tuples(METHODS, st.lists(WORDS, max_size=7), QUERY, HEADERS, BODIES)


@settings(deadline=None)
@given(REQUESTS)
def test_every_request_has_an_answer(
    shelf: Shelf, asked: tuple[str, list[str], list[tuple[str, str]], dict[str, str], bytes]
) -> None:
    method, words, query, headers, body = asked
    head = Head(method, "/", 1, {"host": "h", "content-length": str(len(body)), **headers})
    check_answer(
        shelf, Request(method, "/v2/" + "/".join(words), tuple(query), head.headers, Body(fed(body), head), {})
    )


@settings(deadline=None)
@given(json_values(), st.sampled_from([MANIFEST, INDEX, ""]))
def test_every_manifest_has_an_answer(shelf: Shelf, value: object, kind: str) -> None:
    body = json.dumps(value).encode()
    head = Head("PUT", "/", 1, {"host": "h", "content-length": str(len(body)), "content-type": kind})
    check_answer(shelf, Request("PUT", "/v2/app/manifests/1", (), head.headers, Body(fed(body), head), {}))


def check_answer(shelf: Shelf, asked: Request) -> None:
    try:
        found = answer(shelf, asked)
    except Fault as fault:
        assert 400 <= fault.status < 500
        sent = fault.headers
    else:
        assert isinstance(found, Answer)
        sent = found.headers
        if found.file is not None:
            found.file.close()
    shelf.uploads.expire(idle=0)
    for name, value in sent:
        (name + value).encode("latin-1")
        assert not {"\r", "\n", "\0"} & set(name + value)
