"""The same bundle under runc and under us: same output, same exit code."""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import bundle, ours, theirs
from tests.support.command import Pybuild
from tests.support.peers import need

pytestmark = pytest.mark.root
Config = dict[str, Any]


def process(**values: Any) -> Callable[[Config], None]:
    return lambda config: config["process"].update(values)


def linux(**values: Any) -> Callable[[Config], None]:
    return lambda config: config["linux"].update(values)


def mounted(*mounts: tuple[str, str, str, str]) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        for target, kind, source, options in mounts:
            config["mounts"].append(
                {"destination": target, "type": kind, "source": source, "options": options.split(",")}
            )

    return change


def mapped(config: Config) -> None:
    config["linux"]["namespaces"].append({"type": "user"})
    for key in ("uidMappings", "gidMappings"):
        config["linux"][key] = [{"containerID": 0, "hostID": 100000, "size": 65536}]


def without(*kinds: str) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        config["linux"]["namespaces"] = [one for one in config["linux"]["namespaces"] if one["type"] not in kinds]
        if "uts" in kinds:
            del config["hostname"]

    return change


def seccomp(config: Config) -> None:
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
            {
                "names": ["kill"],
                "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 1, "value": 10, "op": "SCMP_CMP_EQ"}],
            },
        ],
    }


def capable(*names: str, **sets: list[str]) -> Callable[[Config], None]:
    kinds = ("bounding", "effective", "permitted", "inheritable", "ambient")
    return process(capabilities={kind: sets.get(kind, list(names)) for kind in kinds})


def hooked(config: Config) -> None:
    mounted(("/data", "bind", "HERE/hooks", "bind"))(config)
    kinds = ("prestart", "createRuntime", "createContainer")
    config["hooks"] = {kind: [{"path": "HERE/hooks/hook", "args": ["hook", kind]}] for kind in kinds}


def both(*changes: Callable[[Config], None]) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        for one in changes:
            one(config)

    return change


def hostname(config: Config) -> None:
    config["hostname"] = "somewhere"


def readonly(config: Config) -> None:
    config["root"]["readonly"] = True


VARIATIONS: dict[str, tuple[str, Callable[[Config], None] | None]] = {
    "plain": ("id; pwd; env | sort; ls -l /proc/self/ns | wc -l; exit 3", None),
    "user": ("id; umask", process(user={"uid": 5, "gid": 6, "additionalGids": [7, 8], "umask": 0o77})),
    "environment": ("env | sort", process(env=["PATH=/bin", "A=1", "A=2", "B=a=b", "HOME=/x"])),
    "home of a passwd": ("echo $HOME", process(env=["PATH=/bin"])),
    "cwd is made": ("pwd; ls -ld /new/place | cut -c1-10", process(cwd="/new/place")),
    "hostname": ("hostname", hostname),
    "read-only root": ("touch /x; echo $?; touch /dev/shm/x; echo $?", readonly),
    "devices": ("ls -ln /dev | grep -v total | tr -s ' ' | cut -d' ' -f1,3,4 | sort", None),
    "a device more": (
        "ls -ln /dev/more | cut -c1-10; stat -c '%t %T %u %g' /dev/more",
        linux(
            devices=[
                {"path": "/dev/more", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4},
            ]
        ),
    ),
    "a device that is refused": ("mknod /dev/x b 254 0; head -c1 /dev/x; echo $?", capable("CAP_MKNOD")),
    "masked and read-only paths": (
        "cat /proc/kcore | wc -c; ls /sys/firmware | wc -l; echo 1 > /proc/sys/kernel/hostname; echo $?",
        None,
    ),
    "capabilities": ("grep Cap /proc/self/status", capable("CAP_CHOWN", "CAP_KILL")),
    "capabilities of a user": (
        "grep Cap /proc/self/status",
        both(capable("CAP_CHOWN", "CAP_KILL"), process(user={"uid": 9, "gid": 9})),
    ),
    "capabilities in bounding only": ("grep Cap /proc/self/status", capable(bounding=["CAP_CHOWN", "CAP_SYS_TIME"])),
    "no new privileges": ("grep NoNewPrivs /proc/self/status", process(noNewPrivileges=True)),
    "rlimits": (
        "ulimit -n; ulimit -Hn; ulimit -c",
        process(
            rlimits=[
                {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
                {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
            ]
        ),
    ),
    "oom score": ("cat /proc/self/oom_score_adj", process(oomScoreAdj=500)),
    "mounts": (
        "cat /one/file; touch /one/x; echo $?; stat -f -c %T /two; touch /two/x; mount | grep /two | cut -d' ' -f4-6",
        mounted(("/one", "bind", "HERE/data", "rbind,ro"), ("/two", "tmpfs", "t", "nosuid,noexec,mode=700,size=8k")),
    ),
    "a file on a file": ("cat /etc/passwd", mounted(("/etc/passwd", "bind", "HERE/data/file", "bind,ro"))),
    "a tmpfs that begins full": (
        "cat /etc/passwd; touch /etc/x; ls -ld /etc | cut -c1-10",
        mounted(("/etc", "tmpfs", "t", "tmpcopyup")),
    ),
    "the host's namespaces": (
        "for n in uts net ipc; do readlink /proc/self/ns/$n; done",
        without("uts", "network", "ipc"),
    ),
    "no pid namespace": ("cd /proc/self; readlink ns/pid", without("pid")),
    "users mapped": (
        "id; cat /proc/self/uid_map; stat -c %u /bin/busybox; ls /dev | sort; head -c2 /dev/zero | wc -c",
        mapped,
    ),
    "sysctl": (
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
        linux(sysctl={"net.ipv4.ip_unprivileged_port_start": "99"}),
    ),
    "seccomp": ("mkdir /x; echo $?; kill -USR1 $$; echo $?; kill -0 $$; echo $?", seccomp),
    "limits": (
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/cpu/cpu.shares "
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpuset/cpuset.cpus; touch /sys/fs/cgroup/x; echo $?",
        linux(
            resources={
                "memory": {"limit": 33554432, "swap": 67108864, "reservation": 16777216},
                "pids": {"limit": 33},
                "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"},
            }
        ),
    ),
    "hooks": ("cat /data/hook.told", hooked),
    "killed by a signal": ("kill -9 $$", None),
    "nothing open": ("ls /proc/self/fd", None),
}  # fmt: skip


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter, as root of a user namespace must; pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="pybuild-bundles-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("name", VARIATIONS)
def test_same_as_runc(name: str, open_folder: Path) -> None:
    line, change = VARIATIONS[name]
    told = []
    for runtime in (theirs(open_folder), ours(open_folder)):
        folder = open_folder / f"bundle-{runtime.states.name}"
        for inner in ("data", "hooks"):
            (folder / inner).mkdir(parents=True)
        (folder / "data/file").write_text("content\n")
        (folder / "hooks/hook").write_text('#!/bin/sh\ncat > /dev/null\necho "$1" >> "$0.told"\n')
        (folder / "hooks/hook").chmod(0o755)
        config = bundle(folder, line, change=change) / "config.json"
        config.write_text(config.read_text().replace("HERE", str(folder)))
        if change is mapped:
            subprocess.run(["chown", "-R", "100000:100000", folder / "rootfs"], check=True)
        done = runtime("run", "--bundle", folder, f"beside-{os.getpid()}", check=False)
        told.append((done.returncode, done.stdout))
    assert told[0] == told[1]
    assert told[0][1] or name == "killed by a signal"


@pytest.mark.parametrize(
    ("args", "code"), [(("nosuch",), 1), (("/nosuch",), 1), (("/etc",), 1), (("/etc/passwd",), 1), (("/bad",), 1)]
)
def test_same_failures(args: tuple[str, ...], code: int, tmp_path: Path) -> None:
    told = []
    for runtime in (theirs(tmp_path), ours(tmp_path)):
        made = bundle(tmp_path / "bundle", *args, "x")
        (made / "rootfs/bad").write_text("no program")
        (made / "rootfs/bad").chmod(0o755)
        done = runtime("run", "--bundle", made, f"beside-{os.getpid()}", check=False)
        assert done.returncode == code
        told.append(done.stderr.rpartition("exec")[2].strip().rstrip('"'))
    assert told[0] == told[1]


def test_umoci_unpacks_and_we_run(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    shared_pybuild("copy", "busybox", f"oci:{tmp_path / 'layout'}:busybox")
    umoci = [need("umoci"), "unpack", "--image", f"{tmp_path / 'layout'}:busybox", str(tmp_path / "bundle")]
    assert subprocess.run(umoci, capture_output=True).returncode == 0
    run_unpacked(tmp_path)


def test_we_unpack_and_run(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    shared_pybuild("unpack", "--image", "busybox", tmp_path / "bundle")
    run_unpacked(tmp_path)


def run_unpacked(folder: Path) -> None:
    path = folder / "bundle/config.json"
    value = json.loads(path.read_text())
    value["process"] |= {"terminal": False, "args": ["sh", "-c", "id -u; echo $TERM; exit 5"]}
    path.write_text(json.dumps(value))
    done = ours(folder)("run", "--bundle", folder / "bundle", f"unpacked-{os.getpid()}", check=False)
    assert (done.returncode, done.stdout) == (5, "0\nxterm\n")
