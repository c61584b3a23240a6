"""Whole builds of what needs no command, over a store without mounts."""

import io
import json
import os
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from builder.build import BuildResult, build
from builder.errors import BuildError, ContextError, DockerfileError, StageCycle, StepFailed
from builder.events import Event, Exported, Planned
from builder.request import BuildRequest, Output
from builder.workbench import Workbench
from layers import Reference, Store, StoreFull
from layers.quick import replace
from tests.support.stored import new_image, new_layer

Build = Callable[..., BuildResult]


def no_runtime() -> NoReturn:
    raise AssertionError("this build needs no sandbox")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    for name in ("a", "b.txt", ".hidden", "d/one", "d/two.txt", "d/e/deep"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(name)
    (directory / "d/link").symlink_to("one")
    return directory


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def make(store: Store, context: Path, events: list[Event]) -> Build:
    def make(text: str, **request: Any) -> BuildResult:
        wanted = BuildRequest(context=context, text=text.encode(), **request)
        return build(wanted, Workbench(store, no_runtime), events.append, threading.Event())

    return make


def paths(store: Store, result: BuildResult) -> dict[str, str]:
    """Path → content of files, target of links, "/" for directories."""
    tree = store.tree(store.images.get(str(result.image_id)).chain)
    found = {}
    for entry in tree.walk():
        match entry.type.value:
            case "directory" | "dir":
                found[entry.path] = "/"
            case "symlink":
                found[entry.path] = f"-> {entry.linkname}"
            case _:
                found[entry.path] = (tree.read(entry.path, 1000) or b"").decode("latin-1")
    found.pop("", None)
    return found


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("COPY a /x", {"x": "a"}),
        ("COPY a /x/", {"x": "/", "x/a": "a"}),
        ("COPY a b.txt /x/", {"x": "/", "x/a": "a", "x/b.txt": "b.txt"}),
        ("COPY *.txt /", {"b.txt": "b.txt"}),
        ("COPY none* /", {}),
        ("COPY d/e /", {"deep": "d/e/deep"}),
        ("COPY d/link /x", {"x": "d/one"}),
        ("COPY --exclude=**/two.txt --exclude=e d /", {"one": "d/one", "link": "-> one"}),
        ("COPY --parents d/e/deep /x/", {"x": "/", "x/d": "/", "x/d/e": "/", "x/d/e/deep": "d/e/deep"}),
        ("COPY --parents d/./e/deep /x/", {"x": "/", "x/e": "/", "x/e/deep": "d/e/deep"}),
        ("COPY --parents d/e/. /x/", {"x": "/", "x/d": "/", "x/d/e": "/", "x/d/e/deep": "d/e/deep"}),
        ("COPY --parents d/e/./* /x/", {"x": "/", "x/deep": "d/e/deep"}),
        ("COPY --parents d/e/./ /x/", {"x": "/"}),
        ("COPY --link a /.config", {".config": "a"}),
        ("COPY --link a /.d./", {".d.": "/", ".d./a": "a"}),
        ("COPY --link d/e /", {"deep": "d/e/deep"}),
        ("COPY <<x <<y /z/\n1\nx\n2\ny", {"z": "/", "z/x": "1\n", "z/y": "2\n"}),
        ("WORKDIR /w\nCOPY a .", {"w": "/", "w/a": "a"}),
        ("WORKDIR /w\nCOPY a ../v/", {"w": "/", "v": "/", "v/a": "a"}),
    ],
)
def test_copied_files_land_where_they_should(
    make: Build, store: Store, instruction: str, expected: dict[str, str]
) -> None:
    assert paths(store, make(f"FROM scratch\n{instruction}")) == expected


def test_every_file_of_the_context(make: Build, store: Store) -> None:
    found = paths(store, make("FROM scratch\nCOPY --parents * /x/"))
    assert found["x/d/e/deep"] == "d/e/deep"
    assert found == {f"x/{name}" if name else "x": text for name, text in {
        "": "/", "a": "a", "b.txt": "b.txt", ".hidden": ".hidden", "d": "/", "d/one": "d/one",
        "d/two.txt": "d/two.txt", "d/link": "-> one", "d/e": "/", "d/e/deep": "d/e/deep",
    }.items()}  # fmt: skip


@pytest.mark.parametrize(
    ("instruction", "error", "what"),
    [
        ("COPY aa /", ContextError, '"/aa": not found'),
        ("COPY ../a2 /", ContextError, '"/a2": not found'),
        ("COPY [a /", ContextError, r"'\[a' is not a pattern"),
        ("COPY --parents [z-a] /", ContextError, r"'\[z-a\]' is not a pattern"),
        ("COPY --parents a/./ /x/", ContextError, '"/a" is not a directory'),
        ("COPY --chmod=9 a /", StepFailed, "invalid chmod parameter"),
        ("COPY a /x\nCOPY d /x", StepFailed, "cannot copy a directory over /x"),
        ("COPY a /x\nCOPY a /x/y", StepFailed, "/x is a file, not a directory"),
    ],
)
def test_what_cannot_be_copied_is_said_with_its_line(
    make: Build, instruction: str, error: type[BuildError], what: str
) -> None:
    with pytest.raises(error, match=what) as caught:
        make(f"FROM scratch\n{instruction}")
    last = 2 + instruction.count("\n")
    assert f"Dockerfile:{last}:" in str(caught.value)


def test_a_directory_called_like_a_repository_is_no_address(make: Build, store: Store, context: Path) -> None:
    (context / "bare.git").mkdir()
    (context / "bare.git/HEAD").write_text("ref")
    assert paths(store, make("FROM scratch\nADD bare.git /x")) == {"x": "/", "x/HEAD": "ref"}


def test_archives_are_unpacked_by_add_alone(make: Build, store: Store, context: Path) -> None:
    with tarfile.open(context / "x.tgz", "w:gz") as tar:
        member = tarfile.TarInfo("top/file")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"data"))
    assert paths(store, make("FROM scratch\nADD x.tgz /u/")) == {"u": "/", "u/top": "/", "u/top/file": "data"}
    assert list(paths(store, make("FROM scratch\nADD --unpack=false x.tgz /u/"))) == ["u", "u/x.tgz"]


# -- the cache ---------------------------------------------------------------------------------------

TWO = "FROM scratch AS one\nCOPY d /d\nFROM scratch\nLABEL a=1\nCOPY a /a\nCOPY --from=one /d /d\n"


def statuses(result: BuildResult) -> dict[str, str]:
    return {step.title: step.status for step in result.steps if not step.title.startswith("FROM")}


def test_a_build_again_is_the_same_image(make: Build) -> None:
    first, second = make(TWO), make(TWO)
    assert second.image_id == first.image_id
    assert set(statuses(first).values()) == {"ran"}
    assert set(statuses(second).values()) == {"cached"}


def test_only_what_a_change_reaches_runs_again(make: Build, context: Path) -> None:
    make(TWO)
    (context / "d/one").write_text("changed")
    assert statuses(make(TWO)) == {"COPY d /d": "ran", "COPY a /a": "cached", "COPY --from=one /d /d": "ran"}


def test_metadata_and_times_invalidate_nothing(make: Build, context: Path) -> None:
    first = make(TWO)
    (context / "a").touch()
    second = make(TWO.replace("a=1", "a=2"))
    assert second.image_id != first.image_id
    assert set(statuses(second).values()) == {"cached"}


def test_the_cache_can_be_refused_for_all_or_for_a_stage(make: Build) -> None:
    first = make(TWO)
    again = make(TWO, no_cache=True)
    assert set(statuses(again).values()) == {"ran"}
    assert [step.diff_id for step in again.steps] == [step.diff_id for step in first.steps]
    some = statuses(make(TWO, no_cache_filter=("ONE",)))
    assert some == {"COPY d /d": "ran", "COPY a /a": "cached", "COPY --from=one /d /d": "cached"}


def test_stages_that_the_target_does_not_need_are_not_planned(make: Build, events: list[Event]) -> None:
    make("FROM scratch AS unused\nCOPY nothing /\nFROM scratch\nCOPY a /")
    planned = next(event for event in events if isinstance(event, Planned))
    assert [step.title for step in planned.steps] == ["FROM scratch", "COPY a /"]


# -- results -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("history", [True, False])
@pytest.mark.parametrize(("kind", "count"), [("new", 3), ("all", 1)])
def test_squashed_images_hold_the_same_files(make: Build, store: Store, kind: str, count: int, history: bool) -> None:
    base = new_image(store, [new_layer(store, {"base": b"1"}), new_layer(store, {"more": b"2"})], "base:1")
    if not history:  # old builders wrote none
        from layers.oci.image import describe, edit

        config = edit(base.config, diff_ids=base.config.diff_ids, history=[])
        store.images.add(describe(config, base.manifest.layers), config, [Reference.parse("base:1")])
    text = "FROM base:1\nCOPY a /a\nENV x=1\nCOPY d /d\n"
    plain, squashed = make(text), make(text, squash=kind)
    assert paths(store, squashed) == paths(store, plain)
    image, was = store.images.get(str(squashed.image_id)), store.images.get(str(plain.image_id))
    assert len(image.chain.diff_ids) == count
    if kind == "new":
        assert image.chain.diff_ids[:2] == was.chain.diff_ids[:2]
    assert [line.created_by for line in image.config.history] == [line.created_by for line in was.config.history]
    if history:
        assert sum(not line.empty_layer for line in image.config.history) == count


def test_an_epoch_makes_the_same_bytes_in_another_store(tmp_path: Path, context: Path) -> None:
    ids = set()
    for name in "xy":
        with Store.open(tmp_path / name) as store:
            request = BuildRequest(context=context, text=b"FROM scratch\nWORKDIR /w\nCOPY . .", epoch=1_000_000_000)
            ids.add(build(request, Workbench(store, no_runtime), lambda _: None, threading.Event()).image_id)
    assert len(ids) == 1


def test_outputs_hold_the_image(make: Build, tmp_path: Path, events: list[Event]) -> None:
    tags = (Reference.parse("out:1"),)
    places = {kind: tmp_path / kind for kind in ("oci", "docker", "tar", "local")}
    outputs = tuple(Output(kind, place) for kind, place in places.items())  # type: ignore[arg-type]
    result = make("FROM scratch\nCOPY d /d\nCOPY a /d/one\n", outputs=outputs, tags=tags)
    with tarfile.open(places["oci"]) as tar:
        assert "oci-layout" in tar.getnames()
        index = json.loads(tar.extractfile("index.json").read())  # type: ignore[union-attr]
        assert len(index["manifests"]) == 1
    with tarfile.open(places["docker"]) as tar:
        (entry,) = json.loads(tar.extractfile("manifest.json").read())  # type: ignore[union-attr]
        assert entry["RepoTags"] == ["out:1"]
        assert result.image_id.hex in entry["Config"]
    with tarfile.open(places["tar"]) as tar:
        assert tar.extractfile("d/one").read() == b"a"  # type: ignore[union-attr]
    assert (places["local"] / "d/one").read_text() == "a"
    assert (places["local"] / "d/link").readlink() == Path("one")
    assert [event.kind for event in events if isinstance(event, Exported)] == ["store", *places]
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_failed_build_leaves_the_tag_and_the_output_alone(make: Build, store: Store, tmp_path: Path) -> None:
    tag = Reference.parse("it:1")
    first = make("FROM scratch\nCOPY a /", tags=(tag,))
    dest = tmp_path / "out.tar"
    dest.write_text("before")
    with pytest.raises(ContextError):
        make("FROM scratch\nCOPY nothing /", tags=(tag,), outputs=(Output("tar", dest),))
    assert store.images.get(str(tag)).id == first.image_id
    assert dest.read_text() == "before"


def test_a_request_says_itself_what_it_cannot_mean(context: Path) -> None:
    request = BuildRequest(context=context)
    for wrong in ({"epoch": -1}, {"jobs": 0}, {"context": None}):
        with pytest.raises(ValueError, match=r"seconds|less than one|needs a context"):
            replace(request, **wrong)


def test_a_layer_that_goes_out_is_compressed_while_it_is_made(
    make: Build, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Output("oci", tmp_path / "out.tar", codec="zstd", level=1)
    text = "FROM scratch AS other\nCOPY a b.txt /x/\nFROM scratch\nCOPY d /d\nCOPY --from=other /x/a /x\n"
    result = make(text, outputs=(output,))
    diff_ids = store.images.get(str(result.image_id)).chain.diff_ids
    monkeypatch.setattr("layers.home.ingest.compress", None)  # would be called for a form that is not there
    forms = [store.variants.compress(diff_id, "zstd", 1) for diff_id in diff_ids]
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert {f"blobs/sha256/{form.digest.hex}" for form in forms} < set(archive.getnames())
    others = [one.diff_id for one in result.steps if one.diff_id and one.diff_id not in diff_ids]
    assert others
    assert not any(store.variants.forms(diff_id) for diff_id in others)


def test_a_failure_while_compressing_keeps_nothing(make: Build, store: Store, tmp_path: Path) -> None:
    (tmp_path / "context/big").write_bytes(os.urandom(9 << 20))
    before, blobs = threading.active_count(), set(store.blobs.all())

    def full(_: object) -> NoReturn:
        raise StoreFull("somewhere")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(StoreFull):
        patch.setattr("layers.tar.tarball.TarWriter.close", full)
        make("FROM scratch\nCOPY . /\n", outputs=(Output("oci", tmp_path / "out.tar"),))
    assert threading.active_count() <= before
    assert set(store.blobs.all()) == blobs
    assert not (tmp_path / "out.tar").exists()


def test_variables_where_no_other_builder_knows_them(make: Build, store: Store) -> None:
    text = "FROM scratch AS one\nCOPY a /x\nFROM scratch\nARG S P\nCOPY --from=$S x /y\nCOPY --exclude=${P}* . /z/\n"
    result = make(text, build_args={"S": "one", "P": "b"})
    assert {path for path in paths(store, result) if "b" in path} == set()
    assert paths(store, result)["y"] == "a"
    for line in ("COPY --from=$S x /", "COPY --exclude=$S a /"):
        with pytest.raises(DockerfileError, match="variable expansion is not supported") as failed:
            make(f"FROM scratch AS one\nFROM scratch\nARG S=one\n{line}\n", strict=True)
        assert (failed.value.span.line, failed.value.span.column) == (4, 6)
    with pytest.raises(DockerfileError, match="its variables are empty"):
        make("FROM scratch\nCOPY --from=$S x /\n")
    with pytest.raises(StageCycle):
        make("FROM scratch AS one\nARG S=two\nCOPY --from=$S a /\nFROM scratch AS two\nCOPY --from=one a /\n")
