"""Contexts that are no directory of this machine, and contexts with names."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from builder.errors import ContextError, StageCycle
from builder.request import BuildRequest
from builder.sources.gitref import git_source
from builder.sources.named import Directory, ImageNamed, LayoutImage, StageNamed
from builder.sources.web import web_source
from layers import ArchiveInvalid, Platform, Reference, Store, UnsafePath
from layers.moving.layout import Layout
from layers.moving.transfer import copy
from tests.support.building import Builds, tree
from tests.support.stored import new_image, new_layer
from tests.support.web import Page, Site, repository

DOCKERFILE = "FROM scratch\nCOPY . /all/\nCOPY sub/f /one\n"


@pytest.fixture
def builds(tmp_path: Path) -> Iterator[Builds]:
    with Store.open(tmp_path / "store") as store:
        yield Builds(store)


def packed(members: dict[str, bytes | str | None], **more: Any) -> bytes:
    """A tar of files (bytes), links (text) and directories (None)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, what in members.items():
            member = tarfile.TarInfo(name)
            member.uid, member.gid, member.mode, member.mtime = 7, 8, 0o640, 1_000_000_000
            for key, value in more.items():
                setattr(member, key, value)
            if what is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o750
            elif isinstance(what, str):
                member.type, member.linkname = tarfile.SYMTYPE, what
            else:
                member.size = len(what)
            tar.addfile(member, io.BytesIO(what) if isinstance(what, bytes) else None)
    return buffer.getvalue()


PLAIN = packed(
    {"Dockerfile": DOCKERFILE.encode(), "sub": None, "sub/f": b"f", "link": "sub/f", ".dockerignore": b"sub\n"}
)


@pytest.mark.parametrize(
    "form",
    [bytes, gzip.compress, bz2.compress, lzma.compress, zstandard.compress],
    ids=["tar", "gz", "bz2", "xz", "zstd"],
)
def test_archives(builds: Builds, form: Callable[[bytes], bytes]) -> None:
    result = builds(archive=io.BytesIO(form(PLAIN)))
    assert builds.files(result)["one"] == "f"
    assert set(builds.files(result)) == {"all/.dockerignore", "all/Dockerfile", "all/sub/f", "one"}
    found = builds.entries(result)
    assert (found["one"].uid, found["one"].gid, found["one"].mode) == (7, 8, 0o640)
    assert found["all/link"].linkname == "sub/f"
    builds.store.close()
    assert not list((builds.store.root / "scratch").iterdir())


def test_what_an_archive_may_not_do(builds: Builds, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    evil: dict[str, bytes | str | None] = {
        "Dockerfile": b"FROM scratch\nCOPY out/secret /a\n",
        "out": str(tmp_path),
        "/absolute": b"inside",
    }
    with pytest.raises(ContextError, match="not found"):
        builds(archive=io.BytesIO(packed(evil)))
    with pytest.raises(UnsafePath, match="escape"):
        builds(archive=io.BytesIO(packed({**evil, "../../escape": b"outside"})))
    with pytest.raises(ArchiveInvalid):
        builds(archive=io.BytesIO(gzip.compress(PLAIN)[:-20]))
    with pytest.raises(ContextError, match="no tar"):
        builds(archive=io.BytesIO(b"x" * 2000))
    text: dict[str, bytes | str | None] = {**evil, "Dockerfile": b"FROM scratch\nCOPY . /all/\n"}
    result = builds(archive=io.BytesIO(packed(text)))
    assert set(builds.files(result)) == {"all/Dockerfile", "all/absolute"}
    assert builds.entries(result)["all/out"].linkname == str(tmp_path)


def test_another_dockerfile_of_an_archive(builds: Builds, tmp_path: Path) -> None:
    members: dict[str, bytes | str | None] = {"d/Other": b"FROM scratch\nCOPY f /other\n", "f": b"f"}
    assert builds.files(builds(archive=io.BytesIO(packed(members)), dockerfile=Path("d/Other"))) == {"other": "f"}
    with pytest.raises(ContextError, match="there is no Dockerfile in the archive"):
        builds(archive=io.BytesIO(packed(members)))
    assert builds.files(builds("FROM scratch\nCOPY f /given\n", archive=io.BytesIO(packed(members)))) == {"given": "f"}
    (tmp_path / "Local").write_text("FROM scratch\nCOPY f /local\n")
    result = builds(archive=io.BytesIO(packed(members)), dockerfile=tmp_path / "Local")
    assert builds.files(result) == {"local": "f"}


def test_git(builds: Builds, site: Site, tmp_path: Path) -> None:
    repository(
        tmp_path / "repositories/app.git",
        lambda folder: tree(
            folder, {"Dockerfile": "FROM scratch\nCOPY . /\n", "in/Dockerfile": DOCKERFILE, "in/sub/f": "x"}
        ),
    )
    result = builds(source=git_source(f"{site.url}/git/app.git"))
    assert set(builds.files(result)) == {"Dockerfile", "in/Dockerfile", "in/sub/f"}
    result = builds(source=git_source(f"{site.url}/git/app.git#main:in"))
    assert builds.files(result)["one"] == "x"
    assert builds.statuses(builds(source=git_source(f"{site.url}/git/app.git#main:in"))) == ["cached"] * 3
    arguments = {"BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1"}
    result = builds(source=git_source(f"{site.url}/git/app.git"), build_args=arguments)
    assert ".git/HEAD" in builds.files(result)


def test_urls(builds: Builds, site: Site) -> None:
    site.pages["/context.tgz"] = Page(gzip.compress(PLAIN), headers={"ETag": '"1"'})
    site.pages["/only"] = Page(b"FROM scratch\nCOPY . /x/\n")
    context = web_source(f"{site.url}/context.tgz", name="context")
    assert builds.files(builds(source=context))["one"] == "f"
    assert builds.files(builds(source=context, dockerfile=Path("Dockerfile")))["one"] == "f"
    assert site.methods("/context.tgz") == ["GET", "HEAD"]
    assert set(builds.files(builds(source=web_source(f"{site.url}/only", name="context")))) == {"x/context"}


# -- contexts with names ---------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return tree(tmp_path / "library", {"l": "lib", "d/x": "x", "skip": "no", ".dockerignore": "skip\n"})


def test_directories(builds: Builds, library: Path, tmp_path: Path) -> None:
    main = tree(tmp_path / "main", {"m": "main", ".dockerignore": "l\n"})
    text = "FROM scratch\nCOPY --from=lib . /lib/\nCOPY . /main/\nCOPY --from=lib d/* /wild/\n"
    result = builds(text, context=main, contexts={"lib": Directory(library)})
    assert set(builds.files(result)) == {
        "lib/l",
        "lib/d/x",
        "lib/.dockerignore",
        "main/m",
        "main/.dockerignore",
        "wild/x",
    }
    assert builds.statuses(builds(text, context=main, contexts={"lib": Directory(library)})) == ["cached"] * 4
    with pytest.raises(ContextError, match="not found") as failed:
        builds("FROM scratch\nCOPY --from=lib skip /\n", contexts={"lib": Directory(library)})
    assert ".dockerignore:1" in failed.value.help


def test_a_directory_to_begin_with(builds: Builds, library: Path) -> None:
    result = builds("FROM base\nCOPY --from=base l /again\n", contexts={"base": Directory(library)})
    assert builds.files(result) == {"l": "lib", "d/x": "x", ".dockerignore": "skip\n", "again": "lib"}
    config = builds.store.images.get(str(result.image_id)).config
    assert len(config.diff_ids) == sum(not line.empty_layer for line in config.history) == 2


def test_a_context_stands_for_an_image_and_for_a_stage(builds: Builds, library: Path) -> None:
    text = "FROM debian AS one\nCOPY nothing /\nFROM scratch\nCOPY --from=one l /\n"
    assert builds.files(builds(text, contexts={"one": Directory(library)})) == {"l": "lib"}
    for name in ("debian", "debian:latest", "docker.io/library/debian"):
        result = builds(f"FROM {name}\n", contexts={"debian": Directory(library)})
        assert builds.files(result)["l"] == "lib"
    result = builds("FROM scratch AS a\nFROM a\n", target="a", contexts={"a": Directory(library)})
    assert builds.files(result)["l"] == "lib"
    here = Platform.host()
    result = builds("FROM a\n", contexts={f"a::{here}": Directory(library), "a": ImageNamed("nowhere.invalid/x")})
    assert builds.files(result)["l"] == "lib"


def test_images_and_layouts(builds: Builds, tmp_path: Path) -> None:
    image = new_image(builds.store, [new_layer(builds.store, {"i": b"image"})])
    builds.store.images.tag(Reference.parse("local:1"), image.target)
    contexts = {"base": ImageNamed("local:1"), "nothing": ImageNamed("scratch")}
    assert builds.files(builds("FROM base\nCOPY --from=nothing . /\n", contexts=contexts)) == {"i": "image"}
    layout = tmp_path / "layout"
    copy(builds.store.repository(), str(Reference.parse("local:1")), Layout.create(layout), "v1")
    with Store.open(tmp_path / "other") as store:
        other = Builds(store)
        for name in ("v1", "", str(image.target.digest)):
            result = other("FROM base\nCOPY --from=base i /j\n", contexts={"base": LayoutImage(layout, name)})
            assert other.files(result) == {"i": "image", "j": "image"}
        assert not list(store.images.names()), "an image that only served as a context gets no name"
        with pytest.raises(Exception, match=r"v2.*oci-layout|oci-layout.*v2"):
            other("FROM base\n", contexts={"base": LayoutImage(layout, "v2")})


def test_repositories_and_urls(builds: Builds, site: Site, tmp_path: Path) -> None:
    repository(tmp_path / "repositories/r.git", lambda folder: tree(folder, {"g": "git"}))
    site.pages["/t.tar"] = Page(packed({"t": b"tar"}))
    found = git_source(f"{site.url}/git/r.git")
    assert found is not None
    contexts = {"git": found, "tar": web_source(f"{site.url}/t.tar", name="context")}
    result = builds("FROM git\nCOPY --from=tar . /\nCOPY --from=git g /h\n", contexts=contexts)
    assert builds.files(result) == {"g": "git", "t": "tar", "h": "git"}


def test_stages(builds: Builds, tmp_path: Path) -> None:
    context = tree(tmp_path / "context", {"f": "f"})
    text = "FROM scratch AS made\nCOPY f /made\nFROM base\nCOPY --from=base made /again\n"
    result = builds(text, context=context, contexts={"base": StageNamed("made")})
    assert builds.files(result) == {"made": "f", "again": "f"}
    with pytest.raises(StageCycle):
        builds("FROM base AS a\n", contexts={"base": StageNamed("a")})


def test_one_context_at_most(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one context"):
        BuildRequest(context=tmp_path, archive=io.BytesIO(b""))
