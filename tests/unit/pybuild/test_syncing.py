"""Which images a sync takes, and where each goes."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from layers import BlobMissing, ReferenceInvalid
from layers.oci.address import Address, Kind
from pybuild import syncfile
from pybuild.copying import Form
from pybuild.settings import Settings
from pybuild.syncing import Colliding, directories, filtered, images, ways
from pybuild.wiring import Context
from registry.errors import NotFound
from tests.support.shelf import Rude, page, serving

APP = Address.parse("docker://example.org:5000/team/app:1")
OTHER = Address.parse("docker://example.org/other/app:1")


@pytest.mark.parametrize(
    ("scoped", "kind", "place"),
    [
        (False, Kind.DIRECTORY, "dir:/media/usb/app:1"),
        (True, Kind.DIRECTORY, "dir:/media/usb/example.org:5000/team/app:1"),
        (False, Kind.REGISTRY, "docker://localhost:5000/mirror/app:1"),
        (True, Kind.REGISTRY, "docker://localhost:5000/mirror/example.org_5000/team/app:1"),
    ],
)
def test_from_a_registry(scoped: bool, kind: Kind, place: str) -> None:
    base = "/media/usb" if kind is Kind.DIRECTORY else "localhost:5000/mirror/"
    [way] = ways([APP], "", kind, base, scoped=scoped)
    assert (way.origin, str(way.destination)) == (APP, place)


def test_two_images_in_one_place_are_refused() -> None:
    with pytest.raises(Colliding, match="--scoped"):
        ways([APP, OTHER], "", Kind.DIRECTORY, "/media/usb", scoped=False)
    assert len(ways([APP, OTHER], "", Kind.DIRECTORY, "/media/usb", scoped=True)) == 2
    assert len(ways([APP, APP], "", Kind.DIRECTORY, "/media/usb", scoped=False)) == 1


def test_from_directories(tmp_path: Path) -> None:
    for name in ("b:2", "host/team/a:1", "host/team/a:v2"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "manifest.json").touch()
    (tmp_path / "empty").mkdir()
    found = list(directories(tmp_path))
    assert [address.path.removeprefix(f"{tmp_path}/") for address in found] == [
        "b:2",
        "host/team/a:1",
        "host/team/a:v2",
    ]
    planned = ways(found, str(tmp_path), Kind.REGISTRY, "localhost:5000/x", scoped=True)
    assert [str(way.destination).removeprefix("docker://localhost:5000/x/") for way in planned] == [
        "b:2",
        "host/team/a:1",
        "host/team/a:v2",
    ]
    [one] = ways(list(directories(tmp_path / "b:2")), str(tmp_path / "b:2"), Kind.REGISTRY, "localhost/x", scoped=False)
    assert str(one.destination) == "docker://localhost/x/b:2"
    with pytest.raises(BlobMissing):
        list(directories(tmp_path / "empty"))


def test_only_the_tag_is_looked_at() -> None:
    tags = [Address.parse(f"docker://example.org/v1/app:{tag}") for tag in ("v1.0", "v1.1", "v2.0", "latest")]
    places = [*tags, Address.parse("dir:/v1/app:v1.5")]

    def kept(include: list[str], exclude: list[str]) -> list[str]:
        return [str(place).rpartition(":")[2] for place in filtered(iter(places), include, exclude)]

    assert kept([], []) == ["v1.0", "v1.1", "v2.0", "latest", "v1.5"]
    assert kept(["^v1"], []) == ["v1.0", "v1.1", "v1.5"]
    assert kept(["^v1", "^latest$"], [r"\.1"]) == ["v1.0", "latest", "v1.5"]


@pytest.mark.parametrize(
    ("form", "origin", "destination", "expected"),
    [
        (Form(), Kind.STORE, Kind.LAYOUT, ("gzip", False)),
        (Form(), Kind.STORE, Kind.STORE, (None, False)),
        (Form(), Kind.STORE, Kind.DOCKER_ARCHIVE, ("none", True)),
        (Form(), Kind.REGISTRY, Kind.DOCKER_ARCHIVE, ("none", True)),
        (Form(), Kind.REGISTRY, Kind.LAYOUT, (None, False)),
        (Form(), Kind.DOCKER_ARCHIVE, Kind.REGISTRY, ("gzip", False)),
        (Form(preserve=True), Kind.STORE, Kind.LAYOUT, (None, False)),
        (Form("zstd"), Kind.REGISTRY, Kind.LAYOUT, ("zstd", True)),
        (Form("zstd", raw_only=True), Kind.STORE, Kind.REGISTRY, ("zstd", False)),
    ],
)
def test_what_layers_become_on_each_way(
    form: Form, origin: Kind, destination: Kind, expected: tuple[str | None, bool]
) -> None:
    assert form.codec_between(origin, destination) == expected


def test_a_registry_cannot_name_a_path(tmp_path: Path) -> None:
    context = Context(Settings.gather({}, root=str(tmp_path)))
    with serving(Rude({"": (page("fine", "../../out"), "")})) as host, pytest.raises(ReferenceInvalid, match="out"):
        list(images(context, f"{host}/app", None))
    catalog = b'{"repositories": ["app/../../out"]}'
    with serving(Rude({"": (catalog, "")})) as host, pytest.raises(ReferenceInvalid, match="out"):
        list(images(context, f"{host}/", None))


def test_a_repository_without_tags_is_passed_over_in_a_whole_registry(tmp_path: Path) -> None:
    context = Context(Settings.gather({}, root=str(tmp_path)))
    with serving(Rude({"": (b'{"repositories": ["gone"]}', "")})) as host:
        assert list(images(context, f"{host}/", None)) == []
        with pytest.raises(NotFound):
            list(images(context, f"{host}/gone", None))


def test_a_file_of_registries(tmp_path: Path) -> None:
    file = tmp_path / "sync.yaml"
    file.write_text(
        "registry.test:\n"
        "  images: {busybox: [], app: [1.0, '2']}\n"
        "  images-by-tag-regex: {nginx: '^1[.]13'}\n"
        "  images-by-semver: {alpine: '>= 3.12, < 4'}\n"
        "  credentials: {username: ada, password: secret}\n"
        "  tls-verify: false\n"
        "  cert-dir: /certs\n"
        "other.test: {images: {a/b: null}, tls-verify: true}\n"
    )
    one, other = syncfile.hosts(file)
    assert (one.name, dict(one.images)) == ("registry.test", {"busybox": (), "app": ("1.0", "2")})
    (nginx, fits), (alpine, later) = one.patterns
    assert nginx == "nginx" and fits("1.13.1") and not fits("1x13")
    assert alpine == "alpine" and later("3.13") and not later("3.9") and not later("edge")
    assert one.options == {"creds": "ada:secret", "tls_verify": False, "cert_dir": "/certs"}
    assert (dict(other.images), other.options) == ({"a/b": ()}, {})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[", "is not YAML"),
        ("a", "it is no mapping"),
        ("h: 1", "h is no mapping"),
        ("h: {imagez: {}}", "'imagez', which is not known"),
        ("h: {images: [a]}", "h: images is no mapping"),
        ("h: {images-by-tag-regex: {a: '('}}", "is no regular expression"),
        ("h: {images-by-semver: {a: '>new'}}", "no constraint of versions"),
        ("h: {credentials: {username: a}}", "a username and a password"),
    ],
)
def test_files_that_make_no_sense(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(click.UsageError, match=why):
        syncfile.hosts(tmp_path / "x")
