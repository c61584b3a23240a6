"""Processes that die at any moment, and processes that work at once, leave a sound store."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from layers import Store, prune
from layers.home.check import check

pytestmark = pytest.mark.root

PLACE = Path(__file__).parents[3]


def churn(root: Path, seed: int, rounds: int) -> "subprocess.Popen[bytes]":
    arguments = [sys.executable, "-m", "tests.support.churn", str(root), str(seed), str(rounds)]
    return subprocess.Popen(arguments, cwd=PLACE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def assert_sound(root: Path) -> None:
    """Nothing is damaged; once all that is unneeded was removed, nothing is left."""
    with Store.open(root) as store:
        assert check(store).damages == ()
        prune(store, all=True)
        assert list(store.blobs.all()) == []
        assert store.db.rows("SELECT digest FROM lease") == []
        for room in ("tocs", "snapshots", "locks"):
            assert os.listdir(root / room) == [], room
    assert os.listdir(root / "scratch") == []


def test_killed_at_random_moments(tmp_path: Path) -> None:
    root = tmp_path / "store"
    dice = random.Random(11)
    for seed in range(12):
        with churn(root, seed, 1000) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"0\n"
            time.sleep(dice.uniform(0, 0.4))
            process.send_signal(signal.SIGKILL)
            process.wait()
        with Store.open(root) as store:
            assert check(store).damages == ()
    mounted = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    assert str(root) not in mounted
    assert_sound(root)


def test_eight_at_once_and_one_of_them_killed_now_and_then(tmp_path: Path) -> None:
    root = tmp_path / "store"
    working = [churn(root, seed, 12) for seed in range(8)]
    for seed in range(100, 104):
        with churn(root, seed, 1000) as victim:
            time.sleep(1)
            victim.kill()
    for process in working:
        _, words = process.communicate(timeout=200)
        assert process.returncode == 0, words.decode()
    assert_sound(root)
