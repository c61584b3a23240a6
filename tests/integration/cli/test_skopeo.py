"""skopeo's words for copies: its options do the same here, and what cannot be done says why."""

import json
from pathlib import Path

import pytest

from layers import Store
from tests.support.command import Pybuild
from tests.support.registry import RegistryServer
from tests.support.stored import new_image, new_layer, tar_of


@pytest.fixture
def pybuild(tmp_path: Path) -> Pybuild:
    """A store with the image "app:1"."""
    with Store.open(tmp_path / "store") as store:
        new_image(store, [new_layer(store, {"file": b"text" * 1000})], "app:1")
    return Pybuild(tmp_path / "store")


def kinds(pybuild: Pybuild, place: str) -> list[str]:
    """The media types of the layers at a place, the common part left out."""
    manifest = json.loads(pybuild.text("inspect", "--raw", place))
    return [layer["mediaType"].rpartition("layer.v1.")[2] for layer in manifest["layers"]]


def test_more_names_in_a_docker_archive(pybuild: Pybuild, tmp_path: Path) -> None:
    place = f"docker-archive:{tmp_path / 'a.tar'}"
    pybuild("copy", "-q", "--additional-tag", "b:2", "--additional-tag", "c:3", "app:1", f"{place}:app:1")
    assert pybuild.text("tags", place).split() == ["app:1", "b:2", "c:3"]
    assert pybuild.text("digest", f"{place}:b:2") == pybuild.text("digest", f"{place}:docker.io/library/c:3")
    assert "--additional-tag is for" in pybuild("copy", "--additional-tag", "b", "app:1", "dir:x", code=2).stderr


def test_forms_of_layers(pybuild: Pybuild, tmp_path: Path) -> None:
    gzip, plain, kept, tight = (f"oci:{tmp_path / name}:1" for name in ("gzip", "plain", "kept", "tight"))
    pybuild("copy", "-q", "app:1", gzip)
    assert kinds(pybuild, gzip) == ["tar+gzip"]
    pybuild("copy", "-q", "--dest-decompress", gzip, plain)
    assert kinds(pybuild, plain) == ["tar"]
    pybuild("copy", "-q", "--dest-oci-accept-uncompressed-layers", "app:1", kept)
    assert kinds(pybuild, kept) == ["tar"]
    pybuild("copy", "-q", "--dest-compress", plain, tight)
    assert kinds(pybuild, tight) == ["tar+gzip"]
    pybuild("copy", "-q", "--remove-signatures", "--multi-arch", "all", "--retry-times", "3", gzip, plain)
    assert "exclude" in pybuild("copy", "--dest-compress", "--dest-decompress", gzip, plain, code=2).stderr


@pytest.mark.parametrize("option", ["--sign-by", "--encryption-key", "--dest-shared-blob-dir"])
def test_what_is_not_done_says_why(pybuild: Pybuild, option: str) -> None:
    refused = pybuild("copy", option, "x", "app:1", "dir:x", code=2).stderr
    assert refused.startswith(f"error: {option} is not done here: ")


def test_images_of_images_go_where_their_names_say(pybuild: Pybuild, tmp_path: Path) -> None:
    layout, tar = f"oci:{tmp_path / 'layout'}", tmp_path / "layer.tar"
    tar.write_bytes(tar_of({"more": b"1"}))
    pybuild("append", "-b", "app:1", "-f", tar, "-t", f"{layout}:appended")
    pybuild("mutate", "--label", "a=b", "-t", f"{layout}:labelled", f"{layout}:appended")
    pybuild("flatten", "-t", f"oci-archive:{tmp_path / 'flat.tar'}:flat", f"{layout}:labelled")
    assert pybuild.text("tags", layout).split() == ["appended", "labelled"]
    assert kinds(pybuild, f"{layout}:labelled") == ["tar+gzip"] * 2
    assert kinds(pybuild, f"oci-archive:{tmp_path / 'flat.tar'}") == ["tar+gzip"]
    assert pybuild.text("images", "--format", "{{.Repository}}").split() == ["<none>"] * 3 + ["app"]
    wrong = f"{layout}@sha256:{'0' * 64}"
    assert "only a name can be given" in pybuild("append", "-b", "app:1", "-f", tar, "-t", wrong, code=1).stderr


def test_digest_of_a_file(pybuild: Pybuild, tmp_path: Path) -> None:
    pybuild("copy", "-q", "app:1", f"dir:{tmp_path / 'dir'}")
    wanted = pybuild.text("digest", f"dir:{tmp_path / 'dir'}")
    file = tmp_path / "dir/manifest.json"
    assert pybuild.text("digest", "--file", file) == pybuild.text("manifest-digest", file) == wanted
    assert pybuild("manifest-digest", "-", stdin=file.read_bytes()).stdout == f"{wanted}\n"
    (tmp_path / "old").write_text('{"schemaVersion": 1}')
    assert "no manifest or index of schema 2" in pybuild("manifest-digest", tmp_path / "old", code=1).stderr
    assert "name the REF" in pybuild("digest", code=2).stderr


def test_sync_of_a_file(pybuild: Pybuild, own_registry: RegistryServer, tmp_path: Path) -> None:
    for tag in ("1", "2", "3"):
        for name in ("app", "other"):
            pybuild("push", "-q", "app:1", own_registry.reference(f"{name}:{tag}"))
    digest = pybuild.text("digest", f"docker://{own_registry.reference('app:1')}")
    file = tmp_path / "sync.yaml"
    file.write_text(
        json.dumps(
            {
                own_registry.host: {
                    "images": {"app": ["1", digest]},
                    "images-by-tag-regex": {"other": "^[23]$"},
                    "tls-verify": False,
                }
            }
        )
    )
    told = pybuild.text("sync", "--src", "yaml", "--dest", "dir", file, tmp_path / "usb").splitlines()
    assert {line.split()[0] for line in told} == {digest}
    wanted = {"app:1", f"app@{digest}", "other:2", "other:3"}
    assert {path.name for path in (tmp_path / "usb").iterdir()} == wanted


@pytest.mark.root
def test_containers_of_images_elsewhere(shared_pybuild: Pybuild, pybuild: Pybuild, tmp_path: Path) -> None:
    places = [f"oci:{tmp_path / 'layout'}:1", f"docker-archive:{tmp_path / 'a.tar'}", f"dir:{tmp_path / 'dir'}"]
    for place in places:
        shared_pybuild("copy", "-q", "busybox", place)
        assert pybuild.text("run", "--rm", "--network", "none", place, "echo", "here") == "here"
    made = pybuild.text("create", "--network", "none", places[0], "touch", "/x")
    pybuild("prune", "-af")
    assert pybuild.text("inspect", "-f", "{{.Config.Image}}", made) == places[0]
    pybuild("start", "-a", made)
    committed = ("commit", "-q", "--iidfile", tmp_path / "id", "--rm", made, f"oci:{tmp_path / 'layout'}:2")
    assert pybuild.text(*committed) == (tmp_path / "id").read_text()
    assert pybuild.text("ps", "-aq") == ""
    assert len(kinds(pybuild, f"oci:{tmp_path / 'layout'}:2")) == 2
    assert "is not in" in pybuild("run", "--rm", "oci:absent:1", "true", code=125).stderr
    assert "must be lower case" in pybuild("run", "--rm", "BAD:1", "true", code=125).stderr
