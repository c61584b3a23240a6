"""A person who is not root builds, runs, pushes and cleans up; what is built is what root builds."""

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.command import Pybuild
from tests.support.examples import Example, examples
from tests.support.peers import need
from tests.support.person import FIRST, NAME, Person
from tests.support.registry import RegistryServer
from tests.support.soon import soon

pytestmark = pytest.mark.root
Bases = Callable[[Path], Pybuild]


@pytest.fixture(scope="session")
def homes() -> Iterator[Path]:
    """A directory for homes that everybody may pass; pytest's own may not."""
    need("newuidmap", "uidmap")
    folder = Path(tempfile.mkdtemp(prefix="pybuild-homes-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def person(homes: Path) -> Person:
    """Somebody with subordinate ids, and the busybox base in their store."""
    person = Person.settle(homes / "person")
    person.base("busybox")
    return person


def chosen() -> list[Example]:
    """Those whose layers are made by commands, or whose ends are peculiar; the rest differ in their config only."""
    same = {"arg-variants", "config", "crash-config", "crash-missing", "dockerignore", "entrypoint-cmd", "onbuild"}
    slow = {"static-c"}  # a compiler's base to unpack; python-vendored stands on a large one, too
    return [example for example in examples() if example.name not in same | slow]


def based(person: Person, example: Example) -> bool:
    """Give a person the base of an example; whether it is a large one."""
    large = False
    for line in (example.directory / "Dockerfile").read_text().splitlines():
        name = line.removeprefix("FROM ").partition(":")[0]
        if (
            line.startswith("FROM debian-")
            and name not in person("images", "--format", "{{.Repository}}").stdout.split()
        ):
            person.base(name)
        large = large or line.startswith("FROM debian-")
    return large


@pytest.mark.parametrize("example", chosen(), ids=lambda example: example.name)
def test_an_example(example: Example, person: Person, with_bases: Bases, registry: RegistryServer) -> None:
    large = based(person, example)
    root = with_bases(example.directory / "Dockerfile")
    name = registry.reference(f"person/{example.name}:1")
    push = [] if large else ["--push"]  # the base itself would be most of it
    person(*example.build_flags, "-t", name, *push, ".", cwd=example.directory)
    root(*example.build_flags, "-t", name, ".", cwd=example.directory)
    mine, roots = (store.text("images", "--format", "{{.Digest}}", name) for store in (person, root))
    assert mine == roots
    said, code, error = "", 0, ""
    for run in example.runs:
        done = person("run", *run.flags, name, *run.args, code=None)
        said, code, error = said + done.stdout, done.returncode, done.stderr
        if "--name" in run.flags and done.returncode != 125:  # else none was made
            person("rm", run.flags[run.flags.index("--name") + 1])
    if "cannot limit memory" in error:  # nobody has handed control groups on to us
        assert (said, code) == ("", 125)
    else:
        assert (said, code) == (example.expected, example.exit_code), error


ATTACKS = """
for number in 3 4 5 6 7 8 9 10 11 12 13 14; do [ -e /proc/self/fd/$number ] && readlink /proc/self/fd/$number; done
echo x 2>/dev/null >/proc/sys/kernel/core_pattern && echo "core pattern"
echo h 2>/dev/null >/proc/sysrq-trigger && echo "sysrq"
mknod /tmp/disk b 7 0 2>/dev/null && cat /tmp/disk 2>/dev/null && echo "disk"
mount -t tmpfs none /tmp 2>/dev/null && echo "mount"
umount /proc/keys 2>/dev/null && echo "umount"
unshare -U true 2>/dev/null && echo "unshare"
unshare -m true 2>/dev/null && echo "unshare"
cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null
ls /sys/firmware
chroot /proc/1/root/../../.. ls -d SECRET 2>/dev/null
true
"""


@pytest.mark.parametrize("who", ["root", "root on the host", "a person"])
def test_nothing_leads_out(who: str, person: Person, shared_pybuild: Pybuild, homes: Path) -> None:
    pybuild = person if who == "a person" else shared_pybuild
    flags = ["--userns", "host"] if who == "root on the host" else []
    secret = homes / "secret"
    secret.write_text("nobody sees this")
    attacks = ATTACKS.replace("SECRET", str(secret))
    assert pybuild("run", "--rm", *flags, "busybox", "sh", "-c", attacks).stdout == ""
    text = f"FROM busybox\nRUN <<EOF\n{attacks}EOF\n"
    for number in range(3, 12):  # a working directory that would be one of ours
        text += f"WORKDIR /proc/self/fd/{number}\nRUN cat ../../../../{secret} ../../{secret} 2>/dev/null; true\n"
    built = pybuild("build", "--no-cache", "--progress", "plain", *flags, "-", stdin=text, code=None).stderr
    assert "nobody sees" not in built
    assert not [line for line in built.splitlines() if line.startswith("#2 ") and line.split()[1][0].isdigit()], built


def test_a_life(person: Person, tmp_path: Path) -> None:
    line = "touch /made; chown 33:5 /made; chmod 4755 /made; mkdir -m 700 /d; chown 33 /d; echo ready"
    person("run", "-d", "--name", "life", "busybox", "sh", "-c", f"{line}; exec sleep 1000")
    while "ready" not in person.text("logs", "life"):
        pass
    state = json.loads(person.text("inspect", "life"))[0]
    status = Path(f"/proc/{state['State']['Pid']}/status").read_text()
    assert f"Uid:\t{person.uid}\t" in status
    made = person.root / "containers" / state["Id"] / "upper/made"
    assert (made.stat().st_uid, made.stat().st_gid) == (FIRST + 32, FIRST + 4)
    assert person.text("exec", "-u", "33", "life", "sh", "-c", "id -u; stat -c %u:%g:%a /made") == "33\n33:5:4755"
    assert "sleep 1000" in person.text("top", "life")
    used = json.loads(person.text("stats", "--no-stream", "--format", "json", "life"))
    assert (used["PIDs"], used["MemUsage"].startswith("0B")) == ("1", False)
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        assert "it cannot be paused: it is in no control group" in person("pause", "life", code=1).stderr
        assert "does not stand still meanwhile: it cannot be paused" in person("commit", "life", "moving").stderr
    (person.home / "file").write_text("mine")
    (person.home / "file").chmod(0o644)
    person("cp", person.home / "file", "life:/copied")
    assert person.text("exec", "life", "stat", "-c", "%u", "/copied") == "0"
    person("cp", "life:/made", person.home / "out")
    assert (person.home / "out").stat().st_uid == person.uid
    person("stop", "-t", "0", "life")
    assert {"A /made", "A /d"} <= set(person.text("diff", "life").splitlines())
    image = person.text("commit", "life")
    assert person.text("run", "--rm", image, "stat", "-c", "%u:%g:%a", "/made", "/d") == "33:5:4755\n33:0:700"
    person("rm", "life")
    assert not made.parent.parent.exists()


def test_prune_removes_what_belongs_to_subordinate_ids(homes: Path) -> None:
    person = Person.settle(homes / "pruner", uid=4322)
    person.base("busybox")
    runs = "mkdir -m 700 /d && touch /d/f && chown -R 33:33 /d", "--mount=type=cache,target=/c,uid=5 touch /c/x"
    person("build", "-q", "-", stdin="FROM busybox\n" + "".join(f"RUN {run}\n" for run in runs))
    made = [path for path in (person.root / "snapshots").rglob("f") if path.lstat().st_uid == FIRST + 32]
    assert made
    person("prune", "-af")
    person("system", "check")
    assert not any((person.root / "snapshots").iterdir()) and not any((person.root / "caches").iterdir())
    assert [path for path in (person.home / "run/pybuild").iterdir() if path.name.isdigit()] == []


def test_without_subordinate_ids_everything_is_roots_and_that_is_told(homes: Path) -> None:
    person = Person.settle(homes / "alone", uid=4323, subordinates=0)
    person.base("busybox")
    done = person("build", "--no-cache", "-t", "x", "-", stdin="FROM busybox\nRUN touch /made && ! chown 33 /made")
    assert "no subordinate ids" in done.stderr and "/etc/subuid" in done.stderr
    assert person.text("run", "--rm", "x", "stat", "-c", "%u", "/made", "/etc") == "0\n0"
    for flags in (["-u", "33"], ["--userns", "keep-id"], ["--group-add", "1"]):
        said = person("run", "--rm", *flags, "x", "true", code=125).stderr
        assert "number" in said and "/etc/subuid" in said
    text = "FROM busybox\nRUN echo bin:x:1:root >>/etc/group\nRUN id -G\n"  # as in Alpine's; there is no group 1 here
    person("build", "--no-cache", "-t", "x", "-", stdin=text)
    assert person.text("run", "--rm", "x", "id", "-G") == "0"
    found = {one["name"]: one for one in json.loads(person("doctor", "--format", "json").stdout)}
    assert found["subordinate ids"]["fix"].startswith("sudo usermod --add-subuids 100000-165535 --add-subgids 1")
    person("prune", "-af")


def test_who_keeps_their_number_is_themselves(person: Person) -> None:
    folder = person.home / "shared"
    folder.mkdir()
    os.chown(folder, person.uid, person.uid)
    keeping = ("--rm", "--userns", "keep-id")
    line = "id -u; id -g; stat -c %u /v /etc /etc/passwd; touch /v/new; ! touch /etc/new 2>/dev/null"
    said = person.text("run", *keeping, "-v", f"{folder}:/v", "busybox", "sh", "-c", line)
    assert said.split() == [str(person.uid)] * 3 + ["0", "0"]
    assert person.text("run", *keeping, "busybox", "sh", "-c", "whoami; id -gn; tail -n 1 /etc/passwd").split() == [
        *(NAME, NAME), f"{NAME}:x:{person.uid}:{person.uid}:{NAME}:/:/bin/sh",
    ]  # fmt: skip
    assert ((folder / "new").stat().st_uid, (folder / "new").stat().st_gid) == (person.uid, person.uid)
    person("run", *keeping, "-u", "0", "-v", f"{folder}:/v", "busybox", "touch", "/v/roots", "/etc/roots")
    assert (folder / "roots").stat().st_uid == FIRST
    cid = person.home / "cid"
    assert person.text("run", *keeping, "-u", "7", "--cidfile", cid, "busybox", "id", "-u") == "7"
    assert cid.stat().st_uid == person.uid


def test_a_life_with_other_numbers(person: Person) -> None:
    line = "touch /made; chown 33:5 /made; chmod 4755 /made; mkdir -m 700 /d; chown $0 /d; echo ready"
    flags = ("-d", "--name", "kept", "--userns", "keep-id", "-u", "0")
    person("run", *flags, "busybox", "sh", "-c", f"{line}; exec sleep 1000", str(person.uid))
    assert soon(lambda: "ready" in person.text("logs", "kept"))
    looks = ("stat", "-c", "%u:%g:%a", "/made", "/d")
    owners = f"33:5:4755\n{person.uid}:0:700"
    assert person.text("exec", "kept", *looks) == owners
    shared = ("--userns", "keep-id", "--network", "container:kept")
    person("run", "--rm", *shared, "busybox", "test", "-e", "/sys/class/net/tap0")
    source = person.home / "given"
    source.write_text("mine")
    source.chmod(0o644)
    person("cp", source, "kept:/copied")
    person("cp", "kept:/made", person.home / "while")
    person("stop", "-t", "0", "kept")
    person("cp", source, "kept:/later")
    person("cp", "kept:/made", person.home / "after")
    person("export", "-o", person.home / "tar", "kept")
    for name in ("while", "after", "tar"):
        assert (person.home / name).stat().st_uid == person.uid
    assert set(person.text("diff", "kept").splitlines()) == {
        *("A /copied", "A /d", "A /later", "A /made"), *("C /etc/passwd", "C /etc/group"),
    }  # fmt: skip
    image = person.text("commit", "kept")
    for more in ([], ["--userns", "keep-id"], ["--uidmap", f"0:{FIRST}:5000"]):
        seen = person.text("run", "--rm", *more, image, *looks, "/copied", "/later")
        assert seen == f"{owners}\n0:0:644\n0:0:644"
    person("start", "kept")
    assert person.text("exec", "kept", *looks) == owners
    person("rm", "-f", "kept")
    person("rmi", image)
    person("system", "check")


def test_a_map_has_what_it_says_and_nothing_more(person: Person) -> None:
    flags = ("run", "--rm", "--uidmap", f"0:{FIRST + 100}:1000", "--gidmap", f"0:{FIRST}:10")
    folder = person.home / "open"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    line = "cat /proc/self/uid_map; touch /v/x; chown 999 /x /v/x 2>/dev/null; touch /x; ! chown 1000 /x"
    said = person("run", *flags[1:], "-v", f"{folder}:/v", "busybox", "sh", "-c", line).stdout
    assert said.split()[2] == "1000" and len(said.splitlines()) == 1
    assert (folder / "x").stat().st_uid == FIRST + 1099
    assert "user 1000 has no number" in person(*flags, "-u", "1000", "busybox", "true", code=125).stderr
    said = person("run", "--rm", "--uidmap", "0:5:5", "busybox", "true", code=125).stderr
    assert f"number 5 of the host is not yours: as uid you have {person.uid}, {FIRST} to {FIRST + 65535}" in said


BUILT = """
FROM busybox
RUN --mount=type=cache,target=/c cat /proc/self/uid_map; cat /c/last; id -u >/c/last; stat -c %u:%g /c /c/last; \\
    echo x >/made; mkdir /d; chown 33:5 /made; chown 1000:0 /d; chmod 4755 /made; chmod 2750 /d; \\
    cp /made /roots; chmod 6711 /roots
RUN --mount=type=secret,id=s,uid=33 stat -c %u:%a /made /d /etc /run/secrets/s && cat /run/secrets/s
"""


def test_builds_with_other_numbers(person: Person) -> None:
    text, seen = BUILT, "33:4755\n1000:2750\n0:755\n33:400\nquiet".split()
    secret = person.home / "told"
    secret.write_text("quiet")
    secret.chmod(0o600)
    os.chown(secret, person.uid, person.uid)
    usual = person("build", "-q", "--no-cache", "-t", "usual", "--secret", f"id=s,src={secret}", "-", stdin=text)
    out = person.home / "outputs"
    for first, more in (("1", ["--userns", "keep-id"]), (str(FIRST), ["--uidmap", f"0:{FIRST}:5000"])):
        out.mkdir()
        os.chown(out, person.uid, person.uid)
        to = [f"--output=type={kind},dest={out}/{kind}" for kind in ("local", "tar", "oci")]
        to += ["--iidfile", str(out / "id"), "--cache-to", f"type=local,dest={out}/cache", "-t", "other"]
        flags = ("--no-cache", "--progress", "plain", "--secret", f"id=s,src={secret}", *more, *to)
        for before in ("can't open '/c/last'", "0"):  # a cache of its own, which is there the next time
            said = person("build", *flags, "-", stdin=text).stderr
            words = [line.split(maxsplit=2)[2] for line in said.splitlines() if re.match(r"#[23] [0-9.]+ ", line)]
            assert words[0].split()[0] == "0" and words[0].split()[1] in (first, "0"), words
            assert any(before in word for word in words) and words[-5:] == seen, words
        made, same = (person.text("images", "--format", "{{.Digest}}", name) for name in ("other", "usual"))
        assert made == same
        assert {path.stat().st_uid for path in out.glob("[!l]*")} == {person.uid}
        assert {path.stat().st_uid for path in (out / "cache").rglob("*")} == {person.uid}
        files = {name: (out / "local" / name).stat() for name in ("", "roots", "made", "etc")}
        assert [files[name].st_uid == person.uid for name in files] == [True, True, False, True]
        assert [files[name].st_mode & 0o7777 for name in ("roots", "made")] == [0o6711, 0o4755]
        shutil.rmtree(out)
    assert usual.returncode == 0
    failing = text + "RUN echo y >/more && chown 33 /more && exit 3"
    person("build", *more, "-", stdin=failing, code=3)
    name = person.text("ps", "-aqf", "name=failed", "--format", "{{.Names}}")
    assert "A /more" in person.text("diff", name).splitlines()
    assert person.text("debug", name, "stat", "-c", "%u", "/more", "/etc").split() == ["33", "0"]
    person("rm", name)
    person("rmi", "usual", "other")
    person("system", "check")


WHO = """
import os, socket, sys
from runner import remap, rootless
rootless.enter()
if remap.standing() is None:
    os.execve(sys.executable, sys.orig_argv, remap.environment(remap.keep_id()))
assert os.geteuid() == 0
for _ in range(2):
    with remap.oneself(), socket.socket(socket.AF_UNIX) as line:
        line.connect(sys.argv[1])
with socket.socket(socket.AF_UNIX) as line:
    line.connect(sys.argv[1])
open("/proc/self/setgroups").close()
"""


def test_who_is_spoken_to_sees_who_began_it(person: Person) -> None:
    place = person.home / "run/line"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        place.chmod(0o777)
        server.listen()
        person.says(sys.executable, "-c", WHO, place)
        seen = []
        for _ in range(3):
            line, _ = server.accept()
            seen.append(struct.unpack("iii", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])
            line.close()
    assert seen == [person.uid, person.uid, FIRST]
    place.unlink()


def test_what_cannot_be_is_said(person: Person) -> None:
    for flags in (["--userns", "auto"], ["--userns", "host"]):
        person("run", "--rm", *flags, "busybox", "true")
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        said = person("build", "-m", "64m", "--no-cache", "-", stdin="FROM busybox\nRUN true", code=1).stderr
        assert "cannot limit memory" in said and "only root has those of version 1" in said
    for flags, why in (
        (["--oom-score-adj", "-500"], "is less than the 0 that this process has itself"),
        (["--ulimit", "rtprio=99"], "is more than the 0 that this process has itself"),
        (["--group-add", "777777"], "group 777777 has no number on the host"),
    ):
        assert why in person("run", "--rm", *flags, "busybox", "true", code=125).stderr


def test_bundles_of_who_is_not_root(person: Person) -> None:
    bundle = person.home / "bundle"
    person("unpack", "--image", "busybox", bundle)
    config = json.loads((bundle / "config.json").read_text())
    config["process"].update(terminal=False, args=["sleep", "1000"])
    (bundle / "config.json").write_text(json.dumps(config))
    create = person.command("oci", "create", "-b", bundle, "life")
    with Path(os.devnull).open("r+") as nothing:  # which the container keeps
        subprocess.run(create, env=person.environment, check=True, stdin=nothing, stdout=nothing, stderr=nothing)
    person("oci", "start", "life")
    assert person.text("oci", "exec", "life", "sh", "-c", "id -u; test -c /dev/null && echo node") == "0\nnode"
    assert person.text("oci", "list").splitlines()[1].split()[::5] == ["life", NAME]
    assert len(json.loads(person.text("oci", "ps", "-f", "json", "life"))) == 1
    assert person.text("lsns", "-t", "pid", "life").splitlines()[1].split()[4] == NAME
    assert "lo" in person.text("nsenter", "life", "-n", "--", "cat", "/proc/net/dev")
    person("oci", "kill", "--all", "life", "KILL")
    assert soon(lambda: json.loads(person.text("oci", "state", "life"))["status"] == "stopped")
    person("oci", "delete", "life")
    assert not list((person.home / "run/pybuild").glob("*-*"))
    (bundle / "config.json").unlink()
    person("oci", "spec", "--rootless", "-b", bundle)
    config = json.loads((bundle / "config.json").read_text())
    assert config["linux"]["uidMappings"] == [{"containerID": 0, "hostID": person.uid, "size": 1}]
    config["process"].update(terminal=False, args=["cat", "/proc/self/uid_map"])
    for number, code in ((person.uid, 0), (5, 1)):
        config["linux"]["uidMappings"][0]["hostID"] = number
        (bundle / "config.json").write_text(json.dumps(config))
        said = person("oci", "run", "-b", bundle, "mapped", code=code)
        assert (
            said.stdout.split() == ["0", "0", "1"] if code == 0 else "number 5 of the host is not yours" in said.stderr
        )
    del config["linux"]["uidMappings"], config["linux"]["gidMappings"]
    config["linux"]["namespaces"] = [one for one in config["linux"]["namespaces"] if one["type"] != "user"]
    (bundle / "config.json").write_text(json.dumps(config))  # as podman, which is in such a namespace itself, has it
    runtime = (Path(sys.executable).with_name("pybuild-oci-runtime"), "run", "-b", bundle, "podmans")
    assert person.says("unshare", "-rm", *runtime).split() == ["0", str(person.uid), "1"]
    config["linux"]["resources"] = {"memory": {"limit": 64 << 20}}
    (bundle / "config.json").write_text(json.dumps(config))
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        why = person("oci", "run", "-b", bundle, "limited", code=1).stderr
        assert "cannot limit memory" in why and "is not there for this process" in why
    assert len(person.text("oci", "list").splitlines()) == 1


FOUND = """
import sys
from registry.credentials import Credentials
print(Credentials(environment={"HOME": "/nowhere", "XDG_RUNTIME_DIR": sys.argv[1]}).find("x.example"))
"""


def test_credentials_that_may_be_anywhere(person: Person, homes: Path) -> None:
    closed = homes / "closed"
    (closed / "run").mkdir(parents=True)
    closed.chmod(0o700)
    assert person.says(sys.executable, "-c", FOUND, closed / "run").strip() == "None"


def test_doctor_tells_who_is_not_root_what_mends_it_for_them(person: Person) -> None:
    found = {one["name"]: one for one in json.loads(person("doctor", "--format", "json").stdout)}
    assert found["subordinate ids"]["found"] == f"{NAME} has 65536 or more of users and groups"
    assert found["overlayfs by descriptor"]["verdict"] == "ok"
    for name in ("idmapped mounts", "erofs from files"):
        assert (found[name]["verdict"], found[name]["fix"]) == ("absent", "sudo pybuild doctor")
    memory = found["cgroup memory"]
    if memory["verdict"] == "absent":
        assert "Delegate=yes" in memory["fix"] or "unified_cgroup_hierarchy=1" in memory["fix"]


def test_privileged_means_what_one_has_oneself(person: Person) -> None:
    script = "id -u; test -c /dev/zero && grep CapEff /proc/self/status"
    shown = person.text("run", "--rm", "--network", "none", "--privileged", "busybox", "sh", "-c", script).split()
    assert shown[0] == "0"
    assert int(shown[2], 16) & 1 << 21, "root of one's own namespace"
    text = "FROM busybox\nRUN --security=insecure grep CapEff /proc/self/status\n"
    said = person("build", "--no-cache", "--progress", "plain", "--allow", "security.insecure", "-", stdin=text).stderr
    assert shown[2] in said


@pytest.mark.parametrize("users", ["auto", "keep-id"])
def test_a_volume_of_who_is_not_root(person: Person, users: str) -> None:
    flags = ("--rm", "--network", "none", "--userns", users, "-u", "0", "-v", f"volume-{users}:/etc/kept")
    person("run", *flags, "busybox", "sh", "-c", "echo here >/etc/kept/file; chown 33 /etc/kept/file")
    assert person.text("run", *flags, "busybox", "stat", "-c", "%u", "/etc/kept/file") == "33"
    (person.home / "in").write_text("copied")
    os.chown(person.home / "in", person.uid, person.uid)
    person("run", "-d", "--name", f"with-{users}", *flags[1:], "--tmpfs", "/tm", "busybox", "sleep", "1000")
    for place in ("/tm/file", "/etc/kept/other"):
        person("cp", person.home / "in", f"with-{users}:{place}")
        assert person.text("exec", f"with-{users}", "cat", place) == "copied"
    person("rm", "-f", f"with-{users}")
    person("volume", "rm", f"volume-{users}")


def test_another_runtime_directory(person: Person) -> None:
    other = person.home / "other-run"
    other.mkdir(0o700)
    os.chown(other, person.uid, person.uid)
    person("run", "-d", "--network", "none", "--name", "here", "busybox", "sleep", "1000")
    apart = replace(person, env={"XDG_RUNTIME_DIR": str(other)})
    said = apart("exec", "here", "true", code=1).stderr
    assert "was begun where XDG_RUNTIME_DIR was another" in said
    apart("rm", "-f", "here")
    (other / "pybuild/lock").unlink()
    (other / "pybuild/lock").mkdir()
    assert apart("images", code=1).stderr.startswith("error: Is a directory")
