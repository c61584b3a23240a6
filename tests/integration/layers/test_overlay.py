"""Chains as overlay mounts: what is seen, what is kept, what is dropped, and who may use it meanwhile."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from layers import Chain, NewLayer, SnapshotMissing, Store, prune
from layers.snapshot.spans import indexed, unpacked
from runner import mounts
from tests.support.modes import MODES
from tests.support.private import privately
from tests.support.soon import soon
from tests.support.stored import new_image, new_layer

pytestmark = pytest.mark.root


def chain_of(layers: list[NewLayer]) -> Chain:
    return Chain(tuple(layer.diff_id for layer in layers))


def seen(root: Path) -> dict[str, str]:
    """Relative paths of files and what they hold; of directories "/", of links their target."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder, name)
            text = os.readlink(path) if path.is_symlink() else "/" if path.is_dir() else path.read_text()
            found[str(path.relative_to(root))] = text
    return found


@pytest.fixture(params=MODES)
def store_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Opens the same store, with or without mounts."""
    return lambda: Store.open(tmp_path / "store", mounter=MODES[request.param])


LOW = {"etc/": None, "etc/motd": b"hello", "bin/": None, "bin/sh": b"shell", "lib": "usr/lib", "gone": b"soon"}
HIGH = {"etc/motd": b"changed", ".wh.gone": b"", "bin/.wh..wh..opq": b"", "bin/new": b"new"}


def test_a_view_is_the_layers_applied(store_of: Callable[[], Store]) -> None:
    def body() -> None:
        with store_of() as store:
            chain = chain_of([new_layer(store, LOW), new_layer(store, HIGH)])
            with store.snapshots.view(chain) as root:
                assert seen(root) == {
                    "etc": "/",
                    "etc/motd": "changed",
                    "bin": "/",
                    "bin/new": "new",
                    "lib": "usr/lib",
                }
            assert soon(lambda: not root.exists())

    privately(body)


def test_a_workspace_is_dropped_and_leaves_the_chain_alone(store_of: Callable[[], Store]) -> None:
    def body() -> None:
        with store_of() as store:
            chain = chain_of([new_layer(store, LOW)])
            with store.snapshots.prepare(chain) as work:
                (work.root / "etc/motd").write_text("mine")
                (work.root / "gone").unlink()
                (work.root / "made").mkdir()
                changed = {(change.kind.value, change.entry.path) for change in work.changes() if not change.implied}
                assert changed == {("C", "etc/motd"), ("D", "gone"), ("A", "made")}
            left = store.session.path
            assert soon(lambda: [name for name in os.listdir(left) if not os.path.ismount(left / name)] == [])
            with store.snapshots.view(chain) as root:
                assert (root / "etc/motd").read_text() == "hello"

    privately(body)


def test_the_root_keeps_its_looks(store_of: Callable[[], Store]) -> None:
    def body() -> None:
        with store_of() as store:
            layer = new_layer(store, {"./": None, "a": b""})
            with store.snapshots.prepare(chain_of([layer])) as work:
                status = os.stat(work.root)
                assert (status.st_mode & 0o7777, status.st_mtime) == (0o755, 1_000_000_000)
            with store.snapshots.prepare(Chain()) as work:
                assert os.stat(work.root).st_mode & 0o7777 == 0o755
                assert os.listdir(work.root) == []

    privately(body)


def test_a_kept_workspace_can_be_attached_again(store_of: Callable[[], Store]) -> None:
    def body() -> None:
        with store_of() as store:
            folder = store.root / "containers" / "one"
            folder.mkdir()
            chain = chain_of([new_layer(store, LOW)])
            with store.snapshots.prepare(chain) as work:
                (work.root / "kept").write_text("yes")
                work.keep(folder)
            for turn in "ab":
                with store.snapshots.attach(chain, folder) as work:
                    assert (work.root / "kept").read_text() == "yes"
                    (work.root / turn).touch()
            with store.snapshots.attach(chain, folder) as work:
                changed = {change.entry.path for change in work.changes()}
                assert changed == {"kept", "a", "b"}
                assert (work.upper / "kept").read_text() == "yes"

    privately(body)


def test_a_missing_layer_is_named(store_of: Callable[[], Store]) -> None:
    def body() -> None:
        with store_of() as store:
            layer = new_layer(store, LOW)
            store.blobs.path(layer.diff_id).unlink()
            with pytest.raises(SnapshotMissing, match=layer.diff_id.hex), store.snapshots.view(chain_of([layer])):
                pass

    privately(body)


def test_a_committed_workspace_is_the_next_layers_directory(tmp_path: Path) -> None:
    def body() -> None:
        with Store.open(tmp_path / "store", mounter=mounts) as store:
            base = chain_of([new_layer(store, LOW)])
            layer = new_layer(store, {"made": b"made"})
            with store.snapshots.prepare(base) as work:
                (work.root / "made").write_text("made")
                (work.root / "gone").unlink()
                inode = (work.upper / "made").stat().st_ino
                store.snapshots.commit(work, layer.diff_id)
                store.snapshots.commit(work, layer.diff_id)
            chain = base.push(layer.diff_id)
            assert store.snapshots.has(chain)
            store.blobs.path(layer.diff_id).unlink()  # it is not unpacked again
            with store.snapshots.view(chain) as root:
                assert (root / "made").read_text() == "made"
                assert not (root / "gone").exists()
            assert (store.root / "snapshots" / chain.ids[-1].hex / "fs/made").stat().st_ino == inode
            store.snapshots.remove(chain)
            assert not store.snapshots.has(chain)
            assert store.snapshots.has(base)

    privately(body)


@pytest.mark.parametrize(("mode", "part"), [("files", "index"), ("loops", "index"), ("unpacked", "fs/etc/motd")])
def test_what_another_boot_left_is_made_anew(tmp_path: Path, mode: str, part: str) -> None:
    def body() -> None:
        with Store.open(tmp_path / "store", mounter=MODES[mode]) as store:
            chain = chain_of([new_layer(store, LOW)])
            with store.snapshots.view(chain):
                pass
        with Store.open(tmp_path / "store", mounter=MODES[mode]) as store:
            (store.root / "snapshots" / chain.ids[0].hex / part).write_text("")
            with store.db.write() as db:
                db.execute("UPDATE snapshot SET boot_id = 'earlier'")
            assert not store.snapshots.has(chain)
            with store.snapshots.view(chain) as root:
                assert (root / "etc/motd").read_text() == "hello"

    privately(body)


def test_prune_leaves_directories_that_are_mounted(tmp_path: Path) -> None:
    def body() -> None:
        with Store.open(tmp_path / "store", mounter=mounts) as store:
            with Store.open(tmp_path / "store") as maker:
                layer = new_layer(maker, LOW)
            chain = chain_of([layer])
            with store.snapshots.prepare(chain) as work:
                prune(store, all=True)
                assert (work.root / "etc/motd").read_text() == "hello"
                (work.root / "etc/motd").write_text("copied up")
            assert store.blobs.has(layer.diff_id)
            prune(store, all=True)
            assert not store.blobs.has(layer.diff_id)
            assert os.listdir(store.root / "snapshots") == []

    privately(body)


@pytest.mark.parametrize("mode", ["files", "loops", "unpacked"])
@pytest.mark.parametrize("depth", [130, 500, 600])
def test_chains_longer_than_the_kernel_stacks(tmp_path: Path, depth: int, mode: str) -> None:
    def body() -> None:
        with Store.open(tmp_path / "store", mounter=MODES[mode]) as store:
            layers = [new_layer(store, {f"f{number}": b"", "last": b"%d" % number}) for number in range(depth - 1)]
            layers.append(new_layer(store, {".wh.f0": b""}))
            with store.snapshots.prepare(chain_of(layers)) as work:
                assert len(os.listdir(work.root)) == depth - 1
                assert (work.root / "last").read_text() == str(depth - 2)
                (work.root / "more").touch()
            plan = indexed(depth) if store.snapshots.how().startswith("indexed") else unpacked(depth)
            assert len(os.listdir(store.root / "snapshots")) == len(plan)

    privately(body)


@pytest.mark.parametrize("mode", ["files", "loops"])
def test_one_more_layer_uses_the_indexes_of_those_below(tmp_path: Path, mode: str) -> None:
    def body() -> None:
        with Store.open(tmp_path / "store", mounter=MODES[mode]) as store:
            layers = [new_layer(store, {f"f{number}": b"", "last": b"%d" % number}) for number in range(36)]
            made: set[str] = set()
            for depth in (34, 35, 36):
                before = set(made)
                with store.snapshots.view(chain_of(layers[:depth])) as root:
                    assert (root / "last").read_text() == str(depth - 1)
                    assert len(os.listdir(root)) == depth + 1
                made = set(os.listdir(store.root / "snapshots"))
                assert len(made - before) == (4 if depth == 34 else 1)  # 16 + 16 + 1 + 1

    privately(body)


@pytest.mark.parametrize("mode", ["files", "loops", "unpacked"])
def test_what_is_told_of_the_way_is_what_is_done(tmp_path: Path, mode: str) -> None:
    def body() -> None:
        with Store.open(tmp_path / "store", mounter=MODES[mode]) as store:
            with store.snapshots.view(chain_of([new_layer(store, LOW)])) as root:
                assert (root / "etc/motd").read_text() == "hello"
            done = {place.name for place in store.root.glob("snapshots/*/*")}
            first, *refused = store.snapshots.how().split("; not ")
            ways = ["indexed, mounted from files", "indexed, mounted through loop devices", "unpacked"]
            assert first == ways[len(refused)]
            assert done == {"fs" if first == "unpacked" else "index"}
            assert all(": " in reason for reason in refused)

    privately(body)


def test_an_image_and_its_mount_share_nothing_with_the_host(tmp_path: Path) -> None:
    def body() -> None:
        with Store.open(tmp_path / "store", mounter=mounts) as store:
            image = new_image(store, [new_layer(store, LOW)], "one:1")
            with store.snapshots.view(image.chain) as root:
                assert str(root) in Path("/proc/self/mountinfo").read_text()
                assert str(root) not in Path(f"/proc/{os.getppid()}/mountinfo").read_text()
                with pytest.raises(OSError, match="Read-only"):
                    (root / "new").touch()

    privately(body)
