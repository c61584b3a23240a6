"""Directories that commands keep: found again, shared as asked, never half made, gone when nobody wants them."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn

import pytest

from layers import Digest, Store, prune, usage
from layers.home.caches import Caches, Sharing

KEY = Digest.of(b"key")


class Busy(Exception):
    """Somebody would have to be waited for."""


def busy() -> NoReturn:
    raise Busy


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def fill(path: Path) -> None:
    path.mkdir()
    (path / "first").touch()


def use(
    store: Store, sharing: Sharing = "shared", pause: Callable[[], None] = busy, key: Digest = KEY
) -> AbstractContextManager[Path]:
    """The directory of a key, which is filled if it is new."""
    return Caches(store).use(key, "/name", sharing, fill, pause)


def test_what_was_written_is_there_the_next_time(store: Store) -> None:
    for sharing in ("shared", "private", "locked", "shared"):
        with use(store, sharing) as path:
            assert (path / "first").exists()
            (path / sharing).touch()
    with use(store) as path:
        assert sorted(os.listdir(path)) == ["first", "locked", "private", "shared"]
    with use(store, key=Digest.of(b"other")) as other:
        assert os.listdir(other) == ["first"]


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        ("shared", "shared", "same"),
        ("shared", "locked", Busy),
        ("shared", "private", "another"),
        ("locked", "shared", Busy),
        ("locked", "locked", Busy),
        ("locked", "private", "another"),
        ("private", "shared", Busy),
        ("private", "locked", Busy),
        ("private", "private", "another"),
    ],
)
def test_two_at_the_same_time(store: Store, first: Sharing, second: Sharing, outcome: str | type[Busy]) -> None:
    with use(store, first) as one:
        if outcome is Busy:
            with pytest.raises(Busy), use(store, second):
                pass
        else:
            with use(store, second) as two:
                assert (one == two) is (outcome == "same")
                assert (two / "first").exists()
    with use(store, second) as again:
        assert again == one


def test_locked_waits_until_it_is_free(store: Store) -> None:
    told = threading.Event()
    order: list[str] = []

    def wait() -> None:
        told.set()
        time.sleep(0.01)

    def second() -> None:
        with use(store, "locked", wait):
            order.append("second")

    with use(store, "locked"):
        thread = threading.Thread(target=second)
        thread.start()
        assert told.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_eight_that_come_at_once_find_one_directory(store: Store) -> None:
    found: list[Path] = []
    gate = threading.Barrier(8)

    def one() -> None:
        gate.wait()
        with use(store) as path:
            found.append(path)
            (path / str(threading.get_ident())).touch()

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(os.listdir(found[0])) == 9


KILLED = """
import os, sys
from pathlib import Path
from layers import Digest, Store
from layers.home.caches import Caches
def fill(path):
    path.mkdir()
    if sys.argv[2] == "making":
        os.kill(os.getpid(), 9)
with Caches(Store.open(Path(sys.argv[1]))).use(Digest.of(b"key"), "/name", "locked", fill, lambda: None) as path:
    (path / "half").touch()
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("moment", ["making", "using"])
def test_a_killed_process_leaves_a_usable_one(tmp_path: Path, moment: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "store", moment], check=False)
    assert done.returncode == -9
    with Store.open(tmp_path / "store") as store, use(store, "locked") as path:
        assert (path / ("first" if moment == "making" else "half")).exists()
        store.sweep()
    assert os.listdir(tmp_path / "store/scratch") == []


def test_a_maker_that_fails_leaves_nothing(store: Store) -> None:
    def fails(path: Path) -> None:
        raise Busy

    with pytest.raises(Busy), Caches(store).use(KEY, "/name", "shared", fails, busy):
        pass
    assert Caches(store).all() == []


def test_they_are_counted_and_pruned_when_all_goes(store: Store) -> None:
    with use(store, "private"), use(store, "private"):
        share = usage(store).caches
        assert (share.total, share.active, share.reclaimable) == (2, 2, 0)
        assert share.size > 0
        assert prune(store, all=True).counts["caches"] == 0
    kept = Caches(store).all()
    assert [one.name for one in kept] == ["/name", "/name"]
    assert usage(store).caches.reclaimable == share.size
    assert prune(store).counts.get("caches", 0) == 0
    assert prune(store, all=True, cache=False).counts.get("caches", 0) == 0
    os.utime(kept[0].path, (5, 5))
    pruned = prune(store, all=True, until=10)
    assert pruned.counts["caches"] == 1
    assert pruned.bytes > 0
    assert Caches(store).all() == kept[1:]
    assert prune(store, all=True).counts["caches"] == 1
    with use(store) as path:
        assert os.listdir(path) == ["first"]
