"""Commands behind walls: how they end, what they say, who and where they are."""

import fcntl
import os
import threading
import time
from pathlib import Path

import pytest

from runner import Identity, Limits, Mount, Sandbox, SandboxBroken
from runner.ids import Ids
from tests.support.walls import NO_ZOMBIES, Walled

pytestmark = pytest.mark.root


@pytest.mark.parametrize(("line", "code"), [("true", 0), ("exit 3", 3), ("exit 255", 255), ("no-such-thing", 127)])
def test_a_command_ends_with_its_own_code(walled: Walled, line: str, code: int) -> None:
    found = walled(line).exit
    assert (found.code, found.signal, found.oom_killed, found.timed_out) == (code, None, False, False)


def test_a_killed_command_ends_with_128_and_the_signal(walled: Walled) -> None:
    found = walled("sh", "-c", "kill -9 $$; kill -SEGV $$; exit 1", init=True).exit
    assert found.code == 137


def test_a_missing_command_is_127_and_says_where_it_was_sought(walled: Walled) -> None:
    found = walled("frobnicate", "-x")
    assert (found.exit.code, found.err) == (127, "pybuild: frobnicate: not found in PATH=/bin\n")


@pytest.mark.parametrize(("content", "mode"), [("#!/bin/sh\ntrue\n", 0o644), ("no program at all", 0o755)])
def test_what_cannot_be_executed_is_126(walled: Walled, content: str, mode: int) -> None:
    (walled.root / "bin/thing").write_text(content)
    (walled.root / "bin/thing").chmod(mode)
    found = walled("/bin/thing", "")
    assert found.exit.code == 126
    assert "pybuild: /bin/thing: cannot be executed (" in found.err


def test_a_directory_in_the_path_is_passed_over(walled: Walled) -> None:
    (walled.root / "first/true").mkdir(parents=True)
    assert walled("true", "", env={"PATH": "/first:/bin"}).exit.code == 0
    assert walled("true", "", env={"PATH": "/first"}).exit.code == 126


def test_output_comes_complete_and_in_order_for_each_stream(walled: Walled) -> None:
    found = walled("seq 1 50000; echo never >&2; seq 50001 60000")
    assert found.out == "".join(f"{number}\n" for number in range(1, 60001))
    assert found.err == "never\n"


def test_output_comes_complete_to_one_who_takes_it_slowly(walled: Walled, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = os.pipe

    def large() -> tuple[int, int]:  # as a command may make its own (F_SETPIPE_SZ): more than is read at once
        ends = pipe()
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, 1 << 20)
        return ends

    monkeypatch.setattr(os, "pipe", large)
    taken: list[bytes] = []

    def slow(_: int, data: bytes) -> None:
        taken.append(data)
        time.sleep(1.2 if len(taken) in (2, 4) else 0)  # it has ended meanwhile, long ago

    walled.native.run(walled.sandbox("seq 1 100000"), slow, threading.Event())
    assert b"".join(taken) == b"".join(b"%d\n" % number for number in range(1, 100001))


def test_standard_input_is_empty_and_not_ours(walled: Walled) -> None:
    assert walled("cat; tty").out == "not a tty\n"


def test_the_environment_is_what_was_given_and_nothing_else(walled: Walled) -> None:
    found = walled("env", "A=1", env={"PATH": "/bin", "WORD": "ä b\n"})
    assert found.out == "PATH=/bin\nWORD=ä b\n\nA=1\n"


def test_working_directory_is_made_inside(walled: Walled) -> None:
    assert walled("pwd", "-P", cwd="/a/b c").out == "/a/b c\n"
    assert (walled.root / "a/b c").is_dir()


def test_identity_is_numbers(walled: Walled) -> None:
    assert walled("id -u; id -g; id -G", identity=Identity(1000, 33, (33, 44))).out == "1000\n33\n33 44\n"


def test_a_user_may_open_its_own_output(walled: Walled) -> None:
    found = walled("echo one >/dev/stdout; echo two >/dev/stderr", identity=Identity(1000, 1000))
    assert (found.exit.code, found.out, found.err) == (0, "one\n", "two\n")


def test_what_is_started_in_the_background_ends_with_the_command(walled: Walled) -> None:
    found = walled("(setsid sleep 1000 >/dev/null 2>&1 &); sleep 1000 & echo done")
    assert found.out == "done\n"
    assert found.exit.usage.wall_seconds < 30


def test_a_stub_made_to_mount_on_is_taken_away_with_no_trace(walled: Walled, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
    os.utime(walled.root / "etc", ns=(5, 5))
    os.utime(walled.root, ns=(7, 7))
    found = walled("cat /etc/hosts; ls /deep/er", mounts=(
        Mount("/etc/hosts", tmp_path / "hosts"), Mount("/deep/er", kind="tmpfs"),
    ))  # fmt: skip
    assert (found.exit.code, found.out) == (0, "127.0.0.1 localhost\n")
    assert not (walled.root / "etc/hosts").exists()
    assert not (walled.root / "deep").exists()
    assert not (walled.root / "proc").exists()
    assert (walled.root / "etc").stat().st_mtime_ns == 5
    assert walled.root.stat().st_mtime_ns == 7


def test_a_read_only_bind_refuses_writes_and_a_writable_one_takes_them(walled: Walled, tmp_path: Path) -> None:
    for name in ("open", "shut"):
        (tmp_path / name).mkdir()
    mounts = (Mount("/open", tmp_path / "open"), Mount("/shut", tmp_path / "shut", readonly=True))
    found = walled("echo a >/open/a; echo b >/shut/b", mounts=mounts)
    assert found.exit.code == 1
    assert "Read-only file system" in found.err
    assert (tmp_path / "open/a").read_text() == "a\n"
    assert list((tmp_path / "shut").iterdir()) == []


def test_mounts_below_mounts_and_a_tmpfs_of_its_size(walled: Walled, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("inner\n")
    mounts = (Mount("/m/sub/file", tmp_path / "file"), Mount("/m", kind="tmpfs", size=65536, mode=0o700))
    found = walled("cat /m/sub/file; stat -c %a /m; dd if=/dev/zero of=/m/big bs=1k count=100", mounts=mounts)
    assert found.out == "inner\n700\n"
    assert "No space left" in found.err
    assert not (walled.root / "m").exists()


@pytest.mark.parametrize("target", ["/", "/proc", "/proc/sys", "/sys/fs", "/link/sys", "/x/../proc"])
def test_nothing_covers_the_walls_themselves(walled: Walled, tmp_path: Path, target: str) -> None:
    (walled.root / "link").symlink_to("/proc")
    with pytest.raises(SandboxBroken, match="must stay as they are"):
        walled("true", mounts=(Mount(target, tmp_path),))


def test_a_target_of_the_wrong_kind_is_named(walled: Walled, tmp_path: Path) -> None:
    with pytest.raises(SandboxBroken, match=r"etc/passwd.*Not a directory"):
        walled("true", mounts=(Mount("/etc/passwd", tmp_path),))


def test_a_root_that_is_not_there_is_named(walled: Walled, tmp_path: Path) -> None:
    with pytest.raises(SandboxBroken, match=r"nowhere.*No such file"):
        walled.native.run(Sandbox(tmp_path / "nowhere", ("true",)), lambda *_: None, threading.Event())


def test_hostname_and_loopback_are_its_own(walled: Walled) -> None:
    found = walled("hostname; ping -c 1 -W 5 127.0.0.1 >/dev/null && ls /sys/class/net", hostname="inside")
    assert found.out == "inside\nlo\n"


def test_the_hosts_network_when_asked_for(walled: Walled) -> None:
    names = walled("ls /sys/class/net", network="host").out.split()
    assert set(names) == set(os.listdir("/sys/class/net"))


def test_a_read_only_root(walled: Walled) -> None:
    found = walled("touch /a; touch /dev/shm/b && echo shm", readonly_root=True, cwd="/tmp")
    assert found.out == "shm\n"
    assert not (walled.root / "a").exists()


def test_the_clock_since_boot_can_be_ahead(walled: Walled) -> None:
    def uptime(offset: int | None) -> float:
        return float(walled("cat /proc/uptime", time_offset=offset).out.split()[0])

    before = uptime(None)
    assert 0 <= uptime(1_000_000) - before - 1_000_000 < 100
    assert 0 <= uptime(None) - before < 100  # the spawner has its own clock back


def test_a_user_namespace_leaves_root_without_rights_over_the_host(walled: Walled) -> None:
    found = walled("id -u; cat /proc/self/uid_map; echo x >/dev/null && mknod /tmp/null c 1 3", userns=Ids.same())
    assert found.out.split() == ["0", "0", "0", "4294967295"]
    assert "Operation not permitted" in found.err


def test_an_init_reaps_orphans_and_passes_signals_on(walled: Walled) -> None:
    line = f"for i in 1 2 3 4 5; do (sleep 0 &) ; done; {NO_ZOMBIES}; echo $$"
    assert int(walled(line, init=True, limits=Limits(seconds=60)).out) > 1
    stop = threading.Event()
    stop.set()
    found = walled("trap 'echo got; exit 7' TERM; while :; do sleep 0.05; done", init=True, stop=stop, grace=20.0)
    assert found.exit.code in (7, 143)  # 143 when the signal came before the trap


def test_many_threads_share_one_runtime(walled: Walled) -> None:
    for name in ("proc", "sys", "dev"):  # whoever ends first would take its stubs away from under the others
        (walled.root / name).mkdir()
    codes: list[int] = []
    threads = [threading.Thread(target=lambda n=n: codes.append(walled(f"exit {n}").exit.code)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == list(range(12))


def test_what_output_raises_ends_the_command(walled: Walled) -> None:
    def full(_: int, __: bytes) -> None:
        raise OSError("the log is full")

    with pytest.raises(OSError, match="the log is full"):
        walled.native.run(walled.sandbox("echo x; sleep 1000"), full, threading.Event())
