"""SOURCE_DATE_EPOCH by argument, environment or default, as a number or as the name of what has a time."""

import io
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.build import BuildResult
from builder.errors import BuildError, ContextError, DockerfileError
from builder.events import Warned
from builder.sources.gitref import git_source
from builder.sources.named import Directory, ImageNamed, StageNamed
from builder.sources.web import web_source
from builder.times import EARLIEST, MAX_EPOCH, NAME, text
from layers import Store
from tests.support.building import Builds, tree
from tests.support.command import Pybuild
from tests.support.web import LAST_MODIFIED, MTIME, Page, Site, repository

FILE = "FROM scratch\nCOPY a /a\nWORKDIR /w\n"
HEADERS = {"Last-Modified": LAST_MODIFIED}
OLD, NEW = 1_200_000_000, 1_300_000_000


@pytest.fixture(scope="module")
def module_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("epoch") / "store") as store:
        yield store


@pytest.fixture
def builds(module_store: Store) -> Builds:
    return Builds(module_store)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return tree(tmp_path / "context", {"a": "a"})


def archive(**times: int) -> bytes:
    """A tar of a Dockerfile, `a` and more files of some times; its directory is younger than all of them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        folder = tarfile.TarInfo("folder")
        folder.type, folder.mtime = tarfile.DIRTYPE, NEW + 1000
        tar.addfile(folder)
        for name, moment in {"Dockerfile": 5, "a": 6, **times}.items():
            member, data = tarfile.TarInfo(name), FILE.encode() if name == "Dockerfile" else b"a"
            member.size, member.mtime = len(data), moment
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def created(builds: Builds, result: BuildResult) -> str:
    """The time of an image, and unless it is that of the clock of what its WORKDIR made."""
    when = builds.store.images.get(str(result.image_id)).config.created
    assert when is not None
    assert result.inputs[0].get("clock") or text(builds.entries(result)["w"].mtime_ns // 10**9) == when
    return when


def warnings(builds: Builds) -> list[str]:
    return [event.message for event in builds.events if isinstance(event, Warned)]


@given(epoch=st.integers(0, MAX_EPOCH) | st.integers(0, 2**31))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_number_is_the_same_from_wherever_it_comes(builds: Builds, context: Path, epoch: int) -> None:
    argument = builds(FILE, context=context, build_args={NAME: str(epoch)})
    default = builds(f"ARG {NAME}={epoch}\n{FILE}", context=context)
    expanded = builds(f"ARG X={epoch}\nARG {NAME}=$X\n{FILE}", context=context)
    over = builds(f"ARG {NAME}=12\n{FILE}", context=context, build_args={NAME: str(epoch)})
    odd = builds(FILE, context=context, build_args={NAME: f"+0{epoch}"})
    assert argument.target == default.target == expanded.target == over.target == odd.target
    assert created(builds, default) == text(epoch)
    assert default.inputs[0]["epoch"] == epoch
    assert builds.entries(default)["a"].mtime_ns <= epoch * 10**9


def test_what_says_nothing_leaves_it_to_the_inputs(builds: Builds, context: Path) -> None:
    plain = builds(FILE, context=context)
    assert created(builds, plain) == text(EARLIEST)
    for file, args in (
        (f"ARG {NAME}\n{FILE}", {}),
        (f"ARG {NAME}=\n{FILE}", {}),
        (f"ARG {NAME}=5\n{FILE}", {NAME: ""}),  # takes the default back
        (FILE, {NAME: ""}),
    ):
        assert builds(file, context=context, build_args=args).target == plain.target
    # An ARG in a stage is a variable of its commands, as with BuildKit.
    inside = builds(FILE.replace("COPY", f"ARG {NAME}=5\nCOPY"), context=context)
    assert created(builds, inside) == text(EARLIEST)


def test_files_are_left_alone_if_asked(builds: Builds, context: Path) -> None:
    os.utime(context / "a", (1.8e9, 1.8e9))
    made = builds(f"ARG {NAME}={NEW}\n{FILE}", context=context, rewrite=False, no_cache=True)
    assert created(builds, made) == text(NEW)
    assert builds.entries(made)["a"].mtime_ns == 1_800_000_000 * 10**9
    clock = builds(FILE, context=context, rewrite=False, no_cache=True)
    assert clock.inputs[0]["clock"] and created(builds, clock) > text(1_700_000_000)
    asked = builds(f"ARG {NAME}={NEW}\n{FILE}", context=context, clock=True, no_cache=True)
    assert created(builds, asked) > text(1_700_000_000)  # --timestamp now


@pytest.mark.parametrize("by", ["argument", "default"])
def test_the_context_gives_its_time(builds: Builds, site: Site, tmp_path: Path, by: str) -> None:
    line, args = ("", {NAME: "context"}) if by == "argument" else (f"ARG {NAME}=context\n", {})
    head = line + FILE

    def fill(folder: Path) -> None:
        tree(folder, {"Dockerfile": head, "a": "a"})

    assert site.repositories is not None
    repository(site.repositories / "app.git", fill)
    for fragment in ("", "?mtime=checkout"):
        source = git_source(f"{site.url}/git/app.git{fragment}")
        made = builds(source=source, build_args=args)
        assert created(builds, made) == text(MTIME)
    made = builds(source=source, build_args={**args, "BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1"})
    assert created(builds, made) == text(MTIME)
    # A URL: what the server says counts, else the newest file; so it does in an archive on standard input.
    packed = archive(old=OLD, new=NEW)
    site.pages = {"/said.tar": Page(packed, headers=HEADERS), "/silent.tar": Page(packed)}
    for page, moment in (("said", MTIME), ("silent", NEW)):
        made = builds(head, source=web_source(f"{site.url}/{page}.tar", name="context"), build_args=args)
        assert created(builds, made) == text(moment)
        assert made.inputs[0]["epoch"] == moment
    assert created(builds, builds(head, archive=io.BytesIO(packed), build_args=args)) == text(NEW)
    # The same as saying the number, but for how it is said.
    number = builds(FILE, archive=io.BytesIO(packed), build_args={NAME: str(NEW)})
    assert builds(FILE, archive=io.BytesIO(packed), build_args={NAME: "context"}).target == number.target
    assert not warnings(builds)


def test_a_directory_has_no_time(builds: Builds, context: Path) -> None:
    plain = builds(FILE, context=context)
    for file, args in ((FILE, {NAME: "context"}), (f"ARG {NAME}=context\n{FILE}", {})):
        assert builds(file, context=context, build_args=args).target == plain.target
        assert [f"{NAME}=context names what has no time" in one for one in warnings(builds)] == [True]
    with pytest.raises(DockerfileError, match=r"has no time.*\n--> Dockerfile:1:23"):
        builds(f"ARG {NAME}=context\n{FILE}", context=context, strict=True)
    # No command sees the word.
    made = builds(f"ARG {NAME}=context\n" + FILE.replace("COPY", f"ARG {NAME}\nCOPY"), context=context)
    assert f"ARG {NAME}" in builds.history(made)


def test_contexts_with_names_and_stages_give_their_time(builds: Builds, site: Site, context: Path) -> None:
    assert site.repositories is not None
    commit = repository(site.repositories / "lib.git", lambda folder: (folder / "x").write_text("x"))
    site.pages = {"/f": Page(b"f", headers=HEADERS), "/t.tar": Page(archive(new=NEW)), "/bare": Page(b"bare")}
    places = {
        "lib": git_source(f"{site.url}/git/lib.git"),
        "page": web_source(f"{site.url}/f"),
        "box": web_source(f"{site.url}/t.tar"),
        "way": StageNamed("when"),
    }
    stages = (
        f"ARG WHERE={site.url}\nFROM scratch AS when\nARG WHERE\nARG FILE=t.tar\nADD $WHERE/$FILE /\n"
        f"FROM scratch AS Lib2\nADD --checksum={commit} {site.url}/git/lib.git /src\n"
    )
    for name, moment in {"lib": MTIME, "page": MTIME, "box": NEW, "way": NEW, "when": NEW, "lib2": MTIME}.items():
        made = builds(stages + FILE, context=context, contexts=places, build_args={NAME: name})
        assert created(builds, made) == text(moment), name
        there = builds(f"ARG {NAME}={name}\n{stages}{FILE}", context=context, contexts=places)
        assert there.target == made.target
    args = {NAME: "when", "FILE": "f"}
    assert created(builds, builds(stages + FILE, context=context, build_args=args)) == text(MTIME)
    # A context hides the stage of its name; what has no time is told.
    for place in (Directory(context), ImageNamed("busybox"), web_source(f"{site.url}/bare")):
        made = builds(stages + FILE, context=context, contexts={"when": place}, build_args={NAME: "when"})
        assert created(builds, made) == text(EARLIEST)
        assert f"{NAME}=when names what has no time" in "".join(warnings(builds))


def test_a_dry_run_agrees(builds: Builds, site: Site, context: Path) -> None:
    site.pages = {"/f": Page(b"f", headers=HEADERS)}
    file = f"ARG {NAME}=when\nFROM scratch AS when\nADD {site.url}/f /\n{FILE}# {context}\n"
    builds(file, context=context)
    assert builds.foreseen(file, context=context) == ["hit", "hit", "hit"]
    site.pages["/f"].headers = {"Last-Modified": "Thu, 01 Jan 2009 00:00:00 GMT"}
    assert builds.foreseen(file, context=context) == ["hit", "miss", "miss"]


def test_what_names_nothing_is_refused_where_it_stands(builds: Builds, site: Site, context: Path) -> None:
    for wrong in ("'soon'", "'1.5'", "' 5'", "'0x10'", "-1", str(MAX_EPOCH + 1)):
        with pytest.raises(BuildError, match=f"invalid {NAME}: {wrong}\nhelp: "):
            builds(FILE, context=context, build_args={NAME: wrong.strip("'")})
        with pytest.raises(DockerfileError, match=f"invalid {NAME}: {wrong}\n--> Dockerfile:1:23"):
            builds(f"ARG {NAME}={wrong}\n{FILE}", context=context)
    with pytest.raises(ContextError) as missing:
        builds(f"FROM scratch AS x\nADD {site.url}/none /\n{FILE}", context=context, build_args={NAME: "x"})
    assert missing.value.__notes__ == [f"its time was wanted for {NAME}=x"]
    site.asked.clear()
    near = f"FROM scratch AS sources\nADD {site.url}/f /\n{FILE}"
    with pytest.raises(BuildError, match="did you mean sources"):
        builds(near, context=context, build_args={NAME: "source"})
    for stage in (
        "FROM scratch AS x\n",
        f"FROM scratch AS x\nADD {site.url}/f /\nADD {site.url}/f /g\n",
        f"FROM scratch AS x\nADD {site.url}/f {site.url}/g /d/\n",
        f"FROM scratch AS x\nADD {site.url}/f a /d/\n",
        f"FROM scratch AS x\nADD {site.url}/f /\nCOPY a /\n",
        f"FROM scratch AS x\nADD {site.url}/f /\nWORKDIR /w\n",
        f"FROM busybox AS x\nADD {site.url}/f /\n",
        "FROM scratch AS x\nADD a /\n",
    ):
        with pytest.raises(DockerfileError, match="stage x cannot give"):
            builds(stage + FILE, context=context, build_args={NAME: "x"})
    assert site.asked == []


def test_provenance_names_what_the_time_is_of(pybuild: Pybuild, site: Site, context: Path) -> None:
    site.pages = {"/f": Page(b"f", headers=HEADERS)}
    (context / "Dockerfile").write_text(f"FROM scratch AS when\nADD {site.url}/f /\n{FILE}")
    pybuild.build(context, "--build-arg", f"{NAME}=when", "--provenance=true", "-t", "app")
    told = json.loads(pybuild.text("provenance", "app"))["buildDefinition"]["resolvedDependencies"]
    assert told == [{"uri": f"{site.url}/f", "digest": {"sha256": sha256(b"f").hexdigest()}}]


@given(value=st.text() | st.from_regex(r"[+-]?[0-9]+"))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_a_time_or_a_clear_error(builds: Builds, context: Path, value: str) -> None:
    stages = f"FROM scratch AS x\nFROM x AS y\n{FILE}"
    with suppress(BuildError):
        builds(stages, context=context, contexts={"lib": Directory(context)}, build_args={NAME: value})


@pytest.mark.root
def test_commands_environment_and_verify(shared_pybuild: Pybuild, tmp_path: Path, site: Site) -> None:
    """RUN is told the seconds, however they were named; the environment counts; a rebuild uses those of the image."""
    site.pages = {"/f": Page(b"f", headers=HEADERS)}
    stage, run = f"FROM scratch AS when\nADD {site.url}/f /\n", f"RUN echo ${NAME} >/seen\nWORKDIR /w\n"
    context = tree(tmp_path / "context", {"Dockerfile": f"{stage}FROM busybox\n{run}"})
    dated = replace(shared_pybuild, env={**shared_pybuild.env, NAME: str(MTIME)})
    ids = {dated.build(context), shared_pybuild.build(context, "--build-arg", f"{NAME}=when", "-t", "epoch:1")}
    (context / "Dockerfile").write_text(f"ARG {NAME}=when\n{stage}FROM busybox\n{run}")
    ids.add(shared_pybuild.build(context, "-t", "epoch:2"))
    assert len(ids) == 1
    assert shared_pybuild.text("run", "--rm", "epoch:2", "cat", "/seen") == str(MTIME)
    shared_pybuild("verify", "-q", "epoch:2")
    (context / "docker-bake.json").write_text('{"target": {"default": {"tags": ["epoch:3"]}}}')
    shared_pybuild("bake", "--progress=quiet", cwd=context)
    assert shared_pybuild.text("images", "-q", "--no-trunc", "epoch:3") in ids
    # With --timestamp as well, that is the time; the argument is the number all the same.
    (context / "Dockerfile").write_text(f"{stage}FROM busybox\nARG {NAME}\n{run}")
    image = shared_pybuild.build(context, "--build-arg", f"{NAME}=when", "--timestamp", str(OLD))
    assert shared_pybuild.text("inspect", "--format", "{{.Created}}", image).startswith("2008-01-10")
    assert shared_pybuild.text("run", "--rm", image, "cat", "/seen") == str(MTIME)
    error = shared_pybuild("build", "--build-arg", f"{NAME}=soon", context, code=1).stderr
    assert error.endswith(
        f"error: invalid {NAME}: 'soon'\nhelp: write seconds since 1970, context, or a context or stage\n"
    )
