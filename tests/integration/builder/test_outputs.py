"""Where results go: every type of output with its keys, annotations on every level, what is told of it."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Pybuild
from tests.support.peers import need
from tests.support.registry import RegistryServer

TWO = "linux/amd64,linux/arm64"
OCI, DOCKER = "application/vnd.oci.image", "application/vnd.docker.distribution.manifest"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nLABEL of=$TARGETARCH\nCOPY Dockerfile /d/\n")
    return folder


def raw(place: str) -> dict[str, Any]:
    need("skopeo")
    told = ["skopeo", "inspect", "--raw", *(["--tls-verify=false"] if place.startswith("docker:") else []), place]
    return dict(json.loads(subprocess.run(told, capture_output=True, check=True).stdout))


def test_the_file_tells_what_was_pushed(
    pybuild: Pybuild, registry: RegistryServer, context: Path, tmp_path: Path
) -> None:
    name = registry.reference("told:1")
    files = ("--metadata-file", tmp_path / "meta", "--iidfile", tmp_path / "iid")
    pybuild("build", "-t", name, "--push", *files, context)
    meta = json.loads((tmp_path / "meta").read_text())
    pushed = json.loads(
        subprocess.run(
            ["skopeo", "inspect", "--tls-verify=false", f"docker://{name}"], capture_output=True, check=True
        ).stdout
    )
    assert meta["containerimage.digest"] == meta["containerimage.descriptor"]["digest"] == pushed["Digest"]
    assert meta["image.name"] == name
    assert (
        meta["containerimage.config.digest"]
        == (tmp_path / "iid").read_text()
        == raw(f"docker://{name}")["config"]["digest"]
    )
    pybuild("build", "-t", name, "--platform", TWO, "--push", *files, context)
    meta = json.loads((tmp_path / "meta").read_text())
    assert "containerimage.config.digest" not in meta
    assert meta["containerimage.descriptor"]["mediaType"] == f"{OCI}.index.v1+json"
    assert (tmp_path / "iid").read_text() == pybuild.text("digest", name)


@pytest.mark.parametrize(
    ("flags", "layer"),
    [
        ("compression=zstd,compression-level=3", f"{OCI}.layer.v1.tar+zstd"),
        ("compression=uncompressed", f"{OCI}.layer.v1.tar"),
        ("oci-mediatypes=false", "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        ("", f"{OCI}.layer.v1.tar+gzip"),
    ],
)
def test_forms_of_what_is_pushed(
    pybuild: Pybuild, registry: RegistryServer, context: Path, flags: str, layer: str
) -> None:
    names = [registry.reference(f"forms/{at}:{abs(hash(flags))}") for at in ("one", "two")]
    pybuild(
        "build", "--platform", TWO, "-o", f'type=image,"name={",".join(names)}",push=true,{flags}'.rstrip(","), context
    )
    for name in names:
        index = raw(f"docker://{name}")
        docker = "docker" in layer
        assert index["mediaType"] == (f"{DOCKER}.list.v2+json" if docker else f"{OCI}.index.v1+json")
        manifest = raw(f"docker://{name.rpartition(':')[0]}@{index['manifests'][1]['digest']}")
        assert [one["mediaType"] for one in manifest["layers"]] == [layer]
    assert "zstd" in pybuild("build", "-o", "type=registry,name=a,compression=xz", context, code=2).stderr


def test_by_digest_no_tag_is_made(pybuild: Pybuild, registry: RegistryServer, context: Path, tmp_path: Path) -> None:
    name = registry.reference("by/digest")
    spec = f"type=image,name={name},push-by-digest=true,name-canonical=true,push=true"
    pybuild("build", "-o", spec, "--metadata-file", tmp_path / "meta", context)
    digest = json.loads((tmp_path / "meta").read_text())["containerimage.digest"]
    assert raw(f"docker://{name}@{digest}")["mediaType"] == f"{OCI}.manifest.v1+json"
    pybuild("tags", name, code=1)
    told = pybuild("build", "-t", f"{name}:1", "-o", "type=registry,push-by-digest=true", context, code=2).stderr
    assert "can have no tag" in told


def test_annotations_stand_where_they_were_meant(
    pybuild: Pybuild, registry: RegistryServer, context: Path, tmp_path: Path
) -> None:
    name = registry.reference("noted:1")
    notes = [
        *("--annotation", "plain=1", "--annotation", "manifest[linux/arm64]:arm=2"),
        *("--annotation", "index,manifest-descriptor:both=3", "--annotation", "index-descriptor:top=4"),
    ]
    out = f"type=oci,dest={tmp_path}/layout,tar=false,annotation-manifest-descriptor[linux/amd64].amd=5"
    pybuild("build", "--platform", TWO, "-t", name, "--push", "-o", out, *notes, context)
    index = raw(f"docker://{name}")
    assert index["annotations"] == {"both": "3"}
    assert [one["annotations"] for one in index["manifests"]] == [{"amd": "5", "both": "3"}, {"both": "3"}]
    manifests = [raw(f"docker://{name.rpartition(':')[0]}@{one['digest']}") for one in index["manifests"]]
    assert [one["annotations"] for one in manifests] == [{"plain": "1"}, {"arm": "2", "plain": "1"}]
    (top,) = json.loads((tmp_path / "layout/index.json").read_text())["manifests"]
    assert top["annotations"]["top"] == "4" and top["annotations"]["org.opencontainers.image.ref.name"] == "1"
    assert raw(f"oci:{tmp_path}/layout:1")["annotations"] == {"both": "3"}
    assert "need one" in pybuild("build", "--annotation", "index:a=b", context, code=1).stderr
    assert "no level" in pybuild("build", "--annotation", "layer:a=b", context, code=2).stderr
    assert "of all platforms" in pybuild("build", "--annotation", "index[linux/amd64]:a=b", context, code=2).stderr


def test_file_systems_of_several_platforms(pybuild: Pybuild, context: Path, tmp_path: Path) -> None:
    tar = f"type=tar,dest={tmp_path}/all.tar"
    pybuild("build", "--platform", TWO, "-o", tar, "-o", f"type=local,dest={tmp_path}/all", context)
    with tarfile.open(tmp_path / "all.tar") as archive:
        names = [name for name in archive.getnames() if name.endswith("Dockerfile")]
    assert names == ["linux_amd64/d/Dockerfile", "linux_arm64/d/Dockerfile"]
    assert (tmp_path / "all/linux_arm64/d/Dockerfile").read_bytes() == (context / "Dockerfile").read_bytes()
    pybuild("build", "--platform", TWO, "-o", f"type=local,dest={tmp_path}/flat,platform-split=false", context)
    assert (tmp_path / "flat/d/Dockerfile").exists()
    for spec in ("type=docker,dest=x", "type=tar,dest=x,platform-split=false"):
        assert "one platform" in pybuild("build", "--platform", TWO, "-o", spec, context, code=2).stderr
    done = subprocess.run(
        pybuild.command("build", "-o", "-", context), env=pybuild.environment, capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        assert "d/Dockerfile" in archive.getnames()


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("type=oci,dest=x,push=true", "unknown key 'push'"),
        ("type=oci,dest=x,oci-mediatypes=false", "type=docker is docker's"),
        ("type=docker,dest=x,compression=zstd", "one tar with uncompressed layers"),
        ("type=image,store=false", "always in the local store"),
        ("type=oci,tar=false", "needs dest=DIRECTORY"),
        ("type=image,annotation-foo", "not KEY=VALUE"),
        ("type=image,annotation-foo=1", "annotation-LEVEL.KEY"),
        ("type=what", "type is one of image"),
        ("type=image,push=perhaps", "true or false"),
        ("type=image,push=true", "needs a name"),
    ],
)
def test_what_an_output_cannot_be(pybuild: Pybuild, context: Path, spec: str, why: str) -> None:
    assert why in pybuild("build", "-o", spec, context, code=2).stderr
