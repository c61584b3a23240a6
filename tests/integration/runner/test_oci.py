"""Containers of bundles: their life, what is refused, and that nothing stays."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pexpect
import pytest

from runner.ceilings import weight
from runner.oci.bundle import Bundle
from runner.oci.engine import Engine
from runner.oci.errors import BundleInvalid, ContainerError
from runner.oci.home import Home, checked
from runner.spawner import Spawner
from tests.support.bundles import Runner, bundle, ours
from tests.support.guest import is_guest

pytestmark = pytest.mark.root
Config = dict[str, Any]
WAIT = 10.0
SHOWN = (
    "cat pids/pids.max || cat pids.max; cat memory/memory.limit_in_bytes || cat memory.max; "
    "cat cpu/cpu.shares || cat cpu.weight"
)
"""Prints three limits where cgroups are mounted, whichever version they are of."""


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runner]:
    """A runtime whose containers are gone in the end, with all their control groups."""
    found = ours(tmp_path)
    yield found
    for name in os.listdir(found.states) if found.states.exists() else []:
        found("delete", "--force", name)
    left = [str(place) for place in Path("/sys/fs/cgroup").glob(f"*/life-{os.getpid()}*")]
    assert not left


@pytest.fixture
def name() -> str:
    """An id that is nobody else's."""
    return f"life-{os.getpid()}"


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_two_steps(runtime: Runner, name: str, tmp_path: Path) -> None:
    made = bundle(tmp_path / "b", "echo begun; trap 'exit 3' TERM; while :; do sleep 0.05; done")
    told = Path(runtime.create(made, name, "--pid-file", tmp_path / "pid"))
    state = runtime.state(name)
    assert state["status"] == "created" and told.read_text() == ""
    assert state["pid"] == int((tmp_path / "pid").read_text()) and state["bundle"] == str(made)
    assert "already exists" in runtime("create", "--bundle", made, name, check=False).stderr
    runtime("start", name)
    assert runtime.state(name)["status"] == "running"
    assert "already running" in runtime("start", name, check=False).stderr
    until(lambda: told.read_text() == "begun\n")
    assert runtime("delete", name, check=False).returncode == 1
    runtime("kill", name)
    until(lambda: runtime.state(name)["status"] == "stopped")
    assert "not running" in runtime("kill", name, check=False).stderr
    assert runtime("exec", name, "true", check=False).returncode == 255
    assert "has stopped" in runtime("start", name, check=False).stderr
    runtime("delete", name)
    assert "does not exist" in runtime("state", name, check=False).stderr
    assert runtime("delete", "--force", name).returncode == 0


def test_a_created_one_is_deleted(runtime: Runner, name: str, tmp_path: Path) -> None:
    runtime.create(bundle(tmp_path / "b", "sleep", "100"), name)
    pid = runtime.state(name)["pid"]
    runtime("delete", name)
    until(lambda: not Path(f"/proc/{pid}/exe").exists())


def test_exec(runtime: Runner, name: str, tmp_path: Path) -> None:
    runtime.create(bundle(tmp_path / "b", "sleep", "100"), name)
    runtime("start", name)
    flags = ("--env", "A=b", "--cwd", "/tmp", "--user", "5:6")
    done = runtime("exec", *flags, name, "sh", "-c", "echo $A $PWD; id; exit 4", check=False)
    assert (done.returncode, done.stdout) == (4, "b /tmp\nuid=5 gid=6\n")
    sets = {kind: ["CAP_KILL"] for kind in ("bounding", "effective", "permitted")}
    process = {"args": ["grep", "CapEff", "/proc/self/status"], "cwd": "/", "env": ["PATH=/bin"], "capabilities": sets}
    (tmp_path / "process.json").write_text(json.dumps(process))
    assert runtime("exec", "--process", tmp_path / "process.json", name).stdout.split()[1] == "0000000000000020"
    assert "not found in $PATH" in runtime("exec", name, "nosuch", check=False).stderr
    inside = runtime("exec", name, "sh", "-c", "cat /proc/self/cgroup").stdout.splitlines()
    assert inside and all(line.endswith(":/") for line in inside)
    runtime.quietly("exec", "--detach", "--pid-file", tmp_path / "pid", name, "sleep", "99")
    assert (tmp_path / "pid").read_text() in runtime("ps", "--format", "json", name).stdout
    assert "sleep 99" in runtime("ps", name).stdout
    runtime("kill", "--all", name, "KILL")
    until(lambda: runtime.state(name)["status"] == "stopped")
    assert runtime("ps", "--format", "json", name).stdout == "null\n"


def test_pause_update_events(runtime: Runner, name: str, tmp_path: Path) -> None:
    runtime.create(bundle(tmp_path / "b", "while :; do :; done"), name)
    runtime("start", name)
    runtime("pause", name)
    assert runtime.state(name)["status"] == "paused"
    assert runtime("exec", name, "true", check=False).returncode == 255
    runtime("resume", name)
    runtime("update", "--memory", "64m", "--pids-limit", "77", name)
    runtime("update", "--resources", "-", name, stdin=json.dumps({"cpu": {"shares": 333}}))
    found = runtime("exec", name, "sh", "-c", f"cd /sys/fs/cgroup; {SHOWN}").stdout.split()
    assert found[:2] == ["77", str(64 << 20)] and found[2] in ("333", str(weight(333)))
    told = json.loads(runtime("events", "--stats", name).stdout)
    assert told["type"] == "stats" and told["data"]["memory"]["usage"]["limit"] == 64 << 20
    assert told["data"]["cpu"]["usage"]["total"] > 0 and told["data"]["pids"]["current"] >= 1
    runtime("pause", name)
    runtime("kill", name, "KILL")
    until(lambda: runtime.state(name)["status"] == "stopped")


def test_limits_on_either_version(runtime: Runner, name: str, tmp_path: Path) -> None:
    def change(config: Config) -> None:
        config["linux"]["resources"] |= {
            "memory": {"limit": 32 << 20, "reservation": 16 << 20},
            "pids": {"limit": 33},
            "cpu": {"shares": 512, "quota": 50000, "period": 100000},
        }
        sets = config["process"]["capabilities"]
        config["process"]["capabilities"] = {kind: [*names, "CAP_MKNOD"] for kind, names in sets.items()}

    line = f"mknod /dev/x b 254 0; head -c1 /dev/x; head -c1 /dev/zero | wc -c; cd /sys/fs/cgroup; {SHOWN}"
    done = runtime("run", "--bundle", bundle(tmp_path / "b", line, change=change), name)
    assert "not permitted" in done.stderr
    *found, shares = done.stdout.split()
    assert found == ["1", "33", str(32 << 20)] and shares in ("512", str(weight(512)))


@pytest.mark.skipif(not is_guest(), reason="version 2 has no controllers here")
def test_a_group_with_others_in_it(runtime: Runner, name: str, tmp_path: Path) -> None:
    session = Path(f"/sys/fs/cgroup/{name}-user/session")  # as logind makes them
    Path("/sys/fs/cgroup/cgroup.subtree_control").write_text("+pids")
    session.mkdir(parents=True)
    script = tmp_path / "runtime"
    script.write_text(f'#!/bin/sh\necho $$ >{session}/cgroup.procs\n{runtime.program} "$@"\n')
    script.chmod(0o755)
    limited = bundle(tmp_path / "b", "cat /sys/fs/cgroup/pids.max", change=put("linux.resources.pids", {"limit": 33}))
    assert Runner(script, runtime.states)("run", "--bundle", limited, name).stdout.strip() == "33"
    session.rmdir()
    session.parent.rmdir()


def test_killed_while_it_creates(runtime: Runner, name: str, tmp_path: Path) -> None:
    def change(config: Config) -> None:
        config["hooks"] = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "100"]}]}

    made = bundle(tmp_path / "b", "true", change=change)
    words = [str(runtime.program), "--root", str(runtime.states), "create", "--bundle", str(made), name]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as creating:
        until((runtime.states / name / "start").exists)
        assert runtime.state(name)["status"] == "creating"
        assert runtime("kill", name, check=False).returncode == 1
        hook = f"/proc/{creating.pid}/task/{creating.pid}/children"
        until(lambda: len(Path(hook).read_text().split()) > 1)
        children = [int(pid) for pid in Path(hook).read_text().split()]
        creating.kill()
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # the hook is its own master; what we made dies by itself
    runtime("delete", name)
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{name}*"))


def test_killed_while_it_makes_its_control_groups(runtime: Runner, name: str, tmp_path: Path) -> None:
    script = """
import os, sys
from pybuild.__main__ import main
from runner.oci import groups
groups.configure = lambda *_: os.kill(os.getpid(), 9)
sys.argv[0] = "pybuild"
main()
"""
    words = ["oci", "--root", str(runtime.states), "create", "--bundle", str(bundle(tmp_path / "b", "true")), name]
    done = subprocess.run([sys.executable, "-P", "-c", script, *words], env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert done.returncode == -signal.SIGKILL
    assert list(Path("/sys/fs/cgroup").glob(f"*/{name}"))
    runtime("delete", name)
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{name}"))


def test_one_who_waits_for_what_is_removed_does_not_get_what_has_its_name(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = home.make("same")
    inode = f":{first.folder.stat().st_ino} "
    with ThreadPoolExecutor(1) as other:
        with first.alone():
            waits = other.submit(lambda: first.alone().__enter__())
            until(lambda: any("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines()))
            first.forget()
            home.make("same")
        with pytest.raises(ContainerError, match="does not exist"):
            waits.result()


def test_two_may_remove_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second has found it, and waits until the first has done."""
    engine = Engine(Home(tmp_path), cast(Spawner, None))
    found = engine.home.make("same")
    monkeypatch.setattr(Home, "get", lambda *_: found)
    found.forget()
    assert engine.delete("same", force=True) == []
    with pytest.raises(ContainerError, match="does not exist"):
        engine.delete("same")


def test_descriptors_are_passed_on(runtime: Runner, name: str, tmp_path: Path) -> None:
    made = bundle(tmp_path / "b", "cat <&3; cat <&4; echo $LISTEN_FDS $LISTEN_PID; ls /proc/self/fd | wc -l")
    for number in (3, 4):
        (tmp_path / str(number)).write_text(f"{number}\n")
    line = f"LISTEN_FDS=1 {runtime.program} --root {runtime.states} run --preserve-fds 1 --bundle {made} {name} 3<3 4<4"
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "3\n4\n1 1\n6\n", done.stderr
    assert "preserved-fd 3" in runtime("run", "--preserve-fds", "1", "--bundle", made, name, check=False).stderr


def test_a_terminal_of_ours_is_its_own(runtime: Runner, name: str, tmp_path: Path) -> None:
    made = bundle(tmp_path / "b", "tty; read word; echo got $word", change=put("process.terminal", True))
    words = ["--root", str(runtime.states), "run", "--bundle", str(made), name]
    child = pexpect.spawn(str(runtime.program), words, timeout=90, encoding="utf-8")
    child.expect("/dev/pts/0\r\n")
    child.sendline("this")
    child.expect("got this\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_list_spec_features(runtime: Runner, name: str, tmp_path: Path) -> None:
    assert runtime("list").stdout.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    runtime.create(bundle(tmp_path / "b", "true"), name)
    assert runtime("list", "-q").stdout == f"{name}\n"
    assert json.loads(runtime("list", "-f", "json").stdout)[0]["status"] == "created"
    (tmp_path / "new").mkdir()
    runtime("spec", "--bundle", tmp_path / "new")
    assert json.loads((tmp_path / "new/config.json").read_text())["process"]["args"] == ["sh"]
    assert "exists" in runtime("spec", "--bundle", tmp_path / "new", check=False).stderr
    assert "spec: 1." in runtime("--version").stdout
    assert "SCMP_ACT_ERRNO" in json.loads(runtime("features").stdout)["linux"]["seccomp"]["actions"]


def test_terminal_goes_to_the_socket(runtime: Runner, name: str, tmp_path: Path) -> None:
    def change(config: Config) -> None:
        config["process"] |= {"terminal": True, "consoleSize": {"height": 33, "width": 77}}

    made = bundle(tmp_path / "b", "tty; stty size", change=change)
    assert "console socket" in runtime("create", "--bundle", made, name, check=False).stderr
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen(1)
        given: list[int] = []

        def take() -> None:
            peer, _ = listening.accept()
            with peer:
                given.extend(socket.recv_fds(peer, 100, 1)[1])

        taker = threading.Thread(target=take)
        taker.start()
        runtime.create(made, name, "--console-socket", tmp_path / "s")
        taker.join()
    runtime("start", name)
    told = b""
    with open(given[0], "rb", buffering=0) as master:
        try:
            while piece := master.read(1000):
                told += piece
        except OSError:
            pass
    assert told == b"/dev/pts/0\r\n33 77\r\n"


def test_hooks_in_their_order(runtime: Runner, name: str, tmp_path: Path) -> None:
    kinds = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

    def change(config: Config) -> None:
        config["mounts"].append(
            {"destination": "/h", "type": "bind", "source": str(tmp_path / "h"), "options": ["bind"]}
        )
        config["annotations"] = {"a": "b"}
        config["hooks"] = {
            kind: [{"path": "/h/hook" if kind == "startContainer" else str(tmp_path / "h/hook"), "args": ["hook", kind],
                    "env": ["PATH=/bin:/usr/bin"]}]
            for kind in kinds
        }  # fmt: skip

    (tmp_path / "h").mkdir()
    script = tmp_path / "h/hook"
    script.write_text('#!/bin/sh\nexec >> "${0%hook}told"\nprintf "%s " "$1"\ncat\necho\n')
    script.chmod(0o755)
    runtime.create(bundle(tmp_path / "b", "sleep", "1", change=change), name)
    runtime("start", name)
    until(lambda: runtime.state(name)["status"] == "stopped")
    runtime("delete", name)
    lines = [line.split(" ", 1) for line in (tmp_path / "h/told").read_text().splitlines()]
    assert [kind for kind, _ in lines] == list(kinds)
    states = [json.loads(state) for _, state in lines]
    assert [state["status"] for state in states][:3] == ["creating"] * 3 and states[-1]["status"] == "stopped"
    assert all(state["id"] == name and state["annotations"] == {"a": "b"} for state in states)
    assert all(state["pid"] > 0 for state in states[:5])


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer", "startContainer"])
def test_a_hook_that_fails_ends_it(kind: str, runtime: Runner, name: str, tmp_path: Path) -> None:
    def change(config: Config) -> None:
        config["hooks"] = {kind: [{"path": "/bin/sh", "args": ["sh", "-c", "echo no luck; exit 7"]}]}

    made = bundle(tmp_path / "b", "true", change=change)
    done = runtime("run", "--bundle", made, name, check=False)
    assert done.returncode == 1 and "exit status 7, output: no luck" in done.stderr
    assert not os.listdir(runtime.states)


def test_a_hook_may_take_too_long(runtime: Runner, name: str, tmp_path: Path) -> None:
    def change(config: Config) -> None:
        config["hooks"] = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]}

    done = runtime("run", "--bundle", bundle(tmp_path / "b", "true", change=change), name, check=False)
    assert done.returncode == 1 and "did not end within 1 seconds" in done.stderr


def test_late_hooks_only_warn(runtime: Runner, name: str, tmp_path: Path) -> None:
    def change(config: Config) -> None:
        config["hooks"] = {kind: [{"path": "/bin/false"}] for kind in ("poststart", "poststop")}

    done = runtime("run", "--bundle", bundle(tmp_path / "b", "exit 6", change=change), name, check=False)
    assert done.returncode == 6 and done.stderr.count("level=warning") == 2


def put(path: str, value: object) -> Callable[[Config], None]:
    """A change of one place in a config, by a dotted path; lists are appended to."""

    def change(config: Config) -> None:
        *way, last = path.split(".")
        here: Any = config
        for word in way:
            here = here.setdefault(word, {})
        if isinstance(here.get(last), list) and not isinstance(value, list):
            here[last].append(value)
        else:
            here[last] = value

    return change


def bind(target: str, source: str = "/tmp", *options: str, kind: str = "bind") -> Callable[[Config], None]:
    return put("mounts", {"destination": target, "type": kind, "source": source, "options": list(options)})


def joining(path: str) -> Callable[[Config], None]:
    return put("linux.namespaces", [{"type": "mount"}, {"type": "uts"}, {"type": "ipc", "path": path}])


REFUSED: dict[str, tuple[Callable[[Config], None], str]] = {
    "no args": (put("process.args", []), "process.args: is empty"),
    "args of another type": (put("process.args", [1]), "process.args: is no list of texts"),
    "a relative cwd": (put("process.cwd", "x"), "process.cwd: must be an absolute path"),
    "a version to come": (put("ociVersion", "2.0.0"), "ociVersion"),
    "another system": (put("windows", {}), "windows: is for another kind of system"),
    "no root": (put("root.path", "nowhere"), "root.path"),
    "a root that leads out": (put("root.path", "/etc/passwd"), "root.path"),
    "no capability": (put("process.capabilities.bounding", ["CAP_NOSUCH"]), "'CAP_NOSUCH' is no capability"),
    "a capability that we lack": (put("process.capabilities.permitted", ["CAP_SYS_RESOURCE"]), "none to give"),
    "no limit": (put("process.rlimits", [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]), "no limit of this system"),
    "soft over hard": (put("process.rlimits", [{"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1}]), "more than the hard"),
    "a limit twice": (put("process.rlimits", [{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}] * 2), "limited twice"),
    "a huge limit": (put("process.rlimits", [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2**63}]), "rlimit type 7"),
    "a limit beyond": (put("process.rlimits", [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2**70}]), "is no number"),
    "a namespace twice": (put("linux.namespaces", {"type": "pid"}), "pid is there twice"),
    "no namespace": (put("linux.namespaces", {"type": "syslog"}), "is no namespace"),
    "no file of a namespace": (joining("/nowhere"), "no such file"),
    "an ordinary file": (joining("/etc/passwd"), "/etc/passwd"),
    "of another kind": (joining("/proc/self/ns/net"), "another kind"),
    "no mount namespace": (put("linux.namespaces", [{"type": "pid"}]), "mount namespace"),
    "a hostname of the host's": (put("linux.namespaces", [{"type": "mount"}]), "without a uts namespace"),
    "no maps": (put("linux.namespaces", {"type": "user"}), "uidMappings: is missing"),
    "mounts inside /proc": (bind("/proc/self/x"), "inside /proc"),
    "mounts over /proc": (bind("/proc/self/.."), "inside /proc"),
    "mounts over a link into /proc": (bind("/into"), "inside /proc"),
    "mounts on the root": (bind("/.."), "is the root itself"),
    "no source": (bind("/x", "/nowhere"), "/nowhere: no such file"),
    "no type": (bind("/x", "x", kind=""), "type: is missing"),
    "no file system": (bind("/x", "x", kind="nosuchfs"), "mount nosuchfs on /x"),
    "no ids to map": (bind("/x", "/tmp", "bind", "idmap"), "uidMappings: is missing"),
    "a new file system with others' ids": (bind("/x", "x", "idmap", kind="tmpfs"), "only a bind mount"),
    "no propagation": (put("linux.rootfsPropagation", "sideways"), "is no propagation"),
    "sysctl of the machine": (put("linux.sysctl", {"vm.swappiness": "1"}), "whole machine"),
    "sysctl that climbs": (put("linux.sysctl", {"net.../.././kernel.x": "1"}), "is no name"),
    "intelRdt": (put("linux.intelRdt", {"closID": "x"}), "linux.intelRdt: is not supported"),
    "apparmor": (put("process.apparmorProfile", "docker-default"), "AppArmor"),
    "selinux": (put("process.selinuxLabel", "x"), "selinuxLabel: is not supported"),
    "seccomp notify": (put("linux.seccomp", {"defaultAction": "SCMP_ACT_NOTIFY"}), "NOTIFY"),
    "seccomp without sense": (put("linux.seccomp", {"defaultAction": "SCMP_ACT_SING"}), "SCMP_ACT_SING"),
    "a hook without a place": (put("hooks", {"poststop": [{"path": "x"}]}), "hooks.poststop[0].path"),
    "cgroups upwards": (put("linux.cgroupsPath", "/../../x"), "leads upwards"),
    "a limit that is no number": (put("linux.resources", {"pids": {"limit": "many"}}), "is no whole number"),
    "a limit that cannot be": (put("linux.resources", {"cpu": {"cpus": "900"}}), "cpuset"),
    "clocks without their namespace": (put("linux.timeOffsets", {"boottime": {"secs": 1}}), "time namespace"),
    "a score below ours": (put("process.oomScoreAdj", -999), "oomScoreAdj"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str, runtime: Runner, name: str, tmp_path: Path) -> None:
    change, words = REFUSED[what]
    made = bundle(tmp_path / "b", "true", change=change)
    try:
        Bundle.open(made)
    except BundleInvalid as refused:  # by its words alone; no process is needed to see that
        assert words in str(refused)
        return
    (made / "rootfs/into").symlink_to("proc/self")
    done = runtime("run", "--bundle", made, name, check=False)
    assert done.returncode == 1 and words in done.stderr, done.stderr
    assert not runtime.states.exists() or not os.listdir(runtime.states)
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{name}*"))


@pytest.mark.parametrize("bad", ["../x", "a/b", "..", ".", "", "a b", "x" * 2000, "ä", "a\n"])
def test_ids(bad: str) -> None:
    with pytest.raises(ContainerError, match="invalid container ID format"):
        checked(bad)


def test_an_id_that_leads_out(runtime: Runner, tmp_path: Path) -> None:
    (tmp_path / "states").mkdir()
    (tmp_path / "kept").mkdir()
    done = runtime("delete", "--force", "../kept", check=False)
    assert done.returncode == 1 and "invalid container ID format" in done.stderr
    assert (tmp_path / "kept").exists()


def test_no_json(runtime: Runner, name: str, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    assert "no such file" in runtime("run", "--bundle", tmp_path / "b", name, check=False).stderr
    for text in ("", "[]", "{", "[" * 100000, '{"ociVersion": 1}'):
        (tmp_path / "b/config.json").write_text(text)
        with pytest.raises(BundleInvalid, match=r"^config\.json: "):
            Bundle.open(tmp_path / "b")


def test_clocks_personality_and_descriptors(runtime: Runner, name: str, tmp_path: Path) -> None:
    def change(config: Config) -> None:
        config["linux"]["namespaces"].append({"type": "time"})
        config["linux"]["timeOffsets"] = {"boottime": {"secs": 10_000_000}}
        config["linux"]["personality"] = {"domain": "LINUX32"}
        config["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE", "priority": 0}

    made = bundle(tmp_path / "b", "cut -d. -f1 /proc/uptime; uname -m; ls /proc/self/fd", change=change)
    uptime, machine, *open_ones = runtime("run", "--bundle", made, name).stdout.split()
    assert int(uptime) > 10_000_000 and machine == "i686"
    assert open_ones == ["0", "1", "2", "3"]  # 3 is the folder that ls looks at


def test_owners_are_shown_as_mapped(runtime: Runner, name: str, tmp_path: Path) -> None:
    def change(config: Config) -> None:
        ids = [{"containerID": 0, "hostID": 1000, "size": 10}]
        mount = {"destination": "/x", "type": "bind", "source": str(tmp_path / "x"), "options": ["rbind"]}
        config["mounts"].append({**mount, "uidMappings": ids, "gidMappings": ids})

    (tmp_path / "x").mkdir()
    for number in (0, 5):
        (tmp_path / f"x/{number}").touch()
        os.chown(tmp_path / f"x/{number}", number, number)
    made = bundle(tmp_path / "b", "stat", "-c", "%u:%g", "/x/0", "/x/5", change=change)
    assert runtime("run", "--bundle", made, name).stdout.split() == ["1000:1000", "1005:1005"]


def test_joined_namespaces(runtime: Runner, name: str, tmp_path: Path) -> None:
    runtime.create(bundle(tmp_path / "one", "sleep", "100"), name)
    runtime("start", name)
    pid = runtime.state(name)["pid"]

    def change(config: Config) -> None:
        for namespace in config["linux"]["namespaces"]:
            if namespace["type"] in ("pid", "network", "ipc"):
                file = {"network": "net"}.get(namespace["type"], namespace["type"])
                namespace["path"] = f"/proc/{pid}/ns/{file}"

    made = bundle(tmp_path / "two", "cat /proc/1/cmdline; readlink /proc/self/ns/net", change=change)
    told = runtime("run", "--bundle", made, f"{name}-two").stdout
    assert told == f"sleep\x00100\x00{os.readlink(f'/proc/{pid}/ns/net')}\n"


def test_signals_reach_it(runtime: Runner, name: str, tmp_path: Path) -> None:
    made = bundle(tmp_path / "b", "trap 'exit 8' USR1; echo ready; while :; do sleep 0.05; done")
    words = [str(runtime.program), "--root", str(runtime.states), "run", "--bundle", str(made), name]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None and running.stdout.readline() == "ready\n"
        running.send_signal(signal.SIGUSR1)
        assert running.wait(WAIT) == 8
    assert not os.listdir(runtime.states)


def test_errors_go_into_the_log(runtime: Runner, name: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = runtime("--log", log, "--log-format", "json", "start", name, check=False)
    told = json.loads(log.read_text())
    assert told["level"] == "error" and told["msg"] == done.stderr.strip() == "container does not exist"
