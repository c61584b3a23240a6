"""Lists in pages and deleted tags, at Debian's registry and at one that behaves as others do."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from layers import BlobMissing, Descriptor, Manifest, Reference
from layers.oci import mediatypes
from registry.errors import NotFound, ProtocolViolation, RegistryError
from registry.listing import Listing, catalog
from registry.remote import RemoteRepository
from registry.session import client
from tests.support.registry import RegistryServer, registry_server
from tests.support.shelf import Rude, page, serving


def listing(host: str, name: str = "app") -> Listing:
    return Listing(RemoteRepository(Reference.parse(f"{host}/{name}")))


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ({"": (page("b", "a", "b"), "")}, ("a", "b")),
        ({"": (page(), "")}, ()),
        (
            {
                "": (page("a", "b"), '</v2/app/tags/list?n=2&last=b>; rel="next"'),
                "b": (page("c"), '</v2/app/tags/list?last=c&n=2>; title="x, y"; rel=next'),
                "c": (page("d"), '</v2/app/tags/list?last=>; rel="prev"'),
            },
            ("a", "b", "c", "d"),
        ),
        ({"": (page("a"), '</v2/app/tags/list?last=>; rel="next"')}, ("a",)),
        ({"": (page("a"), '<?last=x>; rel="next"'), "x": (page("b"), "")}, ("a", "b")),
        ({"": (page("ok", "bad\nline"), "")}, ("ok",)),
    ],
    ids=["unsorted, twice", "null", "pages", "a page that is its own next", "a relative link", "control bytes"],
)
def test_pages(pages: dict[str, tuple[bytes, str]], expected: tuple[str, ...]) -> None:
    with serving(Rude(pages)) as host:
        assert listing(host).tags() == expected


def test_a_list_as_long_as_it_is() -> None:
    count = 2500
    pages = {}
    for start in range(0, count, 100):
        last = f"{start - 1:04}" if start else ""
        link = f'</v2/app/tags/list?last={start + 99:04}&n=100>; rel="next"' if start + 100 < count else ""
        pages[last] = (page(*(f"{number:04}" for number in range(start, start + 100))), link)
    with serving(Rude(pages)) as host:
        assert listing(host).tags() == tuple(f"{number:04}" for number in range(count))


@pytest.mark.parametrize(
    ("body", "link", "said"),
    [
        (b"<html>", "", "no list of tags"),
        (b"[]", "", "no list of tags"),
        (b'{"tags": {"a": 1}}', "", "no list of tags"),
        (b'{"tags": [1]}', "", "no list of tags"),
        (page("a"), '<https://example.org/v2/app/tags/list?last=a>; rel="next"', "another host"),
    ],
)
def test_answers_that_are_no_list(body: bytes, link: str, said: str) -> None:
    with serving(Rude({"": (body, link)})) as host, pytest.raises(ProtocolViolation, match=said):
        listing(host).tags()


class Endless(dict[str, tuple[bytes, str]]):
    """Pages of a registry that never comes to its end."""

    def __missing__(self, last: str) -> tuple[bytes, str]:
        number = int(last or 0)
        names = page(*(f"{name:0100}" for name in range(number, number + 100)))
        return names, f'</v2/app/tags/list?last={number + 100}>; rel="next"'


def test_a_list_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.listing.WHOLE", 1 << 20)
    rude = Rude(Endless())
    with serving(rude) as host, pytest.raises(ProtocolViolation, match="more than 1 MiB"):
        listing(host).tags()
    assert len(rude.asked) < 100  # it asks no further than what it keeps


def manifest(word: str) -> Manifest:
    return Manifest.build(Descriptor.of(b"{}", mediatypes.OCI_EMPTY), (), annotations={"word": word})


def shelf(**behaviour: int) -> Rude:
    """Two tags on one manifest, and a third on another."""
    one, two = manifest("one"), manifest("two")
    raws = {str(made.descriptor.digest): made.raw for made in (one, two)}
    first, second = raws
    return Rude(tags={"a": first, "b": first, "c": second}, manifests=raws, **behaviour)  # type: ignore[arg-type]


@pytest.mark.parametrize("by_tag", [202, 400, 404, 405])
def test_a_tag_goes_and_the_others_stay(by_tag: int) -> None:
    rude = shelf(by_tag=by_tag)
    before = dict(rude.tags)
    with serving(rude) as host:
        listing(host).delete("a")
        assert rude.tags == {"b": before["b"], "c": before["c"]}
        assert set(before.values()) <= set(rude.manifests)
        with pytest.raises(NotFound):
            listing(host).delete("a")


@pytest.mark.parametrize("status", [400, 404, 405])
def test_where_nothing_can_be_deleted_no_tag_ever_moves(status: int) -> None:
    rude = shelf(by_tag=status, by_digest=status)
    before = dict(rude.tags)
    with serving(rude) as host:
        for name in ("a", before["c"]):
            with pytest.raises(ProtocolViolation, match="not supported"):
                listing(host).delete(name)
    assert rude.tags == before
    assert "PUT manifests/a" not in rude.asked


def test_a_tag_comes_back_when_the_second_step_fails() -> None:
    rude = shelf(by_tag=405)
    before = dict(rude.tags)
    rude.fails_after = 1
    with serving(rude) as host, pytest.raises(RegistryError, match="teapot"):
        listing(host).delete("a")
    assert rude.tags == before


def test_a_digest_takes_its_tags_along() -> None:
    rude = shelf()
    with serving(rude) as host:
        listing(host).delete(rude.tags["a"])
    assert list(rude.tags) == ["c"]


def push(server: RegistryServer, name: str, word: str) -> Descriptor:
    reference = Reference.parse(server.reference(name))
    there = RemoteRepository(reference)
    made = manifest(word)
    there.put(made.config, io.BytesIO(b"{}"))
    there.put(made.descriptor, io.BytesIO(made.raw))
    there.tag(str(reference.tag), made.descriptor)
    return made.descriptor


def test_at_debians_registry(tmp_path: Path) -> None:
    with registry_server(tmp_path / "registry") as server:
        for tag in ("one", "two", "three"):
            target = push(server, f"many/tags:{tag}", "same")
        push(server, "another:1", "other")
        shown = listing(server.host, "many/tags")
        assert shown.tags() == ("one", "three", "two")
        assert catalog(client(), server.host) == ("another", "many/tags")
        shown.delete("two")
        assert shown.tags() == ("one", "three")
        assert RemoteRepository(Reference.parse(server.reference("many/tags"))).resolve("one") == target
        shown.delete(str(target.digest))
        with pytest.raises(BlobMissing):
            RemoteRepository(Reference.parse(server.reference("many/tags"))).resolve("three")
        with pytest.raises(NotFound):
            listing(server.host, "nowhere").tags()


def test_at_debians_registry_where_deleting_is_off(tmp_path: Path) -> None:
    with registry_server(tmp_path / "registry", delete=False) as server:
        target = push(server, "kept:1", "kept")
        for name in ("1", str(target.digest)):
            with pytest.raises(ProtocolViolation, match="switched off"):
                listing(server.host, "kept").delete(name)
        assert RemoteRepository(Reference.parse(server.reference("kept"))).resolve("1") == target
