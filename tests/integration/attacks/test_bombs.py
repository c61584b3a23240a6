"""Too much of something: memory, processes, descriptors, files, names, output. Who asks for it meets an end."""

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from layers.disk.removal import remove
from runner import Limits
from tests.integration.attacks.conftest import Attack
from tests.support.walls import NO_ZOMBIES

pytestmark = pytest.mark.root

MIB = 1 << 20


def test_files_in_memory_are_charged(attack: Attack) -> None:  # 24
    limits = Limits(memory=24 * MIB, memory_swap=24 * MIB)
    line = "dd if=/dev/zero of=/dev/shm/x bs=1M count=60 2>/dev/null; echo $?"
    found = attack(line, limits=limits)
    assert found.exit.oom_killed
    assert found.out != "0\n"
    found = attack("dd if=/dev/zero of=/dev/shm/x bs=1M count=70 2>&1; ls -l /dev/shm/x")
    assert "No space left" in found.out
    assert str(64 * MIB) in found.out


def test_descriptors_have_an_end(attack: Attack) -> None:  # 25
    number, why = attack("attacker", "descriptors").out.split()
    assert (int(number), int(why)) == (1024 - 3, errno.EMFILE)


def test_zombies_have_an_end_and_an_init_has_none(attack: Attack) -> None:  # 33
    flood = "n=0; while [ $n -lt 300 ]; do n=$((n+1)); (sh -c 'exit 0' & exec sleep 0.01) & done; wait"
    assert attack(f"{flood}; {NO_ZOMBIES}; echo none", init=True, limits=Limits(seconds=60)).out == "none\n"
    found = attack(flood, limits=Limits(pids=50, seconds=60))
    assert found.exit.usage.pids_peak is None or found.exit.usage.pids_peak <= 50
    assert attack("echo well").out == "well\n"


def test_a_group_that_dies_hard_dies(attack: Attack) -> None:  # 28, 32
    """Nobody listens to the signal, somebody holds the output from a session of its own, all are frozen."""
    reader, writer = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    line = "trap '' TERM; (setsid sh -c 'trap \"\" TERM; sleep 1000' &); echo ready; sleep 1000"
    running = attack.native.start(attack.sandbox(line), [nothing, writer, writer])
    os.close(writer)
    os.close(nothing)
    assert os.read(reader, 10) == b"ready\n"
    assert running.cgroup is not None
    paths = running.cgroup.paths
    running.cgroup.freeze()
    running.signal(15)
    running.kill()
    assert running.wait().code == 137
    assert os.read(reader, 10) == b""
    os.close(reader)
    assert not any(path.exists() for path in paths)


@pytest.mark.parametrize("line", ["yes", "dd if=/dev/zero bs=1M 2>/dev/null"])  # 27
def test_output_without_end_and_without_lines(attack: Attack, line: str) -> None:
    stop = threading.Event()
    total = 0

    def count(_: int, data: bytes) -> None:
        nonlocal total
        total += len(data)
        if total > 100 * MIB:
            stop.set()

    peak = _resident()
    ended = attack.native.run(attack.sandbox(line, grace=0.1), count, stop)
    assert ended.code in (137, 143)
    assert _resident() - peak < 50 * MIB


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_deep_and_long_names(attack: Attack) -> None:  # 25
    """They can be made, and our own hands can take them away again."""
    line = (
        "n=$(printf '%0250d' 1); i=0; mkdir /deep; cd /deep; "
        "while [ $i -lt 300 ]; do i=$((i+1)); mkdir $n && cd $n; done; "
        "mkdir /wide; cd /wide; touch \"$(printf 'a\\nb')\" \"$(printf '\\377')\" -- -rf '*' ; "
        "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); : >f$i; done; ls | wc -l"
    )
    found = attack(line)
    assert found.exit.code == 0
    assert int(found.out) >= 2004
    began = time.monotonic()
    for name in ("deep", "wide"):
        remove(str(attack.root / name))
        assert not (attack.root / name).exists()
    assert time.monotonic() - began < 60
