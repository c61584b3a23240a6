"""Lists of what is attached to an image: kept by the registry, or by us under the fallback tag."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from layers import Descriptor, Digest, Reference
from registry.artifacts import pull, push
from registry.errors import NotFound, ProtocolViolation, Unavailable
from registry.referrers import fallback_tag, next_page, referrers
from registry.transport import Response, Stored
from tests.support.quick import CONFIG, OCTETS, named, quick, repository, serve_image
from tests.support.rude import FOREVER, OCI_INDEX, OCI_MANIFEST, Ask, Reply, Rude, rude

KIND = "application/spdx+json"


@pytest.fixture(params=[True, False], ids=["own-list", "fallback-tag"])
def server(request: pytest.FixtureRequest) -> Iterator[Rude]:
    with rude() as server:
        server.referrers = request.param
        serve_image(server, "1", [], b"{}")
        yield server


@pytest.fixture
def old() -> Iterator[Rude]:
    """A registry that knows nothing of referrers."""
    with rude() as server:
        serve_image(server, "1", [], b"{}")
        yield server


def subject(server: Rude) -> Descriptor:
    return repository(server).resolve("1")


def attach(server: Rude, folder: Path, text: str, kind: str = KIND) -> Descriptor:
    """Attach a file with a text to the image."""
    file = folder / f"{text}.json"
    file.write_text(text)
    return push(
        quick(),
        Reference(server.host, "some/app"),
        [str(file)],
        artifact_type=kind,
        annotations={"about": text},
        subject=subject(server),
    )


def test_attached_listed_and_fetched_again(server: Rude, tmp_path: Path) -> None:
    remote = repository(server)
    about = subject(server).digest
    assert referrers(remote, about) == ()
    first, second = attach(server, tmp_path, "one"), attach(server, tmp_path, "two", "application/other")
    assert {entry.digest for entry in referrers(remote, about)} == {first.digest, second.digest}
    assert [entry.digest for entry in referrers(remote, about, KIND)] == [first.digest]
    assert referrers(remote, about, KIND)[0].artifact_type == KIND
    attach(server, tmp_path, "one")
    assert len(referrers(remote, about)) == 2, "the same thing twice is one"
    (file,) = pull(quick(), Reference(server.host, "some/app", None, first.digest), tmp_path / "out")
    assert (file.name, file.read_text()) == ("one.json", "one")
    assert (("some/app", fallback_tag(about)) in server.manifests) == (not server.referrers)


def test_the_fallback_tag_has_what_the_specification_says(old: Rude, tmp_path: Path) -> None:
    made = attach(old, tmp_path, "one")
    kind, raw = old.manifests["some/app", f"sha256-{subject(old).digest.hex}"]
    assert kind == OCI_INDEX
    assert json.loads(raw) == {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [
            {
                "mediaType": OCI_MANIFEST,
                "digest": str(made.digest),
                "size": made.size,
                "annotations": {"about": "one"},
                "artifactType": KIND,
            }
        ],
    }
    assert fallback_tag(Digest("sha512", "a" * 128)) == "sha512-" + "a" * 64


def test_a_manifest_with_a_subject_that_is_copied_is_listed_too(old: Rude) -> None:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": named(b"{}", CONFIG).to_json(),
        "layers": [],
        "subject": subject(old).to_json(),
    }
    raw = json.dumps(document).encode()
    remote = repository(old)
    remote.put(named(raw, OCI_MANIFEST), __import__("io").BytesIO(raw))
    remote.tag("copied", named(raw, OCI_MANIFEST))
    (entry,) = referrers(remote, subject(old).digest)
    assert (entry.digest, entry.artifact_type) == (named(raw).digest, CONFIG)
    assert len(old.asked("PUT", "/sha256-")) == 1, "once, although it was put under two names"


def test_attached_at_the_same_time_none_is_lost(old: Rude, tmp_path: Path) -> None:
    made: list[Descriptor] = []
    threads = [
        threading.Thread(target=lambda number=number: made.append(attach(old, tmp_path, f"file{number}")))
        for number in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {entry.digest for entry in referrers(repository(old), subject(old).digest)} == {one.digest for one in made}
    assert len(made) == 6


def test_others_that_overwrite_for_ever(old: Rude, tmp_path: Path) -> None:
    old.rule("PUT", "/manifests/sha256-", Reply(201), FOREVER)
    with pytest.raises(Unavailable, match="keep overwriting"):
        attach(old, tmp_path, "one")


def test_a_fallback_tag_that_is_something_else(old: Rude, tmp_path: Path) -> None:
    about = subject(old).digest
    serve_image(old, fallback_tag(about), [], b"{}")
    assert referrers(repository(old), about) == ()
    with pytest.raises(ProtocolViolation, match="is no OCI index"):
        attach(old, tmp_path, "one")


def page(number: int, last: int, base: str = "") -> Reply:
    """One page of a list, with a link to the next one."""
    entry = {
        "mediaType": OCI_MANIFEST,
        "digest": f"sha256:{number:064}",
        "size": number,
        "artifactType": f"t{number % 2}",
    }
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    link = {"Link": f'<{base}?page={number + 1}>; rel="next"'} if number < last else {}
    return Reply(headers={"Content-Type": OCI_INDEX, **link}, body=body)


def test_pages_are_followed_and_filtered_again(old: Rude) -> None:
    def act(ask: Ask) -> Reply:
        return page(int(ask.parameters.get("page", ["0"])[0]), 5)

    old.rule("GET", "/referrers/", act, FOREVER)
    about = named(b"x").digest
    assert [entry.size for entry in referrers(repository(old), about)] == [0, 1, 2, 3, 4, 5]
    assert [entry.size for entry in referrers(repository(old), about, "t1")] == [1, 3, 5]
    assert old.asked("GET", "/referrers/")[6].query == "artifactType=t1"


def test_pages_without_end_and_pages_elsewhere(old: Rude) -> None:
    old.rule("GET", "/referrers/", lambda ask: page(0, 5), FOREVER)
    with pytest.raises(ProtocolViolation, match="more than 100 pages"):
        referrers(repository(old), named(b"x").digest)
    old.rules.clear()
    old.rule("GET", "/referrers/", lambda ask: page(0, 5, "http://localhost:1/v2/x"), FOREVER)
    with pytest.raises(ProtocolViolation, match="on another host"):
        referrers(repository(old), named(b"x").digest)


def test_a_registry_that_answers_everything_with_its_home_page(old: Rude) -> None:
    old.rule("GET", "/referrers/", Reply(headers={"Content-Type": "text/html"}, body=b"<html>"), FOREVER)
    assert referrers(repository(old), named(b"x").digest) == ()


@pytest.mark.parametrize(
    ("header", "place"),
    [
        ('</v2/x?a=1,2>; rel="next"', "http://a/v2/x?a=1,2"),
        ('<http://a/1>; rel="prev", </2>; rel="next"', "http://a/2"),
        ("</2>;rel=next", "http://a/2"),
        ('</2>; rel="last"', None),
        ("", None),
        ("nonsense", None),
    ],
)
def test_links(header: str, place: str | None) -> None:
    assert next_page(Response(200, {"link": header}, "http://a/v2/y", Stored(b""))) == place


def test_what_we_stand_on_in_oras() -> None:
    """One door for every request, and who goes through it: a new oras may have others."""
    import inspect

    from oras.provider import Registry

    door = list(inspect.signature(Registry.do_request).parameters)
    assert door == ["self", "url", "method", "data", "headers", "json", "stream"]
    for method in (Registry.upload_manifest, Registry.get_manifest):
        source = inspect.getsource(method)
        assert "self.do_request(" in source
        assert "requests." not in source.replace("requests.Response", "")


# -- artifacts that mean harm --------------------------------------------------------------------


def artifact(server: Rude, *layers: tuple[bytes, str]) -> Reference:
    """An artifact of files with these titles."""
    found = []
    for data, title in layers:
        server.blob(data)
        found.append({**named(data, OCTETS).to_json(), "annotations": {"org.opencontainers.image.title": title}})
    server.blob(b"{}")
    document = {"schemaVersion": 2, "config": named(b"{}", CONFIG).to_json(), "layers": found}
    server.manifest("some/app", "files", document)
    return Reference(server.host, "some/app", "files")


@pytest.mark.parametrize("title", ["../../evil", "/etc/evil", "..", ".", "", "a/b/evil"])
def test_titles_stay_in_the_folder(old: Rude, tmp_path: Path, title: str) -> None:
    (file,) = pull(quick(), artifact(old, (b"data", title)), tmp_path / "deep/out")
    assert file.parent == tmp_path / "deep/out"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]


def test_two_files_of_one_name(old: Rude, tmp_path: Path) -> None:
    with pytest.raises(ProtocolViolation, match="two files named 'x'"):
        pull(quick(), artifact(old, (b"1", "a/x"), (b"2", "b/x")), tmp_path / "out")


def test_a_file_that_is_another_leaves_nothing(old: Rude, tmp_path: Path) -> None:
    from layers import BlobMismatch

    reference = artifact(old, (b"data", "x"))
    old.blobs[str(named(b"data").digest)] = b"dada"
    with pytest.raises(BlobMismatch):
        pull(quick(), reference, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_pinned_artifact_that_is_another(old: Rude, tmp_path: Path) -> None:
    artifact(old, (b"data", "x"))
    pinned = Reference(old.host, "some/app", None, named(b"else").digest)
    old.manifests["some/app", str(pinned.digest)] = old.manifests["some/app", "files"]
    with pytest.raises(ProtocolViolation, match="other bytes"):
        pull(quick(), pinned, tmp_path / "out")


def test_what_is_not_there_and_what_is_denied(old: Rude, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="cannot read the artifact"):
        pull(quick(), Reference(old.host, "some/app", "nothing"), tmp_path / "out")
