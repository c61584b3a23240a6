"""References are normalised as docker's are, and refuse what is no name."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers import Digest, Reference, ReferenceInvalid
from layers.oci import reference

HEX = "a" * 64


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"),
        ("user/app", "docker.io/user/app:latest", "user/app:latest"),
        ("docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("index.docker.io/library/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("localhost:5000/a/b:c", "localhost:5000/a/b:c", "localhost:5000/a/b:c"),
        ("reg.example/a", "reg.example/a:latest", "reg.example/a:latest"),
        ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
        (f"alpine@sha256:{HEX}", f"docker.io/library/alpine@sha256:{HEX}", f"alpine@sha256:{HEX}"),
        (f"a:b@sha256:{HEX}", f"docker.io/library/a:b@sha256:{HEX}", f"a:b@sha256:{HEX}"),
        ("library/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
    ],
)
def test_normalised(text: str, full: str, familiar: str) -> None:
    found = Reference.parse(text)
    assert str(found) == full
    assert found.familiar == familiar


@pytest.mark.parametrize(
    "text",
    ["", ":tag", "a b", "a//b", "../x", "reg.io/a//b:1", "a:", "a:b:c/d@", "UPPER", "a?x=1", "a@sha256:1", "a/", HEX],
)
def test_refused(text: str) -> None:
    with pytest.raises(ReferenceInvalid):
        Reference.parse(text)


def test_upper_case_is_told_how_to_write_it() -> None:
    with pytest.raises(ReferenceInvalid, match="try 'upper'"):
        Reference.parse("UPPER")


names = st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+)?(/[a-z0-9]+)?", fullmatch=True).filter(lambda name: len(name) < 60)
hosts = st.sampled_from(["docker.io", "localhost", "localhost:5000", "reg.example", "127.0.0.1:1"])
tags = st.one_of(st.none(), st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,20}", fullmatch=True))
digests = st.one_of(st.none(), st.binary(max_size=4).map(Digest.of))


@given(hosts, names, tags, digests)
def test_printing_and_reading_agree(host: str, name: str, tag: str | None, digest: Digest | None) -> None:
    path = f"library/{name}" if host == "docker.io" and "/" not in name else name
    made = Reference(host, path, tag or (None if digest else "latest"), digest)
    assert Reference.parse(str(made)) == made
    again = Reference.parse(made.familiar)
    assert again == made or "." in made.familiar_repository.split("/", maxsplit=1)[0]


@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_a_clear_refusal(text: str) -> None:
    try:
        found = Reference.parse(text)
    except ReferenceInvalid:
        return
    assert Reference.parse(str(found)) == found


TEXTS = st.text(alphabet="aZ09.-_/: \n\u00df\u0663") | st.text()


@given(TEXTS | st.from_regex(reference.NAME, fullmatch=True), TEXTS)
def test_plain_words_are_known_without_an_expression(name: str, tag: str) -> None:
    assert reference.is_name(name) == bool(re.match(reference.NAME, name))
    assert reference.is_tag(tag) == bool(re.match(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z", tag))


def test_tags_have_an_end() -> None:
    assert [reference.is_tag("a" * length) for length in (0, 1, 128, 129)] == [False, True, True, False]
