"""Ways out: through names in the image, through /proc, descriptors, sockets, terminals, control groups, other programs.

The numbers are those of the list of attacks that the runner was designed against.
"""

import errno
import os
import pty
import socket
import threading
import time
from pathlib import Path

import pytest

from builder.containers.sandboxes import who
from layers import LayerError
from runner import DEFAULT_CAPABILITIES, Mount, SandboxBroken
from tests.integration.attacks.conftest import Attack

pytestmark = pytest.mark.root

SEEN_FROM_INSIDE = frozenset({"bin", "dev", "etc", "proc", "sys", "tmp"})


@pytest.mark.parametrize("name", ["null", "console", "pts", "shm", "mqueue", "fd"])  # 5
def test_names_in_the_dev_of_an_image_count_for_nothing(attack: Attack, name: str, tmp_path: Path) -> None:
    (tmp_path / "host").write_text("of the host")
    (attack.root / "dev").mkdir()
    (attack.root / "dev" / name).symlink_to(tmp_path / "host")
    found = attack(
        "echo gone >/dev/null; cat /proc/timer_list /proc/keys /dev/console; ls /dev; [ -c /dev/null ] && echo c"
    )
    assert "of the host" not in found.out
    assert found.out.endswith("c\n")
    assert (tmp_path / "host").read_text() == "of the host"
    assert (attack.root / "dev" / name).is_symlink()


@pytest.mark.parametrize("number", [3, 5, 7, 8, 9, 10, 12, 15, 20, 27, 40])  # 6
@pytest.mark.parametrize("through", ["", "/way"])
def test_a_working_directory_that_is_a_descriptor(attack: Attack, number: int, through: str) -> None:
    (attack.root / "way").symlink_to(f"/proc/self/fd/{number}")
    try:
        found = attack("ls; ls ..; ls ../../../..", cwd=through or f"/proc/self/fd/{number}")
    except SandboxBroken as problem:
        assert "cwd" in str(problem)
    else:
        assert set(found.out.split()) <= SEEN_FROM_INSIDE | {"way"} | {str(one) for one in range(99)}


@pytest.mark.parametrize("args", [("sh", "-c", "ls /proc/self/fd; ls /proc/1/fd"), ("no-such-program",)])  # 7
def test_no_descriptor_leaks(attack: Attack, args: tuple[str, ...]) -> None:
    with open("/etc/shadow", "rb") as leak:
        os.set_inheritable(leak.fileno(), True)
        found = attack(*args)
    assert set(found.out.split()) <= {"0", "1", "2", "3"}  # 3 is what ls reads the directory by


def test_a_mount_through_a_link_stays_inside(attack: Attack, tmp_path: Path) -> None:  # 9
    outside, data = tmp_path / "outside", tmp_path / "data"
    outside.mkdir()
    data.mkdir()
    (attack.root / "a").symlink_to(outside)
    (attack.root / "b").symlink_to(f"../../../../../../..{outside}")
    for target in ("/a", "/b", "/a/made/here", "/b/made/here"):
        try:
            attack("true", mounts=(Mount(target, data),))
        except SandboxBroken as problem:  # the link leads nowhere in there
            assert "places to mount on" in str(problem)
    assert os.listdir(outside) == []
    assert os.listdir(data) == []


def test_a_mount_is_not_where_a_link_says_after_it_was_swapped(attack: Attack, tmp_path: Path) -> None:  # 9
    """A neighbour with the same root swaps a directory for a link all the time; no mount ever lands outside."""
    outside, data = tmp_path / "outside", tmp_path / "data"
    for place in (outside, data, attack.root / "real"):
        place.mkdir()
    (attack.root / "link").symlink_to(outside)
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            for one, other in (("real", "t"), ("link", "real"), ("t", "link")):
                try:
                    os.rename(attack.root / one, attack.root / other)
                except OSError:  # a place to mount on was made, or taken away, at that name
                    continue

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(25):
            try:
                attack("touch /real/new 2>/dev/null", mounts=(Mount("/real", data),))
            except SandboxBroken:
                continue
    finally:
        over.set()
        swapper.join()
    assert os.listdir(outside) == []


def test_thirty_two_bit_calls_are_no_way_around(attack: Attack) -> None:  # 18
    found = attack("attacker", "int80")
    assert "passed" not in found.out
    assert found.exit.signal == 31  # SIGSYS


def test_control_groups_are_out_of_reach(attack: Attack) -> None:  # 20, 21
    lines = [
        "for f in $(find /sys/fs/cgroup -name release_agent -o -name cgroup.procs -o -name memory.max "
        "-o -name '*limit_in_bytes' -o -name notify_on_release); do (echo 1 >$f) 2>/dev/null && echo wrote $f; done",
        "mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x 2>/dev/null && echo made",
        "mkdir /m; mount -t cgroup -o memory x /m 2>/dev/null && echo mounted",
        "mount -t cgroup2 x /m 2>/dev/null && echo mounted",
        "cd /sys/fs/cgroup; ls ../../../.. | grep -x vmlinuz; cat /proc/self/cgroup /proc/1/cgroup | grep -v ':/$'",
        "grep -o 'pybuild-[0-9a-f]*' /proc/self/mountinfo",
        "true",
    ]
    os.symlink("busybox", attack.root / "bin/find")
    found = attack("; ".join(lines))
    assert (found.exit.code, found.out) == (0, "")


def test_the_programs_of_others_cannot_be_read_or_steered(attack: Attack) -> None:  # 41
    """Even with the right to trace: there is nobody to be seen but oneself."""
    more = DEFAULT_CAPABILITIES | {"SYS_PTRACE"}
    host = [str(os.getpid()), str(attack.native.spawner.pid), "2"]
    for pid in host:
        for what in ("attach", "memory"):
            found = attack("attacker", what, pid, capabilities=more)
            assert int(found.out) in (errno.ESRCH, errno.ENOENT), (what, pid)
    assert attack("ls -d /proc/[0-9]*", capabilities=more).out.split() in (["/proc/1"], ["/proc/1", "/proc/2"])


def test_a_further_command_cannot_be_steered_on_its_way_in(attack: Attack) -> None:  # 41
    """Somebody with the right to trace waits inside for the process that enters, to reach what that still holds."""
    line = (
        "echo ready; while [ ! -e /over ]; do for p in /proc/[0-9]*; do p=${p#/proc/}; "
        "[ $p -gt 1 ] && ls -l /proc/$p/fd 2>/dev/null | grep -E 'pybuild|vmlinuz|cgroup'; "
        "done; done; echo over"
    )
    more = DEFAULT_CAPABILITIES | {"SYS_PTRACE"}
    reader, writer = os.pipe()
    nothing = os.open(os.devnull, os.O_RDWR)
    running = attack.native.start(attack.sandbox(line, capabilities=more), [nothing, writer, writer])
    os.close(writer)
    try:
        assert os.read(reader, 6) == b"ready\n"
        for _ in range(10):
            entered = attack.native.exec_in(running.pid, attack.sandbox("true"), [nothing, nothing, nothing])
            assert entered.wait().code == 0
        (attack.root / "over").touch()
        said = b""
        while piece := os.read(reader, 4096):
            said += piece
        assert said == b"over\n"
    finally:
        running.kill()
        running.wait()
        os.close(reader)
        os.close(nothing)


@pytest.mark.parametrize("tty", [False, True])  # 42
def test_nothing_is_typed_into_the_callers_terminal(attack: Attack, tty: bool) -> None:
    master, slave = pty.openpty()
    try:
        running = attack.native.start(attack.sandbox("attacker", "push"), [slave, slave, slave], tty=tty)
        said = b""
        if running.master is not None:
            time.sleep(0.3)
            said = os.read(running.master, 4096)
            os.close(running.master)
        running.wait()
        os.set_blocking(slave, False)
        os.set_blocking(master, False)
        try:
            typed = os.read(slave, 10)
        except BlockingIOError:
            typed = b""
        assert typed == b""
        if not tty:
            said = os.read(master, 4096)
            assert b"0" not in said.split()
    finally:
        os.close(master)
        os.close(slave)


def test_abstract_sockets_of_the_host(attack: Attack) -> None:  # 43
    name = f"pybuild-attack-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()
        assert attack("attacker", "abstract", name).out == f"{errno.ECONNREFUSED}\n"
        assert attack("attacker", "abstract", name, network="host").out == "0\n"  # which is why it has to be allowed


def test_no_shared_memory_or_queue_of_the_host(attack: Attack) -> None:  # 43
    place = Path(f"/dev/shm/pybuild-attack-{os.getpid()}")
    place.write_text("of the host")
    try:
        assert attack("ls /dev/shm /dev/mqueue; cat /proc/sysvipc/shm | wc -l").out.split()[-1] == "1"
        assert place.name not in attack("ls /dev/shm").out
    finally:
        place.unlink()


@pytest.mark.parametrize(  # 37
    ("user", "uid"),
    [("0", 0), ("1", 1), ("01", 1), ("+1", None), (" 1", None), ("1 ", None), ("0x0", None), ("-1", None), ("-0", None),
     ("4294967294", 2**32 - 2), ("4294967295", None), ("4294967296", None), ("a:b:c", None), ("root", 0),
     ("Root", None),
     ("x" * (1 << 20), None), ("\u0661", None), ("1e0", None), ("1\n", None), ("twin", 7), (":", 0), ("evil", None)],
)  # fmt: skip
def test_nobody_is_root_by_accident(attack: Attack, user: str, uid: int | None) -> None:
    lines = [
        "root:x:0:0::/root:/bin/sh",
        "twin:x:7:7::/:",
        "twin:x:0:0::/:",
        "evil:x:+0:0::/:",
        "evil:x:4294967296:0::/:",
    ]
    (attack.root / "etc/passwd").write_text("\n".join(lines) + "\n")
    try:
        found, _ = who(attack.root, user, ())
    except LayerError:
        assert uid is None
    else:
        assert found.uid == uid


@pytest.mark.parametrize("kind", ["fifo", "zero", "environ", "sparse", "zeros", "folder", "loop", "device"])  # 38
def test_accounts_that_never_end(attack: Attack, kind: str, tmp_path: Path) -> None:
    path = attack.root / "etc/passwd"
    path.unlink()
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "zero":
            path.symlink_to("/dev/zero")
        case "environ":
            path.symlink_to("/proc/self/environ")
        case "sparse":
            path.write_bytes(b"root:x:0:0::/:\n")
            os.truncate(path, 1 << 30)
        case "zeros":
            path.write_bytes(b"\0" * 100_000 + b"\nuser:x:\0:0::/:\n" * 1000)
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to("passwd")
        case "device":
            os.mknod(path, 0o020666, os.makedev(1, 5))
    began = time.monotonic()
    try:
        assert who(attack.root, "0", ())[0].uid == 0
    except LayerError as problem:
        assert "refused path" in str(problem)
    with pytest.raises(LayerError, match=r"no user 'somebody'|refused path"):
        who(attack.root, "somebody", ())
    assert time.monotonic() - began < 20
