"""history, diff and commit give the rows that docker gives for the same image or container."""

import json
from typing import Any

import pytest

from tests.support.command import Pybuild
from tests.support.dockerd import Dockerd
from tests.support.registry import RegistryServer

pytestmark = [pytest.mark.root, pytest.mark.slow]

DOCKERFILE = """
FROM busybox
ENV MOOD=calm
COPY . /data/
RUN mkdir /made && echo made > /made/file && chmod 600 /made/file && ln /made/file /made/hard && chown 5:6 /made/hard
WORKDIR /made
LABEL a=b c="d e"
ONBUILD RUN true
EXPOSE 80
USER 1000
ENTRYPOINT ["echo", "two words"]
CMD ["default"]
"""
CHANGES = (
    "echo new > /new; mkdir -p /dir/sub; touch /dir/sub/file; rm /etc/passwd; chmod 600 /etc/group; "
    "rm -r /home; mv /data/one /data/moved; ln -s moved /data/link; echo more >> /data/two; "
    "rm -r /data/deep; mkdir /data/deep"
)


@pytest.fixture(scope="module")
def image(
    shared_pybuild: Pybuild, registry: RegistryServer, docker: Dockerd, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A reference that both stores know, built here and pulled by docker."""
    context = tmp_path_factory.mktemp("context")
    for name in ("one", "two", "deep/three"):
        (context / name).parent.mkdir(exist_ok=True)
        (context / name).write_text(f"{name}\n" * 1000)
    (context / ".dockerignore").write_text("Dockerfile\n.dockerignore\n")
    (context / "Dockerfile").write_text(DOCKERFILE)
    reference = registry.reference("beside-docker:1")
    shared_pybuild.build(context, "-t", reference)
    shared_pybuild("push", reference)
    docker.docker("pull", "-q", reference)
    return reference


@pytest.mark.parametrize("words", [[], ["--no-trunc"], ["-H=false"]], ids=" ".join)
def test_history(words: list[str], image: str, shared_pybuild: Pybuild, docker: Dockerd) -> None:
    columns = "{{.ID}}|{{.CreatedBy}}|{{.Size}}|{{.Comment}}"
    theirs = docker.docker("history", *words, "--format", columns, image).stdout.splitlines()
    assert shared_pybuild.text("history", *words, "--format", columns, image).splitlines() == theirs


def test_history_as_a_table(image: str, shared_pybuild: Pybuild, docker: Dockerd) -> None:
    theirs = docker.docker("history", image).stdout.splitlines()
    ours = shared_pybuild.text("history", image).splitlines()
    assert ours[0].split() == theirs[0].split()
    assert len(ours) == len(theirs)


def test_image_configuration(image: str, shared_pybuild: Pybuild, docker: Dockerd) -> None:
    ours = json.loads(shared_pybuild.text("inspect", image))[0]
    theirs = json.loads(docker.docker("inspect", image).stdout)[0]
    for key in ("Id", "Architecture", "Os", "RootFS", "Created", "RepoTags"):
        assert ours[key] == theirs[key], key
    for key in ("Env", "Cmd", "Entrypoint", "Labels", "WorkingDir", "User", "ExposedPorts", "OnBuild"):
        assert ours["Config"][key] == theirs["Config"][key], key


def test_diff_of_a_container(image: str, shared_pybuild: Pybuild, docker: Dockerd) -> None:
    words = ["--name", "changed", "-u", "0", "--network", "none", "--entrypoint", "sh", image, "-c", CHANGES]
    docker.docker("run", *words)
    shared_pybuild("run", *words)
    theirs = sorted(docker.docker("diff", "changed").stdout.splitlines())
    assert sorted(shared_pybuild.text("diff", "changed").splitlines()) == theirs


def test_commit(image: str, shared_pybuild: Pybuild, docker: Dockerd) -> None:
    words = ["--name", "to-commit", "-u", "0", "--network", "none", "--entrypoint", "sh", image, "-c", CHANGES]
    options = ["-a", "Ada <ada@example.org>", "-m", "a message", "-c", 'CMD ["x", "y"]', "-c", "ENV A=1 B=2"]
    options += ["-c", "WORKDIR /etc", "-c", "EXPOSE 81/udp", "-c", "LABEL e=f", "-c", "USER root"]
    seen: list[tuple[Any, ...]] = []
    for tool in (docker.docker, shared_pybuild):
        tool("run", *words)
        tool("commit", *options, "to-commit", "committed:1")
        told = json.loads(tool("inspect", "committed:1").stdout)[0]
        config = {key: value for key, value in told["Config"].items() if value not in (None, "", False)}
        shown = tool("history", "--format", "{{.CreatedBy}}|{{.Comment}}", "--no-trunc", "committed:1").stdout
        for noise in (
            "Hostname",
            "Image",
            "AttachStdout",
            "AttachStderr",
            "ArgsEscaped",
        ):  # of the container, of Windows
            config.pop(noise, None)
        seen.append((config, told["Author"], told["Comment"], len(told["RootFS"]["Layers"]), shown))
    assert seen[1] == seen[0]


def test_files_look_the_same_inside(image: str, shared_pybuild: Pybuild, docker: Dockerd) -> None:
    words = ["--rm", "-u", "0", "--network", "none", "--entrypoint", "sh", image, "-c"]
    # A directory's size is its file system's affair: a block on ext4, the bytes of its names in an EROFS index.
    look = (
        "{ find /made /data ! -type d -exec stat -c '%n %A %u:%g %s %h %Y' {} +;"
        " find /made /data -type d -exec stat -c '%n %A %u:%g %h %Y' {} +; } | sort"
    )
    shown = docker.docker("run", *words, look).stdout
    assert "/made/hard -rw------- 5:6 5 2" in shown
    assert shared_pybuild("run", *words, look).stdout == shown
