"""umoci and runc are the judges of bundles: same files, same config, each repacks the other's, and they run."""

import gzip
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.layers.test_rounds import same, view
from tests.support.command import Pybuild
from tests.support.images import read_image
from tests.support.peers import need
from tests.support.stored import tar_of

pytestmark = pytest.mark.root

DOCKERFILE = """
FROM busybox
COPY . /data/
RUN mkdir /made /home/me && echo made > /made/file && chown 5:6 /made/file \\
 && ln /made/file "/made/hard link#*?[\\\\é" \\
 && mkfifo -m 4755 /made/fifo && mknod /made/null c 1 3 && chown 1000:100 /home/me && ln -s 'a b' /home/me/soft \\
 && echo me:x:1000:100:me:/home/me:/bin/sh >> /etc/passwd && echo extra:x:50:me >> /etc/group \\
 && rm /bin/yes && chmod 1777 /made
ENV MOOD="calm and quiet" PATH=/bin
WORKDIR /home/me
LABEL a=b
EXPOSE 80 81/udp
VOLUME /cache
STOPSIGNAL SIGINT
USER me
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["id; echo $MOOD; pwd; touch /made/ran"]
"""
JUSTIFIED = {
    "hostname",  # the name of the tool
    "org.opencontainers.image.author",  # umoci says of what there is not that it is empty
}


def umoci(*words: str | Path) -> str:
    done = subprocess.run([need("umoci"), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def place(shared_pybuild: Pybuild, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an image as a layout that umoci reads; the same manifest is in the shared store."""
    folder = tmp_path_factory.mktemp("bundles")
    context = folder / "context"
    context.mkdir()
    for name in ("one", "two", "deep/three"):
        (context / name).parent.mkdir(exist_ok=True)
        (context / name).write_text(f"{name}\n" * 1000)
    (context / "Dockerfile").write_text(DOCKERFILE)
    (context / ".dockerignore").write_text("Dockerfile\n.dockerignore\n")
    shared_pybuild.build(context, "--userns", "host", "--timestamp", "1700000000", "-t", "bundle-base:1")
    shared_pybuild("save", "--format", "oci", "-o", folder / "image.tar", "bundle-base:1")
    (folder / "oci").mkdir()
    subprocess.run(["tar", "xf", folder / "image.tar", "-C", folder / "oci"], check=True)
    shared_pybuild("load", "-q", "-i", folder / "image.tar")
    umoci("unpack", "--image", f"{folder / 'oci'}:1", folder / "theirs")
    shared_pybuild("unpack", "--image", "bundle-base:1", folder / "ours")
    return folder


@pytest.fixture
def bundles(place: Path, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Fresh copies of both: (ours, theirs)."""
    for name in ("ours", "theirs"):
        subprocess.run(["cp", "-a", place / name, tmp_path / name], check=True)
    yield tmp_path / "ours", tmp_path / "theirs"


def test_the_same_files(place: Path) -> None:
    assert view(place / "ours/rootfs") == view(place / "theirs/rootfs")
    assert stat.S_IMODE((place / "ours").stat().st_mode) == stat.S_IMODE((place / "theirs").stat().st_mode)
    assert sorted(os.listdir(place / "ours")) == sorted(os.listdir(place / "theirs"))


def test_the_same_manifest_of_files(place: Path) -> None:
    [name] = [entry.name for entry in (place / "ours").glob("*.mtree")]

    def lines(side: str) -> list[str]:
        text = (place / side / name).read_text().splitlines()
        return [line for line in text if not line.startswith(("#    ", "#  "))]

    assert lines("ours") == lines("theirs")


def test_the_same_metadata(place: Path) -> None:
    ours, theirs = (json.loads((place / side / "umoci.json").read_text()) for side in ("ours", "theirs"))
    theirs["from_descriptor_path"]["descriptor_walk"][-1].pop("annotations", None)  # of the layout, not of the image
    assert ours == theirs


@pytest.mark.parametrize("maps", [[], ["--uid-map", "0:70000:70000", "--gid-map", "0:90000:70000"]])
def test_the_same_config(maps: list[str], place: Path, shared_pybuild: Pybuild, tmp_path: Path) -> None:
    umoci("unpack", "--image", f"{place / 'oci'}:1", *maps, tmp_path / "theirs")
    shared_pybuild("unpack", "--image", "bundle-base:1", *maps, tmp_path / "ours")
    ours, theirs = (json.loads((tmp_path / side / "config.json").read_text()) for side in ("ours", "theirs"))
    assert {key for key in differences(ours, theirs) if key not in JUSTIFIED} == set()
    assert (tmp_path / "ours/rootfs/made/file").stat().st_uid == (70005 if maps else 5)
    assert view(tmp_path / "ours/rootfs") == view(tmp_path / "theirs/rootfs")


@pytest.mark.parametrize(
    "user",
    ["", "0", "me", "1000", "4242", "me:other", "1000:7", "4242:other", "4242:7", "me:4242", "other", "me:nobody"],
)
def test_the_same_user(user: str, shared_pybuild: Pybuild, tmp_path: Path) -> None:
    passwd = b"root:x:0:0:root:/root:/bin/sh\nbroken\nme:x:1000:100:me:/home/me:/bin/sh\n"
    groups = b"root:x:0:\nusers:x:100:\nother:x:7:a,me\nmore:x:8:me,b\n"
    layer = tar_of({"etc/": None, "etc/passwd": passwd, "etc/group": groups})
    shared_pybuild("append", "-f", "-", "-t", "users:1", stdin=layer)
    shared_pybuild("mutate", "-u", user, "-t", "users:2", "users:1")
    shared_pybuild("save", "--format", "oci", "-o", tmp_path / "image.tar", "users:2")
    (tmp_path / "oci").mkdir()
    subprocess.run(["tar", "xf", tmp_path / "image.tar", "-C", tmp_path / "oci"], check=True)
    words = [need("umoci"), "unpack", "--image", f"{tmp_path / 'oci'}:2", str(tmp_path / "theirs")]
    refused = subprocess.run(words, capture_output=True).returncode
    done = shared_pybuild("unpack", "--image", "users:2", tmp_path / "ours", code=None)
    assert bool(done.returncode) == bool(refused), done.stderr
    if refused:
        assert "no user 'other'" in done.stderr or "no group 'nobody'" in done.stderr
        assert not (tmp_path / "ours").exists()
        return
    ours, theirs = (json.loads((tmp_path / side / "config.json").read_text())["process"] for side in ("ours", "theirs"))
    assert ours["user"] == theirs["user"]
    assert set(ours["env"]) - set(theirs["env"]) <= {"HOME=/"}  # of a user whom nothing describes


def differences(one: dict[str, Any], two: dict[str, Any]) -> Iterator[str]:
    """The keys whose values differ, the innermost."""
    for key in one.keys() | two.keys():
        if isinstance(one.get(key), dict) and isinstance(two.get(key), dict):
            yield from differences(one[key], two[key])
        elif one.get(key) != two.get(key):
            yield key


def change(root: Path) -> None:
    """A bit of everything, at a time that umoci does not round."""
    (root / "made/new").write_text("new")
    os.chown(root / "made/new", 9, 10)
    (root / "data/one").write_text("other")
    shutil.rmtree(root / "data/deep")
    (root / "data/deep").write_text("a file now")
    (root / "made/null").unlink()
    (root / "bin/ash").unlink()
    (root / "bin/ash").symlink_to("sh")
    for name in ("made/new", "data/one", "data/deep", "bin/ash"):
        os.utime(root / name, (1_600_000_000, 1_600_000_000), follow_symlinks=False)


def test_each_takes_the_bundles_of_both(
    bundles: tuple[Path, Path], place: Path, shared_pybuild: Pybuild, tmp_path: Path
) -> None:
    trees = []
    for number, bundle in enumerate(bundles):
        assert (
            shared_pybuild.text("repack", "--image", "same:1", bundle)
            == shared_pybuild.text("inspect", "-f", "{{.Id}}", "bundle-base:1")
        )  # fmt: skip
        change(bundle / "rootfs")
        told = view(bundle / "rootfs")
        shared_pybuild("repack", "--image", "repacked:1", "--history.comment", "c", bundle)
        shared_pybuild("unpack", "--image", "repacked:1", tmp_path / f"ours{number}")
        same(view(tmp_path / f"ours{number}/rootfs"), told, "our layer")
        umoci("repack", "--image", f"{place / 'oci'}:new{number}", bundle)
        umoci("unpack", "--image", f"{place / 'oci'}:new{number}", tmp_path / f"theirs{number}")
        same(view(tmp_path / f"theirs{number}/rootfs"), told, "umoci's layer")
        shared_pybuild("save", "-o", tmp_path / f"{number}.tar", "repacked:1")
        trees.append(read_image(tmp_path / f"{number}.tar").tree())
    assert trees[0] == trees[1]


def test_umoci_goes_on_with_a_bundle_that_was_refreshed(
    bundles: tuple[Path, Path], place: Path, shared_pybuild: Pybuild, tmp_path: Path
) -> None:
    bundle, _ = bundles
    change(bundle / "rootfs")
    umoci("repack", "--refresh-bundle", "--image", f"{place / 'oci'}:fresh", bundle)
    (bundle / "rootfs/again").touch()
    subprocess.run([need("skopeo"), "copy", "-q", f"oci:{place / 'oci'}:fresh",
                    f"oci-archive:{tmp_path / 'fresh.tar'}:fresh:1"], check=True)  # fmt: skip
    shared_pybuild("load", "-q", "-i", tmp_path / "fresh.tar")
    image = shared_pybuild.text("repack", "--refresh-bundle", "--image", "fresh:2", bundle)
    assert shared_pybuild.text("diff", image) == "A /again"
    (bundle / "rootfs/again").unlink()
    image = shared_pybuild.text("repack", "--image", "fresh:3", bundle)
    assert shared_pybuild.text("diff", image) == "D /again"


def test_runc_runs_it(bundles: tuple[Path, Path], shared_pybuild: Pybuild, tmp_path: Path) -> None:
    bundle, _ = bundles
    config = json.loads((bundle / "config.json").read_text())
    config["process"]["terminal"] = False  # a test has none to give
    (bundle / "config.json").write_text(json.dumps(config))
    name = f"pybuild-{os.getpid()}"
    done = subprocess.run(
        [need("runc"), "--root", tmp_path / "runc", "run", "-b", bundle, name], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "uid=1000(me) gid=100(users) groups=50(extra)", "calm and quiet", "/home/me"
    ]  # fmt: skip
    image = shared_pybuild.text("repack", "--image", "ran:1", "--mask-path", "/dev", "--mask-path", "/cache", bundle)
    assert shared_pybuild.text("diff", image).splitlines()[-1] == "A /made/ran"


def test_a_layout_is_all_that_is_needed(place: Path, tmp_path: Path) -> None:
    """As umoci works: from a layout and into it, with a store that knows nothing of the image before and after."""
    layout = tmp_path / "oci"
    shutil.copytree(place / "oci", layout)
    pybuild = Pybuild(tmp_path / "store")
    pybuild("unpack", "--image", f"oci:{layout}:1", tmp_path / "bundle")
    (tmp_path / "bundle/rootfs/added").write_text("1")
    shutil.rmtree(tmp_path / "bundle/rootfs/data")
    refused = pybuild("repack", "--image", "other:1", tmp_path / "bundle", code=1).stderr
    assert "is not in the store" in refused and "'pybuild pull' brings it here" in refused
    pybuild("prune", "-af")
    pybuild("repack", "--image", f"oci:{layout}:2", tmp_path / "bundle")
    umoci("unpack", "--image", f"{layout}:2", tmp_path / "again")
    same(view(tmp_path / "again/rootfs"), view(tmp_path / "bundle/rootfs"), "repacked")


def test_layouts_are_tidied_as_umoci_does(place: Path, tmp_path: Path) -> None:
    pybuild, ours, theirs = Pybuild(tmp_path / "store"), tmp_path / "ours", tmp_path / "theirs"
    shutil.copytree(place / "oci", ours)
    tell = pybuild.text("layout", "stat", "--json", "--image", f"{ours}:1")
    assert json.loads(tell) == json.loads(umoci("stat", "--json", "--image", f"{ours}:1"))
    assert pybuild.text("layout", "stat", "--image", f"{ours}:1").splitlines()[0].split()[0] == "IMAGE"
    pybuild("layout", "new", "--image", f"{ours}:2")
    assert "already" in pybuild("layout", "new", "--image", f"{ours}:2", code=1).stderr
    umoci("unpack", "--image", f"{ours}:2", tmp_path / "empty")
    assert os.listdir(tmp_path / "empty/rootfs") == []
    pybuild("layout", "tag", "--image", f"{ours}:2", "3")
    for name in pybuild.text("layout", "ls", "--layout", ours).split():
        if name != "3":
            pybuild("layout", "rm", "--image", f"{ours}:{name}")
    assert pybuild.text("layout", "ls", "--layout", ours) == "3"
    shutil.copytree(ours, theirs)
    umoci("gc", "--layout", theirs)
    assert "Deleted: sha256:" in pybuild.text("layout", "gc", "--layout", ours)
    assert sorted(os.listdir(ours / "blobs/sha256")) == sorted(os.listdir(theirs / "blobs/sha256"))
    assert len(os.listdir(ours / "blobs/sha256")) == 2
    pybuild("layout", "init", "--layout", tmp_path / "fresh")
    assert umoci("ls", "--layout", tmp_path / "fresh") == ""
    assert "already" in pybuild("layout", "init", "--layout", tmp_path / "fresh", code=1).stderr


def layer_of(layout: Path, name: str) -> list[tuple[Any, ...]]:
    """What the uppermost layer of an image has, as tar says it, sorted; times to the second that a layer keeps."""
    index = json.loads((layout / "index.json").read_text())["manifests"]
    named = next(one for one in index if one["annotations"].get("org.opencontainers.image.ref.name") == name)
    manifest = json.loads((layout / "blobs/sha256" / named["digest"][7:]).read_text())
    raw = gzip.decompress((layout / "blobs/sha256" / manifest["layers"][-1]["digest"][7:]).read_bytes())
    with tarfile.open(fileobj=io.BytesIO(raw + bytes(2048 - len(raw) % 512))) as tar:  # umoci ends one in mid-block
        return sorted(
            (one.name, one.type, one.mode, one.uid, one.gid, one.size, one.linkname)
            + ((one.pax_headers.get("SCHILY.xattr.user.mark"),) if one.isfile() else ())
            for one in tar
        )


def test_what_is_inserted_is_what_umoci_inserts(place: Path, tmp_path: Path) -> None:
    pybuild, layout, source = Pybuild(tmp_path / "store"), tmp_path / "oci", tmp_path / "source"
    shutil.copytree(place / "oci", layout)
    (source / "sub").mkdir(parents=True)
    os.chown(source / "sub", 5, 6)
    (source / "a").write_text("a")
    os.link(source / "a", source / "hard")
    os.setxattr(source / "a", "user.mark", b"1")
    (source / "link").symlink_to("a")
    os.mkfifo(source / "fifo")
    image = ("--image", f"{layout}:1")
    orders: tuple[list[str | Path], ...] = (
        [source, "/opt/x"],
        ["--opaque", source, "/data"],
        [source / "a", "/usr/bin/a"],
        [source / "link", "/link"],
        ["--whiteout", "/data/one"],
    )
    for number, words in enumerate(orders):
        pybuild("layout", "insert", *image, "--tag", f"ours{number}", *words)
        umoci("insert", *image, "--tag", f"theirs{number}", *words)
        assert layer_of(layout, f"ours{number}") == layer_of(layout, f"theirs{number}"), words
    pybuild("layout", "insert", "--image", f"{layout}:ours1", source / "a", "/b")
    umoci("unpack", "--image", f"{layout}:ours1", tmp_path / "bundle")
    assert sorted(os.listdir(tmp_path / "bundle/rootfs/data")) == ["a", "fifo", "hard", "link", "sub"]
    assert (tmp_path / "bundle/rootfs/b").read_text() == "a"
    refused: tuple[tuple[list[str | Path], str], ...] = (
        ([source], "write insert"),
        (["--whiteout", "/a", "/b"], "write insert"),
        (["--opaque", source / "a", "/b"], "only a directory"),
        ([source, "../b"], "must not contain"),
        ([source / "a", "/"], "no image can hold"),
        (["--whiteout", "/"], "cannot be deleted"),
        ([source / "absent", "/b"], "No such file"),
    )
    for wrong, why in refused:
        assert why in pybuild("layout", "insert", *image, *wrong, code=None).stderr
