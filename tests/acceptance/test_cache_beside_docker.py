"""Caches of docker's BuildKit beside ours: theirs is told of and does no harm, ours does none to docker or skopeo."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.command import Pybuild
from tests.support.dockerd import Dockerd
from tests.support.peers import need
from tests.support.registry import RegistryServer

pytestmark = [pytest.mark.root]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    (directory / "a").write_text("a")
    (directory / "Dockerfile").write_text("FROM scratch\nCOPY a /a\nCOPY a /b\n")
    return directory


def buildkit(docker: Dockerd, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """`docker build` by its BuildKit."""
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    return subprocess.run(
        docker.command("build", *words), env=environment, capture_output=True, text=True, check=True, stdin=-3
    )


def test_an_inline_cache_of_buildkit_is_told_of(
    docker: Dockerd, registry: RegistryServer, pybuild: Pybuild, context: Path
) -> None:
    name = registry.reference("buildkit-inline:1")
    buildkit(docker, "--build-arg", "BUILDKIT_INLINE_CACHE=1", "-t", name, context)
    docker.docker("push", "-q", name)
    told = pybuild("build", "--progress=plain", f"--cache-from={name}", context).stderr
    assert f"warning: cache {name}: " in told and "it was made by BuildKit" in told and "2 steps run" in told


def test_an_image_with_our_inline_cache_is_an_image_for_docker(
    docker: Dockerd, registry: RegistryServer, pybuild: Pybuild, context: Path
) -> None:
    name = registry.reference("pybuild-inline:1")
    pybuild.build(context, "--cache-to=type=inline", "-t", name, "--push")
    docker.docker("pull", "-q", name)
    theirs = json.loads(docker.docker("inspect", name).stdout)[0]
    assert theirs["Id"] == json.loads(pybuild.text("inspect", name))[0]["Id"]
    buildkit(docker, "--cache-from", name, "-t", "anything", context)


def test_skopeo_carries_a_cache_to_another_registry(
    registry: RegistryServer, own_registry: RegistryServer, pybuild: Pybuild, context: Path, tmp_path: Path
) -> None:
    skopeo = need("skopeo")
    one, two = registry.reference("cache:1"), f"{own_registry.host}/cache:1"
    pybuild.build(context, f"--cache-to=type=registry,ref={one},mode=max")
    subprocess.run(
        [skopeo, "copy", "--src-tls-verify=false", "--dest-tls-verify=false", f"docker://{one}", f"docker://{two}"],
        check=True,
        capture_output=True,
    )
    other = replace(pybuild, root=tmp_path / "other")
    assert "0 steps run" in other("build", "--progress=plain", f"--cache-from={two}", context).stderr
