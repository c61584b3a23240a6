"""Options of run that docker has: namespaces of the host, logs with bounds, places in memory, variables of files."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layers import ImageConfig, Platform, Reference, Store
from layers.oci.image import describe
from tests.integration.containers.conftest import LOOP, Detached
from tests.support.command import Pybuild
from tests.support.soon import soon

pytestmark = pytest.mark.root
ALONE = ("--network", "none")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it may go while it is being read
        return False


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("end", ["stop", "supervisor"])
def test_processes_among_those_of_the_host_end_with_the_container(
    detached: Detached, shared_pybuild: Pybuild, inspected: Callable[[str], dict[str, Any]], end: str
) -> None:
    name = detached("sleep 1000 & echo $! >/pid; exec sleep 1000", *ALONE, "--pid", "host")
    first = inspected(name)["State"]["Pid"]
    assert soon(lambda: shared_pybuild("exec", name, "test", "-s", "/pid", code=None).returncode == 0)
    other = int(shared_pybuild.text("exec", name, "cat", "/pid"))
    assert alive(first)
    assert alive(other)
    assert os.readlink(f"/proc/{other}/ns/pid") == os.readlink("/proc/self/ns/pid")
    assert os.readlink(f"/proc/{other}/ns/ipc") != os.readlink("/proc/self/ns/ipc")
    if end == "stop":
        shared_pybuild("stop", "-t", "0", name)
    else:
        supervisor = parent(parent(first))
        assert b"--monitor" in Path(f"/proc/{supervisor}/cmdline").read_bytes()
        os.kill(supervisor, signal.SIGKILL)
        assert soon(lambda: not alive(first))
        shared_pybuild("run", "--rm", "--network", "none", "busybox", "true")  # whose start sweeps
    assert soon(lambda: not alive(other))


def test_names_that_are_known_with_the_network_of_the_host(
    shared_pybuild: Pybuild, inspected: Callable[[str], dict[str, Any]]
) -> None:
    name = f"host-{os.urandom(4).hex()}"
    words = ("--network", "host", "--add-host", "db:10.1.2.3", "busybox", "sh", "-c", "cat /etc/hosts; echo $HOSTNAME")
    *lines, called = shared_pybuild.text("run", "--name", name, *words).splitlines()
    try:
        assert inspected(name)["Config"]["Hostname"] == os.uname().nodename == called
        here = Path("/etc/hosts").read_text().splitlines()
        assert lines[: len(here)] == here
        assert lines[-1] == "10.1.2.3\tdb"
    finally:
        shared_pybuild("rm", name)
    lines = shared_pybuild.text("run", "--rm", "--hostname", "other", *words).splitlines()
    assert lines[: len(here)] == here
    assert lines[-3:] == ["127.0.1.1\tother", "10.1.2.3\tdb", "other"]


def test_names_and_memory_of_the_host(shared_pybuild: Pybuild) -> None:
    look = ("sh", "-c", "readlink /proc/self/ns/uts; readlink /proc/self/ns/ipc; hostname; cat /etc/hostname")
    uts, ipc, *names = shared_pybuild.text("run", "--rm", *ALONE, "--uts", "host", "busybox", *look).split()
    assert uts == os.readlink("/proc/self/ns/uts")
    assert ipc != os.readlink("/proc/self/ns/ipc")
    assert names == [os.uname().nodename] * 2
    uts, _, *names = shared_pybuild.text("run", "--rm", "--network", "host", "busybox", *look).split()
    assert uts != os.readlink("/proc/self/ns/uts")
    assert names == [os.uname().nodename] * 2
    uts, ipc, *_ = shared_pybuild.text("run", "--rm", *ALONE, "--ipc", "host", "busybox", *look).split()
    assert uts != os.readlink("/proc/self/ns/uts")
    assert ipc == os.readlink("/proc/self/ns/ipc")
    shown = shared_pybuild.text("run", "--rm", *ALONE, "--ipc", "host", "busybox", "stat", "-c", "%d:%i", "/dev/shm")
    there = os.stat("/dev/shm")
    assert shown == f"{there.st_dev}:{there.st_ino}"
    none = ("sh", "-c", "mount | grep -c /dev/shm")
    assert shared_pybuild("run", "--rm", *ALONE, "--ipc", "none", "busybox", *none, code=1).stdout == "0\n"
    groups = shared_pybuild.text(
        "run", "--rm", *ALONE, "--cgroupns", "host", "busybox", "readlink", "/proc/self/ns/cgroup"
    )
    assert groups == os.readlink("/proc/self/ns/cgroup")


def test_what_inspect_says_of_them(shared_pybuild: Pybuild) -> None:
    flags = ("--pid", "host", "--ipc", "host", "--cgroupns", "host", "--domainname", "example.org")
    container = shared_pybuild.text("create", *flags, "--log-opt", "max-size=1m", "--log-opt", "max-file=2", "busybox")
    found = json.loads(shared_pybuild.text("inspect", container))[0]
    host = found["HostConfig"]
    assert [host[key] for key in ("PidMode", "IpcMode", "CgroupnsMode", "UTSMode", "UsernsMode")] == [
        *["host"] * 3,
        "",
        "host",
    ]
    assert found["Config"]["Domainname"] == "example.org"
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1048576", "max-file": "2"}}
    shared_pybuild("rm", container)


@pytest.mark.parametrize("users", ["auto", "host"])
def test_a_domain_name(shared_pybuild: Pybuild, users: str) -> None:
    flags = ("--userns", users, "--domainname", "example.org")
    look = ("cat", "/proc/sys/kernel/domainname")
    assert shared_pybuild.text("run", "--rm", *flags, "busybox", *look) == "example.org"


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("--hostname", "web", "--domainname", "example.org"), "web.example.org web"),
        (("--hostname", "web.example.org"), "web.example.org web"),
        (("--hostname", "web"), "web"),
    ],
)
def test_the_whole_name_is_the_first_in_hosts(shared_pybuild: Pybuild, flags: tuple[str, ...], line: str) -> None:
    look = "hostname -f; sed -n 's/^[0-9.]*\\t\\(web.*\\)/\\1/p' /etc/hosts"
    assert shared_pybuild.text("run", "--rm", *flags, "busybox", "sh", "-c", look).splitlines() == [
        line.split(maxsplit=1)[0],
        line,
    ]


@pytest.mark.parametrize("users", ["auto", "host"])
def test_file_systems_are_called_as_docker_calls_them(shared_pybuild: Pybuild, users: str) -> None:
    flags = (*ALONE, "--userns", users, "--tmpfs", "/t")
    lines = shared_pybuild.text("run", "--rm", *flags, "busybox", "cat", "/proc/mounts").splitlines()
    names = {place: name for name, place, *_ in map(str.split, lines)}
    called = {"/": "overlay", "/proc": "proc", "/sys": "sysfs", "/dev": "tmpfs", "/dev/pts": "devpts", "/t": "tmpfs"}
    assert {place: names[place] for place in (*called, "/dev/shm")} == {**called, "/dev/shm": "shm"}


@pytest.mark.parametrize("network", ["bridge", "none", "host", "container"])
def test_nothing_can_be_written_to_where_the_root_is_read_only(
    detached: Detached, shared_pybuild: Pybuild, network: str
) -> None:
    mode = f"container:{detached()}" if network == "container" else network
    files = "/etc/hosts /etc/hostname /etc/resolv.conf /new"
    script = f"for file in {files}; do (echo x >>$file) 2>/dev/null && echo $file; done"
    flags = ("--rm", "--network", mode)
    assert shared_pybuild("run", *flags, "--read-only", "busybox", "sh", "-c", script, code=1).stdout == ""
    assert len(shared_pybuild.text("run", *flags, "busybox", "sh", "-c", script).split()) == 4


@pytest.mark.parametrize("users", ["auto", "host"])
def test_owners_and_number_of_files_in_memory(shared_pybuild: Pybuild, users: str) -> None:
    flags = (*ALONE, "--userns", users, "--tmpfs", "/t:uid=3,gid=4,mode=700,nr_inodes=10")
    script = "stat -c '%u:%g %a' /t; df -i /t | tail -1"
    owner, line = shared_pybuild.text("run", "--rm", *flags, "busybox", "sh", "-c", script).splitlines()
    assert owner == "3:4 700"
    assert line.split()[1] == "10"


def test_a_log_with_a_bound(shared_pybuild: Pybuild) -> None:
    name = f"log-{os.urandom(4).hex()}"
    opts = ("--log-opt", "max-size=20k", "--log-opt", "max-file=3")
    shared_pybuild("run", "--name", name, *opts, "busybox", "seq", "3000")
    lines = shared_pybuild.text("logs", name).splitlines()
    assert 400 < len(lines) < 1000
    assert lines == [str(number) for number in range(3001 - len(lines), 3001)]
    assert shared_pybuild.text("logs", "--tail", "2", "--details", name) == " 2999\n 3000"
    folder = shared_pybuild.root / "containers" / shared_pybuild.text("inspect", "-f", "{{.Id}}", name)
    assert sum(one.stat().st_size for one in folder.glob("log*")) < 64_000
    shared_pybuild("rm", name)


def test_no_log(shared_pybuild: Pybuild) -> None:
    name = f"log-{os.urandom(4).hex()}"
    assert shared_pybuild.text("run", "--name", name, "--log-driver", "none", "busybox", "echo", "hi") == "hi"
    assert "--log-driver none" in shared_pybuild("logs", name, code=1).stderr
    shared_pybuild("rm", name)


def test_rights_of_a_further_command(detached: Detached, shared_pybuild: Pybuild) -> None:
    name = detached(LOOP, "--cap-drop", "ALL")
    look = ("sh", "-c", "grep -E 'CapEff|Seccomp:' /proc/self/status")
    bare = shared_pybuild.text("exec", name, *look).split()
    full = shared_pybuild.text("exec", "--privileged", name, *look).split()
    assert (int(bare[1], 16), bare[3]) == (0, "2")
    own = int(Path("/proc/self/status").read_text().partition("CapBnd:")[2].split()[0], 16)
    assert (int(full[1], 16), full[3]) == (own, "0")


def test_a_command_without_a_name_is_not_found(shared_pybuild: Pybuild) -> None:
    done = shared_pybuild("run", "--rm", "busybox", "", code=127)
    assert "'': not found" in done.stderr


def test_a_file_of_variables(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "env").write_bytes("\ufeffA=1 \r\n\t B=x\x0cy\n#C=3\n\nD=\u2028\n".encode())
    script = 'printf "[%s]" "$A" "$B" "$C" "$D"'
    shown = shared_pybuild.text("run", "--rm", "--env-file", tmp_path / "env", "busybox", "sh", "-c", script)
    assert shown == "[1 ][x\x0cy][][\u2028]"
    (tmp_path / "env").write_text("A B=1\n")
    assert "blanks" in shared_pybuild("run", "--rm", "--env-file", tmp_path / "env", "busybox", "true", code=125).stderr


@pytest.mark.parametrize(
    ("runtime", "what"),
    [
        ({"Env": ["A=x\0y"]}, "the variable 'A'"),
        ({"Env": ["A\0B=x"]}, r"the variable 'A\x00B'"),
        ({"Cmd": ["true", "a\0b"]}, r"the word 'a\x00b'"),
        ({"Entrypoint": ["a\0b"]}, r"the word 'a\x00b'"),
        ({"WorkingDir": "/a\0b"}, r"the path '/a\x00b'"),
        ({"Volumes": {"/a\0b": {}}}, r"the path '/a\x00b'"),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "a\0b"]}}, r"the word 'a\x00b'"),
        ({"Shell": ["a\0b"], "Healthcheck": {"Test": ["CMD-SHELL", "true"]}}, r"the word 'a\x00b'"),
    ],
)
def test_what_no_command_can_have(pybuild: Pybuild, runtime: dict[str, object], what: str) -> None:
    with Store.open(pybuild.root) as store:
        told = {"Cmd": ["true"], **runtime}
        config = ImageConfig.build(platform=Platform.host(), diff_ids=(), history=(), runtime=told, created=None)
        store.images.add(describe(config, ()), config, [Reference.parse("odd:1")])
    failed = pybuild("run", "odd:1", code=125).stderr
    assert failed.startswith(f"error: image odd:1: {what} has a NUL character") and "build the image anew" in failed
    assert pybuild.text("ps", "-aq") == ""
    if "Env" in runtime or "WorkingDir" in runtime:
        assert f"error: {what} has a NUL character" in pybuild("debug", "odd:1", "true", code=1).stderr


def test_a_file_of_variables_that_no_command_can_have(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "env").write_bytes(b"A=x\0y\n")
    failed = shared_pybuild("run", "--rm", "--env-file", tmp_path / "env", "busybox", "true", code=125).stderr
    assert "NUL character" in failed and "defect" not in failed


REFUSED = [
    (["--pid", "container:nobody-here"], "no such container"),
    (["--pid", "container:nobody-here", "--userns", "host"], "leave --userns out"),
    (["--pid", "some"], "unknown"),
    (["--ipc", "container:x"], "nsenter"),
    (["--pid", "host", "--userns", "auto"], "leave --userns out"),
    (["--uts", "host", "-h", "x"], "--hostname"),
    (["--hostname", "x" * 65], "64 bytes"),
    (["--workdir", "here"], "absolute"),
    (["--memory", "5m"], "6m"),
    (["--cpus", "9999"], "this machine has"),
    (["--cpu-shares", "1"], "between 2 and 262144"),
    (["--log-driver", "syslog"], "json-file"),
    (["--log-opt", "tag=x"], "unknown"),
    (["--log-opt", "max-file=2"], "needs max-size"),
    (["--log-driver", "none", "--log-opt", "max-size=1m"], "nothing is kept"),
    (["--tmpfs", "/t:uid=x"], "no number"),
    (["--label", "=x"], "no name"),
]


@pytest.mark.parametrize(("flags", "sentence"), REFUSED)
def test_what_cannot_be_is_refused(shared_pybuild: Pybuild, flags: list[str], sentence: str) -> None:
    done = shared_pybuild("run", "--rm", *flags, "busybox", "echo", "ran", code=125)
    assert sentence in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(("option", "instead"), [
    ("--gpus", "--device"), ("--link", "--network"), ("--runtime", "oci"), ("--pod", "container:NAME"), ("--tz", "TZ=")
])  # fmt: skip
def test_why_an_option_of_dockers_is_not_there(shared_pybuild: Pybuild, option: str, instead: str) -> None:
    for command in ("run", "create"):
        done = shared_pybuild(command, option, "x", "busybox", "true", code=125)
        assert done.stderr.startswith(f"error: {option} is not done here: ")
        assert instead in done.stderr


def test_why_an_option_of_network_connect_is_not_there(shared_pybuild: Pybuild) -> None:
    done = shared_pybuild("network", "connect", "--link", "x", "net", "web", code=2)
    assert done.stderr.startswith("error: --link is not done here: ")


@pytest.mark.parametrize(("word", "instead"), [("pod", "--network"), ("generate", "--replace"), ("umount", "export")])
def test_why_a_command_of_podmans_is_not_there(shared_pybuild: Pybuild, word: str, instead: str) -> None:
    done = shared_pybuild(word, "x", code=2)
    assert done.stderr.startswith(f"error: {word} is not done here: ")
    assert instead in done.stderr


@pytest.mark.parametrize("flags", [(), ("--user", "1000", "--cap-drop", "ALL", "--read-only")])
def test_the_first_process_of_init_tells_nothing_of_the_host(shared_pybuild: Pybuild, flags: tuple[str, ...]) -> None:
    look = ("sh", "-c", "tr '\\0' ' ' </proc/1/cmdline; cat /proc/1/comm; tr '\\0' '\\n' </proc/1/environ; true")
    shown = shared_pybuild.text("run", "--rm", "--init", *flags, "busybox", *look)
    assert shown.split()[:2] == ["pybuild-init", "pybuild-init"]
    assert "/" not in shown.partition("pybuild-init\n")[0]


def test_further_commands_that_cannot_begin(detached: Detached, shared_pybuild: Pybuild) -> None:
    name = detached()
    for words, why in (
        (["-w", "/no/such", name, "true"], "/no/such: No such file or directory"),
        (["-w", "/etc/passwd", name, "true"], "/etc/passwd: Not a directory"),
        (["-u", "nobody-here", name, "true"], "no user 'nobody-here'"),
    ):
        assert why in shared_pybuild("exec", *words, code=126).stderr
        assert "error: container" in shared_pybuild("exec", "-d", *words, code=1).stderr
    assert shared_pybuild("exec", name, "ls", "/no", code=1).stdout == "", "nothing was made"
    assert "not found" in shared_pybuild("exec", "-d", name, "no-such-program", code=1).stderr
    assert "no-such-program" in shared_pybuild("exec", name, "no-such-program", code=127).stderr
    done = shared_pybuild("export", "-o", "/no/such/file", name, code=1)
    assert done.stderr == "error: No such file or directory: /no/such\n"
