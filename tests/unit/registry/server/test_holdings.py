"""The registry and the store are one: what is pushed can be run, what was built can be pulled, prune knows both."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from layers import Descriptor, Digest, Image, Index, Platform, Reference, Store, prune
from layers.home.check import check
from layers.quick import replace
from registry.server import Address, RegistryServer, uploads
from registry.server.faults import Fault
from registry.server.holdings import Holdings
from tests.support.distribution import (
    BINARY,
    CONFIG,
    EMPTY,
    INDEX,
    LAYER,
    MANIFEST,
    Speaker,
    describe,
    digest_of,
    index_of,
)
from tests.support.serving import served
from tests.support.stored import new_image, new_layer, resident, tar_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with Store.open(tmp_path / "store") as opened:
        yield opened


@contextmanager
def speaking(store: Store, repository: str = "app", **options: Any) -> Iterator[Speaker]:
    """A registry of this store, in this process, and a connection to it."""
    with RegistryServer(store, Address("127.0.0.1", 0), report=pytest.fail, **options) as server:
        speaker = Speaker(str(server.address), repository)
        yield speaker
        speaker.connection.close()


def pushed(say: Speaker, name: str, content: bytes, *, compress: bool = True, lie: bool = False) -> bytes:
    """Push an image of one layer; its manifest."""
    tar = tar_of({"file": content})
    layer = gzip.compress(tar, mtime=0) if compress else tar
    value = {
        "architecture": Platform.host().architecture,
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest_of(b"lie" if lie else tar)]},
    }
    config = json.dumps(value).encode()
    say.blob(config)
    say.blob(layer)
    kind = LAYER if compress else LAYER.removesuffix("+gzip")
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": describe(config, CONFIG),
        "layers": [describe(layer, kind)],
    }
    raw = json.dumps(manifest, indent=3).encode()
    assert say.manifest(raw, name).status == 201
    return raw


def built(store: Store, *names: str) -> Image:
    """An image of two layers that was built here."""
    return new_image(store, [new_layer(store, {"low": b"low"}), new_layer(store, {"high": b"high"})], *names)


def test_what_is_pushed_is_an_image_of_the_store(store: Store) -> None:
    with speaking(store, "team/app") as say:
        raw = pushed(say, "1", b"pushed")
    image = store.images.get("team/app:1")
    assert image.target.digest == Digest.parse(digest_of(raw))
    with store.tree(image.chain).open("/file") as file:
        assert file.read() == b"pushed"
    assert check(store).damages == ()


def test_an_image_that_is_not_what_its_config_says_is_kept_but_no_image(store: Store) -> None:
    with speaking(store) as say:
        raw = pushed(say, "1", b"lies", lie=True)
        assert say("GET", "manifests/1").body == raw
    assert store.images.list() == ()
    assert check(store).damages == ()


def test_uncompressed_layers_stay_what_they_are_if_they_were_pushed(store: Store) -> None:
    with speaking(store) as say:
        raw = pushed(say, "1", b"plain", compress=False)
        for _ in range(2):
            assert say("GET", "manifests/1").body == raw
        store.images.tag(Reference.parse("other:1"), store.images.get("app:1").target)
        assert say("GET", "/v2/other/manifests/1").body == raw


def test_what_was_built_is_pulled_compressed_and_keeps_its_id(store: Store) -> None:
    image = built(store, "app:1", "team/app:1")
    with speaking(store) as say:
        assert say("GET", f"manifests/{image.target.digest}").status == 200, "as it lies here, by its digest"
        seen = say("HEAD", "manifests/1")
        reply = say("GET", "manifests/1")
        manifest = reply.json
        assert reply.header("Docker-Content-Digest") == seen.header("Docker-Content-Digest") == digest_of(reply.body)
        assert manifest["config"]["digest"] == str(image.id)
        for layer, diff_id in zip(manifest["layers"], image.config.diff_ids, strict=True):
            assert layer["mediaType"] == LAYER
            assert digest_of(gzip.decompress(say("GET", f"blobs/{layer['digest']}").body)) == str(diff_id)
        assert say("GET", f"manifests/{digest_of(reply.body)}").body == reply.body
        assert say("GET", "/v2/team/app/manifests/1").body == reply.body
        assert say("GET", "/v2/_catalog").json == {"repositories": ["app", "team/app"]}
    assert store.images.get("app:1").id == image.id
    assert str(store.images.get("app:1").target.digest) == digest_of(reply.body), "it keeps that digest from now on"
    assert len(store.images.list()) == 1
    assert check(store).damages == ()


def test_several_platforms_that_were_built(store: Store) -> None:
    images = [built(store), new_image(store, [new_layer(store, {"other": b"other"})])]
    entries = [
        replace(image.target, platform=platform)
        for image, platform in zip(images, (Platform("linux", "amd64"), Platform("linux", "arm64")), strict=True)
    ]
    index = Index.build(entries)
    store.blobs.keep(index.raw, index.media_type)
    store.images.learn(index.descriptor, [entry.digest for entry in entries])
    store.images.tag(Reference.parse("app:all"), index.descriptor)
    with speaking(store) as say:
        assert say("GET", f"manifests/{entries[0].digest}").status == 200
        assert say("DELETE", f"manifests/{entries[0].digest}").status == 405
        found = say("GET", "manifests/all").json["manifests"]
        for entry, image in zip(found, images, strict=True):
            manifest = say("GET", f"manifests/{entry['digest']}").json
            assert manifest["config"]["digest"] == str(image.id)
            assert {layer["mediaType"] for layer in manifest["layers"]} == {LAYER}


def test_an_index_of_which_only_some_is_here_goes_as_it_is(store: Store) -> None:
    image = built(store)
    absent = Descriptor(MANIFEST, Digest.of(b"absent"), 6, Platform("linux", "s390x"))
    index = Index.build([replace(image.target, platform=Platform("linux", "amd64")), absent])
    store.blobs.keep(index.raw, index.media_type)
    store.images.learn(index.descriptor, [entry.digest for entry in index.manifests])
    store.images.tag(Reference.parse("app:some"), index.descriptor)
    with speaking(store) as say:
        assert say("GET", "manifests/some").body == index.raw


def test_prune_keeps_what_is_tagged_and_what_is_attached_to_it(store: Store) -> None:
    with speaking(store) as say:
        kept = pushed(say, "1", b"kept")
        child = say.artifact("child")
        say.manifest(child, digest_of(child))
        say.manifest(index_of(describe(child, MANIFEST)), "all", INDEX)
        signature = say.artifact("signature", subject=describe(kept, MANIFEST))
        say.manifest(signature, digest_of(signature))
        about_child = say.artifact("about the child", subject=describe(child, MANIFEST))
        say.manifest(about_child, digest_of(about_child))
        loose = say.artifact("loose")
        say.manifest(loose, digest_of(loose))
        old = pushed(say, "moving", b"old")
        pushed(say, "moving", b"new")
    store.close()
    with Store.open(store.root) as again:
        prune(again)
        with speaking(again) as say:
            for raw in (kept, child, signature, about_child):
                assert say("GET", f"manifests/{digest_of(raw)}").body == raw
                for layer in json.loads(raw)["layers"]:
                    assert say("HEAD", f"blobs/{layer['digest']}").status == 200
            assert say("GET", f"referrers/{digest_of(kept)}").json["manifests"]
            for raw in (loose, old):
                assert say("GET", f"manifests/{digest_of(raw)}").status == 404
            assert say("HEAD", f"blobs/{digest_of(b'content of loose')}").status == 404
        assert check(again).damages == ()


def test_what_is_on_its_way_is_safe_from_prune_for_a_while(store: Store) -> None:
    with speaking(store) as say, Store.open(store.root) as other:
        digest = say.blob(b"half a push")
        for status in (200, 200, 404):
            prune(other)
            assert store.blobs.has(Digest.parse(digest)) == (status == 200)
            store.session.turn()
        store.session.turn()
        again = say.blob(b"half a push")
        store.session.turn()
        assert say("HEAD", f"blobs/{again}").status == 200, "being asked for renews it"
        store.session.turn()
        prune(other)
        assert say("HEAD", f"blobs/{again}").status == 200


def test_a_blob_that_is_needed_is_not_deleted(store: Store) -> None:
    image = built(store, "app:1")
    with speaking(store) as say:
        for digest in (image.id, image.target.digest, *image.config.diff_ids):
            reply = say("DELETE", f"blobs/{digest}")
            assert (reply.status, reply.code) == (405, "UNSUPPORTED")
            assert "needed" in reply.body.decode() or "manifest" in reply.body.decode()
        with Store.open(store.root) as other:
            digest = Digest.parse(say.blob(b"of another process"))
            other.session.claim(digest)
            assert say("DELETE", f"blobs/{digest}").status == 405
        assert say("DELETE", f"blobs/{digest}").status == 202
    assert store.images.get("app:1").id == image.id


def test_a_manifest_that_a_container_uses_leaves_the_repository_and_not_the_store(store: Store) -> None:
    with speaking(store) as say:
        raw = pushed(say, "1", b"used")
        image = store.images.get("app:1")
        resident(store, "c" * 64, image.id)
        assert say("DELETE", f"manifests/{digest_of(raw)}").status == 202
        assert say("GET", f"manifests/{digest_of(raw)}").status == 404
        assert store.images.get(str(image.id)).id == image.id
        (store.root / "containers" / ("c" * 64)).rmdir()
        prune(store)
        assert say.manifest(raw, "1").status == 201
        assert say("DELETE", f"manifests/{digest_of(raw)}").status == 202
    assert store.images.list() == ()


def test_a_manifest_of_two_repositories_is_deleted_from_one(store: Store) -> None:
    with speaking(store) as say:
        raw = pushed(say, "1", b"both")
        other = Speaker(f"{say.connection.host}:{say.connection.port}", "other")
        assert other.manifest(raw, "1").status == 201
        assert say("DELETE", f"manifests/{digest_of(raw)}").status == 202
        assert say("GET", f"manifests/{digest_of(raw)}").status == 404
        assert other("GET", "manifests/1").body == raw


def test_a_blob_that_goes_while_its_manifest_comes(store: Store) -> None:
    lost = Digest.of(b"lost")
    target = store.blobs.keep(b"{}", MANIFEST)
    name = Reference.parse("app", default_tag=False)
    with pytest.raises(Fault, match="is not here") as raised:
        Holdings(store).keep(name, target, needed=(lost,), subject=None, tags=["1"])
    assert raised.value.code == "MANIFEST_BLOB_UNKNOWN"
    assert Holdings(store).document(name, target.digest) is None
    assert Holdings(store).tags(name) == []


@pytest.mark.parametrize(
    ("options", "works", "refused"),
    [
        ({"writable": False}, "GET", ["POST", "PUT", "DELETE"]),
        ({"deletable": False}, "POST", ["DELETE"]),
    ],
)
def test_what_is_not_allowed(store: Store, options: dict[str, Any], works: str, refused: list[str]) -> None:
    built(store, "app:1")
    paths = {"GET": "manifests/1", "POST": "blobs/uploads/", "PUT": "manifests/2", "DELETE": "manifests/1"}
    with speaking(store, **options) as say:
        for method in refused:
            reply = say(method, paths[method])
            assert (reply.status, reply.code) == (405, "UNSUPPORTED")
            assert method not in reply.headers.get("allow", [""])[0]
        assert say(works, paths[works]).status in (200, 202)
        assert say("DELETE", f"blobs/{Digest.of(b'')}").status == 405


def test_pages_in_browsers_change_nothing(store: Store) -> None:
    with speaking(store) as say:
        pushed(say, "1", b"mine")
        for method, path in (("POST", "blobs/uploads/"), ("PUT", "manifests/1"), ("DELETE", "manifests/1")):
            reply = say(method, path, headers={"Origin": "http://example.org"})
            assert (reply.status, reply.code) == (403, "DENIED")
        assert say("GET", "manifests/1", headers={"Origin": "http://example.org"}).status == 200


def test_uploads_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST", 2)
    with RegistryServer(store, Address("127.0.0.1", 0)) as server:
        say = Speaker(str(server.address))
        places = [say.start() for _ in range(2)]
        assert say("POST", "blobs/uploads/").code == "TOOMANYREQUESTS"
        assert say("PATCH", places[0], b"data", BINARY).status == 202
        assert server.shelf.uploads.expire(idle=3600) == 0
        assert server.shelf.uploads.expire(idle=0) == 2
        assert say("GET", places[0]).code == "BLOB_UPLOAD_UNKNOWN"
        say("PATCH", say.start(), b"left", BINARY)
        say.connection.close()
    assert not [link for link in map(os.readlink, open_files()) if str(store.root / "blobs") in link]


def open_files() -> list[str]:
    """What this process holds open."""
    return [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}")]


def test_an_upload_belongs_to_its_repository(tmp_path: Path) -> None:
    with served(tmp_path / "store") as server:
        say = Speaker(server.host, "one")
        place = say.start()
        assert say("GET", place.replace("/one/", "/two/")).code == "BLOB_UPLOAD_UNKNOWN"
        assert say("GET", place).status == 204


def test_two_servers_of_one_store(tmp_path: Path) -> None:
    with served(tmp_path / "store") as one, served(tmp_path / "store") as two:
        say, other = Speaker(one.host, "app"), Speaker(two.host, "app")
        raw = pushed(say, "1", b"shared")
        assert other("GET", "manifests/1").body == raw
        assert other("GET", say.start()).code == "BLOB_UPLOAD_UNKNOWN"
        assert other("DELETE", "manifests/1").status == 202
        assert say("GET", "manifests/1").status == 404


def test_a_long_list_of_referrers_comes_in_pages(tmp_path: Path) -> None:
    with served(tmp_path / "store") as server:
        say = Speaker(server.host, "app")
        image = say.image("1")
        made = set()
        for number in range(4):
            raw = say.artifact("same", subject=describe(image, MANIFEST), annotations={"n": f"{number}" * 1_500_000})
            assert say.manifest(raw, digest_of(raw)).status == 201
            made.add(digest_of(raw))
        seen: list[str] = []
        path, pages = f"referrers/{digest_of(image)}?artifactType=application/vnd.oci.empty.v1%2Bjson", 0
        while path:
            reply = say("GET", path)
            assert len(reply.body) < 4 << 20
            seen += [entry["digest"] for entry in reply.json["manifests"]]
            link = reply.headers.get("link", [""])[0]
            path = link[1 : link.find(">")] if link else ""
            pages += 1
        assert (set(seen), len(seen), pages) == (made, 4, 2)


def test_embedded_data_of_any_algorithm_are_checked(tmp_path: Path) -> None:
    with served(tmp_path / "store") as server:
        say = Speaker(server.host, "app")
        value = json.loads(say.artifact("data"))
        say.blob(b"{}", "sha512")
        for data, status in (("e30=", 201), ("e2A=", 400), ("!", 400)):
            value["config"] = {**describe(b"{}", EMPTY, "sha512"), "data": data}
            assert say.manifest(json.dumps(value).encode(), "1").status == status


def test_a_blob_is_streamed_to_a_client_that_reads_in_pieces(store: Store) -> None:
    data = os.urandom(3_000_000)
    with speaking(store) as say:
        digest = say.blob(data)
        say.connection.request("GET", f"/v2/app/blobs/{digest}", headers={"Range": "bytes=1000000-"})
        answer = say.connection.getresponse()
        out = io.BytesIO()
        while piece := answer.read(12_345):
            out.write(piece)
        assert out.getvalue() == data[1_000_000:]
