"""Platforms compare by what they mean."""

import pytest

from layers import Chain, Digest, DocumentInvalid, Platform


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("linux/x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("arm64", "linux/arm64"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/i686", "linux/386"),
    ],
)
def test_words_are_normalised(text: str, shown: str) -> None:
    assert str(Platform.parse(text)) == shown


@pytest.mark.parametrize("text", ["", "a/b/c/d", "linux/", "linux/arm v7", "/"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(DocumentInvalid):
        Platform.parse(text)


def test_a_newer_variant_runs_older_ones() -> None:
    assert Platform.parse("linux/arm/v7").accepts(Platform.parse("linux/arm/v6"))
    assert not Platform.parse("linux/arm/v6").accepts(Platform.parse("linux/arm/v7"))
    assert Platform.parse("linux/amd64/v3").accepts(Platform.parse("linux/amd64"))


def test_chain_ids_follow_the_specification() -> None:
    one, two = Digest.of(b"1"), Digest.of(b"2")
    assert Chain().id is None
    assert Chain((one,)).id == one
    assert Chain((one, two)).id == Digest.of(f"{one} {two}".encode())
    assert Chain((one,)).push(two).parent == Chain((one,))
