"""Images of several platforms through save, load and pull: all of them, or the one that is asked for."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from layers import Platform, Reference, Store
from layers.oci.documents import Index
from layers.quick import replace
from tests.support.command import Pybuild
from tests.support.registry import RegistryServer
from tests.support.stored import new_image, new_layer

HOST, OTHER = Platform.host(), Platform.of("linux", "riscv64")


@pytest.fixture
def pybuild(tmp_path: Path) -> Pybuild:
    """A store with the index "many:1" of two platforms, the host's last, and "lone:1" for the host."""
    with Store.open(tmp_path / "store") as store:
        images = [
            (new_image(store, [new_layer(store, {"which": str(one).encode()})], platform=one), one)
            for one in (OTHER, HOST)
        ]
        entries = [replace(image.target, platform=one) for image, one in images]
        index = Index.build(entries)
        store.blobs.keep(index.raw, index.media_type)
        store.images.learn(index.descriptor, [one.digest for one in entries])
        store.images.tag(Reference.parse("many:1"), index.descriptor)
        new_image(store, [new_layer(store, {"lone": b"1"})], "lone:1")
    return Pybuild(tmp_path / "store")


def listed(path: Path) -> list[dict[str, Any]]:
    """manifest.json of an archive, with the architecture of each config."""
    with tarfile.open(path) as tar:

        def read(name: str) -> Any:
            return json.loads(tar.extractfile(name).read())  # type: ignore[union-attr]

        return [{**line, "arch": read(line["Config"])["architecture"]} for line in read("manifest.json")]


def archs(pybuild: Pybuild, name: str) -> set[str]:
    """Of which platforms the store has the image."""
    return {
        one.architecture
        for one in (HOST, OTHER)
        if pybuild("inspect", "--type", "image", "--platform", str(one), name, code=None).returncode == 0
    }


def test_an_archive_names_one_image_for_who_knows_no_indexes(pybuild: Pybuild, tmp_path: Path) -> None:
    pybuild("save", "-o", tmp_path / "all.tar", "many:1")
    [line] = listed(tmp_path / "all.tar")
    assert (line["arch"], line["RepoTags"]) == (HOST.architecture, ["many:1"])
    other = Pybuild(tmp_path / "other")
    assert other.text("load", "-i", tmp_path / "all.tar") == "Loaded image: many:1"
    assert archs(other, "many:1") == {HOST.architecture, OTHER.architecture}, "the layout beside it has all of them"


def test_save_of_one_platform(pybuild: Pybuild, tmp_path: Path) -> None:
    pybuild("save", "--platform", str(OTHER), "-o", tmp_path / "one.tar", "many:1")
    [line] = listed(tmp_path / "one.tar")
    assert (line["arch"], line["RepoTags"]) == (OTHER.architecture, ["many:1"])
    with tarfile.open(tmp_path / "one.tar") as tar:
        assert sum(member.isfile() for member in tar) == 6  # a layer, a config, a manifest, and what names them
    other = Pybuild(tmp_path / "other")
    other("load", "-i", tmp_path / "one.tar")
    assert archs(other, "many:1") == {OTHER.architecture}
    for name, wanted in (("many:1", "linux/s390x"), ("lone:1", str(OTHER))):
        refused = pybuild("save", "--platform", wanted, "-o", tmp_path / "none.tar", name, code=1).stderr
        assert f"no image for platform {wanted}; available: " in refused
    assert not (tmp_path / "none.tar").exists()


@pytest.mark.parametrize("kind", ["docker", "oci"])
def test_load_of_one_platform(pybuild: Pybuild, tmp_path: Path, kind: str) -> None:
    pybuild("save", "--format", kind, "-o", tmp_path / "all.tar", "many:1", "lone:1")
    other = Pybuild(tmp_path / "other")
    refused = other("load", "--platform", str(OTHER), "-i", tmp_path / "all.tar", code=1).stderr
    assert f"no image for platform {OTHER}; available: {HOST}" in refused
    assert other.text("images", "-q") == "", "one image is for the host alone, so nothing was named"
    pybuild("save", "--format", kind, "-o", tmp_path / "many.tar", "many:1")
    assert other.text("load", "--platform", str(OTHER), "-i", tmp_path / "many.tar") == "Loaded image: many:1"
    assert archs(other, "many:1") == {OTHER.architecture}
    other("save", "-o", tmp_path / "again.tar", "many:1")
    third = Pybuild(tmp_path / "third")
    refused = third("load", "--platform", str(HOST), "-i", tmp_path / "again.tar", code=1).stderr
    assert f"no image for platform {HOST}; available: {OTHER}" in refused
    refused = other("save", "--platform", str(HOST), "-o", tmp_path / "x.tar", "many:1", code=1).stderr
    assert f"of it are here: {OTHER}" in refused


def test_pull_of_all_tags(pybuild: Pybuild, own_registry: RegistryServer, tmp_path: Path) -> None:
    name = own_registry.reference("app")
    for tag in ("1", "2"):
        pybuild("push", "-q", "lone:1", f"{name}:{tag}")
    other = Pybuild(tmp_path / "other")
    assert "without a tag" in other("pull", "-a", f"{name}:1", code=2).stderr
    assert "--all-tags is for repositories" in other("pull", "-a", "oci:x", code=2).stderr
    lines = other.text("pull", "--all-tags", name).splitlines()
    assert [line for line in lines if not line.startswith("Digest: ")] == [
        f"1: pulling from {name}",
        f"2: pulling from {name}",
        f"Status: Downloaded newer image for {name}",
    ]
    assert other.text("pull", "-a", name).endswith(f"Status: Image is up to date for {name}")
    # A tag that is nothing for this machine does not keep the others away.
    pybuild("copy", "--all", "many:1", f"docker://{name}:0")
    failed = other("pull", "-a", "-q", "--platform", "linux/s390x", name, code=1)
    assert failed.stdout == f"{name}\n"
    assert f"error: {name}:0: no image for platform linux/s390x" in failed.stderr
    assert other.text("pull", "-aq", "--all-platforms", name) == name
    assert set(other.text("images", "--format", "{{.Tag}}", name).split()) == {"0", "1", "2"}
    assert "not" in other("pull", "-a", own_registry.reference("none"), code=1).stderr


def test_push_in_another_form(pybuild: Pybuild, own_registry: RegistryServer, tmp_path: Path) -> None:
    name = own_registry.reference("form:1")
    pybuild("push", "-q", "--format", "docker", "--digestfile", tmp_path / "digest", "lone:1", name)
    assert (tmp_path / "digest").read_text() == pybuild.text("digest", f"docker://{name}")
    manifest = json.loads(pybuild.text("inspect", "--raw", f"docker://{name}"))
    assert manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert manifest["layers"][0]["mediaType"] == "application/vnd.docker.image.rootfs.diff.tar.gzip"
    zstd = ("--format", "docker", "--compression-format", "zstd")
    assert "knows no zstd" in pybuild("push", *zstd, "lone:1", name, code=2).stderr


def test_imagetools(pybuild: Pybuild, own_registry: RegistryServer, registry: RegistryServer) -> None:
    """docker buildx imagetools: lists are made at the registry, of what lies there or at another one."""
    tools = ("buildx", "imagetools")
    name, other = own_registry.reference("app"), registry.reference("tools")
    for platform in (HOST, OTHER):
        pybuild("copy", "-q", "--platform", str(platform), "many:1", f"docker://{name}:{platform.architecture}")
    parts = [f"{name}:{one.architecture}" for one in (HOST, OTHER)]
    assert "add --tag" in pybuild(*tools, "create", *parts, code=2).stderr
    dry = json.loads(pybuild.text(*tools, "create", "--dry-run", *parts))
    assert [entry["platform"]["architecture"] for entry in dry["manifests"]] == [HOST.architecture, OTHER.architecture]
    told = pybuild.text(*tools, "create", "-t", f"{name}:all", "-t", f"{other}:all", *parts)
    digest = told.split()[2]
    assert told.splitlines()[0].startswith(f"{name}:all: digest: sha256:")
    assert pybuild.text("digest", f"docker://{other}:all") == digest
    assert json.loads(pybuild.text(*tools, "inspect", "--raw", f"{other}:all")) == dry
    assert pybuild.text(*tools, "inspect", "--format", "{{.Manifest.Digest}}", f"{name}:all") == digest
    other_store = Pybuild(pybuild.root.with_name("other"))
    other_store("pull", "-q", "--all-platforms", f"{other}:all")
    assert archs(other_store, f"{other}:all") == {HOST.architecture, OTHER.architecture}

    one = json.loads(
        pybuild.text(*tools, "create", "--dry-run", "-p", str(OTHER), "--annotation", "index:a=b", f"{name}:all")
    )
    assert [entry["platform"]["architecture"] for entry in one["manifests"]] == [OTHER.architecture]
    assert one["annotations"] == {"a": "b"}
    kept = pybuild.text(*tools, "create", "--dry-run", "--prefer-index=false", parts[0])
    assert "config" in json.loads(kept) and "manifests" in json.loads(
        pybuild.text(*tools, "create", "--dry-run", parts[0])
    )
    refused = pybuild(*tools, "create", "--dry-run", "--annotation", "a=b", f"{name}:all", code=2).stderr
    assert "write index:KEY=VALUE" in refused
    refused = pybuild(*tools, "create", "--dry-run", "-p", "linux/s390x", f"{name}:all", code=1).stderr
    assert "no image for platform linux/s390x" in refused
    pybuild("push", "-q", "lone:1", f"{name}:lone")
    pybuild(*tools, "create", "--append", "-t", f"{name}:all", f"{name}:lone")
    assert len(json.loads(pybuild.text(*tools, "inspect", "--raw", f"{name}:all"))["manifests"]) == 3
    lines = pybuild.text(*tools, "inspect", f"{name}:all").splitlines()
    assert lines[1] == "MediaType: application/vnd.oci.image.index.v1+json"
    assert lines[6].split() == ["MediaType:", "application/vnd.oci.image.manifest.v1+json"]


def test_gos_booleans_of_inner_commands(pybuild: Pybuild) -> None:
    assert pybuild.text("volume", "prune", "--force=true") == "Total reclaimed space: 0B"
    assert "say --force" in pybuild("volume", "prune", "--force=false", code=2).stderr


def test_a_name_takes_the_images_of_all_platforms_along(pybuild: Pybuild) -> None:
    pybuild("tag", "many:1", "many:2")
    assert pybuild.text("rmi", "many:1") == "Untagged: many:1"
    assert archs(pybuild, "many:2") == {HOST.architecture, OTHER.architecture}
    lines = pybuild.text("rmi", "many:2").splitlines()
    assert lines[0] == "Untagged: many:2"
    assert len(lines) == 3 and all(line.startswith("Deleted: sha256:") for line in lines[1:])
    assert pybuild.text("images", "-a", "--format", "{{.Repository}}:{{.Tag}}") == "lone:1"


def test_rmi_of_one_platform(pybuild: Pybuild) -> None:
    assert str(OTHER) in pybuild.text("rmi", "--platform", str(OTHER), "many:1")
    assert archs(pybuild, "many:1") == {HOST.architecture}
    assert pybuild.text("system", "check").endswith("no damage")
    assert "of it are here" in pybuild("rmi", "--platform", str(OTHER), "many:1", code=1).stderr
    assert "no image for platform" in pybuild("rmi", "--platform", "linux/s390x", "many:1", code=1).stderr
    assert pybuild.text("rmi", "--platform", str(HOST), "many:1").startswith("Untagged: many:1\nDeleted: ")
    assert "name the IMAGEs" in pybuild("rmi", code=2).stderr
    pybuild("tag", "lone:1", "lone:2")
    assert pybuild.text("rmi", "--all").splitlines()[:2] == ["Untagged: lone:1", "Untagged: lone:2"]
    assert pybuild.text("images", "-aq") == ""


def test_a_list_of_foreign_platforms_can_be_removed_by_name(pybuild: Pybuild) -> None:
    pybuild("rmi", "--platform", str(HOST), "many:1")
    assert pybuild.text("rmi", "many:1").startswith("Untagged: many:1\nDeleted: ")


def test_the_tree_of_images(pybuild: Pybuild) -> None:
    pybuild("tag", "lone:1", "lone:2")
    lines = [line.split() for line in pybuild.text("images", "--tree").splitlines()]
    assert lines[0][0] == "IMAGE" and lines[1] == ["lone:1"] and lines[2][0] == "lone:2"
    assert [line[:2] for line in lines[3:]] == [
        ["many:1", lines[3][1]],
        ["├─", str(OTHER)],
        ["└─", str(HOST)],
    ]
    assert len(pybuild.text("images", "--tree", "lone").splitlines()) == 3
    assert "leave the other options out" in pybuild("images", "--tree", "-q", code=2).stderr
