"""prune, system df and system check as people use them."""

import json
from pathlib import Path

import pytest

from layers import Store
from tests.support.command import Pybuild
from tests.support.stored import new_image, new_layer


@pytest.fixture
def pybuild(tmp_path: Path) -> Pybuild:
    """A store of an image "app:1", one without a name, and a cache record; nothing is built for that."""
    with Store.open(tmp_path / "store") as store:
        low = new_layer(store, {"low": b"low" * 1000})
        new_image(store, [low, new_layer(store, {"app": b"a" * 50_000})], "app:1")
        new_image(store, [low, new_layer(store, {"old": b"o" * 50_000})], created="2019-01-01T00:00:00Z")
        lone = new_layer(store, {"cached": b"c" * 70_000})
        store.records.keep("step:0123456789abcdef", {"parts": {"kind": "run"}}, [lone.diff_id])
    return Pybuild(tmp_path / "store")


def test_a_dry_run_asks_nobody_and_removes_nothing(pybuild: Pybuild) -> None:
    told = pybuild.text("prune", "--all", "--dry-run").splitlines()
    assert told[0] == "Would untag: app:1"
    assert sum(line.startswith("Would delete: sha256:") for line in told) == 2
    assert any(line.startswith("Build cache: 1, ") for line in told)
    assert told[-1].startswith("Total reclaimable space: ")
    assert "app" in pybuild.text("images")
    done = pybuild.text("prune", "--all", "--force").splitlines()
    assert done[-1].split()[-1] == told[-1].split()[-1]
    assert pybuild.text("images", "-q") == ""
    assert pybuild.text("prune", "--all", "--force") == "Total reclaimed space: 0B"


def test_filters_of_prune(pybuild: Pybuild) -> None:
    assert "app" not in pybuild.text("prune", "--all", "--filter", "until=1h", "--dry-run")
    assert "app" not in pybuild.text("prune", "--all", "--filter", "label=stage", "--dry-run")
    assert "app" in pybuild.text("prune", "--all", "--filter", "label!=stage", "--dry-run")
    assert "app" in pybuild.text("prune", "--all", "--filter", "until=2999-01-01", "--dry-run")
    assert "Build cache" not in pybuild.text("prune", "--force", "--keep-storage", "1g")
    assert "Build cache: 1" in pybuild.text("prune", "--force", "--keep-storage", "1k")
    for wrong in (["--filter", "until=soon"], ["--filter", "size=1"], ["--keep-storage", "much"]):
        assert "error:" in pybuild("prune", "--force", *wrong, code=2).stderr
    assert "--force" in pybuild("prune", code=2).stderr
    for ages in (["--filter", "until=1h"], ["--until", "1h"], ["--filter", "unused-for=1h"]):
        assert "has no ages" in pybuild("prune", "--force", "--volumes", *ages, code=2).stderr
    assert "has no ages" in pybuild("system", "prune", "--volumes", "--filter", "until=1h", code=2).stderr


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["prune"], "images without a name"),
        (["system", "prune"], "all containers that do not run"),
        (["container", "prune"], "every container"),
        (["volume", "prune"], "all volumes without a name"),
        (["network", "prune"], "all networks"),
        (["cache", "prune"], "results"),
    ],
)
def test_all_that_removes_asks_in_the_same_words(pybuild: Pybuild, words: list[str], what: str) -> None:
    asked = pybuild(*words, stdin="n\n")
    assert asked.stderr.startswith(f"WARNING! This will remove {what}")
    assert asked.stderr.endswith("Are you sure you want to continue? [y/N] nothing was removed\n")
    assert asked.stdout == ""
    assert "say --force" in pybuild(*words, code=2).stderr
    assert "app" in pybuild.text("images")
    pybuild(*words, stdin="y\n")


def test_prune_of_a_noun_takes_what_the_noun_says(pybuild: Pybuild) -> None:
    """docker builder prune -af spares images, docker image prune -af the cache."""
    assert "0123456789ab" in pybuild.text("buildx", "du")
    assert pybuild.text("image", "prune", "-f", "--filter", "label=a") == "Total reclaimed space: 0B"
    told = pybuild.text("image", "prune", "-f").splitlines()
    assert told[0] == "Deleted Images:" and told[1].startswith("deleted: sha256:") and len(told) == 4
    assert "0123456789ab" in pybuild.text("cache", "ls") and "app" in pybuild.text("images")
    assert "untagged: app:1" in pybuild.text("image", "prune", "-a", "-f")
    assert "0123456789ab" in pybuild.text("cache", "ls")
    with Store.open(pybuild.root) as store:
        new_image(store, [new_layer(store, {"low": b"low"})], "app:2")
    for words in (["builder", "prune", "-a", "-f"], ["buildx", "prune", "-a", "-f", "--max-used-space", "1g"]):
        pybuild(*words)
        assert "app" in pybuild.text("images")
    assert "0123456789ab" not in pybuild.text("cache", "ls")


def test_inspect_of_a_noun_looks_there_only(pybuild: Pybuild) -> None:
    assert json.loads(pybuild.text("image", "inspect", "app:1"))[0]["RepoTags"] == ["app:1"]
    assert "no container 'app:1'" in pybuild("container", "inspect", "app:1", code=1).stderr


def test_versions_and_facts_as_templates(pybuild: Pybuild) -> None:
    version = pybuild.text("version", "--format", "{{.Client.Version}}")
    assert version == pybuild.text("info", "-f", "{{.ServerVersion}}") == pybuild.text("version").split()[1]
    said = json.loads(pybuild.text("version", "--format", "json"))
    assert said["Server"]["Os"] == "linux" and said["Server"]["Components"]
    facts = json.loads(pybuild.text("system", "info", "--format", "json"))
    assert (facts["Images"], facts["Containers"], facts["DockerRootDir"]) == (2, 0, str(pybuild.root))
    assert "there are .Containers" in pybuild("info", "-f", "{{.Absent}}", code=2).stderr
    assert json.loads(pybuild.text("inspect", "--format", "json", "app:1"))[0]["RepoTags"] == ["app:1"]


def test_disk_usage(pybuild: Pybuild) -> None:
    rows = [json.loads(line) for line in pybuild.text("system", "df", "--format", "json").splitlines()]
    kinds = ["Images", "Containers", "Local Volumes", "Build Cache", "Unpacked Layers"]
    assert [row["Type"] for row in rows][:5] == kinds
    assert (rows[0]["TotalCount"], rows[3]["TotalCount"]) == ("2", "1")
    assert pybuild.text("system", "df").splitlines()[0].split() == ["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]
    every = pybuild.text("system", "df", "-v")
    for words in ("SHARED SIZE   UNIQUE SIZE", "CACHE ID", "CONTAINER ID", "0123456789ab   run"):
        assert words in every
    assert "help:" in pybuild("system", "df", "-v", "--format", "json", code=2).stderr


def test_check_tells_what_is_damaged_and_what_to_do(pybuild: Pybuild) -> None:
    assert pybuild.text("system", "check").endswith("no damage")
    with Store.open(pybuild.root) as store:
        layer = store.images.get("app:1").config.diff_ids[-1]
        path = store.blobs.path(layer)
    path.chmod(0o600)
    path.write_bytes(b"zeros" + bytes(100))
    assert "no damage" in pybuild.text("system", "check", "--quick")
    found = pybuild("system", "check", code=1).stdout
    assert f"blob {layer}: the digest of its 105 bytes is sha256:" in found
    assert "needed by: docker.io/library/app:1" in found
    assert "help: pybuild system check --repair" in found
    repaired = pybuild("system", "check", "--repair", code=1).stdout
    assert f"repaired: moved to damaged/sha256.{layer.hex}" in repaired
    assert "lost: app:1; pull or build it again" in repaired
    assert pybuild.text("system", "check").endswith("no damage")


@pytest.mark.root
def test_containers_that_do_not_run_are_counted(pybuild: Pybuild) -> None:
    pybuild("create", "--name", "idle", "app:1", "sh")
    assert "app" not in pybuild.text("prune", "--all", "--dry-run")
    told = pybuild.text("prune", "--all", "--containers", "--dry-run").splitlines()
    assert told[:2] == ["Would delete container: idle", "Would untag: app:1"]
    assert any(line.startswith("Containers: 1, ") for line in told)
    done = pybuild.text("prune", "--all", "--containers", "--force").splitlines()
    assert done[-1].split()[-1] == told[-1].split()[-1]
    assert pybuild.text("ps", "-aq") == ""
