"""Manifest lists: made of images of the store and of registries, changed, pushed; buildah and skopeo read them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Pybuild
from tests.support.peers import need
from tests.support.registry import RegistryServer


@pytest.fixture
def parts(pybuild: Pybuild, registry: RegistryServer, tmp_path: Path) -> tuple[str, str]:
    """An image for amd64 in the store, one for arm64 in the registry only."""
    name = registry.reference(tmp_path.name.lower())
    (tmp_path / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nLABEL of=$TARGETARCH\nCOPY Dockerfile /\n")
    pybuild.build(tmp_path, "--platform", "linux/amd64", "-t", f"{name}:amd64")
    pybuild.build(tmp_path, "--platform", "linux/arm64", "-t", f"{name}:arm64", "--push")
    pybuild("rmi", f"{name}:arm64")
    return f"{name}:amd64", f"{name}:arm64"


def raw(place: str) -> dict[str, Any]:
    need("skopeo")
    told = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{place}"]
    return dict(json.loads(subprocess.run(told, capture_output=True, check=True).stdout))


def listed(command: Pybuild, name: str) -> list[Any]:
    return list(json.loads(command.text("manifest", "inspect", name))["manifests"])


def test_a_list_of_two_places_is_pushed(pybuild: Pybuild, parts: tuple[str, str], tmp_path: Path) -> None:
    name = f"{parts[0].rpartition(':')[0]}:all"
    assert pybuild.text("manifest", "create", name, *parts) == f"Created manifest list {name}"
    assert [one["platform"] for one in listed(pybuild, name)] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
    ]
    digest = pybuild.text("manifest", "push", "-q", "--digestfile", tmp_path / "digest", name)
    assert (tmp_path / "digest").read_text() == digest
    index = raw(name)
    there = json.loads(
        subprocess.run(
            ["skopeo", "inspect", "--tls-verify=false", f"docker://{parts[1]}"], capture_output=True, check=True
        ).stdout
    )
    assert index["manifests"][1]["digest"] == there["Digest"], "what came from a registry goes back as it was"
    for arch in ("amd64", "arm64"):
        words = ["skopeo", f"--override-arch={arch}", "inspect", "--tls-verify=false", f"docker://{name}"]
        assert json.loads(subprocess.run(words, capture_output=True, check=True).stdout)["Labels"] == {"of": arch}
    assert json.loads(pybuild.text("manifest", "inspect", name))["schemaVersion"] == 2
    pybuild("manifest", "push", "--purge", name, f"{name}-again")
    pybuild("manifest", "exists", name, code=1)
    assert pybuild("run", "--rm", parts[0], "x", code=127) and raw(f"{name}-again") == index
    assert [one["digest"] for one in listed(pybuild, name)] == [one["digest"] for one in index["manifests"]], "remote"


def test_entries_are_added_told_of_and_removed(pybuild: Pybuild, parts: tuple[str, str], tmp_path: Path) -> None:
    pybuild("manifest", "create", "mine")
    assert "--amend" in pybuild("manifest", "create", "mine", parts[0], code=1).stderr
    pybuild("manifest", "create", "--amend", "mine", parts[0])
    flags = ("--os", "linux", "--arch", "arm", "--variant", "v6", "--os-version", "1.2", "--os-features", "hard")
    pybuild("manifest", "add", *flags, "--annotation", "a=b", "mine", parts[1])
    first, second = listed(pybuild, "mine")
    assert first["platform"] == {"architecture": "amd64", "os": "linux"} and "annotations" not in first
    assert second["annotations"] == {"a": "b"}
    said: dict[str, Any] = {
        "architecture": "arm",
        "os": "linux",
        "variant": "v6",
        "os.version": "1.2",
        "os.features": ["hard"],
    }
    assert second["platform"] == said
    pybuild("manifest", "annotate", "--arch", "arm64", "mine", parts[1])  # a name that the registry alone knows
    pybuild("manifest", "annotate", "--annotation", "c=d", "mine", second["digest"])
    pybuild("manifest", "annotate", "--os-version", "6.1", "mine", parts[0])
    pybuild("manifest", "annotate", "--index", "--annotation", "top=1", "mine")
    first, second = listed(pybuild, "mine")
    assert first["platform"]["os.version"] == "6.1" and second["annotations"] == {"a": "b", "c": "d"}
    del said["variant"]
    assert second["platform"] == {**said, "architecture": "arm64"}, "another processor has other variants"
    assert json.loads(pybuild.text("manifest", "inspect", "mine"))["annotations"] == {"top": "1"}
    other = pybuild.text("manifest", "create", "--all", "other", "mine")
    assert other and len(listed(pybuild, "other")) == 2
    pybuild("manifest", "create", "host", "mine")
    assert [one["digest"] for one in listed(pybuild, "host")] == [first["digest"]]
    pybuild("manifest", "create", "lone", parts[1])
    pybuild("manifest", "create", "nested", "lone")  # its only image, though of another machine
    assert [one["digest"] for one in listed(pybuild, "nested")] == [second["digest"]]
    pybuild("manifest", "remove", "mine", second["digest"])
    assert [one["digest"] for one in listed(pybuild, "mine")] == [first["digest"]]
    assert "is not in this list" in pybuild("manifest", "remove", "mine", second["digest"], code=1).stderr
    assert "is an image" in pybuild("manifest", "add", parts[0], parts[0], code=1).stderr
    assert pybuild.text("manifest", "rm", "mine", "other", "host").splitlines() == [
        "Untagged: mine:latest",
        "Untagged: other:latest",
        "Untagged: host:latest",
    ]
    pybuild("manifest", "rm", "mine", code=1)
    pybuild("prune", "-f")
    pybuild("system", "check")


def test_dockers_media_types_on_request(pybuild: Pybuild, parts: tuple[str, str]) -> None:
    name = f"{parts[0].rpartition(':')[0]}:docker"
    pybuild("manifest", "create", name, *parts)
    pybuild("manifest", "push", "--insecure", "-f", "v2s2", name)
    index = raw(name)
    assert index["mediaType"] == "application/vnd.docker.distribution.manifest.list.v2+json"
    assert {one["mediaType"] for one in index["manifests"]} == {"application/vnd.docker.distribution.manifest.v2+json"}
