"""The kernel is the oracle: what an overlay shows after random changes is what every one of our ways to read it shows.

Random operations in a workspace → captured layer → the same tree by `Tree`, by unpacking in both forms, and squashed.
"""

import os
import random
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from layers import Chain, Digest, EntryType, NewLayer, Store, Toc, Tree
from layers.home.check import check
from layers.making.capture import capture
from layers.making.merge import squash
from layers.snapshot.unpack import unpack
from layers.views.folder import Folder
from layers.views.lifted import Lifted
from layers.views.treediff import Difference, Reason, diff
from runner import mounts
from tests.support.modes import MODES
from tests.support.private import privately
from tests.support.stored import new_layer

pytestmark = pytest.mark.root
NAMES = ("a", "b", "c.txt", "dir", "sub", "ünï", "with blank", "long" * 40)
Node = tuple[Any, ...]


def view(root: Path) -> dict[str, Node]:
    """Path → kind, mode, owner, content or target, device, attributes, other names of the file."""
    found: dict[str, list[Any]] = {}
    inodes: dict[tuple[int, int], list[str]] = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder, name)
            relative = str(path.relative_to(root))
            status = path.lstat()
            kind = stat.S_IFMT(status.st_mode)
            mode = 0o777 if kind == stat.S_IFLNK else stat.S_IMODE(status.st_mode)
            content: Any = None
            if kind == stat.S_IFREG:
                content = path.read_bytes()
                inodes.setdefault((status.st_dev, status.st_ino), []).append(relative)
            elif kind == stat.S_IFLNK:
                content = os.readlink(path)
            attributes = {
                key: os.getxattr(path, key, follow_symlinks=False)
                for key in os.listxattr(path, follow_symlinks=False)
                if not key.startswith("trusted.overlay.")
            }
            device = status.st_rdev if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0
            when = 0 if kind == stat.S_IFDIR else status.st_mtime_ns
            found[relative] = [kind, mode, status.st_uid, status.st_gid, content, device, attributes, when]
    for names in inodes.values():
        for name in names:
            found[name].append(tuple(sorted(names)))
    return {path: tuple(node) for path, node in found.items()}


def tree_view(tree: Tree) -> dict[str, Node]:
    """The same of a Tree."""
    kinds = {
        "file": stat.S_IFREG,
        "dir": stat.S_IFDIR,
        "symlink": stat.S_IFLNK,
        "char": stat.S_IFCHR,
        "block": stat.S_IFBLK,
        "fifo": stat.S_IFIFO,
    }
    found: dict[str, list[Any]] = {}
    groups: dict[object, list[str]] = {}
    for entry in tree.walk():
        if not entry.path:
            continue
        kind = kinds[entry.type.value]
        content: Any = None
        if kind == stat.S_IFREG:
            with tree.open(entry.path) as file:
                content = file.read()
            inode = tree.inode(entry.path)
            assert inode is not None
            groups.setdefault((id(inode[0]), inode[1]), []).append(entry.path)
        elif kind == stat.S_IFLNK:
            content = entry.linkname
        mode = 0o777 if kind == stat.S_IFLNK else entry.mode
        when = 0 if kind == stat.S_IFDIR else entry.mtime_ns
        device = os.makedev(entry.major, entry.minor)
        found[entry.path] = [kind, mode, entry.uid, entry.gid, content, device, dict(entry.xattrs), when]
    for names in groups.values():
        for name in names:
            found[name].append(tuple(sorted(names)))
    return {path: tuple(node) for path, node in found.items()}


def whole(node: Node | None) -> Node | None:
    """The same with its time in whole seconds, as layers have it."""
    return node and (*node[:7], *(when // 10**9 for when in node[7:8]), *node[8:])


def same(ours: dict[str, Node], kernel: dict[str, Node], what: str) -> None:
    """Equal, or the paths that are not."""
    wrong = {
        path: (ours.get(path), kernel.get(path))
        for path in ours.keys() | kernel.keys()
        if whole(ours.get(path)) != whole(kernel.get(path))
    }
    assert not wrong, f"{what}: {str(wrong)[:2000]}"


def tables(store: Store) -> str:
    """The entries in which kept tables of contents differ from their tars."""
    found = []
    for file in (store.root / "tocs").iterdir():
        kept = list(Toc.loads(file.read_bytes()))
        with store.blobs.open(Digest("sha256", file.name)) as raw:
            real = list(Toc.scan(raw))
        found += [(one, two) for one, two in zip(kept, real, strict=False) if one != two]
    return str(found)[:2000]


def is_time_of_a_folder(one: Difference) -> bool:
    """True if nothing differs but when a directory was written to, which alone is no change for a layer."""
    return one.new is not None and one.new.type is EntryType.DIR and one.reasons == (Reason.MTIME,)


class Mess:
    """Random changes below a directory, the same for the same seed."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.random = random.Random(seed)

    def some(self) -> Path:
        """A path that may or may not be there."""
        path = self.root
        for _ in range(self.random.randint(1, 4)):
            path /= self.random.choice(NAMES)
            if path.is_symlink() or not path.is_dir():
                break
        return path

    def clear(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.exists() or path.is_symlink():
            path.unlink()

    def one(self) -> None:
        """One change."""
        path, chance = self.some(), self.random
        what = chance.choice(
            ("file", "file", "dir", "dir", "link", "hard", "remove", "chmod", "own", "move", "attr", "node")
        )
        if what == "file":
            if path.is_dir() and not path.is_symlink():
                return
            if path.is_symlink() or (path.exists() and not path.is_file()):
                self.clear(path)
            path.write_bytes(chance.randbytes(chance.choice((0, 1, 511, 512, 513, 70_000))))
        elif what == "dir":
            self.clear(path)
            path.mkdir(mode=chance.choice((0o755, 0o700, 0o1777)))
        elif what == "link":
            self.clear(path)
            path.symlink_to(chance.choice(("a", "../b", "/etc", "nowhere/at/all")))
        elif what == "hard":
            other = self.some()
            if other.is_file() and not other.is_symlink() and other != path and not path.is_dir():
                self.clear(path)
                os.link(other, path)
        elif what == "remove":
            self.clear(path)
        elif what == "chmod" and path.exists() and not path.is_symlink():
            path.chmod(chance.choice((0o600, 0o4755, 0o2711, 0o000)))
        elif what == "own" and (path.exists() or path.is_symlink()):
            os.chown(path, chance.randint(0, 3_000_000), chance.randint(0, 5), follow_symlinks=False)
        elif what == "move" and (path.exists() or path.is_symlink()):
            other = self.some()
            if other != path and not other.is_relative_to(path) and not path.is_relative_to(other):
                self.clear(other)
                with suppress(OSError):  # a directory of a lower layer cannot be renamed: EXDEV
                    path.rename(other)
        elif what == "attr" and path.is_file() and not path.is_symlink():
            os.setxattr(path, "user.note", chance.randbytes(9))
        elif what == "node" and not path.exists() and not path.is_symlink():
            kind = chance.choice((stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK))
            os.mknod(path, kind | 0o640, os.makedev(1, chance.randint(1, 300)))


@pytest.mark.parametrize("seed", range(12))
def test_every_way_shows_what_the_kernel_shows(seed: int, tmp_path: Path) -> None:
    def body() -> None:
        with Store.open(tmp_path / "store", mounter=mounts) as store:
            bottom = new_layer(store, {"dir/": None, "dir/sub/": None, "dir/sub/a": b"1", "a": b"2", "b": "dir"})
            chain = Chain((bottom.diff_id,))
            for depth in range(4):
                with store.snapshots.prepare(chain) as work:
                    mess = Mess(work.root, seed * 10 + depth)
                    for _ in range(60):
                        mess.one()
                    told = view(work.root)
                    below = store.tree(chain)
                    layer = capture(store, work.upper, below)
                    assert capture(store, work.upper, below) == layer, "two captures differ"
                    lifted = Lifted(below, work.upper)
                    same(tree_view(lifted), told, f"read where it lies, layer {depth}")
                    captured = store.tree(chain.push(layer.diff_id))
                    assert not list(diff(captured, lifted, reasons=True)), "what lies there is what was captured"
                    with Folder(work.root) as merged:
                        wrong = [one for one in diff(captured, merged, reasons=True) if not is_time_of_a_folder(one)]
                        assert not wrong, f"a directory beside its layers: {wrong}"
                    store.snapshots.commit(work, layer.diff_id)
                chain = chain.push(layer.diff_id)
                same(tree_view(store.tree(chain)), told, f"Tree, layer {depth}")
                changed = {change.path for change in diff(below, store.tree(chain))}
                assert not (set(told) - {entry.path for entry in below.walk()}) - changed, "diff misses new paths"
            flat = tmp_path / "flat"
            flat.mkdir()
            for depth, diff_id in enumerate(chain.diff_ids):
                with store.blobs.open(diff_id) as raw:
                    lower = store.tree(Chain(chain.diff_ids[:depth]))
                    unpack(store.toc(diff_id), raw, flat, overlay=False, below=lower)
            same(view(flat), told, "unpacked one over another")
            for at in range(1, len(chain.diff_ids)):
                store.snapshots.remove(Chain(chain.diff_ids[: at + 1]))
            with store.snapshots.view(chain) as merged:
                same(view(merged), told, "indexed and mounted")
            for mode in ("loops", "unpacked"):
                with Store.open(store.root, mounter=MODES[mode]) as other, other.snapshots.view(chain) as merged:
                    same(view(merged), told, mode)
            for kept in (0, 1, 2):
                one: NewLayer = squash(store, chain.diff_ids[kept:], Chain(chain.diff_ids[:kept]))
                squashed = store.tree(Chain((*chain.diff_ids[:kept], one.diff_id)))
                same(tree_view(squashed), told, f"squashed above {kept}")
            damages = check(store).damages
            assert not damages, f"what is kept is not what the tars say: {tables(store)}"
            for diff_id in chain.diff_ids:
                for entry in store.toc(diff_id):
                    if entry.type is EntryType.HARDLINK and (first := store.toc(diff_id).get(entry.linkname)):
                        assert (entry.mode, entry.uid, entry.mtime_ns) == (first.mode, first.uid, first.mtime_ns)

    privately(body)
