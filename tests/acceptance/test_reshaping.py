"""Images of images, as a person makes them: squash, flatten, rebase, append, mutate, export, import."""

import gzip
import io
import json
import lzma
import subprocess
import tarfile
from pathlib import Path

import pexpect
import pytest

from layers import Descriptor, Digest, ImageConfig, Manifest, Platform, Store
from layers.home.ingest import receive
from layers.oci import mediatypes
from tests.support.command import Pybuild
from tests.support.images import Image, read_image
from tests.support.stored import tar_of

pytestmark = pytest.mark.root

APP = """
FROM {base}
RUN echo 1 > /etc/one && ln /etc/one /etc/linked && rm /etc/group
RUN rm /etc/one /bin/yes && mkdir -p /srv/deep && echo 2 > /srv/deep/two
RUN rm -r /srv && mkdir /srv && echo 3 > /srv/three
CMD ["cat", "/srv/three"]
"""


@pytest.fixture(scope="module")
def built(shared_pybuild: Pybuild) -> Pybuild:
    """A store with an old base, a new base, and an app on the old one."""
    for name, line in (("old", "RUN echo old > /etc/release"), ("new", "RUN echo new > /etc/release; rm /bin/yes")):
        shared_pybuild("build", "-q", "-t", f"{name}:1", "-", stdin=f"FROM busybox\n{line}\nLABEL from={name}\n")
    shared_pybuild("build", "-q", "-t", "shape:1", "-", stdin=APP.format(base="old:1"))
    return shared_pybuild


@pytest.fixture(scope="module")
def before(built: Pybuild, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The app as it was built."""
    return saved(built, "shape:1", tmp_path_factory.mktemp("before"))


def layers(pybuild: Pybuild, image: str) -> list[str]:
    found: list[str] = json.loads(pybuild.text("inspect", "-f", "{{json .RootFS.Layers}}", image))
    return found


def saved(pybuild: Pybuild, image: str, place: Path) -> Image:
    pybuild("save", "-o", place / "image.tar", image)
    return read_image(place / "image.tar")


def history(pybuild: Pybuild, image: str) -> list[str]:
    return pybuild.text("history", "--no-trunc", "--format", "{{.CreatedBy}}", image).splitlines()


def test_squash_keeps_the_base_that_is_here(built: Pybuild, before: Image, tmp_path: Path) -> None:
    done = built("squash", "-t", "shape:squashed", "-m", "smaller", "shape:1")
    assert done.stdout.strip() == built.text("inspect", "-f", "{{.Id}}", "shape:squashed")
    assert done.stderr == "Squashing above old:1, 2 of 5 layers\n"
    assert layers(built, "shape:squashed")[:2] == layers(built, "old:1")
    assert len(layers(built, "shape:squashed")) == 3
    after = saved(built, "shape:squashed", tmp_path)
    assert after.tree() == before.tree()
    assert history(built, "shape:squashed")[1:] == history(built, "shape:1")
    assert history(built, "shape:squashed")[0] == "pybuild squash --from 2"
    assert [line.get("empty_layer", False) for line in after.config["history"]].count(False) == 3
    assert after.config["history"][-1]["comment"] == "smaller"
    assert built.text("diff", "shape:1", "shape:squashed") == ""
    with tarfile.open(fileobj=io.BytesIO(after.layers[-1])) as archive:
        assert [name for name in archive.getnames() if ".wh." in name] == ["bin/.wh.yes", "etc/.wh.group"]


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_squash_from_any_layer(kept: int, built: Pybuild, before: Image, tmp_path: Path) -> None:
    image = built.text("squash", "--from", str(kept), "shape:1")
    assert layers(built, image)[:kept] == layers(built, "shape:1")[:kept]
    assert len(layers(built, image)) == kept + 1
    assert saved(built, image, tmp_path).tree() == before.tree()


def test_nothing_to_squash_is_no_failure(built: Pybuild) -> None:
    same = built.text("inspect", "-f", "{{.Id}}", "shape:1")
    for kept in ("4", "5"):
        assert built.text("squash", "--from", kept, "shape:1") == same
    assert "has 5 layers" in built("squash", "--from", "6", "shape:1", code=2).stderr


def test_two_runs_make_the_same_image(built: Pybuild) -> None:
    fixed = Pybuild(built.root, {**built.env, "SOURCE_DATE_EPOCH": "1700000000"})
    for words in (["squash", "shape:1"], ["flatten", "shape:1"]):
        assert fixed.text(*words) == fixed.text(*words)
    assert "no number" in Pybuild(built.root, {"SOURCE_DATE_EPOCH": "x"})("flatten", "shape:1", code=2).stderr


def test_flatten(built: Pybuild, before: Image, tmp_path: Path) -> None:
    image = built.text("flatten", "-t", "shape:flat", "shape:1")
    assert len(layers(built, image)) == 1
    after = saved(built, image, tmp_path)
    assert after.tree() == before.tree()
    assert after.config["config"]["Cmd"] == ["cat", "/srv/three"]
    assert built.text("flatten", image) == image
    assert built.text("run", "--rm", image) == "3"


def test_rebase(built: Pybuild, tmp_path: Path) -> None:
    done = built("rebase", "--old-base", "old:1", "--new-base", "new:1", "-t", "shape:2", "shape:1")
    assert "deletes /bin/yes, which the new base does not have" in done.stderr
    assert layers(built, "shape:2") == [*layers(built, "new:1"), *layers(built, "shape:1")[2:]]
    assert built.text("run", "--rm", "shape:2", "cat", "/etc/release", "/srv/three") == "new\n3"
    after = saved(built, "shape:2", tmp_path)
    notes = after.manifest["annotations"]
    assert notes["org.opencontainers.image.base.name"] == "docker.io/library/new:1"
    assert notes["org.opencontainers.image.base.digest"] == json.loads(
        built.text("inspect", "-f", "{{json .Descriptor.digest}}", "new:1")
    )
    built("build", "-q", "-t", "new:1", "-", stdin="FROM new:1\nRUN echo newer > /etc/release\n")
    third = built.text("rebase", "shape:2")  # both bases as its annotations name them
    assert built.text("run", "--rm", third, "cat", "/etc/release") == "newer"
    assert "Squashing above docker.io/library/new:1, 3 of 6 layers" in built("squash", third).stderr


def test_rebase_refuses_what_does_not_fit(built: Pybuild) -> None:
    assert "is no base of" in built("rebase", "--old-base", "shape:1", "--new-base", "old:1", "old:1", code=1).stderr
    assert "add --old-base IMAGE" in built("rebase", "--new-base", "old:1", "shape:1", code=2).stderr
    assert "not in the store" in built("rebase", "--old-base", "old:1", "--new-base", "nope", "shape:1", code=1).stderr


@pytest.mark.parametrize("how", ["gzip", "xz"])
def test_append(how: str, built: Pybuild, tmp_path: Path) -> None:
    pack = gzip.compress if how == "gzip" else lzma.compress
    (tmp_path / "a.tar").write_bytes(pack(tar_of({"etc/.wh.hosts": b"", "appended": b"1"})))
    second = pack(tar_of({"second": b"2"}))
    image = built("append", "-b", "shape:1", "-f", tmp_path / "a.tar", "-f", "-", stdin=second).stdout.strip()
    assert layers(built, image)[:5] == layers(built, "shape:1")
    assert built.text("diff", "shape:1", image).splitlines()[-2:] == ["A /appended", "A /second"]
    assert history(built, image)[:2] == ["pybuild append -", f"pybuild append {tmp_path}/a.tar"]


def test_append_to_nothing(built: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_of({"bin/": None, "bin/x": b"1"}))
    image = built.text("append", "-f", tmp_path / "a.tar", "-t", "fresh:1", "--platform", "linux/arm64")
    assert built.text("inspect", "-f", "{{.Architecture}}", "fresh:1") == "arm64"
    assert len(layers(built, image)) == 1
    noted = built.text("append", "-b", "fresh:1", "--platform", "linux/arm64", "--set-base-image-annotations",
                       "-f", tmp_path / "a.tar")  # fmt: skip
    notes = saved(built, noted, tmp_path).manifest["annotations"]
    assert notes["org.opencontainers.image.base.name"] == "docker.io/library/fresh:1"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (bytes(1024), "holds nothing"),
        (b"no tar at all", "inside a header"),
        (gzip.compress(tar_of({"a": b"b"}), mtime=0)[:-9], "invalid archive"),
        (gzip.compress(tar_of({"a": b"b"}), mtime=0) + b"garbage", "invalid archive"),
        (tar_of({"../a": b""}), "refused path"),
        (tar_of({".": b""}), "root of a layer"),
        (tar_of({".wh.": b""}), "whiteout of nothing"),
        (tar_of({"a": b"b" * 5000})[:2000], "invalid archive"),
    ],
)
def test_tars_that_are_no_layer(data: bytes, why: str, built: Pybuild) -> None:
    for words in (["append", "-f", "-"], ["mutate", "shape:1", "--append", "-"]):
        done = built(*words, stdin=data, code=1)
        assert why in done.stderr and not done.stdout


def test_nothing_to_append(built: Pybuild) -> None:
    assert "add -f TAR" in built("append", "-b", "shape:1", code=2).stderr
    assert "only one of" in built("append", "-f", "-", "-f", "-", code=2).stderr


def test_mutate_touches_no_layer(built: Pybuild, before: Image, tmp_path: Path) -> None:
    built(
        "mutate", "shape:1", "--entrypoint", '/bin/sh,-c,"echo $A, $B"', "-e", "A=1", "-e", "PATH=/bin", "--env", "B=2",
        "-l", "a=b", "-a", "note=yes", "-u", "7:8", "-w", "/srv", "--exposed-ports", "80,81/udp", "-t", "shape:mutated",
        "-o", tmp_path / "mutated.tar",
    )  # fmt: skip
    after = read_image(tmp_path / "mutated.tar")
    assert after.manifest["layers"] == before.manifest["layers"]
    assert after.manifest["annotations"] == {"note": "yes"}
    assert after.config["config"] == {
        "Env": ["PATH=/bin", "A=1", "B=2"], "Entrypoint": ["/bin/sh", "-c", "echo $A, $B"], "User": "7:8",
        "WorkingDir": "/srv", "ExposedPorts": {"80/tcp": {}, "81/udp": {}}, "Labels": {"from": "old", "a": "b"},
        "ArgsEscaped": before.config["config"]["ArgsEscaped"],
    }  # fmt: skip
    assert {**after.config, "config": {}} == {**before.config, "config": {}}
    assert built.text("run", "--rm", "shape:mutated") == "1, 2"


def test_a_mutation_of_nothing_is_the_same_image(built: Pybuild) -> None:
    same = built.text("inspect", "-f", "{{.Id}}", "shape:1")
    assert built.text("mutate", "shape:1") == same
    assert built.text("mutate", "-e", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                      "shape:1") == same  # fmt: skip
    other = built.text("mutate", "--set-platform", "linux/arm/v6", "shape:1")
    assert built.text("inspect", "-f", "{{.Architecture}}/{{.Variant}}", other) == "arm/v6"


@pytest.mark.parametrize(
    "words", [["-e", "A"], ["-l", "=x"], ["--exposed-ports", "x"], ["--exposed-ports", "1/x"], ["--entrypoint", '"a']]
)
def test_mutations_that_make_no_sense(words: list[str], built: Pybuild) -> None:
    assert built("mutate", "shape:1", *words, code=2).stderr.startswith("error: ")


def test_what_docker_packed_stays_as_it_is(built: Pybuild) -> None:
    """A manifest of docker's, with compressed layers, keeps their descriptors."""
    raw = tar_of({"a": b"b"})
    packed = gzip.compress(raw)
    with Store.open(built.root) as store, store.lease():
        layer = Descriptor(mediatypes.DOCKER_LAYER_GZIP, Digest.of(packed), len(packed))
        config = ImageConfig.build(platform=Platform.host(), diff_ids=[receive(store, layer, io.BytesIO(packed))],
                                   history=[], runtime={}, created=None)  # fmt: skip
        manifest = Manifest.build(
            config.descriptor(mediatypes.DOCKER_CONFIG), [layer], media_type=mediatypes.DOCKER_MANIFEST
        )
        image = store.images.add(manifest, config)
    changed = built.text("mutate", "-u", "me", str(image.id))
    with Store.open(built.root) as store:
        after = store.images.get(changed).manifest
    assert after.media_type == mediatypes.DOCKER_MANIFEST
    assert after.layers == (layer,)


def test_export_of_an_image_is_its_tree(built: Pybuild, before: Image, tmp_path: Path) -> None:
    built("export", "-o", tmp_path / "flat.tar", "shape:1")
    image = built.text("import", "-c", "CMD cat /srv/three", "-m", "again", tmp_path / "flat.tar", "imported:1")
    after = saved(built, image, tmp_path)
    assert after.tree() == before.tree()
    assert after.config["config"]["Cmd"] == ["/bin/sh", "-c", "cat /srv/three"]
    assert after.config["history"][0]["comment"] == "again"
    streamed = subprocess.run(built.command("export", "shape:1"), env=built.environment, capture_output=True)
    assert streamed.stdout == (tmp_path / "flat.tar").read_bytes()


def test_export_of_a_container_is_what_it_is_now(built: Pybuild, tmp_path: Path) -> None:
    built("run", "--name", "exported", "shape:1", "sh", "-c", "echo x > /srv/x; rm /srv/three; touch /tmp/t")
    try:
        built("export", "-o", tmp_path / "flat.tar", "exported")
    finally:
        built("rm", "exported")
    with tarfile.open(tmp_path / "flat.tar") as archive:
        names = set(archive.getnames())
    assert {"srv/x", "tmp/t", "bin/busybox"} <= names
    assert not names & {"srv/three", "etc/hostname"} and not any(".wh." in name for name in names)


def test_a_terminal_gets_no_archive(built: Pybuild) -> None:
    command, *words = built.command("export", "shape:1")
    child = pexpect.spawn(command, words, env=built.environment, encoding="utf-8")
    child.expect("not written to a terminal")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2


def test_import_of_what_is_not_a_file(built: Pybuild) -> None:
    assert "curl -fL" in built("import", "http://localhost/x.tar", code=2).stderr
    assert "tar -C /etc -c . | pybuild import -" in built("import", "/etc", code=2).stderr
    packed = gzip.compress(tar_of({"a": b"b"}))
    image = built("import", "--platform", "linux/riscv64", "-", "piped:1", stdin=packed).stdout.strip()
    assert built.text("inspect", "-f", "{{.Id}} {{.Architecture}}", "piped:1") == f"{image} riscv64"


def test_names_and_platforms_that_are_not_there(built: Pybuild) -> None:
    for words in (["squash", "nope"], ["flatten", "nope"], ["mutate", "nope"], ["append", "-b", "nope", "-f", "-"]):
        assert "nope is not in the store" in built(*words, code=1).stderr
    assert "did you mean shape:1" in built("flatten", "shap:1", code=2).stderr
    assert "no container, image" in built("export", "nope", code=2).stderr
    layer = layers(built, "shape:1")[-1]
    assert "only those have a whole file system" in built("export", layer, code=2).stderr
    assert "no image for platform" in built("flatten", "--platform", "linux/s390x", "shape:1", code=1).stderr
    for name in (f"a@sha256:{'0' * 64}", "UPPER"):
        assert "invalid reference" in built("flatten", "-t", name, "shape:1", code=1).stderr


def test_export_of_a_step(built: Pybuild, tmp_path: Path) -> None:
    built("export", "-o", tmp_path / "flat.tar", "shape:1@3")
    with tarfile.open(tmp_path / "flat.tar") as archive:
        assert "etc/one" in archive.getnames() and "srv/three" not in archive.getnames()
