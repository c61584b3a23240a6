"""Sessions, leases and locks: what lives as long as its process, and not longer."""

import errno
import multiprocessing
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from layers import Chain, Digest, SnapshotMissing, Store
from layers.disk.scatter import scatter
from layers.home import leases
from tests.support.soon import soon

ONE, TWO = Digest.of(b"1"), Digest.of(b"2")


def gone(*paths: Path) -> bool:
    return not any(path.exists() for path in paths)


def leased(store: Store) -> set[str]:
    return {text for (text,) in store.db.rows("SELECT digest FROM lease")}


def test_a_lease_ends_with_its_block_and_a_claim_with_its_session(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        with store.lease(ONE) as lease:
            lease.add(TWO)
            assert leased(store) == {str(ONE), str(TWO)}
        assert leased(store) == set()
        store.session.claim(ONE)
        with store.lease(ONE):
            pass
        assert leased(store) == {str(ONE)}
        assert os.listdir(tmp_path / "store/scratch") == [store.session.id]
    with Store.open(tmp_path / "store") as store:
        assert leased(store) == set()
        assert os.listdir(tmp_path / "store/scratch") == []


class NoMounts:
    """Of a kernel that mounts nothing."""

    def image(self, *_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no mounts")

    overlay = unmount = image


def test_who_ends_with_a_command_lets_go_of_everything_at_once(tmp_path: Path) -> None:
    chain = Chain((ONE,))
    with Store.open(tmp_path / "store", mounter=NoMounts()) as store:
        for heir, left in ((None, set()), (lambda *_: False, {str(ONE), *map(str, chain.ids)})):
            store.session.heir = heir
            with pytest.raises(SnapshotMissing), store.snapshots.view(chain):
                pass
            assert leased(store) == left
    with Store.open(tmp_path / "store") as store:
        assert leased(store) == set()


def test_sessions_lie_apart_where_the_disk_knows_how(tmp_path: Path) -> None:
    def flags(directory: Path) -> list[str]:
        said = subprocess.run(["lsattr", "-d", directory], capture_output=True, text=True, check=False)
        return said.stdout.split()[:1]

    oracle, store = tmp_path / "oracle", tmp_path / "store"
    oracle.mkdir()
    subprocess.run(["chattr", "+T", oracle], capture_output=True, check=False)  # tmpfs, for one, has no such wish
    Store.open(store).close()
    assert flags(store / "scratch") == flags(oracle)
    scatter(tmp_path / "nowhere")


def test_litter_may_linger_until_somebody_tidies_up(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        for alone in (True, False):
            with store.scratch(linger=True) as one, store.scratch(linger=True) as two:
                (one / "file").touch()
            assert one.exists()
            assert two.exists()
            if alone:
                store.session.tidy()
            else:
                with store.scratch():
                    pass
            assert soon(partial(gone, one, two))
        with store.scratch(linger=True):
            pass
    assert os.listdir(tmp_path / "store/scratch") == []


def test_claims_that_are_not_renewed_end_after_two_turns(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        store.session.turn()
        store.session.claim(ONE)
        for _ in range(4):
            store.session.claim(TWO)
            with store.lease(ONE):
                store.session.turn()
        assert leased(store) == {str(TWO)}
        store.session.turn()
        store.session.turn()
        assert leased(store) == set()
        store.session.claim(TWO)
        assert leased(store) == {str(TWO)}, "what was let go is not thought to be held"


def test_reading_alone_begins_no_session(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        assert store.images.list() == ()
        assert store.records.find("x") is None
        assert os.listdir(tmp_path / "store/scratch") == []


def test_a_killed_process_leaves_litter_that_is_swept_and_a_living_one_none(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from layers import Store, Digest\n"
        "store = Store.open(Path(sys.argv[1])); store.session.claim(Digest.of(b'1'))\n"
        "with store.scratch() as path:\n"
        "    (path / 'x').touch(); print('ready', flush=True); sys.stdin.read()"
    )
    root = tmp_path / "store"
    arguments = [sys.executable, "-c", script, str(root)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with Store.open(root) as store:
            assert store.sweep() == 0
            assert leased(store) == {str(ONE)}
            process.kill()
            process.wait()
            assert store.sweep() == 1
            assert leased(store) == set()
    assert os.listdir(root / "scratch") == []


def test_a_forked_child_has_a_session_of_its_own(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        store.session.claim(ONE)
        mine = store.session.id

        def child(queue: "multiprocessing.SimpleQueue[str]") -> None:
            store.session.claim(TWO)
            queue.put(store.session.id)

        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        process = context.Process(target=child, args=(queue,))
        process.start()
        process.join()
        assert queue.get() != mine
        assert store.session.id == mine
        assert (tmp_path / "store/scratch" / mine).is_dir()
        assert str(ONE) in leased(store)


def test_one_at_a_time_under_a_lock_and_no_file_is_left(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        inside = 0
        most = 0

        def work() -> None:
            nonlocal inside, most
            for _ in range(50):
                with store.lock("name"):
                    inside += 1
                    most = max(most, inside)
                    inside -= 1

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == 1
        assert os.listdir(tmp_path / "store/locks") == []


def test_a_sweeper_between_mkdir_and_open_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Path.mkdir
    swept: list[Path] = []

    def mkdir_then_sweep(self: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        make(self, mode, parents, exist_ok)
        if not swept:
            swept.append(self)
            self.rmdir()

    monkeypatch.setattr(Path, "mkdir", mkdir_then_sweep)
    name, held = leases.begin(tmp_path)
    os.close(held)
    assert (tmp_path / name).is_dir()
    assert swept[0].name != name


def test_who_inherits_gets_the_directory_and_its_lock(tmp_path: Path) -> None:
    given: list[tuple[Path, str, int]] = []

    def inherit(folder: Path, name: str, lock: int) -> bool:
        given.append((folder, name, os.dup(lock)))
        return True

    store = Store.open(tmp_path / "store")
    store.session.claim(ONE)
    store.session.heir = inherit
    undone: list[int] = []
    store.session.undo.callback(undone.append, 1)
    path = store.session.path
    store.close()
    ((folder, name, lock),) = given
    assert (folder / name, undone) == (path, []), "its mounts go with the process"
    with Store.open(tmp_path / "store") as other:
        assert leased(other) == set()
        assert other.sweep() == 0, "somebody is at it"
        os.close(lock)
        assert other.sweep() == 1, "who inherited was killed"
    assert gone(path)


def test_what_nobody_inherits_is_removed_as_ever(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    store.session.heir = lambda *_: False
    path = store.session.path
    undone: list[int] = []
    store.session.undo.callback(undone.append, 1)
    store.close()
    assert gone(path)
    assert undone == [1]


def test_a_short_log_is_left_and_what_it_says_counts(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from layers import Digest, Store
store = Store.open(Path(sys.argv[1]))
store.session.heir = lambda *_: False
with store.db.write() as db:
    db.executemany("INSERT INTO lease VALUES ('a', 1, ?)", [(f"{number:0{sys.argv[2]}}",) for number in range(10)])
store.close()
os._exit(0)
"""
    log, words = tmp_path / "store/db.sqlite-wal", [sys.executable, "-c", script, str(tmp_path / "store")]
    with Store.open(tmp_path / "store"):
        pass
    assert not log.exists()
    subprocess.run([*words, "9"], check=True)
    assert log.stat().st_size > 0
    with Store.open(tmp_path / "store") as store:
        assert len(leased(store)) == 10
    assert not log.exists(), "who closes it last has moved it"
    subprocess.run([*words, "99999"], check=True)
    assert not log.exists(), "it was long"
