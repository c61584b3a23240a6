"""Reproducible builds: the same inputs make the same bytes on another day and elsewhere; verify says what differs."""

import json
import os
import shutil
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.command import Pybuild
from tests.support.images import read_image
from tests.support.web import repository, website

EPOCH = "1700000000"
TEXT = "FROM scratch\nCOPY --chown=1:2 a b /d/\nCOPY <<x /x\nhere\nx\nWORKDIR /w\nADD t.tar /t/\n"
Make = Callable[[str, float], Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """The same files in another directory, of another time."""

    def make(name: str, moment: float) -> Path:
        directory = tmp_path / name
        directory.mkdir()
        (directory / "a").write_text("a")
        (directory / "b").mkdir()
        (directory / "b/c").write_text("c")
        with tarfile.open(directory / "t.tar", "w") as archive:
            archive.addfile(tarfile.TarInfo("old"))
        (directory / "Dockerfile").write_text(TEXT)
        for path in (*directory.rglob("*"), directory):
            os.utime(path, (moment, moment))
        return directory

    return make


@pytest.fixture
def dated(pybuild: Pybuild) -> Pybuild:
    return replace(pybuild, env={**pybuild.env, "SOURCE_DATE_EPOCH": EPOCH})


def times(command: Pybuild, tmp_path: Path, context: Path, *flags: str) -> set[float]:
    """The times of all files in the layers of a build."""
    command.build(context, "-o", f"type=oci,dest={tmp_path}/out.tar", *flags)
    found: set[float] = set()
    for layer in read_image(tmp_path / "out.tar").layers:
        (tmp_path / "layer").write_bytes(layer)
        with tarfile.open(tmp_path / "layer") as archive:
            found |= {member.mtime for member in archive}
    return found


def test_the_same_inputs_are_the_same_image_elsewhere_and_later(
    dated: Pybuild, pybuild: Pybuild, make: Make, tmp_path: Path
) -> None:
    one, two = make("one", 1.8e9), make("two", 1.9e9)
    other = replace(dated, root=tmp_path / "other")
    for flags in ([], ["--rewrite-timestamp"], ["-o", f"type=oci,dest={tmp_path}/o.tar,rewrite-timestamp=true"]):
        assert dated.build(one, *flags) == other.build(two, *flags) == dated.build(two, *flags)
    plain = replace(pybuild, root=tmp_path / "third")
    arg = ("--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}", "--rewrite-timestamp")
    assert plain.build(two, *arg) == dated.build(one, "--rewrite-timestamp")
    assert plain.build(one, "--timestamp", EPOCH) == other.build(two, "--timestamp", EPOCH)


def test_what_is_older_than_the_time_keeps_its_own_unless_all_are_to_have_it(
    dated: Pybuild, make: Make, tmp_path: Path
) -> None:
    directory = make("one", 1.6e9)
    assert times(dated, tmp_path, directory, "--rewrite-timestamp") == {0, 1.6e9, int(EPOCH)}
    assert times(dated, tmp_path, directory, "--timestamp", EPOCH) == {int(EPOCH)}
    late = make("two", 1.8e9)
    assert times(dated, tmp_path, late, "--no-cache") == {0, int(EPOCH)}
    assert times(dated, tmp_path, late, "--no-cache", "--no-rewrite-timestamp") == {0, 1.8e9, int(EPOCH)}


def test_by_the_clock_files_keep_their_times(pybuild: Pybuild, make: Make, tmp_path: Path) -> None:
    directory = make("one", 1.6e9)
    before = int(time.time())
    for flags in (
        ("--timestamp", "now"),
        ("--no-cache", "-o", f"type=oci,dest={tmp_path}/other.tar,rewrite-timestamp=false"),
    ):
        found = times(pybuild, tmp_path, directory, *flags)
        assert {moment for moment in found if moment < before} == {0, 1.6e9}
        assert any(moment >= before for moment in found)  # of the WORKDIR
    assert json.loads(pybuild.text("inspect", pybuild.build(directory, "--timestamp", "now")))[0]["Created"] > "2026"
    assert (
        "cannot be rewritten" in pybuild("build", "--timestamp", "now", "--rewrite-timestamp", directory, code=2).stderr
    )


def test_config_and_history_have_the_time_even_of_what_was_cached(pybuild: Pybuild, dated: Pybuild, make: Make) -> None:
    directory = make("one", 1.6e9)
    pybuild.build(directory)
    image = json.loads(pybuild.text("inspect", dated.build(directory)))[0]
    assert image["Created"] == "2023-11-14T22:13:20Z"
    lines = [json.loads(line) for line in pybuild.text("history", "--format=json", image["Id"]).splitlines()]
    assert {line["CreatedAt"][:10] for line in lines} == {"2023-11-14"}


def test_files_that_leave_the_store_have_the_time(dated: Pybuild, make: Make, tmp_path: Path) -> None:
    directory = make("one", 1.6e9)
    dated.build(directory, "-o", f"type=tar,dest={tmp_path}/root.tar", "-o", f"type=local,dest={tmp_path}/root")
    with tarfile.open(tmp_path / "root.tar") as archive:
        assert {member.mtime for member in archive} == {int(EPOCH)}
    assert {path.lstat().st_mtime for path in (tmp_path / "root").rglob("*")} == {int(EPOCH)}


def test_times_that_are_none_are_refused(pybuild: Pybuild, make: Make) -> None:
    directory = make("one", 1.6e9)
    for wrong in ("soon", "-1", "1.5"):
        told = pybuild("build", "--build-arg", f"SOURCE_DATE_EPOCH={wrong}", directory, code=1).stderr
        assert "error: invalid SOURCE_DATE_EPOCH: " in told and wrong in told
    for wrong in ("soon", "-1", "1.5", ""):
        assert "nor now" in pybuild("build", "--timestamp", wrong, directory, code=2).stderr
    assert "true or false" in pybuild("build", "-o", "type=oci,dest=x,rewrite-timestamp=2", directory, code=2).stderr


def test_an_image_is_verified_from_what_it_was_built_of(dated: Pybuild, make: Make) -> None:
    directory, other = make("one", 1.8e9), make("two", 1.9e9)
    dated.build(directory, "--rewrite-timestamp", "-t", "app", "--label", "a=b", "--squash=new")
    images = dated.text("images", "-q")
    # Neither the environment of now nor the directory matter, and nothing stays.
    plain = replace(dated, env={key: value for key, value in dated.env.items() if key != "SOURCE_DATE_EPOCH"})
    assert plain.text("verify", "-q", "app").startswith("app is reproducible: ")
    plain("verify", "-q", "app", other)
    assert plain.text("images", "-q") == images
    assert "--label" not in plain("build", "--dry-run", "--exit-code", directory, "--timestamp", EPOCH, code=1).stdout


def test_what_differs_is_named(pybuild: Pybuild, make: Make) -> None:
    directory, other = make("one", 1.8e9), make("two", 1.9e9)
    pybuild.build(directory, "-t", "app", "--timestamp", "now")
    told = pybuild("verify", "-q", "app", other, code=1).stdout
    assert "config created: " in told and "C /d/a  (mtime 2027" in told
    assert "but for times" in pybuild.text("verify", "-q", "--ignore-times", "app", other)
    (other / "a").write_text("other")
    (other / "b/new").write_text("")
    (other / "Dockerfile").write_text(TEXT + "ENV A=b\n")
    told = pybuild("verify", "-q", "--ignore-times", "app", other, code=1).stdout
    for line in ("input files of the context: ", "input Dockerfile: ", "config config.Env[1]: ", "A /d/new"):
        assert line in told or line.startswith("config")
    assert "C /d/a  (content 1B -> 5B)" in told and told.endswith("\n") and "is not reproducible" in told
    found = json.loads(pybuild("verify", "--format=json", "app", other, code=1).stdout)
    assert not found["Same"] and {key["Key"] for key in found["Inputs"]} == {"read", "dockerfile"}
    assert [file["Path"] for file in found["Layers"][0]["Files"] if "content" in file["Reasons"]] == ["/d/a"]


def test_what_was_built_elsewhere_needs_its_directory(pybuild: Pybuild, make: Make, tmp_path: Path) -> None:
    directory = make("one", 1.8e9)
    pybuild.build(directory, "-t", "app", "-o", f"type=oci,dest={tmp_path}/app.tar")
    other = replace(pybuild, root=tmp_path / "other")
    other("load", "-i", tmp_path / "app.tar")
    assert "give CONTEXT" in other("verify", "app", code=2).stderr
    other("verify", "-q", "app", directory)
    (tmp_path / "gone").mkdir()
    directory.rename(tmp_path / "gone/one")
    assert "no directory now" in pybuild("verify", "app", code=2).stderr


def test_contexts_of_all_kinds(dated: Pybuild, make: Make, tmp_path: Path) -> None:
    directory, lib = make("one", 1.8e9), make("two", 1.8e9)
    (directory / "Dockerfile").write_text("FROM scratch\nCOPY --from=lib a /a\n")
    dated.build(directory, "--rewrite-timestamp", "--build-context", f"lib={lib}", "-t", "app")
    assert "give it again" in dated("verify", "app", code=2).stderr
    dated("verify", "-q", "app", "--build-context", f"lib={lib}")
    with tarfile.open(tmp_path / "context.tar", "w") as archive:
        archive.add(lib, "")
    dated("build", "-q", "--rewrite-timestamp", "-t", "streamed", "-", stdin=(tmp_path / "context.tar").read_bytes())
    assert "standard input" in dated("verify", "streamed", code=2).stderr
    dated("verify", "-q", "streamed", lib)
    with website() as site:
        site.repositories = tmp_path / "repositories"
        repository(site.repositories / "app.git", lambda folder: shutil.copytree(lib, folder, dirs_exist_ok=True))
        dated("build", "-q", "--rewrite-timestamp", "-t", "cloned", f"{site.url}/git/app.git")
        dated("verify", "-q", "cloned")


@pytest.mark.root
def test_commands_leave_nothing_of_their_sandbox_behind(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "f").write_text("f")
    (context / "Dockerfile").write_text(
        "FROM busybox\nRUN --mount=type=bind,source=f,target=/mnt/f --mount=type=cache,target=/var/c,id=verify"
        " --mount=type=tmpfs,target=/t cat /mnt/f > /var/c/x; mkdir /made; ln -s x /made/l; touch -d @5 /made/old\n"
    )
    flags = ("--timestamp", EPOCH, "-t", "left:1", "-o", f"type=oci,dest={tmp_path}/out.tar")
    shared_pybuild.build(context, *flags)
    (tmp_path / "layer").write_bytes(read_image(tmp_path / "out.tar").layers[-1])
    with tarfile.open(tmp_path / "layer") as archive:
        assert archive.getnames() == ["made", "made/l", "made/old"]
        assert {member.mtime for member in archive} == {int(EPOCH)}
    shared_pybuild("verify", "-q", "left:1")
    shared_pybuild("cache", "rm", "verify")


@pytest.mark.root
def test_what_is_new_each_time_is_told_with_what_to_do(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    places = "/var/log/apt/history.log /var/log/dpkg.log /var/cache/ldconfig/aux-cache /etc/machine-id /srv/mine"
    make = f"for i in {places}; do mkdir -p ${{i%/*}}; cat /proc/sys/kernel/random/uuid >$i; done"
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN {make}\n")
    shared_pybuild.build(tmp_path, "-t", "volatile:1")
    told = shared_pybuild("verify", "-q", "volatile:1", code=1).stdout
    words = told.splitlines()[-1].split("with rm -rf ")[1]
    assert words == "/etc/machine-id /var/cache/ldconfig/aux-cache /var/log/*.log /var/log/apt/*"
    # As it says, and one more that nobody knows.
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN {make}; rm -rf {words}\n")
    shared_pybuild.build(tmp_path, "-t", "volatile:1")
    assert shared_pybuild("verify", "-q", "volatile:1", code=1).stdout.splitlines()[-1].startswith("volatile:1 is not")
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN {make}; rm -rf {words} /srv/mine\n")
    shared_pybuild.build(tmp_path, "-t", "volatile:1")
    shared_pybuild("verify", "-q", "volatile:1")
