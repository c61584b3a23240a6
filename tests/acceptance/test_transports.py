"""Images between places, with skopeo, umoci, docker and buildah on the other side: every digest is the same on both."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import everykind
from tests.support.command import Pybuild
from tests.support.dockerd import Dockerd
from tests.support.peers import need
from tests.support.registry import RegistryServer, registry_server

pytestmark = pytest.mark.root

KINDS = ["docker", "oci", "oci-archive", "docker-archive", "dir"]
EXACT = ["docker", "oci", "oci-archive", "dir"]
"""Places that hold manifests, so that digests can be compared."""
PLATFORMS = ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386"]


@dataclass(frozen=True, slots=True)
class World:
    """A store with two images: `one:1` of two layers, `many:1` of four platforms."""

    pybuild: Pybuild
    registry: RegistryServer
    identity: str
    """The image id of `one:1`."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, registry: RegistryServer) -> World:
    folder = tmp_path_factory.mktemp("world")
    command = Pybuild(folder / "store", {"DOCKER_CONFIG": str(folder / "docker-config")})
    (folder / "one").mkdir()
    (folder / "one/Dockerfile").write_text(
        'FROM scratch\nLABEL who=me\nENV A=1 B="2 3"\nCOPY Dockerfile /a\nCOPY Dockerfile /b/c\nCMD ["/a"]\n'
    )
    command.build(folder / "one", "-t", "one:1")
    (folder / "many").mkdir()
    (folder / "many/Dockerfile").write_text("FROM scratch\nARG TARGETPLATFORM\nLABEL on=$TARGETPLATFORM\nCOPY . /\n")
    command.build(folder / "many", "--platform", ",".join(PLATFORMS), "-t", "many:1")
    return World(command, registry, json.loads(command.text("inspect", "one:1"))[0]["Id"])


Where = Callable[[str, str], str]


@pytest.fixture
def where(tmp_path: Path, registry: RegistryServer) -> Where:
    """A place of each kind, of this test's own."""
    own = hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]

    def make(kind: str, name: str) -> str:
        match kind:
            case "docker":
                return f"docker://{registry.host}/{own}/{name}:1"
            case "docker-archive":
                return f"docker-archive:{tmp_path / name}.docker.tar:example.org/{name}:1"
            case "oci-archive":
                return f"oci-archive:{tmp_path / name}.oci.tar:1"
            case "oci":
                return f"oci:{tmp_path / name}-layout:1"
            case _:
                return f"dir:{tmp_path / name}-dir"

    return make


def run(*words: str | Path) -> str:
    need(str(words[0]))
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def raw(place: str) -> bytes:
    """A manifest or index as skopeo reads it."""
    return subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", place], capture_output=True, check=True
    ).stdout


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def config(place: str) -> dict[str, Any]:
    return dict(json.loads(run("skopeo", "inspect", "--config", "--raw", "--tls-verify=false", place)))


def carry(*words: str) -> None:
    run("skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", *words)


@pytest.mark.parametrize("kind", KINDS)
def test_what_we_write_skopeo_reads(world: World, where: Where, kind: str) -> None:
    place = where(kind, "ours")
    said = world.pybuild.text("copy", "one:1", place)
    if kind in EXACT:
        assert digest(raw(place)) == said
    back = where("dir", "back")
    carry(place, back)
    assert config(back) == json.loads(world.pybuild.text("inspect", "--config", "one:1"))
    assert digest(raw(back)) == digest(raw(place))


@pytest.mark.parametrize("kind", KINDS)
def test_what_skopeo_writes_we_read(world: World, where: Where, kind: str, tmp_path: Path) -> None:
    start, place = where("oci", "start"), where(kind, "theirs")
    world.pybuild("copy", "-q", "one:1", start)
    carry(start, place)
    if kind in EXACT:
        theirs = raw(place)
        assert world.pybuild.text("digest", place) == digest(theirs)
        assert world.pybuild("inspect", "--raw", place).stdout.encode() == theirs
        assert world.pybuild.text("copy", place, where("dir", "ours")) == digest(theirs)
    other = Pybuild(tmp_path / "other")
    other("copy", "-q", place, "example.org/came:1")
    assert json.loads(other.text("inspect", "example.org/came:1"))[0]["Id"] == world.identity


@pytest.mark.parametrize("kind", EXACT)
def test_four_platforms_are_byte_true(world: World, where: Where, kind: str, tmp_path: Path) -> None:
    place, back, last = where(kind, "ours"), where("dir", "skopeo"), where("oci", "last")
    said = world.pybuild.text("copy", "--all", "many:1", place)
    assert digest(raw(place)) == said
    index = json.loads(raw(place))
    assert [
        "/".join(filter(None, (entry["platform"].get(key) for key in ("os", "architecture", "variant"))))
        for entry in index["manifests"]
    ] == PLATFORMS
    carry("--all", place, back)
    assert digest(raw(back)) == said
    assert world.pybuild.text("copy", "--all", back, last) == said
    pinned = f"{last[:-2]}@{index['manifests'][3]['digest']}"
    assert digest(world.pybuild("inspect", "--raw", pinned).stdout.encode()) == index["manifests"][3]["digest"]
    arm = world.pybuild.text("copy", "--platform", "linux/arm64", place, where("oci", "arm"))
    assert arm == index["manifests"][1]["digest"]
    if kind == "oci-archive":
        Pybuild(tmp_path / "other")("pull", "--all-platforms", place)


def test_every_kind_of_file_survives_every_way(world: World, where: Where, tmp_path: Path) -> None:
    tree, context = tmp_path / "tree", tmp_path / "context"
    everykind.make(tree)
    context.mkdir()
    everykind.tar(tree, context / "tree.tar")
    (context / "Dockerfile").write_text("FROM scratch\nADD tree.tar /\n")
    reference = where("docker", "kinds").removeprefix("docker://")
    world.pybuild.build(context, "-t", reference)
    world.pybuild("push", "-q", reference)
    other = Pybuild(tmp_path / "other")
    other("pull", "-q", reference)
    layout = where("oci", "kinds")
    other("copy", "-q", reference, layout)
    assert digest(raw(layout)) == digest(raw(f"docker://{reference}"))
    need("umoci")
    subprocess.run(
        ["umoci", "unpack", "--image", layout.removeprefix("oci:"), tmp_path / "bundle"],
        check=True,
        capture_output=True,
    )
    was, now = everykind.facts(tree), everykind.facts(tmp_path / "bundle/rootfs")
    assert set(was) == set(now)
    for path, fact in was.items():
        assert now[path] == fact, path


def test_umoci_and_we_share_a_layout(world: World, where: Where, tmp_path: Path) -> None:
    layout = where("oci", "shared")
    world.pybuild("copy", "-q", "one:1", layout)
    root = layout.removeprefix("oci:").removesuffix(":1")
    run("umoci", "tag", "--image", f"{root}:1", "by-umoci")
    bundle = tmp_path / "bundle"
    run("umoci", "unpack", "--image", f"{root}:1", bundle)
    (bundle / "rootfs/new").write_text("by umoci")
    run("umoci", "repack", "--image", f"{root}:changed", bundle)
    world.pybuild("copy", "-q", "one:1", f"oci:{root}:2")
    assert sorted(run("umoci", "ls", "--layout", root).split()) == ["1", "2", "by-umoci", "changed"]
    assert world.pybuild.text("tags", f"oci:{root}").split() == ["1", "2", "by-umoci", "changed"]
    other = Pybuild(tmp_path / "other")
    other("copy", "-q", f"oci:{root}:changed", "changed:1")
    assert len(json.loads(other.text("inspect", "changed:1"))[0]["RootFS"]["Layers"]) == 3
    world.pybuild("delete", f"oci:{root}:by-umoci")
    run("umoci", "gc", "--layout", root)
    assert digest(raw(f"oci:{root}:1")) == world.pybuild.text("digest", f"oci:{root}:2")


def test_docker_loads_what_we_copy_and_we_read_what_it_saves(
    world: World, where: Where, docker: Dockerd, tmp_path: Path
) -> None:
    archive = where("docker-archive", "ours")
    world.pybuild("copy", "-q", "one:1", archive)
    assert "Loaded image: example.org/ours:1" in docker.docker("load", "-i", archive.split(":")[1]).stdout
    identity = world.identity
    assert json.loads(docker.docker("inspect", "example.org/ours:1").stdout)[0]["Id"] == identity
    docker.docker("save", "-o", tmp_path / "saved.tar", "example.org/ours:1")
    saved = f"docker-archive:{tmp_path / 'saved.tar'}:example.org/ours:1"
    other = Pybuild(tmp_path / "other")
    other("copy", "-q", saved, "came:1")
    assert json.loads(other.text("inspect", "came:1"))[0]["Id"] == identity
    assert other.text("tags", saved) == "example.org/ours:1"
    reference = where("docker", "in-dockers-format")
    world.pybuild("copy", "-q", "--format", "docker", "one:1", reference)
    docker.docker("pull", reference.removeprefix("docker://"))
    shown = json.loads(docker.docker("inspect", reference.removeprefix("docker://")).stdout)[0]
    assert shown["Id"] == identity
    assert shown["RepoDigests"][0].endswith(world.pybuild.text("digest", reference))


def test_buildah_reads_and_writes(world: World, where: Where, tmp_path: Path) -> None:
    words = ("buildah", "--root", tmp_path / "root", "--runroot", tmp_path / "run", "--storage-driver", "vfs")
    layout, archive = where("oci", "for-buildah"), where("oci-archive", "by-buildah")
    said = world.pybuild.text("copy", "one:1", layout)
    name = run(*words, "from", "--pull-always", layout).strip()
    assert json.loads(run(*words, "inspect", name))["FromImageDigest"] == said
    identity = world.identity
    run(*words, "push", "-q", identity[7:], archive)
    other = Pybuild(tmp_path / "other")
    other("copy", "-q", archive, "came:1")
    assert json.loads(other.text("inspect", "came:1"))[0]["Id"] == identity


@pytest.mark.parametrize("kind", EXACT)
def test_inspect_says_what_skopeo_says(world: World, where: Where, kind: str) -> None:
    place = where(kind, "seen")
    world.pybuild("copy", "-q", "one:1", place)
    theirs = json.loads(run("skopeo", "inspect", "--tls-verify=false", place))
    ours = json.loads(world.pybuild.text("inspect", place))
    assert {**theirs, "Created": 0} == {key: ours[key] for key in theirs} | {"Created": 0}
    assert ours["Created"].rstrip("0Z") == theirs["Created"].rstrip("0Z")
    assert [layer["Digest"] for layer in ours["LayersData"]] == ours["Layers"]
    assert world.pybuild.text("inspect", "--format", "{{.Digest}} {{.Labels.who}}", place) == f"{theirs['Digest']} me"


def test_sync_makes_the_directories_that_skopeo_makes(world: World, where: Where, tmp_path: Path) -> None:
    reference = where("docker", "synced").removeprefix("docker://")
    repository = reference.removesuffix(":1")
    for tag in ("1", "2", "v1.0"):
        world.pybuild("copy", "-q", "one:1", f"docker://{repository}:{tag}")
    tls = ("--src-tls-verify=false", "--dest-tls-verify=false")
    for scoped in ((), ("--scoped",)):
        ours, theirs = tmp_path / f"ours{len(scoped)}", tmp_path / f"theirs{len(scoped)}"
        run("skopeo", "sync", *tls, *scoped, "--src", "docker", "--dest", "dir", repository, theirs)
        world.pybuild("sync", *scoped, "--src", "docker", "--dest", "dir", repository, ours)
        shown = [sorted(str(path.relative_to(side)) for path in side.rglob("*")) for side in (ours, theirs)]
        assert shown[0] == shown[1]
        assert all(
            (ours / name).read_bytes() == (theirs / name).read_bytes() for name in shown[0] if (ours / name).is_file()
        )
    mirror = f"{repository}-mirror"
    planned = world.pybuild.text(
        "sync", "--dry-run", "-s", "dir", "-d", "docker", "--exclude", "^v", tmp_path / "ours0", mirror
    )
    assert planned.split() == [
        word for tag in "12" for word in (f"dir:{tmp_path}/ours0/synced:{tag}", f"docker://{mirror}/synced:{tag}")
    ]
    world.pybuild("sync", "-s", "dir", "-d", "docker", "--include", "^v", tmp_path / "ours0", mirror)
    assert world.pybuild.text("tags", f"docker://{mirror}/synced") == "v1.0"
    below = repository.removesuffix("synced")
    everything = world.pybuild.text(
        "sync", "--scoped", "--dry-run", "-s", "docker", "-d", "docker", below, "localhost:1/x"
    )
    assert [line.partition(" ")[0] for line in everything.splitlines()] == [
        *(f"docker://{repository}:{tag}" for tag in ("1", "2", "v1.0")),
        f"docker://{mirror}/synced:v1.0",
    ]
    assert "--scoped" in world.pybuild("sync", "-s", "docker", "-d", "dir", below, tmp_path / "x", code=2).stderr


def test_sync_goes_on_when_asked(world: World, where: Where, tmp_path: Path) -> None:
    good, bad = tmp_path / "usb/good:1", tmp_path / "usb/bad:1"
    for place in (good, bad):
        world.pybuild("copy", "-q", "one:1", f"dir:{place}")
    (bad / "manifest.json").write_text("{}")
    mirror = where("docker", "mirror").removeprefix("docker://").removesuffix(":1")
    words = ("sync", "-s", "dir", "-d", "docker", tmp_path / "usb", mirror)
    assert "bad:1 was not copied" in world.pybuild(*words, code=1).stderr
    failed = world.pybuild(*words, "--keep-going", code=1)
    assert "1 of 2 images were not copied" in failed.stderr
    assert failed.stdout.count("sha256:") == 1
    assert world.pybuild.text("tags", f"docker://{mirror}/good") == "1"


def test_another_form_is_told(world: World, where: Where, tmp_path: Path) -> None:
    start = where("oci", "start")
    was = world.pybuild.text("copy", "one:1", start)
    for flags, media_type in (
        (("--format", "docker"), "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        (("--compress", "zstd"), "application/vnd.oci.image.layer.v1.tar+zstd"),
        (("--compress", "none"), "application/vnd.oci.image.layer.v1.tar"),
        (("--compress", "gzip", "--compress-level", "9"), "application/vnd.oci.image.layer.v1.tar+gzip"),
    ):
        place = where("dir", "-".join(flags).replace("-", "x"))
        done = world.pybuild("copy", *flags, "--digestfile", tmp_path / "digest", start, place)
        now = done.stdout.strip()
        assert (tmp_path / "digest").read_text() == now == digest(raw(place)) != was
        assert f"note: digest {was} became {now}" in done.stderr
        assert {layer["mediaType"] for layer in json.loads(raw(place))["layers"]} == {media_type}
        assert config(place) == config(start)
    for flags in (("--format", "docker"), ("--compress", "zstd")):
        world.pybuild("copy", "--preserve-digests", *flags, start, where("dir", "x"), code=2)
    kept = where("oci", "kept")
    assert world.pybuild.text("copy", "--preserve-digests", "one:1", kept) == world.pybuild.text("digest", "one:1")


def test_each_side_has_its_own_credentials(world: World, tmp_path: Path) -> None:
    with (
        registry_server(tmp_path / "a", users={"ada": "first word"}) as one,
        registry_server(tmp_path / "b", users={"bob": "second word"}) as two,
    ):
        words = ("--src-creds", "ada:first word", "--dest-creds", "bob:second word")
        origin, target = f"docker://{one.reference('x:1')}", f"docker://{two.reference('y:1')}"
        assert "login" in world.pybuild("copy", "one:1", origin, code=1).stderr
        world.pybuild("copy", "-q", "--dest-creds", "ada:first word", "one:1", origin)
        failed = world.pybuild("copy", *words[:2], origin, target, code=1)
        assert "first word" not in failed.stderr
        world.pybuild("copy", "-q", *words, "--src-tls-verify=false", origin, target)
        world.pybuild("tags", "--creds", "bob:second word", "--tls-verify=false", target)
        auths = {
            side.host: {"auth": "YWRhOmZpcnN0IHdvcmQ="}
            if side is one
            else {"username": "bob", "password": "second word"}
            for side in (one, two)
        }
        (tmp_path / "auth.json").write_text(json.dumps({"auths": auths}))
        world.pybuild("copy", "-q", "--authfile", tmp_path / "auth.json", origin, target)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("copy", "nosuch:1", "dir:x"), "write docker://nosuch:1"),
        (("copy", "containers-storage:x", "dir:x"), "podman"),
        (("copy", "oci:nowhere", "dir:x"), "is not in"),
        (("copy", "docker-archive:/dev/null", "dir:x"), "empty"),
        (("copy", "dir:/", "dir:x"), "manifest.json"),
        (("digest", "nosuch:1"), "write docker://nosuch:1"),
        (("tags", "nosuch"), "write docker://nosuch"),
        (("inspect", "oci:nowhere"), "is not in"),
    ],
)
def test_what_is_not_there(world: World, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    failed = world.pybuild(*words, code=1, cwd=tmp_path)
    assert said in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "defect" not in failed.stderr
    assert os.listdir(tmp_path) == []


def test_eight_copies_at_once_into_one_layout(world: World, where: Where, tmp_path: Path) -> None:
    words = [world.pybuild.command("copy", "-q", "one:1", f"oci:{tmp_path / 'layout'}:{number}") for number in range(8)]
    running = [subprocess.Popen(word, env=world.pybuild.environment, stderr=subprocess.PIPE) for word in words]
    assert [process.wait() for process in running] == [0] * 8, [process.communicate() for process in running]
    assert world.pybuild.text("tags", f"oci:{tmp_path / 'layout'}").split() == list("01234567")


def test_a_killed_copy_is_gone_on_with(world: World, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    for number in range(6):
        (context / f"f{number}").write_bytes(os.urandom(6 << 20))
    lines = "".join(f"COPY f{number} /\n" for number in range(6))
    (context / "Dockerfile").write_text(f"FROM scratch\n{lines}")
    world.pybuild.build(context, "-t", "large:1")
    start = f"oci:{tmp_path / 'start'}:1"
    was = world.pybuild.text("copy", "one:1", f"oci:{tmp_path / 'end'}:old")
    said = world.pybuild.text("copy", "large:1", start)
    end = f"oci:{tmp_path / 'end'}:1"
    blobs = tmp_path / "end/blobs/sha256"
    before = len(os.listdir(blobs))
    for _ in range(20):
        process = subprocess.Popen(world.pybuild.command("copy", start, end), env=world.pybuild.environment)
        deadline = time.monotonic() + 60
        while len(os.listdir(blobs)) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert digest(raw(f"oci:{tmp_path / 'end'}:old")) == was
        if (before := len(os.listdir(blobs))) >= 10:
            break
    kept = {path.name: path.stat().st_ino for path in blobs.iterdir()}
    assert world.pybuild.text("copy", start, end) == said
    assert all((blobs / name).stat().st_ino == inode for name, inode in kept.items()), "nothing came twice"
    assert {path.name for path in (tmp_path / "end").iterdir()} <= {
        "blobs",
        "oci-layout",
        "index.json",
        ".index.json.part",
    }


def test_push_and_pull_know_the_other_places(world: World, where: Where, tmp_path: Path) -> None:
    layout, archive = where("oci", "pushed"), f"docker-archive:{tmp_path / 'p.tar'}:example.org/p:1"
    assert "digest: sha256:" in world.pybuild.text("push", "one:1", layout)
    assert world.pybuild.text("push", "-q", "one:1", archive) == archive
    other = Pybuild(tmp_path / "other")
    for place in (archive, archive.removesuffix(":example.org/p:1")):
        assert other.text("pull", "-q", place) == "example.org/p:1"
    assert other.text("pull", "-q", layout) == world.pybuild.text("digest", layout)
    assert json.loads(other.text("inspect", "example.org/p:1"))[0]["Id"] == world.identity


def test_an_index_that_is_partly_here_is_pushed_as_one_image(world: World, where: Where, tmp_path: Path) -> None:
    many, again = where("docker", "many"), where("docker", "again")
    world.pybuild("copy", "-q", "--all", "many:1", many)
    other = Pybuild(tmp_path / "other")
    other("pull", "-q", many.removeprefix("docker://"))
    done = other("push", many.removeprefix("docker://"), again.removeprefix("docker://"))
    assert "only one is sent" in done.stderr
    assert json.loads(raw(again))["config"]["mediaType"].endswith("config.v1+json")
    failed = other("copy", "--all", many.removeprefix("docker://"), where("oci", "x"), code=1)
    assert "pull --all-platforms" in failed.stderr
    other("pull", "-q", "--all-platforms", many.removeprefix("docker://"))
    other("push", "-q", many.removeprefix("docker://"), again.removeprefix("docker://"))
    assert digest(raw(again)) == digest(raw(many))


def test_what_is_pulled_but_cannot_be_run_is_told(world: World, where: Where, tmp_path: Path) -> None:
    reference = where("docker", "thing").removeprefix("docker://")
    (tmp_path / "note.txt").write_text("a note")
    world.pybuild("artifact", "push", reference, tmp_path / "note.txt")
    other = Pybuild(tmp_path / "other")
    assert "cannot be run" in other("pull", reference).stderr
    again = where("oci", "again")
    assert other.text("copy", reference, again) == world.pybuild.text("digest", f"docker://{reference}")


@pytest.mark.parametrize("kind", KINDS)
def test_images_elsewhere_are_looked_at_without_becoming_ours(
    world: World, where: Where, kind: str, tmp_path: Path
) -> None:
    place = where(kind, "seen")
    world.pybuild("copy", "-q", "one:1", place)
    other = Pybuild(tmp_path / "other")
    assert [line.split()[-3:-1] for line in other.text("history", place).splitlines()[1:3]] == [
        line.split()[-3:-1] for line in world.pybuild.text("history", "one:1").splitlines()[1:3]
    ]
    assert other.text("diff", place) == "A /b\nA /b/c"
    assert other.text("diff", f"{place}@1", place) == "A /b\nA /b/c"
    assert json.loads(other.text("explore", "--json", "-", place))["image"]["efficiencyScore"] == 1
    assert other.text("images", "-aq") == ""
    other("prune", "-f")
    assert not any((tmp_path / "other/blobs/sha256").iterdir())
    assert "no OCI layout" not in other("diff", "oci:nowhere", code=1).stderr
