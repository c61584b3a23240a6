"""Names of places: skopeo's transports, and bare names for the store."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from layers import ReferenceInvalid
from layers.oci.address import Address, Kind

HEX = "a" * 64
WORDS = (
    f"docker:// oci: oci-archive: docker-archive: dir: docker: a / : @ b-1 . é sha256:{HEX} @sha256:{HEX} @0 sha512:"
)
PIECES = st.sampled_from([*WORDS.split(), "localhost:5000/", "latest", " ", "\n"])


@given(st.lists(PIECES, min_size=1, max_size=8).map("".join), st.sampled_from([Kind.STORE, Kind.REGISTRY]))
@example(f"oci:a@sha256:{HEX}:x", Kind.STORE)
@example(f"oci:a:b@sha256:{HEX}", Kind.STORE)
@example("docker:dind", Kind.REGISTRY)
@example(f"docker-archive:oci:@sha256:{HEX}", Kind.STORE)
def test_what_is_printed_is_read_as_the_same(text: str, bare: Kind) -> None:
    try:
        address = Address.parse(text, bare=bare)
    except ReferenceInvalid:
        return
    assert Address.parse(str(address)) == address
    assert str(Address.parse(str(address))) == str(address)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("app", Address(Kind.STORE, "", "app")),
        ("localhost:5000/app:1", Address(Kind.STORE, "", "localhost:5000/app:1")),
        ("docker://busybox", Address(Kind.REGISTRY, "", "docker.io/library/busybox:latest")),
        ("docker:dind", Address(Kind.STORE, "", "docker:dind")),
        ("oci:rootfs:latest", Address(Kind.LAYOUT, "rootfs", "latest")),
        ("oci:/a/b", Address(Kind.LAYOUT, "/a/b")),
        ("oci:d:example.org/app:1", Address(Kind.LAYOUT, "d", "example.org/app:1")),
        ("oci:d:@1", Address(Kind.LAYOUT, "d", "@1")),
        (f"oci:d@sha256:{HEX}", Address(Kind.LAYOUT, "d", f"sha256:{HEX}")),
        (f"oci:d:sha256:{HEX}", Address(Kind.LAYOUT, "d", f"sha256:{HEX}")),
        ("oci-archive:a.tar:x", Address(Kind.OCI_ARCHIVE, "a.tar", "x")),
        ("docker-archive:a.tar:busybox", Address(Kind.DOCKER_ARCHIVE, "a.tar", "docker.io/library/busybox:latest")),
        ("dir:/with:colon", Address(Kind.DIRECTORY, "/with:colon")),
    ],
)
def test_each_transport(text: str, address: Address) -> None:
    assert Address.parse(text) == address


def test_a_bare_name_means_what_the_command_says() -> None:
    assert Address.parse("app:1", bare=Kind.REGISTRY) == Address.parse("docker://app:1")
    assert Address.parse("oci:d:1", bare=Kind.REGISTRY).kind is Kind.LAYOUT


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("oci:", "write oci:PATH"),
        ("dir:", "write dir:PATH"),
        ("oci::x", "write oci:PATH"),
        ("docker://", "empty"),
        ("docker://UPPER", "lower case"),
        ("https://example.org/app", "no transport"),
        ("containers-storage:app", "podman"),
        ("docker-daemon:app:1", "docker save"),
        (f"oci:d@sha256:{HEX[:-1]}", "64 lower-case"),
        ("docker-archive:f:UPPER", "lower case"),
    ],
)
def test_what_cannot_be_is_said(text: str, said: str) -> None:
    with pytest.raises(ReferenceInvalid, match=said):
        Address.parse(text)
