"""The same inputs are the same digests: on another machine, another day, in another directory, from a cache or not."""

import io
import os
import shutil
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from builder.times import EARLIEST, SPREAD
from tests.support.command import Pybuild
from tests.support.guest import is_guest
from tests.support.images import read_image
from tests.support.peers import need

pytestmark = pytest.mark.root

DOCKERFILE = """\
FROM scratch AS main
SHELL ["/bin/busybox", "sh", "-ec"]
WORKDIR /srv/app
COPY src src
COPY --chmod=755 --chown=7:8 src/deep/one.txt linked /
COPY <<letter /etc/letter
dear reader
letter
ADD old.tar /old
RUN --mount=from=tools,source=busybox,target=/bin/busybox b=/bin/busybox; $b chmod 700 src/deep/one.txt; \
    $b mkdir -p /var/lib/made; echo $SOURCE_DATE_EPOCH >/var/lib/made/when; $b ln -s when /var/lib/made/link; \
    $b rm src/gone; $b mv /linked /moved; $b touch -d @5 /var/lib/made/old
FROM scratch AS other
COPY --from=main / /
ENV A=b
"""
MANIFESTS = {
    "main": "sha256:660dcc1d291874c1676f91d5f0508abfe5735fdad4532249aed70fd1ab023939",
    "other": "sha256:06e5cfd882cd4f7938687aa9c365104635976ca5c3a750594ebd997d0f78b852",
}
"""What this makes by target, anywhere and at any time: nothing of the machine is in it."""
OLD = 1_600_000_000
"""The time of what the archive holds, and so of what is made after it."""
LATER = 5 * 365 * 86_400.0


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    (tmp_path / "tools").mkdir()
    shutil.copy(need("busybox", "busybox-static"), tmp_path / "tools/busybox")
    return tmp_path / "tools"


def fill(context: Path, moment: float) -> Path:
    """Its files, of some time."""
    (context / "src/deep").mkdir(parents=True)
    for path, text in {"src/deep/one.txt": "one", "src/two": "2" * 70_000, "src/gone": "", "linked": "here"}.items():
        (context / path).write_text(text)
        (context / path).chmod(0o640)
    (context / "src/link").symlink_to("deep/one.txt")
    for folder in ("src", "src/deep"):
        (context / folder).chmod(0o750)
    with tarfile.open(context / "old.tar", "w") as archive:
        member = tarfile.TarInfo("within")
        member.size, member.mtime = 3, OLD
        archive.addfile(member, io.BytesIO(b"old"))
    (context / "Dockerfile").write_text(DOCKERFILE)
    for each in (*context.rglob("*"), context):
        os.utime(each, (moment, moment), follow_symlinks=False)
    return context


@contextmanager
def another_day() -> Iterator[None]:
    """Years later, on a machine that is ours alone."""
    if is_guest():
        time.clock_settime(time.CLOCK_REALTIME, time.time() + LATER)
    yield
    if is_guest():
        time.clock_settime(time.CLOCK_REALTIME, time.time() - LATER)


def manifest(command: Pybuild, name: str) -> str:
    """The digest of what a name means."""
    return command.text("images", "--format", "{{.Digest}}", name)


@pytest.mark.parametrize("flags", [[], ["--userns", "host"]], ids=["userns", "host"])
def test_one_digest_everywhere_and_always(pybuild: Pybuild, tmp_path: Path, tools: Path, flags: list[str]) -> None:
    context = fill(tmp_path / f"context{os.getpid()}", time.time() - 1000 * os.getpid() % 7777)
    with another_day():
        for target, digest in MANIFESTS.items():
            pybuild.build(context, *flags, "--build-context", f"tools={tools}", "--target", target, "-t", target)
            assert manifest(pybuild, target) == digest
        assert pybuild.text("verify", "-q", "other", "--build-context", f"tools={tools}").startswith("other is repro")


def test_a_cache_changes_no_digest(pybuild: Pybuild, tmp_path: Path, tools: Path) -> None:
    """Neither that of earlier builds of other files, nor one that was made of the same files at another time."""
    warm, cold = fill(tmp_path / "warm", 1.8e9), fill(tmp_path / "cold", 1.9e9)
    (warm / "src/two").write_text("other")
    flags = ("--build-context", f"tools={tools}", "-t", "app")
    pybuild.build(warm, *flags)
    for path in (*cold.rglob("*"), cold):
        os.utime(path, (1.7e9, 1.7e9), follow_symlinks=False)
    (warm / "src/two").write_text("2" * 70_000)
    pybuild.build(warm, *flags)
    assert manifest(pybuild, "app") == MANIFESTS["other"]
    pybuild.build(cold, *flags, "--cache-to", f"type=local,dest={tmp_path}/cache,mode=max")
    assert manifest(pybuild, "app") == MANIFESTS["other"]
    other = replace(pybuild, root=tmp_path / "other")
    other.build(warm, *flags, "--cache-from", f"type=local,src={tmp_path}/cache")
    assert manifest(other, "app") == MANIFESTS["other"]


def test_times_in_layers_follow_from_what_is_in_them(pybuild: Pybuild, tmp_path: Path, tools: Path) -> None:
    context = fill(tmp_path / "context", 1.8e9)
    pybuild.build(
        context, "--build-context", f"tools={tools}", "--target", "main", "-o", f"type=oci,dest={tmp_path}/out.tar"
    )
    found: list[dict[str, float]] = []
    for data in read_image(tmp_path / "out.tar").layers:
        with tarfile.open(fileobj=io.BytesIO(data)) as layer:
            found.append({member.name: member.mtime for member in layer})
    workdir, source, files, letter, old, made = found
    assert workdir == {"srv": EARLIEST, "srv/app": EARLIEST}
    folders = {"srv", "srv/app", "srv/app/src", "srv/app/src/deep", "srv/app/src/link"}
    assert {name: source.pop(name) for name in folders} == dict.fromkeys(folders, EARLIEST)
    assert all(EARLIEST - SPREAD < moment <= EARLIEST for moment in source.values())
    assert len(set(source.values())) == 3
    assert files["one.txt"] == source["srv/app/src/deep/one.txt"]
    assert letter["etc"] == letter["etc/letter"] < EARLIEST
    assert old == {"old": EARLIEST, "old/within": OLD}
    assert made["srv/app/src/deep/one.txt"] == files["one.txt"]  # only its mode was changed
    assert made["var/lib/made/when"] == made["moved"] == made["var"] == OLD
    assert made["var/lib/made/old"] == 5


def test_commands_see_the_times_that_files_have(pybuild: Pybuild, tmp_path: Path, tools: Path) -> None:
    """Else make and its like would take changed sources for older than what a cache mount holds."""
    context = fill(tmp_path / "context", 1.8e9)
    text = """\
FROM scratch AS sources
SHELL ["/bin/busybox", "sh", "-ec"]
COPY src /src
RUN --mount=from=tools,source=busybox,target=/bin/busybox echo >/made; /bin/busybox chmod 777 /src/two
FROM scratch
SHELL ["/bin/busybox", "sh", "-ec"]
COPY --from=sources /src /from
COPY src /src
RUN --mount=from=tools,source=busybox,target=/bin/busybox --mount=from=sources,target=/bound \\
    /bin/busybox stat -c '%n %Y' /src/two /src/link /from/two /bound/src/two; \\
    /bin/busybox test /bound/made -nt /src/two || echo by the clock; \\
    /bin/busybox test /bound/made -ot /tomorrow || /bin/busybox stat -c %Y /bound/made
"""
    (context / "Dockerfile").write_text(text)
    began = int(time.time())
    flags = ("--build-context", f"tools={tools}", "-t", "app")
    said = pybuild("build", "--progress=plain", *flags, context).stderr
    for line in ("/src/two 1800000000", "/src/link 1800000000", "/from/two 1800000000", "/bound/src/two 1800000000"):
        assert line in said
    assert "by the clock" not in said or began < 1_800_000_000
    shown = [line.split()[-1] for line in said.splitlines() if line.split()[-1:] and line.split()[-1].isdigit()]
    assert any(began <= int(word) <= time.time() for word in shown)
    assert pybuild.text("system", "check").endswith("no damage")
    # What came from elsewhere has the times of its layers, here as everywhere.
    pybuild("save", "-o", tmp_path / "app.tar", "app")
    other = replace(pybuild, root=tmp_path / "other")
    other("load", "-i", tmp_path / "app.tar")
    assert pybuild.text("diff", "--exit-code", "app", f"oci-archive:{tmp_path}/app.tar") == ""


def test_commands_see_fractions_of_seconds(pybuild: Pybuild, tmp_path: Path, tools: Path) -> None:
    """Else what was edited just after a build would be older than what that build made."""
    context = tmp_path / "context"
    (context / "d").mkdir(parents=True)
    exact = 1_700_000_000_987_654_321
    for name in ("one", "d/two"):
        (context / name).write_text(name)
        os.utime(context / name, ns=(exact, exact))
    (context / "Dockerfile").write_text("""\
FROM scratch
SHELL ["/bin/busybox", "sh", "-ec"]
COPY d /d
COPY one /one
RUN --mount=from=tools,source=busybox,target=/bin/busybox /bin/busybox stat -c '%n %y' /one /d/two
""")
    said = pybuild("build", "--progress=plain", "--build-context", f"tools={tools}", context).stderr
    assert said.count("22:13:20.987654321") == 2
