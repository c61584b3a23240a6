"""What RUN --mount is for: package managers that keep downloads and use passwords, beside docker's BuildKit.

Each Dockerfile is built three times by both builders: new, with one more package wanted, and after that once more
without any cache. The commands write down what they had to fetch.
"""

import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Pybuild
from tests.support.dockerd import Dockerd
from tests.support.images import Tree, merge
from tests.support.registry import RegistryServer

pytestmark = [pytest.mark.root, pytest.mark.slow]
NOISE = ("dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf", ".dockerenv", "var/log", "run")
"""Where builders leave what is not the image's, and where dpkg writes the time."""

APT = """\
FROM scratch AS archive
COPY pool /pool
FROM busybox
RUN mkdir -p /var/lib/dpkg/info && touch /var/lib/dpkg/status
ARG PACKAGES
RUN --mount=type=cache,target=/var/cache/apt/archives,sharing=locked,id=ID-archives \\
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked,id=ID-lists \\
    --mount=type=bind,from=archive,source=/pool,target=/pool \\
    --mount=type=bind,source=get,target=/tmp/get \\
    sh -e /tmp/get
"""
APT_GET = """\
ls /pool > /var/lib/apt/lists/pool
for p in $PACKAGES; do
    grep -qx $p.deb /var/lib/apt/lists/pool
    [ -e /var/cache/apt/archives/$p.deb ] || { cp /pool/$p.deb /var/cache/apt/archives/; echo $p >> /fetched; }
    dpkg -i /var/cache/apt/archives/$p.deb
done
"""
PIP = """\
FROM busybox
ARG PACKAGES
WORKDIR /app
RUN --mount=type=cache,target=/root/.cache/pip,id=ID \\
    --mount=type=secret,id=netrc,target=/root/.netrc,required=true \\
    --mount=type=secret,id=token \\
    --mount=type=tmpfs,target=/tmp/unpacked \\
    --mount=target=/context,rw \\
    sh -e /context/get
"""
PIP_GET = """\
grep -q "password $(cat /run/secrets/token)" /root/.netrc
echo $PACKAGES >> /context/requirements.txt
for p in $(cat /context/requirements.txt); do
    if [ ! -e /root/.cache/pip/$p.whl ]; then cp /context/index/$p.whl /root/.cache/pip/; echo $p >> /fetched; fi
    unzip -q -o /root/.cache/pip/$p.whl -d /tmp/unpacked
done
cp -r /tmp/unpacked site-packages
"""


def packages(context: Path) -> None:
    """Three packages of Debian's kind, and what fetches them."""
    (context / "get").write_text(APT_GET)
    (context / "pool").mkdir()
    for name in ("one", "two", "three"):
        (context / f"packages/{name}/DEBIAN").mkdir(parents=True)
        (context / f"packages/{name}/usr/share/{name}").mkdir(parents=True)
        (context / f"packages/{name}/usr/share/{name}/data").write_text(f"{name}\n")
        control = {"Package": name, "Version": "1", "Architecture": "all", "Maintainer": "a <a@example.org>"}
        lines = [f"{key}: {value}\n" for key, value in control.items()]
        (context / f"packages/{name}/DEBIAN/control").write_text("".join(lines) + f"Description: {name}\n")
        for path in (context / "packages").rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        made = context / f"pool/{name}.deb"
        command = ["dpkg-deb", "--root-owner-group", "-b", str(context / "packages" / name), str(made)]
        subprocess.run(command, check=True, capture_output=True)


def wheels(context: Path) -> None:
    """Three wheels, a list of two of them, and what fetches them."""
    (context / "get").write_text(PIP_GET)
    (context / "index").mkdir()
    for name in ("one", "two", "three"):
        with zipfile.ZipFile(context / f"index/{name}.whl", "w") as wheel:
            wheel.writestr(zipfile.ZipInfo(f"{name}.py"), f"{name} = 1\n")
            wheel.writestr(zipfile.ZipInfo(f"{name}-1.dist-info/METADATA"), f"Name: {name}\nVersion: 1\n")
    (context / "requirements.txt").write_text("one\ntwo\n")


Manager = tuple[str, Callable[[Path], None], tuple[str, str]]
MANAGERS: dict[str, Manager] = {
    "apt": (APT, packages, ("one two", "one two three")),
    "pip": (PIP, wheels, ("", "three")),
}


@pytest.mark.parametrize("manager", MANAGERS.values(), ids=MANAGERS)
def test_beside_docker(
    manager: Manager,
    shared_pybuild: Pybuild,
    registry: RegistryServer,
    docker: Dockerd,
    tmp_path: Path,
) -> None:
    text, fill, wanted = manager
    context = tmp_path / "context"
    context.mkdir()
    fill(context)
    (tmp_path / "netrc").write_text("machine example.org login ada password sesame\n")
    (tmp_path / "token").write_text("sesame")
    (context / "Dockerfile").write_text(text.replace("ID", str(tmp_path)))
    reference = registry.reference("busybox")
    shared_pybuild("push", "busybox", reference)
    docker.docker("pull", "-q", reference)
    docker.docker("tag", reference, "busybox")
    flags = [
        "--network",
        "none",
        "--secret",
        f"id=netrc,src={tmp_path}/netrc",
        "--secret",
        f"id=token,src={tmp_path}/token",
    ]
    for number, (packages, anew, fetched) in enumerate(
        [(wanted[0], False, "one\ntwo\n"), (wanted[1], False, "three\n"), (wanted[1], True, "one\ntwo\nthree\n")]
    ):
        words = ["--build-arg", f"PACKAGES={packages}", *(["--no-cache"] if anew else []), str(context)]
        ours, theirs = tmp_path / f"ours-{number}.tar", tmp_path / f"theirs-{number}.tar"
        shared_pybuild("build", *flags, "-o", f"type=tar,dest={ours}", *words)
        command = [
            "env",
            "DOCKER_BUILDKIT=1",
            *docker.command("build", *flags, "-o", f"type=tar,dest={theirs}", *words),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, done.stderr
        found, expected = (tree_of(tar) for tar in (ours, theirs))
        assert found == {path: node for path, node in expected.items() if path in found or path not in places(text)}
        assert found["fetched"][4] == fetched


def places(text: str) -> set[str]:
    """Where something is mounted, and the way there: this docker leaves what it has made of it."""
    targets = [Path(target) for target in re.findall(r"target=/([^, ]+)", text)]
    return {str(part) for target in targets for part in (target, *target.parents)}


def tree_of(tar: Path) -> Tree:
    """What is in a tar of a root file system, but for the noise."""
    return {
        path: node
        for path, node in merge([tar.read_bytes()]).items()
        if path and not any(path == name or path.startswith(f"{name}/") for name in NOISE)
    }
