"""Volumes: made, filled, shared, kept and removed, by name and without one."""

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builder.containers.volumes import Volumes
from layers import Store
from tests.support.command import Pybuild

pytestmark = pytest.mark.root
IMAGE = "with-volumes"
DOCKERFILE = """
FROM busybox
RUN mkdir -p /data/sub && echo seed >/data/seed && chown 33:33 /data /data/seed && chmod 2770 /data && ln -s /data /way
VOLUME /data /other
"""


@pytest.fixture(scope="module")
def image(shared_pybuild: Pybuild, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("volumes")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    shared_pybuild.build(folder, "-t", IMAGE)
    return IMAGE


@pytest.fixture
def name(shared_pybuild: Pybuild) -> Iterator[str]:
    """A name for a volume and a container that go away."""
    drawn = f"vol-{os.urandom(4).hex()}"
    yield drawn
    shared_pybuild("rm", "-fv", drawn)
    shared_pybuild("volume", "rm", "-f", drawn)


def volumes(command: Pybuild) -> set[str]:
    return set(command.text("volume", "ls", "-q").splitlines())


def test_a_volume_outlives_its_containers(shared_pybuild: Pybuild, name: str) -> None:
    shared_pybuild("run", "--rm", "-v", f"{name}:/a", "busybox", "sh", "-c", "echo kept >/a/file")
    assert shared_pybuild.text("run", "--rm", "-v", f"{name}:/b:ro", "busybox", "cat", "/b/file") == "kept"
    refused = shared_pybuild("run", "--rm", "-v", f"{name}:/b:ro", "busybox", "touch", "/b/x", code=1)
    assert "Read-only" in refused.stderr


def test_an_empty_volume_is_filled_from_the_image_once(shared_pybuild: Pybuild, image: str, name: str) -> None:
    look = ("sh", "-c", "stat -c '%u:%g %a' /x /x/seed; cat /x/seed; echo other >/x/seed")
    mount = ("--mount", f"type=volume,src={name},dst=/x")
    assert shared_pybuild.text("run", "--rm", "-v", f"{name}:/way", image, "cat", "/data/seed") == "seed"
    assert shared_pybuild.text("run", "--rm", *mount, image, *look) == "33:33 2770\n33:33 644\nseed"
    assert shared_pybuild.text("run", "--rm", "-v", f"{name}:/data", image, "cat", "/data/seed") == "other"


@pytest.mark.parametrize(
    "flags", [["-v", "{}:/data:nocopy"], ["--mount", "type=volume,src={},dst=/data,volume-nocopy"]]
)
def test_nocopy(shared_pybuild: Pybuild, image: str, name: str, flags: list[str]) -> None:
    words = [word.format(name) for word in flags]
    assert shared_pybuild.text("run", "--rm", *words, image, "ls", "/data") == ""


def test_owners_of_an_emptied_volume_are_left_at_the_next_start(shared_pybuild: Pybuild, image: str, name: str) -> None:
    script = "stat -c %u /data; rm -rf /data/*; chown 44 /data"
    shared_pybuild("create", "--name", name, "-v", f"{name}:/data", image, "sh", "-c", script)
    assert shared_pybuild.text("start", "-a", name) == "33"
    assert shared_pybuild.text("start", "-a", name) == "44"


def test_volumes_without_a_name_go_with_their_container(shared_pybuild: Pybuild, image: str, name: str) -> None:
    before = volumes(shared_pybuild)
    shared_pybuild("run", "--rm", "-v", "/third", image, "touch", "/third/x", "/other/x")
    assert volumes(shared_pybuild) == before
    shared_pybuild("run", "--name", name, "-v", "/third", image, "touch", "/third/x", "/other/x")
    made = volumes(shared_pybuild) - before
    assert len(made) == 3
    assert "in use by" in shared_pybuild("volume", "rm", *made, code=1).stderr
    assert shared_pybuild.text("diff", name) == ""
    shared_pybuild("rm", name)
    assert volumes(shared_pybuild) - before == made
    assert set(shared_pybuild.text("volume", "rm", *made).splitlines()) == made


def test_rm_v_leaves_named_ones(shared_pybuild: Pybuild, image: str, name: str) -> None:
    before = volumes(shared_pybuild)
    shared_pybuild("create", "--name", name, "-v", f"{name}:/data", image)
    shared_pybuild("rm", "-v", name)
    assert volumes(shared_pybuild) - before == {name}


def test_volumes_from(shared_pybuild: Pybuild, image: str, name: str) -> None:
    before = volumes(shared_pybuild)
    shared_pybuild("run", "--name", name, image, "touch", "/other/shared")
    look = ("sh", "-c", "ls /data /other; touch /other/x")
    done = shared_pybuild("run", "--rm", "--volumes-from", f"{name}:ro", image, *look, code=1)
    assert "seed" in done.stdout
    assert "shared" in done.stdout
    assert "Read-only" in done.stderr
    own = shared_pybuild.text("run", "--rm", "--volumes-from", name, "-v", "/other", image, "ls", "/other")
    assert own == ""
    assert len(volumes(shared_pybuild) - before) == 2, "those of the other container are not ours to remove"


def test_what_inspect_and_ps_say(shared_pybuild: Pybuild, image: str, name: str, tmp_path: Path) -> None:
    shared_pybuild("create", "--name", name, "-v", f"{name}:/data:ro", "-v", f"{tmp_path}:/host", image)
    found = json.loads(shared_pybuild.text("inspect", name))[0]
    mounts = {one["Destination"]: one for one in found["Mounts"]}
    assert mounts["/data"] == {
        "Type": "volume",
        "Name": name,
        "Source": f"{shared_pybuild.root}/volumes/{name}/_data",
        "Destination": "/data",
        "Driver": "local",
        "Mode": "ro",
        "RW": False,
        "Propagation": "",
    }
    assert mounts["/host"]["Type"] == "bind"
    assert found["HostConfig"]["Binds"] == [f"{name}:/data:ro", f"{tmp_path}:/host"]
    assert found["Config"]["Volumes"] == {"/other": {}}
    row = shared_pybuild.text("ps", "-a", "--filter", f"volume={name}", "--format", "{{.Names}} {{.LocalVolumes}}")
    assert row == f"{name} 2"
    lines = [line.split() for line in shared_pybuild.text("system", "df", "-v").splitlines()]
    assert [name, "1"] in [line[:2] for line in lines]


def test_the_commands(pybuild: Pybuild) -> None:
    assert pybuild.text("volume", "create", "--label", "a=b", "data") == "data"
    assert pybuild.text("volume", "create", "data") == "data"
    (drawn,) = {pybuild.text("volume", "create")}
    assert pybuild.text("volume", "ls").splitlines()[0] == "DRIVER    VOLUME NAME"
    assert pybuild.text("volume", "ls", "-q", "--filter", "label=a=b") == "data"
    found = pybuild("volume", "inspect", "data", "nope", code=1)
    assert json.loads(found.stdout)[0]["Labels"] == {"a": "b"}
    assert "no such volume: nope" in found.stderr
    assert pybuild.text("volume", "inspect", "-f", "{{.Name}} {{.Driver}}", "data") == "data local"
    assert "--force" in pybuild("volume", "prune", code=2).stderr
    assert drawn in pybuild.text("volume", "prune", "-f")
    assert pybuild.text("volume", "prune", "-af", "--filter", "label!=a").startswith("Total")
    assert pybuild.text("volume", "prune", "-af").startswith("Deleted Volumes:\ndata\n")
    done = pybuild("volume", "rm", "data", code=1)
    assert "no such volume" in done.stderr
    events = pybuild.text("events", "--since", "1h", "--until", "0s", "--format", "{{.Type}} {{.Action}}")
    assert events.splitlines().count("volume create") == 2
    assert events.splitlines().count("volume destroy") == 2


def test_prune_takes_those_without_a_name(pybuild: Pybuild) -> None:
    drawn, named = pybuild.text("volume", "create"), pybuild.text("volume", "create", "named")
    assert f"Would delete volume: {drawn}" in pybuild.text("prune", "-f", "--volumes", "--dry-run")
    assert f"Deleted volume: {drawn}" in pybuild.text("prune", "-f", "--volumes")
    assert volumes(pybuild) == {named}


def test_a_directory_of_the_host_as_a_volume(shared_pybuild: Pybuild, name: str, tmp_path: Path) -> None:
    options = ("-o", "type=none", "-o", "o=bind", "-o", f"device={tmp_path}")
    shared_pybuild("volume", "create", *options, name)
    shared_pybuild("run", "--rm", "-v", f"{name}:/x", "busybox", "touch", "/x/seen")
    assert (tmp_path / "seen").exists()
    done = shared_pybuild("volume", "create", *options[:4], "-o", "device=/", name, code=1)
    assert "other options" in done.stderr
    tmp_path.rename(tmp_path.with_name("gone"))
    done = shared_pybuild("run", "--rm", "-v", f"{name}:/x", "busybox", "true", code=125)
    assert f"{tmp_path} is not there" in done.stderr


def test_a_missing_directory_of_the_host_is_made(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    there = tmp_path / "a" / "b"
    shared_pybuild("run", "--rm", "-v", f"{there}:/x", "busybox", "touch", "/x/file")
    assert (there / "file").exists()
    other = tmp_path / "other"
    done = shared_pybuild("run", "--rm", "--mount", f"type=bind,src={other},dst=/x", "busybox", "true", code=125)
    assert f"{other} is not there" in done.stderr


def test_eight_at_once_share_a_new_one(shared_pybuild: Pybuild, image: str, name: str) -> None:
    def run(number: int) -> str:
        script = f"cat /data/seed; touch /data/{number}"
        return shared_pybuild.text("run", "--rm", "--network", "none", "-v", f"{name}:/data", image, "sh", "-c", script)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(run, range(8))) == {"seed"}
    found = shared_pybuild.text("run", "--rm", "-v", f"{name}:/data", image, "ls", "/data")
    assert set(found.split()) == {*"01234567", "seed", "sub"}


def test_one_whose_filling_was_cut_off_is_filled_again(shared_pybuild: Pybuild, image: str, name: str) -> None:
    shared_pybuild("volume", "create", name)
    folder = Volumes(Store.open(shared_pybuild.root)).get(name).folder
    (folder / "_data/half").mkdir()
    (folder / "_data/half/file").touch()
    (folder / "filling").touch()
    found = shared_pybuild.text("run", "--rm", "-v", f"{name}:/data", image, "ls", "/data")
    assert found.split() == ["seed", "sub"]
    assert not (folder / "filling").exists()


def test_hostile_links_lead_nowhere(shared_pybuild: Pybuild, name: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("of the host")
    folder = tmp_path / "image"
    folder.mkdir()
    made = f"ln -s {secret} /data && mkfifo /pipe && mkdir /d && ln -s {secret}/key /d/k"
    (folder / "Dockerfile").write_text(f"FROM busybox\nRUN {made}\n")
    image = shared_pybuild.build(folder)
    done = shared_pybuild("run", "--rm", "-v", f"{name}:/data", image, "ls", "-A", "/data", code=None)
    assert "key" not in done.stdout
    assert shared_pybuild.text("run", "--rm", "-v", f"{name}:/d", image, "readlink", "/d/k") == f"{secret}/key"
    shared_pybuild("run", "--rm", "-v", f"{name}:/pipe", image, "true", code=None)
    shared_pybuild("rmi", "-f", image)


REFUSED = [
    (["-v", "x:/a"], "volume name"),
    (["-v", "a b:/a"], "volume name"),
    (["-v", ":/a"], "volume name"),
    (["-v", "name:/a:shared"], "unknown mode"),
    (["-v", "name:/"], "root directory"),
    (["-v", "name:a"], "absolute"),
    (["-v", "/a:/b:ro:x"], "HOST:PATH"),
    (["-v", "/tmp:/a", "--tmpfs", "/a/"], "two mounts"),
    (["--mount", "type=volume,src=name,dst=/a,volume-driver=nfs"], "nfs"),
    (["--mount", "type=volume,src=name,dst=/a,volume-opt=type=nfs,volume-opt=device=:/x"], "type=nfs"),
    (["--mount", "type=image,src=name,dst=/a"], "image"),
    (["-v", "name:/a:ro,rw"], "choose one"),
    (["-v", "/tmp:/a:ro,rw"], "choose one"),
    (["-v", "/etc/passwd:/etc"], "mount on /etc, where a directory is and a file should be"),
    (["-v", "/tmp:/etc/passwd"], "mount on /etc/passwd, where a file is and a directory should be"),
    (["--mount", "type=bind,src"], "no KEY=VALUE"),
    (["--volumes-from", "nobody-here"], "no such container"),
    (["--volumes-from", "nobody-here:x"], "unknown mode"),
    (["--volume-driver", "nfs"], "local"),
]


@pytest.mark.parametrize(("flags", "sentence"), REFUSED)
def test_what_cannot_be_is_refused(shared_pybuild: Pybuild, flags: list[str], sentence: str) -> None:
    done = shared_pybuild("run", "--rm", *flags, "busybox", "true", code=125)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert "name" not in volumes(shared_pybuild)


def test_none_goes_between_a_wish_and_its_row(shared_pybuild: Pybuild, name: str) -> None:
    """`volume rm` again and again beside `create`: no container is made whose volume is not there."""
    rude = subprocess.Popen(
        ["sh", "-c", f"while :; do {' '.join(shared_pybuild.command('volume', 'rm', '-f', name))}; done"],
        env=shared_pybuild.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(3):
            shared_pybuild("create", "--name", name, "-v", f"{name}:/a", "busybox", "touch", "/a/x")
            shared_pybuild("start", "-a", name)
            shared_pybuild("rm", name)
    finally:
        rude.kill()
        rude.wait()


def test_what_prune_is_told_to_leave(pybuild: Pybuild, tmp_path: Path) -> None:
    """Labels count for containers and volumes as they do for images."""
    pybuild.base("busybox")
    pybuild("create", "--name", "kept", "--label", "keep=1", "busybox")
    pybuild("create", "--name", "gone", "busybox")
    for label in ("keep=1", "other=1"):
        pybuild("volume", "create", "--label", label)
    assert "ages" in pybuild("prune", "-f", "--volumes", "--filter", "until=1h", code=2).stderr
    said = pybuild.text("system", "prune", "-f", "--volumes", "--filter", "label!=keep")
    assert "Deleted container: gone" in said
    assert said.count("Deleted volume: ") == 1
    assert pybuild.text("ps", "-a", "--format", "{{.Names}}") == "kept"
    assert len(volumes(pybuild)) == 1
    pybuild("network", "create", "lonely")
    assert "--force" in pybuild("system", "prune", code=2).stderr
    said = pybuild.text("system", "prune", "-af", "--volumes")
    assert "Deleted container: kept" in said
    assert "Deleted network: lonely" in said
    assert volumes(pybuild) == set()
    assert pybuild.text("images", "-q") == ""


def test_inspect_knows_volumes_and_networks(pybuild: Pybuild) -> None:
    pybuild("volume", "create", "both")
    assert json.loads(pybuild.text("inspect", "both"))[0]["Driver"] == "local"
    pybuild("network", "create", "both")
    try:
        assert json.loads(pybuild.text("inspect", "both"))[0]["Driver"] == "bridge"
        assert json.loads(pybuild.text("inspect", "--type", "volume", "both"))[0]["Name"] == "both"
        assert "no volume 'nope'" in pybuild("inspect", "--type", "volume", "nope", code=1).stderr
        assert "nope" in pybuild("inspect", "nope", code=1).stderr
    finally:
        pybuild("network", "rm", "both")
