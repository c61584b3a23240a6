"""Attacks from inside: what a hostile command, or a hostile image, must not reach."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runner import DEFAULT_CAPABILITIES, Identity, SandboxBroken
from runner.syscalls import table
from tests.support.peers import need
from tests.support.walls import Walled

pytestmark = pytest.mark.root

PROBE = r"""
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int count, char **words) {
    for (int at = 1; at < count; at++) {
        int family;
        errno = 0;
        if (!strcmp(words[at], "euid")) {
            errno = geteuid();
        } else if (sscanf(words[at], "socket:%d", &family) == 1) {
            int made = socket(family, SOCK_STREAM, 0);
            if (made >= 0) errno = 0, close(made);
        } else {
            long first = 0;
            char *colon;
            long number = strtol(words[at], &colon, 10);
            if (*colon) first = strtol(colon + 1, 0, 10);
            if (syscall(number, first, 0, 0, 0, 0, 0) >= 0) errno = 0;
        }
        printf("%d\n", errno);
    }
    return 0;
}
"""
EPERM, ENOSYS = 1, 38


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static program that makes system calls by number and prints what errno they leave."""
    folder = tmp_path_factory.mktemp("probe")
    (folder / "probe.c").write_text(PROBE)
    subprocess.run([need("gcc", "gcc"), "-static", "-O", "-o", folder / "probe", folder / "probe.c"], check=True)
    return folder / "probe"


def errnos(walled: Walled, probe: Path, *words: str, **more: Any) -> list[int]:
    shutil.copy(probe, walled.root / "bin/probe")
    found = walled("probe", *words, **more)
    assert found.exit.code == 0, found.err
    return [int(line) for line in found.out.split()]


def status(text: str) -> Mapping[str, str]:
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


def test_nothing_but_three_descriptors_is_open(walled: Walled) -> None:
    with open("/etc/passwd", "rb") as leak:
        os.set_inheritable(leak.fileno(), True)
        found = walled("ls /proc/1/fd; exec no-such-thing")
    assert found.out.split() == ["0", "1", "2"]


def test_namespaces_are_not_ours(walled: Walled) -> None:
    names = ("mnt", "pid", "ipc", "uts", "net", "cgroup")
    told = walled("stat -c %N " + " ".join(f"/proc/self/ns/{name}" for name in names)).out
    for name in names:
        assert os.readlink(f"/proc/self/ns/{name}") not in told
    assert walled("echo $$").out == "1\n"


def test_no_mount_of_the_host_is_seen(walled: Walled) -> None:
    lines = walled("cat /proc/self/mountinfo").out.splitlines()
    places = {line.split()[4] for line in lines}
    assert {place.split("/")[1] for place in places} == {"", "proc", "sys", "dev"}
    groups = walled("cat /proc/self/cgroup").out
    ours = [line for line in groups.splitlines() if not line.endswith(":/")]
    assert [line for line in ours if "pybuild" in line] == []


def test_the_host_sees_no_mount_of_ours(walled: Walled) -> None:
    before = Path("/proc/self/mountinfo").read_bytes()
    walled("true")
    assert Path("/proc/self/mountinfo").read_bytes() == before


@pytest.mark.parametrize("name", ["acpi", "interrupts", "kcore", "keys", "timer_list", "sched_debug", "scsi"])
def test_masked_paths_are_empty(walled: Walled, name: str) -> None:
    path = f"/proc/{name}"
    assert walled(f"[ -d {path} ] && ls {path}; cat {path} 2>/dev/null").out == ""


@pytest.mark.parametrize(
    "path",
    [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
        "/proc/bus/pci/x",
        "/sys/kernel/uevent_helper",
        "/sys/module/x",
        "/sys/fs/cgroup/memory/release_agent",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/cgroup.procs",
        "/sys/fs/cgroup/memory.max",
    ],
)
def test_settings_of_the_host_cannot_be_written(walled: Walled, path: str) -> None:
    readable = Path(path).is_file() and Path(path).stat().st_mode & 0o400 and "sysrq" not in path
    content = Path(path).read_bytes() if readable else b""
    assert walled(f"echo 1 >{path}").exit.code != 0
    assert walled(f"chmod 777 {path}").exit.code != 0
    if content:
        assert Path(path).read_bytes() == content


def test_default_capabilities_and_no_more(walled: Walled) -> None:
    seen = status(walled("cat /proc/self/status").out)
    assert [seen[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")] == [
        "0" * 16, "00000000a80425fb", "00000000a80425fb", "00000000a80425fb", "0" * 16,
    ]  # fmt: skip
    assert (seen["Seccomp"], seen["NoNewPrivs"]) == ("2", "0")


def test_a_user_has_no_capability_but_keeps_the_bounding_set(walled: Walled) -> None:
    seen = status(walled("cat /proc/self/status", identity=Identity(1000, 1000)).out)
    assert [seen[f"Cap{kind}"] for kind in ("Prm", "Eff", "Bnd")] == ["0" * 16, "0" * 16, "00000000a80425fb"]


def test_a_set_user_program_works_unless_new_privileges_are_forbidden(walled: Walled, probe: Path) -> None:
    shutil.copy(probe, walled.root / "bin/probe")
    (walled.root / "bin/probe").chmod(0o4755)
    user = Identity(1000, 1000)
    assert walled("probe", "euid", identity=user).out == "0\n"
    assert walled("probe", "euid", identity=user, no_new_privileges=True).out == "1000\n"
    seen = status(walled("cat /proc/self/status", identity=user, no_new_privileges=True).out)
    assert (seen["NoNewPrivs"], seen["Seccomp"]) == ("1", "2")


def test_one_capability_more_or_less(walled: Walled) -> None:
    assert walled("mkdir /m && mount -t tmpfs none /m", capabilities=DEFAULT_CAPABILITIES).exit.code != 0
    more = DEFAULT_CAPABILITIES | {"SYS_ADMIN"}
    assert walled("mount -t tmpfs none /m && echo yes", capabilities=more).out == "yes\n"
    assert walled("chown 1 /m", capabilities=DEFAULT_CAPABILITIES - {"CHOWN"}).exit.code != 0
    seen = status(walled("cat /proc/self/status", capabilities=frozenset()).out)
    assert {seen[f"Cap{kind}"] for kind in ("Prm", "Eff", "Bnd")} == {"0" * 16}


def test_device_nodes_can_be_made_but_not_opened(walled: Walled) -> None:
    for place in ("", "/tmp", "/dev"):
        found = walled(f"mknod {place}/disk b 254 0 && echo made; cat {place}/disk >/dev/null")
        assert (found.out, found.exit.code) == ("made\n", 1), place
        assert "Operation not permitted" in found.err
    assert walled("mknod /tmp/mem c 1 1; cat /tmp/mem").exit.code == 1
    assert walled("dd if=/dev/zero bs=10 count=1 2>/dev/null | wc -c; echo x >/dev/null && echo ok").out == "10\nok\n"


REFUSED = (
    "mount umount2 pivot_root unshare setns fsopen fsmount open_tree move_mount mount_setattr bpf keyctl add_key "
    "io_uring_setup userfaultfd perf_event_open kexec_load init_module reboot swapon open_by_handle_at syslog "
    "request_key settimeofday clock_settime acct iopl quotactl delete_module"
).split()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86-64")
def test_system_calls_that_reach_for_the_host_are_refused(walled: Walled, probe: Path) -> None:
    numbers = table()
    words = [str(numbers[name]) for name in REFUSED]
    found = dict(zip(REFUSED, errnos(walled, probe, *words), strict=True))
    assert {name: number for name, number in found.items() if number != EPERM} == {}
    new_user = f"{numbers['clone']}:{0x10000000}"
    words = [new_user, str(numbers["clone3"]), "9999", str(0x40000000 + numbers["getpid"]), str(numbers["getpid"])]
    assert errnos(walled, probe, *words) == [EPERM, ENOSYS, ENOSYS, ENOSYS, 0]
    assert errnos(walled, probe, "socket:38", "socket:40", "socket:2", "socket:1") == [EPERM, EPERM, 0, 0]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86-64")
def test_no_filter_when_none_is_wanted(walled: Walled, probe: Path) -> None:
    assert errnos(walled, probe, "9999", seccomp=False) == [ENOSYS]
    assert errnos(walled, probe, "socket:38", seccomp=False) != [EPERM]
    assert status(walled("cat /proc/self/status", seccomp=False).out)["Seccomp"] == "0"


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_a_root_with_links_for_our_mounts_is_refused(walled: Walled, tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").mkdir()
    (walled.root / name).symlink_to(tmp_path / "outside")
    with pytest.raises(SandboxBroken, match=name):
        walled("true")
    (walled.root / name).unlink()
    (walled.root / "elsewhere").mkdir()
    (walled.root / name).symlink_to("elsewhere")
    with pytest.raises(SandboxBroken, match=f"/{name}.*symbolic links"):
        walled("true")


def test_links_in_the_root_lead_nowhere_else(walled: Walled, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the host")
    (walled.root / "away").symlink_to(tmp_path)
    (walled.root / "up").symlink_to("../../../../../../.." + str(tmp_path))
    found = walled("cat /away/secret /up/secret ../../../secret; ls /..")
    assert "of the host" not in found.out
    assert "bin" in found.out.split()


@pytest.mark.parametrize("cwd", [f"/proc/self/fd/{number}" for number in range(3, 12)] + ["/way"])
def test_no_working_directory_leads_out(walled: Walled, cwd: str) -> None:
    (walled.root / "way").symlink_to("/proc/self/fd/7")
    try:
        found = walled("pwd -P; ls", cwd=cwd)
    except SandboxBroken as problem:
        assert "cwd" in str(problem)
    else:
        assert "vmlinuz" not in found.out


def test_our_own_interpreter_cannot_be_written_through_proc(walled: Walled) -> None:
    own = Path(sys.executable).resolve()
    before = (own.stat().st_mtime_ns, own.stat().st_size)
    (walled.root / "bin/again").write_text("#!/proc/self/exe\n")
    (walled.root / "bin/again").chmod(0o755)
    walled("/bin/again", "")
    walled("for n in /proc/[0-9]*/exe; do echo x >>$n; done")
    assert (own.stat().st_mtime_ns, own.stat().st_size) == before


def test_modules_of_the_image_are_never_loaded(walled: Walled) -> None:
    """A late import after the change of root would find these, whatever sys.path says."""
    for folder in {"", *sys.path, str(Path(os.__file__).parent)}:
        place = walled.root / folder.lstrip("/")
        if not place.suffix:
            place.mkdir(parents=True, exist_ok=True)
            for name in ("codecs", "traceback", "linecache", "pwd", "runner", "encodings"):
                (place / f"{name}.py").write_text("open('/owned', 'w')\n")
    walled("no-such-thing", "ä")
    with pytest.raises(SandboxBroken):
        walled("true", cwd="/bin/busybox/x")
    assert not (walled.root / "owned").exists()
