"""`pybuild cache` as people use it: what was kept, why it was made, how it goes."""

import fcntl
import json
import os
import time
from pathlib import Path

import pytest

from layers import Digest, Store
from layers.home.caches import Caches
from tests.support.command import Pybuild

TEXT = "FROM scratch\nCOPY a b /\nWORKDIR /w\n"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    (directory / "a").write_text("1")
    (directory / "b").write_text("1")
    (directory / "Dockerfile").write_text(TEXT)
    return directory


def rows(pybuild: Pybuild, *flags: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in pybuild.text("cache", "ls", "--format", "json", *flags).splitlines()]


def mount(pybuild: Pybuild, name: str) -> Path:
    """A cache mount of that name, as a RUN leaves one."""
    with (
        Store.open(pybuild.root) as store,
        Caches(store).use(Digest.of(name.encode()), name, "shared", Path.mkdir, lambda: None) as path,
    ):
        (path / "kept").write_bytes(b"k" * 20_000)
        return path.parent


def test_what_is_kept_is_listed_by_use(pybuild: Pybuild, context: Path) -> None:
    assert pybuild.text("cache", "ls").splitlines()[0].split() == [
        "ID", "RECLAIMABLE", "SIZE", "LAST", "ACCESSED", "TYPE", "DESCRIPTION",
    ]  # fmt: skip
    time.sleep(0.06)  # the stat cache does not trust what is younger
    pybuild.build(context, "-t", "app")
    mount(pybuild, "/root/.cache")
    found = rows(pybuild)
    assert {(row["Type"], row["Description"]) for row in found} == {
        ("regular", "[stage-0 2] COPY a b /"),
        ("regular", "[stage-0 3] WORKDIR /w"),
        ("source.local", f"what is known of the files in {context}"),
        ("exec.cachemount", "cached mount /root/.cache"),
    }
    assert {row["Type"] for row in rows(pybuild, "-v")} > {row["Type"] for row in found}
    assert [row["Reclaimable"] for row in rows(pybuild, "--filter", "type=regular")] == ["false"] * 2
    assert len({row["ID"] for row in rows(pybuild, "-v")}) == len(rows(pybuild, "-v"))
    assert rows(pybuild, "--filter", "until=1h") == []
    pybuild("rmi", "app")
    assert [row["Reclaimable"] for row in rows(pybuild, "--filter", "description=COPY")] == ["true"]
    assert pybuild.text("cache", "ls").splitlines()[-1].startswith("Total: ")
    assert "error:" in pybuild("cache", "ls", "--filter", "colour=red", code=2).stderr


def test_a_result_or_a_mount_can_be_removed(pybuild: Pybuild, context: Path) -> None:
    pybuild.build(context)
    path = mount(pybuild, "/root/.cache")
    (copy,) = rows(pybuild, "--filter", "description=COPY")
    assert pybuild.text("cache", "rm", copy["ID"][:8], "/root/.cache").splitlines()[0] == copy["ID"]
    assert not path.exists()
    assert rows(pybuild, "--filter", "description=COPY") == []
    assert "'cache ls'" in pybuild("cache", "rm", "nothing", code=2).stderr.replace("pybuild ", "")


def test_a_mount_in_use_stays(pybuild: Pybuild) -> None:
    path = mount(pybuild, "busy")
    held = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_SH)
        assert "is in use" in pybuild("cache", "rm", "busy", code=1).stderr
        pybuild("cache", "prune", "--all", "--force")
        assert path.exists()
    finally:
        os.close(held)
    pybuild("cache", "prune", "--all", "--force")
    assert not path.exists()


def test_prune_takes_what_no_image_needs_or_what_fits(pybuild: Pybuild, context: Path) -> None:
    pybuild.build(context, "-t", "app")
    assert "--force" in pybuild("cache", "prune", code=2).stderr
    pybuild("cache", "prune", "--force")
    assert len(rows(pybuild, "--filter", "type=regular")) == 2
    mount(pybuild, "one")
    told = pybuild.text("cache", "prune", "--dry-run", "--filter", "type=exec.cachemount")
    assert told.splitlines()[0].startswith("Would delete: ")
    assert len(rows(pybuild, "--filter", "type=exec.cachemount")) == 1
    pybuild("cache", "prune", "--force", "--filter", "type=exec.cachemount")
    assert rows(pybuild, "--filter", "type=exec.cachemount") == []
    pybuild("cache", "prune", "--force", "--all", "--filter", "until=1h")
    assert len(rows(pybuild, "--filter", "type=regular")) == 2
    assert "Results: " in pybuild.text("cache", "prune", "--force", "--all")
    assert rows(pybuild, "-v") == []
    assert "app" in pybuild.text("images")


def test_a_build_that_is_done_can_be_explained(pybuild: Pybuild, context: Path) -> None:
    assert "nothing was built" in pybuild("cache", "explain", code=2).stderr
    pybuild.build(context, "-t", "one")
    (context / "a").chmod(0o600)
    pybuild.build(context, "-t", "two")
    told = pybuild.text("cache", "explain").splitlines()
    assert told[0].endswith("2 of 3 steps ran")
    assert told[2:] == ["    file a: mode 0644 -> 0600", told[3], "    COPY a b / ran again"]
    (row,) = [json.loads(line) for line in pybuild.text("cache", "explain", "COPY*", "--format=json").splitlines()]
    assert row["Changes"] == [{"Kind": "file", "Name": "a", "What": "mode", "Old": "0644", "New": "0600"}]
    assert pybuild.text("cache", "explain", "2").splitlines()[1:] == told[1:3]
    assert "never built here" in pybuild.text("cache", "explain", "--image", "one")
    pybuild.build(context, "--always", "WORKDIR*")
    assert "--always WORKDIR*" in pybuild.text("cache", "explain")
    pybuild.build(context)
    assert pybuild.text("cache", "explain").endswith("0 of 3 steps ran")
    assert "no step" in pybuild("cache", "explain", "2", code=2).stderr
