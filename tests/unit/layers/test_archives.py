"""Archives of images, as several tools and hands write them."""

import gzip
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from layers import (
    ArchiveInvalid,
    BlobMismatch,
    BlobMissing,
    Descriptor,
    Digest,
    DocumentInvalid,
    ImageConfig,
    Index,
    Manifest,
    NameAmbiguous,
    Platform,
    Reference,
    Store,
)
from layers.moving.archive import load, reader, save
from layers.moving.archivewriter import ArchiveWriter
from layers.moving.dockerarchive import DockerArchive
from layers.moving.members import Members
from layers.moving.names import FULL_NAME, REF_NAME
from layers.oci import mediatypes
from tests.support.stored import new_image, new_layer, tar_of

ONE, TWO = tar_of({"one": b"1"}), tar_of({"two": b"2"})


def config(*tars: bytes) -> bytes:
    return ImageConfig.build(
        platform=Platform.host(), diff_ids=[Digest.of(tar) for tar in tars], history=(), runtime={}, created=None
    ).raw


def archive_of(members: Sequence[tuple[str, bytes | str]]) -> bytes:
    """A tar of files (bytes) and symlinks (text) in this order; names may repeat."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def members_of(raw: bytes) -> Members:
    """An archive on the disk, nameless."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 as long as the members
    file.write(raw)
    file.flush()
    return Members(file)


def listing(*layers: str, tags: list[str] | None = None, config: str = "config.json") -> bytes:
    return json.dumps([{"Config": config, "RepoTags": tags, "Layers": layers}]).encode()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


LEGACY: dict[str, list[tuple[str, bytes | str]]] = {
    "manifest last": [("a/layer.tar", ONE), ("b/layer.tar", TWO), ("config.json", config(ONE, TWO))],
    "layers are links": [
        ("b/layer.tar", "../two.tar"),
        ("a/layer.tar", "/one.tar"),
        ("config.json", config(ONE, TWO)),
        ("two.tar", TWO),
        ("one.tar", ONE),
    ],
    "one layer twice, once as a link": [
        ("a/layer.tar", ONE),
        ("b/layer.tar", "../a/layer.tar"),
        ("config.json", config(ONE, ONE)),
    ],
    "a member twice, the last counts": [
        ("a/layer.tar", TWO),
        ("b/layer.tar", TWO),
        ("config.json", config(ONE, TWO)),
        ("a/layer.tar", ONE),
    ],
    "compressed layers": [
        ("a/layer.tar", gzip.compress(ONE)),
        ("b/layer.tar", gzip.compress(TWO)),
        ("config.json", config(ONE, TWO)),
    ],
}


@pytest.mark.parametrize("members", LEGACY.values(), ids=LEGACY)
@pytest.mark.parametrize("whole", ["plain", "gzip", "pipe"])
def test_dockers_archives(store: Store, tmp_path: Path, members: list[tuple[str, bytes | str]], whole: str) -> None:
    raw = archive_of([*members, ("manifest.json", listing("a/layer.tar", "b/layer.tar"))])
    path = tmp_path / "archive.tar"
    path.write_bytes(gzip.compress(raw) if whole == "gzip" else raw)
    if whole == "pipe":
        os.mkfifo(tmp_path / "pipe")
        if not os.fork():
            (tmp_path / "pipe").write_bytes(raw)
            os._exit(0)
        path = tmp_path / "pipe"
    with path.open("rb") as source:
        [(target, names)] = load(store, source)
    assert names == (), "RepoTags is null"
    image = store.images.get(str(target.digest))
    said = json.loads(dict(members)["config.json"])
    assert [str(diff_id) for diff_id in image.chain.diff_ids] == said["rootfs"]["diff_ids"]
    assert store.blobs.read(image.chain.diff_ids[0]) == ONE


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([], "neither"),
        ([("manifest.json", b"{}")], "not a list of images"),
        ([("manifest.json", b"[1]")], "not a list of images"),
        ([("manifest.json", b"[" * 100_000)], "not a list of images"),
        ([("manifest.json", listing("a"))], "config.json is not in it"),
        ([("manifest.json", listing("a")), ("config.json", config(ONE))], "a is not in it"),
        ([("manifest.json", listing()), ("config.json", config(ONE))], "0 layers for 1 diff ids"),
        ([("manifest.json", listing("a")), ("config.json", config(ONE)), ("a", TWO)], "nothing was kept"),
        ([("manifest.json", listing("a")), ("config.json", config(ONE)), ("a", "a")], "a is not in it"),
        ([("manifest.json", listing("a")), ("config.json", config(ONE)), ("a", "../../etc/passwd")], "a is not in it"),
        ([("index.json", b"[]")], "not a JSON object"),
        ([("index.json", b'{"schemaVersion":2}'), ("oci-layout", b'{"imageLayoutVersion":"9"}')], "not 1.0.0"),
    ],
)
def test_what_is_no_archive_is_refused(store: Store, members: list[tuple[str, bytes | str]], said: str) -> None:
    with pytest.raises((ArchiveInvalid, DocumentInvalid, BlobMismatch), match=said):
        load(store, io.BytesIO(archive_of([("x", b""), *members])))
    assert store.images.list() == ()


def test_names_in_dockers_archive() -> None:
    two = [
        {"Config": "1.json", "RepoTags": ["app:1", "docker.io/other:2"], "Layers": ["a"]},
        {"Config": "2.json", "RepoTags": [], "Layers": ["a"]},
    ]
    files: list[tuple[str, bytes | str]] = [
        ("1.json", config(ONE)),
        ("2.json", config(ONE).replace(b'"os":"linux"', b'"os":"plan9"')),
        ("a", ONE),
        ("manifest.json", json.dumps(two).encode()),
    ]
    archive = reader(members_of(archive_of(files)))
    assert isinstance(archive, DockerArchive)
    first = archive.resolve("app:1")
    assert first == archive.resolve("other:2") == archive.resolve("@0") == archive.resolve(str(first.digest))
    assert archive.resolve(str(Digest.of(config(ONE)))) == first
    assert archive.resolve("@1") != first
    assert archive.tags() == ("app:1", "other:2")
    with pytest.raises(NameAmbiguous, match="@0"):
        archive.resolve("")
    for name in ("absent:1", "@2", "@", "sha256:" + "0" * 64):
        with pytest.raises(BlobMissing):
            archive.resolve(name)


def test_an_archive_for_docker_is_a_layout_too(store: Store, tmp_path: Path) -> None:
    image = new_image(store, [new_layer(store, {"a": b"a"}), new_layer(store, {"b": b"b"})], "app:1", "app:2")
    path = tmp_path / "out.tar"
    with path.open("w+b") as sink:
        save(store, [(image.target, image.references)], sink, kind="docker")
    with tarfile.open(path) as tar:
        files = {member.name: tar.extractfile(member) for member in tar}
        [line] = json.loads(files["manifest.json"].read())  # type: ignore[union-attr]
        index = json.loads(files["index.json"].read())  # type: ignore[union-attr]
        assert line["RepoTags"] == ["app:1", "app:2"]
        assert all(name in files for name in (line["Config"], *line["Layers"]))
        assert [entry["annotations"] for entry in index["manifests"]] == [
            {FULL_NAME: f"docker.io/library/app:{tag}", REF_NAME: tag} for tag in "12"
        ]
        assert [entry["digest"] for entry in index["manifests"]] == [str(image.target.digest)] * 2
    again = tmp_path / "again.tar"
    with again.open("w+b") as sink:
        save(store, [(image.target, image.references)], sink, kind="docker")
    assert again.read_bytes() == path.read_bytes(), "the same images make the same bytes"
    other = Store.open(tmp_path / "other")
    with path.open("rb") as source:
        assert load(other, source) == [(image.target, image.references)]


def test_an_index_of_which_a_part_is_here(store: Store, tmp_path: Path) -> None:
    image = new_image(store, [new_layer(store, {"a": b"a"})])
    absent = Descriptor(mediatypes.OCI_MANIFEST, Digest.of(b"absent"), 6)
    index = Index.build([image.target, absent])
    store.repository().put(index.descriptor, io.BytesIO(index.raw))
    name = Reference.parse("many:1")
    store.images.tag(name, index.descriptor)
    with (tmp_path / "out.tar").open("w+b") as sink:
        save(store, [(index.descriptor, [name])], sink, kind="docker")
    other = Store.open(tmp_path / "other")
    with (tmp_path / "out.tar").open("rb") as source:
        assert load(other, source) == [(index.descriptor, (name,))]
    assert other.images.get("many:1").id == image.id


class Pipe(io.RawIOBase):
    """A sink that cannot go back."""

    def __init__(self) -> None:
        self.got = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        self.got += data
        return len(data)


def test_a_pipe_that_was_spoiled_never_becomes_an_archive() -> None:
    pipe = Pipe()
    writer = ArchiveWriter(pipe)  # type: ignore[arg-type]
    wanted = Descriptor.of(ONE, mediatypes.OCI_LAYER)
    with pytest.raises(BlobMismatch):
        writer.put(wanted, io.BytesIO(TWO[:100]))
    assert not writer.has(wanted)
    with pytest.raises(ArchiveInvalid, match="spoiled"):
        writer.put(wanted, io.BytesIO(ONE))
    with pytest.raises(ArchiveInvalid, match="spoiled"):
        writer.finish()


def test_through_a_pipe(store: Store) -> None:
    image = new_image(store, [new_layer(store, {"a": b"a" * 5000})], "app:1")
    pipe = Pipe()
    save(store, [(image.target, image.references)], pipe, kind="oci")  # type: ignore[arg-type]
    archive = reader(members_of(bytes(pipe.got)))
    found = archive.resolve("app:1")
    with archive.open(found) as stream:
        manifest = Manifest.parse(stream.read(), found.media_type)
    assert manifest.config.digest == image.id
    assert archive.has(manifest.layers[0])


def test_dockers_archive_needs_every_layer(tmp_path: Path) -> None:
    far = Descriptor(next(iter(mediatypes.FOREIGN_LAYERS)), Digest.of(b"far"), 3, urls=("https://example.org/far",))
    for docker in (True, False):
        writer = ArchiveWriter((tmp_path / "out.tar").open("w+b"), docker=docker)
        about = Descriptor.of(config(), mediatypes.OCI_CONFIG)
        writer.put(about, io.BytesIO(config()))
        manifest = Manifest.build(about, [far])
        writer.put(manifest.descriptor, io.BytesIO(manifest.raw))
        writer.tag("app:1", manifest.descriptor)
        if docker:
            with pytest.raises(DocumentInvalid, match="needs every layer"):
                writer.finish()
        else:
            writer.finish()
