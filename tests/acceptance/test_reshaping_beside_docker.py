"""docker's daemon takes our images of images, and export writes what docker's writes."""

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.command import Pybuild
from tests.support.dockerd import Dockerd

pytestmark = [pytest.mark.root, pytest.mark.slow]

DOCKERFILE = """
FROM busybox
RUN mkdir /made && echo made > /made/file && chown 5:6 /made/file && chmod 4750 /made/file && ln /made/file /made/hard
RUN rm /bin/yes && ln -s 'a b' /made/soft && mkfifo /made/fifo && mknod /made/null c 1 3 && chmod 1777 /made
RUN echo more > /made/more && rm /made/hard
ENV A=b
CMD ["cat", "/made/more"]
"""
DOCKERS = ("dev", "proc", "sys", ".dockerenv", "etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/mtab")
"""What docker puts into every container before it starts, and the directory that it puts it into."""


@pytest.fixture(scope="module")
def image(shared_pybuild: Pybuild) -> str:
    shared_pybuild("build", "-q", "--userns", "host", "-t", "docker-shape:1", "-", stdin=DOCKERFILE)
    return "docker-shape:1"


def load(shared_pybuild: Pybuild, docker: Dockerd, name: str, place: Path) -> None:
    shared_pybuild("save", "-o", place / "image.tar", name)
    docker.docker("load", "-q", "-i", str(place / "image.tar"))


def members(archive: bytes) -> dict[str, tuple[object, ...]]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {
            member.name: (
                member.type, member.mode & 0o7777, member.uid, member.gid, member.size, member.linkname,
                None if member.isdir() else int(member.mtime), member.devmajor, member.devminor,
            )
            for member in tar
            if member.name != "etc" and not member.name.startswith(DOCKERS)
        }  # fmt: skip


def test_export(image: str, shared_pybuild: Pybuild, docker: Dockerd, tmp_path: Path) -> None:
    load(shared_pybuild, docker, image, tmp_path)
    made = docker.docker("create", image).stdout.strip()
    docker.docker("export", "-o", str(tmp_path / "theirs.tar"), made)
    ours = subprocess.run(shared_pybuild.command("export", image), env=shared_pybuild.environment, capture_output=True)
    theirs = (tmp_path / "theirs.tar").read_bytes()
    assert members(ours.stdout) == members(theirs)
    assert len(members(theirs)) > 200


@pytest.mark.parametrize(
    "words",
    [["squash", "--from", "1"], ["flatten"], ["mutate", "-l", "a=b", "-a", "note=x"],
     ["rebase", "--old-base", "busybox", "--new-base", "docker-shape:base"]],
    ids=lambda words: str(words[0]),
)  # fmt: skip
def test_docker_runs_it(words: list[str], image: str, shared_pybuild: Pybuild, docker: Dockerd, tmp_path: Path) -> None:
    shared_pybuild("flatten", "-t", "docker-shape:base", "busybox")
    shared_pybuild(words[0], *words[1:], "-t", "docker-shape:2", image)
    load(shared_pybuild, docker, "docker-shape:2", tmp_path)
    assert docker.docker("run", "--rm", "--network", "none", "docker-shape:2").stdout == "more\n"
    ours, theirs = (json.loads(tool("inspect", "docker-shape:2").stdout)[0] for tool in (shared_pybuild, docker.docker))
    assert (ours["Id"], ours["RootFS"]["Layers"]) == (theirs["Id"], theirs["RootFS"]["Layers"])
    columns = ["--no-trunc", "--format", "{{.CreatedBy}}|{{.Size}}|{{.Comment}}", "docker-shape:2"]
    assert shared_pybuild.text("history", *columns) == docker.docker("history", *columns).stdout.rstrip("\n")


def test_docker_imports_an_export(image: str, shared_pybuild: Pybuild, docker: Dockerd, tmp_path: Path) -> None:
    shared_pybuild("export", "-o", tmp_path / "flat.tar", image)
    docker.docker("import", str(tmp_path / "flat.tar"), "docker-shape:imported")
    shown = docker.docker(
        "run", "--rm", "--network", "none", "docker-shape:imported", "stat", "-c", "%A %u", "/made/file"
    )
    assert shown.stdout == "-rwsr-x--- 5\n"
