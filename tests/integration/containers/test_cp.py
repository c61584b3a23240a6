"""cp where something is mounted: volumes of containers that do not run, file systems in memory, files of ours."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.integration.containers.conftest import LOOP, Detached
from tests.support.command import Pybuild

pytestmark = pytest.mark.root


@pytest.mark.parametrize("users", ["auto", "host"])
def test_what_is_mounted_in_a_running_container(
    detached: Detached, shared_pybuild: Pybuild, tmp_path: Path, users: str
) -> None:
    name = detached(LOOP, "--network", "none", "--userns", users, "--tmpfs", "/tm", "-v", "/vol")
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/file").write_text("x")
    for place in ("/tm", "/vol", "/dev", "/dev/shm"):
        shared_pybuild("cp", tmp_path / "tree", f"{name}:{place}")
        owner = shared_pybuild.text("exec", name, "stat", "-c", "%u:%g", f"{place}/tree/sub/file", f"{place}/tree")
        assert owner == "0:0\n0:0", place
    done = shared_pybuild("cp", tmp_path / "tree/sub/file", f"{name}:/etc/hosts", code=1)
    assert "hosts is mounted there" in done.stderr
    assert "localhost" in shared_pybuild.text("exec", name, "cat", "/etc/hosts")
    shared_pybuild("rm", "-fv", name)


def test_volumes_of_a_container_that_does_not_run(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    name = f"cp-{os.urandom(4).hex()}"
    (tmp_path / "host").mkdir()
    (tmp_path / "file").write_text("new")
    mounts = ("-v", f"{name}:/data", "-v", f"{tmp_path}/host:/data/host")
    shared_pybuild("run", "--name", name, *mounts, "busybox", "sh", "-c", "echo old >/data/file")
    shared_pybuild("cp", f"{name}:/data/file", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "old\n"
    shared_pybuild("cp", tmp_path / "file", f"{name}:/data")
    shared_pybuild("cp", tmp_path / "file", f"{name}:/data/host/one")
    assert (tmp_path / "host/one").read_text() == "new"
    assert shared_pybuild.text("run", "--rm", "-v", f"{name}:/x", "busybox", "cat", "/x/file") == "new"
    assert shared_pybuild.text("diff", name) == ""
    shared_pybuild("rm", name)
    shared_pybuild("volume", "rm", name)


def test_links_are_followed_inside_their_root_only(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    name = f"cp-{os.urandom(4).hex()}"
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    script = f"mkdir /d; echo 1 >/d/f; ln -s d/f /lf; ln -s /d /ld; ln -s {secret} /out; ln -s loop /loop"
    shared_pybuild("run", "--name", name, "busybox", "sh", "-c", script)
    shared_pybuild("cp", "-L", f"{name}:/lf", tmp_path)
    assert (tmp_path / "lf").read_text() == "1\n"
    assert not (tmp_path / "lf").is_symlink()
    shared_pybuild("cp", "--follow-link", f"{name}:/ld", tmp_path / "copied")
    assert (tmp_path / "copied/f").read_text() == "1\n"
    for path in ("/out", "/loop"):
        done = shared_pybuild("cp", "-L", f"{name}:{path}", tmp_path / "never", code=1)
        assert done.stderr.startswith("error:")
        assert not (tmp_path / "never").exists()
    (tmp_path / "link").symlink_to("secret")
    shared_pybuild("cp", "-L", tmp_path / "link", f"{name}:/got")
    shared_pybuild("cp", f"{name}:/got", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "of the host"
    shared_pybuild("rm", name)


def test_a_path_with_a_slash_at_its_end_is_a_directory(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    name = f"cp-{os.urandom(4).hex()}"
    inside = "mkdir -p /d/dir /d/o; echo in >/d/f; ln -s f /d/lf; ln -s dir /d/ld"
    shared_pybuild("run", "--name", name, "--network", "none", "busybox", "sh", "-c", inside)
    (tmp_path / "dir").mkdir()
    (tmp_path / "f").write_text("host")
    (tmp_path / "lf").symlink_to("f")
    (tmp_path / "ld").symlink_to("dir")
    for end in ("/", "/.", "/x"):
        for ours, theirs in (("f", "f"), ("dir", "lf")):
            for words in (
                (tmp_path / ours, f"{name}:/d/{theirs}{end}"),  # onto a file that is there
                (f"{name}:/d/{ours}", f"{tmp_path}/{theirs}{end}"),
                (f"{tmp_path}/{theirs}{end}", f"{name}:/d/o"),  # from one
                (f"{name}:/d/{theirs}{end}", tmp_path / "ld"),
                (f"{name}:/d/{theirs}{end}", "-"),
                ("busybox:/etc/passwd" + end, tmp_path / "ld"),
            ):
                done = shared_pybuild("cp", *words, code=1)
                assert done.stderr.startswith("error: /") and done.stdout == "", words
        assert "no such directory" in shared_pybuild("cp", "-", f"{name}:/d/f{end}", code=1).stderr
    assert "/d/f/: not a directory" in shared_pybuild("cp", tmp_path / "f", f"{name}:/d/f/", code=1).stderr
    assert not any((tmp_path / "dir").iterdir()) and (tmp_path / "f").read_text() == "host"
    shared_pybuild("cp", f"{name}:/d/o/.", tmp_path / "none")
    assert not any((tmp_path / "none").iterdir())
    for place in ("ld/", "dir/."):
        shared_pybuild("cp", tmp_path / "f", f"{name}:/d/{place}")
        shared_pybuild("cp", f"{name}:/d/f", f"{tmp_path}/{place}")
        assert (tmp_path / "dir/f").read_text() == "in\n"
        (tmp_path / "dir/f").unlink()
        shared_pybuild("cp", f"{name}:/d/dir/f", tmp_path / "back")
        assert (tmp_path / "back").read_text() == "host"
    shared_pybuild("rm", name)


def test_a_link_at_the_destination_stays_and_what_it_leads_to_is_written(
    detached: Detached, shared_pybuild: Pybuild, tmp_path: Path
) -> None:
    name = detached(LOOP, "--network", "none")
    script = "mkdir /d; echo old >/d/f; ln -s f /d/link; ln -s ../d/new /d/dangling; ln -s /none/x /d/lost"
    shared_pybuild("exec", name, "sh", "-c", script)
    (tmp_path / "file").write_text("new")
    for link in ("link", "dangling"):
        shared_pybuild("cp", tmp_path / "file", f"{name}:/d/{link}")
    assert "no such directory" in shared_pybuild("cp", tmp_path / "file", f"{name}:/d/lost", code=1).stderr
    look = "cd /d; cat f new; for link in link dangling lost; do readlink $link; done"
    assert shared_pybuild.text("exec", name, "sh", "-c", look) == "newnewf\n../d/new\n/none/x"
    (tmp_path / "link").symlink_to("gone")
    shared_pybuild("cp", f"{name}:/d/f", tmp_path / "link")
    assert (tmp_path / "gone").read_text() == "new"


@pytest.mark.parametrize("users", ["auto", "host"])
def test_a_whole_container_without_what_its_kernel_shows(
    detached: Detached, shared_pybuild: Pybuild, tmp_path: Path, users: str
) -> None:
    name = detached(LOOP, "--network", "none", "--userns", users, "--tmpfs", "/tm")
    shared_pybuild("exec", name, "sh", "-c", "echo 1 >/tm/file; mkdir /x; mknod /x/null p; ln -s /proc /x/link")
    shared_pybuild("cp", f"{name}:/.", tmp_path / "out")
    with tarfile.open(fileobj=io.BytesIO(tar_of(shared_pybuild, name))) as tar:
        packed = {member.name.removeprefix("./") for member in tar}
    for there in ("bin/busybox", "etc/hosts", "tm/file", "x/null", "x/link", "proc", "sys", "dev"):
        assert os.path.lexists(tmp_path / "out" / there)
        assert there in packed
    for empty in ("proc", "sys", "dev"):
        assert os.listdir(tmp_path / "out" / empty) == []
        assert not [name for name in packed if name.startswith(f"{empty}/")]
    shared_pybuild("cp", f"{name}:/proc/version", tmp_path / "version")
    assert (tmp_path / "version").read_text() == Path("/proc/version").read_text()


def tar_of(command: Pybuild, name: str) -> bytes:
    """All of a container."""
    words = command.command("cp", f"{name}:/", "-")
    return subprocess.run(words, env=command.environment, capture_output=True, check=True, timeout=120).stdout


def test_what_holds_its_own_copy_is_refused(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    deep = "/".join(["d"] * 1200)
    name = f"cp-{os.urandom(4).hex()}"
    shared_pybuild("run", "--name", name, "--network", "none", "busybox", "mkdir", "-p", f"/deep/{deep}")
    for source in (f"{name}:/deep", f"{name}:/deep/."):
        for dest in (tmp_path / "out", "-"):
            assert "too many directories" in shared_pybuild("cp", source, dest, code=1).stderr
    shared_pybuild("rm", name)
