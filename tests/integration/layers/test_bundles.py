"""Bundles: unpacked, changed at random, packed again; and what a bundle that has run may try."""

import json
import os
import random
import shutil
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from layers import Chain, DigestInvalid, EntryType, History, Image, Store, UnsafePath
from layers.bundles.bundle import Origin, refresh, repack, unpack_bundle
from layers.bundles.idmap import IdMap, IdRange
from layers.bundles.rootfs import difference
from layers.disk.paths import Root
from layers.disk.removal import remove
from layers.errors import BlobMissing, BundleInvalid, DocumentInvalid, FileChanged, IdUnmapped, LayerError
from layers.oci.image import stack
from runner import linux
from tests.integration.layers.test_rounds import Mess, same, tree_view, view
from tests.support.private import privately
from tests.support.stored import new_image, new_layer
from tests.unit.layers.test_layer_rules import hard, soft
from tests.unit.layers.test_merge import put

pytestmark = pytest.mark.root
LINE = History("2020-01-01T00:00:00Z", "repack")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened


def image(store: Store, *, runtime: dict[str, Any] | None = None) -> Image:
    """Two layers with a bit of everything."""
    bottom = new_layer(store, {"dir/": None, "dir/sub/": None, "dir/sub/a": b"1", "a": b"2", "b": "dir", "gone": b"x"})
    top = put(store, ("links/x", b"data"), ("links/y", hard("links/x")), ("c.txt", soft("a")), (".wh.gone", b""))
    made = new_image(store, [bottom, top])
    if runtime is not None:
        from layers.oci.image import edit, rewrite

        config = edit(made.config, diff_ids=made.config.diff_ids, history=made.config.history, runtime=runtime)
        made = store.images.add(rewrite(made.manifest, config, made.manifest.layers), config)
    return made


def again(store: Store, bundle: Path, **options: Any) -> Image:
    """The image of a bundle as it is now."""
    before, layer = repack(store, bundle, warn=pytest.fail, **options)
    if layer is None:
        return before
    return store.images.add(*stack(before.manifest, before.config, [layer], [LINE]))


def bundled(store: Store, bundle: Path, ids: IdMap = IdMap(), **more: Any) -> Image:  # noqa: B008
    made = image(store, **more)
    unpack_bundle(store, made, bundle, ids=ids)
    return made


@pytest.mark.parametrize("mapped", [False, True])
def test_without_a_change_it_is_the_same_image(store: Store, tmp_path: Path, mapped: bool) -> None:
    ids = IdMap((IdRange(0, 1000, 70_000),), (IdRange(0, 2000, 70_000),)) if mapped else IdMap()
    made = bundled(store, tmp_path / "bundle", ids)
    assert again(store, tmp_path / "bundle").id == made.id
    os.utime(tmp_path / "bundle/rootfs/dir")  # the time of a directory is no change
    assert again(store, tmp_path / "bundle").id == made.id
    assert (tmp_path / "bundle/rootfs/dir").stat().st_uid == (1000 if mapped else 0)


@pytest.mark.parametrize("seed", range(8))
def test_changes_come_back_as_they_were(seed: int, store: Store, tmp_path: Path) -> None:
    made = bundled(store, tmp_path / "0")
    for number in range(3):
        root = tmp_path / str(number) / "rootfs"
        if number == 0:
            same(view(root), tree_view(store.tree(made.chain)), "unpacked")
        mess = Mess(root, seed * 100 + number)
        for _ in range(50):
            mess.one()
        told = view(root)
        next_image = again(store, tmp_path / str(number))
        same(tree_view(store.tree(next_image.chain)), told, "what the layer says")
        unpack_bundle(store, next_image, tmp_path / str(number + 1), ids=IdMap())
        same(view(tmp_path / str(number + 1) / "rootfs"), told, "unpacked again")
        assert again(store, tmp_path / str(number + 1)).id == next_image.id
        assert len(next_image.chain) <= len(made.chain) + 1
        made = next_image


def test_two_packings_give_the_same_layer_and_only_what_changed(store: Store, tmp_path: Path) -> None:
    made = bundled(store, tmp_path / "bundle")
    root = tmp_path / "bundle/rootfs"
    (root / "dir/sub/a").write_bytes(b"3")
    os.utime(root / "dir/sub/a", (1_000_000_000, 1_000_000_000))  # size and time as before: only its bytes differ
    (root / "a").unlink()
    first = again(store, tmp_path / "bundle")
    assert again(store, tmp_path / "bundle").id == first.id
    assert len(first.chain) == len(made.chain) + 1
    toc = store.toc(first.chain.diff_ids[-1])
    assert [(entry.type, entry.path) for entry in toc] == [
        (EntryType.WHITEOUT, "a"), (EntryType.DIR, "dir"), (EntryType.DIR, "dir/sub"), (EntryType.FILE, "dir/sub/a")
    ]  # fmt: skip


def test_times_that_a_tool_has_rounded_are_no_change(store: Store, tmp_path: Path) -> None:
    made = bundled(store, tmp_path / "bundle")
    when = 1_000_000_000 * 1_000_000_000
    for moved in (400_000_000, -400_000_000):
        os.utime(tmp_path / "bundle/rootfs/a", ns=(0, when + moved))
        assert again(store, tmp_path / "bundle").id == made.id
    os.utime(tmp_path / "bundle/rootfs/a", ns=(0, when + 2_000_000_000))
    assert again(store, tmp_path / "bundle").id != made.id


def test_which_names_are_one_file_is_a_change(store: Store, tmp_path: Path) -> None:
    bundled(store, tmp_path / "bundle")
    root = tmp_path / "bundle/rootfs/links"
    status = (root / "x").stat()
    (root / "y").unlink()
    (root / "y").write_bytes(b"data")
    os.chmod(root / "y", status.st_mode & 0o7777)
    os.utime(root / "y", ns=(0, status.st_mtime_ns))
    chain = again(store, tmp_path / "bundle").chain
    assert [entry.path for entry in store.toc(chain.diff_ids[-1])] == ["links", "links/y"]
    (root / "y").unlink()
    os.link(root / "x", root / "y")
    os.link(root / "x", root / "z")
    chain = again(store, tmp_path / "bundle").chain
    assert [entry.path for entry in store.toc(chain.diff_ids[-1])] == ["links", "links/x", "links/y", "links/z"]


def test_masks_and_volumes(store: Store, tmp_path: Path) -> None:
    made = bundled(store, tmp_path / "bundle", runtime={"Volumes": {"/data/": {}, "links": {}}})
    root = tmp_path / "bundle/rootfs"
    (root / "data").mkdir()
    (root / "data/file").touch()
    (root / "links/x").unlink()
    assert again(store, tmp_path / "bundle").id == made.id
    (root / "dir/new").touch()
    assert again(store, tmp_path / "bundle", masks=["/dir/sub", "dir/new"]).id == made.id
    assert again(store, tmp_path / "bundle", masks=["dir/ne", "/"]).id == made.id
    with_volumes = again(store, tmp_path / "bundle", volumes=True, masks=["dir"])
    assert [entry.path for entry in store.toc(with_volumes.chain.diff_ids[-1])] == [
        "data", "data/file", "links", "links/x"
    ]  # fmt: skip
    with pytest.raises(UnsafePath):
        again(store, tmp_path / "bundle", masks=["../x"])


def test_refresh_makes_the_new_image_its_own(store: Store, tmp_path: Path) -> None:
    made = bundled(store, tmp_path / "bundle")
    (tmp_path / "bundle/rootfs/new").touch()
    after = again(store, tmp_path / "bundle")
    refresh(tmp_path / "bundle", after)
    assert Origin.read(tmp_path / "bundle").manifest == after.manifest.descriptor
    names = {entry.name for entry in (tmp_path / "bundle").iterdir()}
    assert names == {"config.json", "rootfs", "umoci.json", f"sha256_{after.target.digest.hex}.mtree"}
    assert again(store, tmp_path / "bundle").id == after.id != made.id


def test_owners_outside_of_the_map(store: Store, tmp_path: Path) -> None:
    ids = IdMap((IdRange(0, 1000, 5),), (IdRange(0, 1000, 5),))
    bundled(store, tmp_path / "bundle", ids)
    (tmp_path / "bundle/rootfs/new").touch()
    with pytest.raises(IdUnmapped, match="/new belongs to user 0"):
        again(store, tmp_path / "bundle")
    os.chown(tmp_path / "bundle/rootfs/new", 1003, 1004)
    layer = again(store, tmp_path / "bundle").chain.diff_ids[-1]
    entry = store.toc(layer).get("new")
    assert entry is not None and (entry.uid, entry.gid) == (3, 4)
    (tmp_path / "bundle/rootfs/new").unlink()
    os.chown(tmp_path / "bundle/rootfs/a", 1006, 1000)
    with pytest.raises(IdUnmapped):
        again(store, tmp_path / "bundle")


def test_directories_that_no_layer_lists_are_roots_of_the_map(store: Store, tmp_path: Path) -> None:
    made = new_image(store, [new_layer(store, {"i/j/k": b""}), new_layer(store, {"i/l/m": b"", "n/o": b""})])
    unpack_bundle(store, made, tmp_path / "bundle", ids=IdMap((IdRange(0, 1000, 1),), (IdRange(0, 2000, 1),)))
    for path in ("", "i", "i/j", "i/j/k", "i/l", "n", "n/o"):
        status = (tmp_path / "bundle/rootfs" / path).lstat()
        assert (status.st_uid, status.st_gid) == (1000, 2000), path
    assert again(store, tmp_path / "bundle").id == made.id


def test_nothing_is_overwritten_and_nothing_is_left(store: Store, tmp_path: Path) -> None:
    bundled(store, tmp_path / "bundle")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("empty")
    (tmp_path / "empty").mkdir()
    for name in ("bundle", "file", "link"):
        with pytest.raises(BundleInvalid, match="already"):
            bundled(store, tmp_path / name)
    bundled(store, tmp_path / "empty")
    with pytest.raises(IdUnmapped):
        unpack_bundle(store, new_image(store, [owned(store)]), tmp_path / "x", ids=IdMap((IdRange(0, 9, 1),)))
    assert {entry.name for entry in tmp_path.iterdir()} == {"bundle", "empty", "file", "link", "store"}


def owned(store: Store) -> Any:
    import io
    import tarfile

    from layers.home.ingest import bring

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("theirs")
        member.uid = 77
        archive.addfile(member)
    buffer.seek(0)
    return bring(store, buffer)


def test_killed_or_whole(store: Store, tmp_path: Path) -> None:
    made = image(store)
    dice = random.Random(7)
    for number in range(12):
        bundle = tmp_path / f"bundle{number % 3}"
        child = os.fork()
        if child == 0:
            with Store.open(store.root) as mine:
                unpack_bundle(mine, mine.images.get(str(made.id)), bundle, ids=IdMap())
            os._exit(0)
        time.sleep(dice.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if bundle.exists():
            assert again(store, bundle).id == made.id
            shutil.rmtree(bundle)
    for number in range(3):
        unpack_bundle(store, made, tmp_path / f"bundle{number}", ids=IdMap())
    assert sorted(os.listdir(tmp_path)) == ["bundle0", "bundle1", "bundle2", "store"]


def test_eight_at_once_make_one(store: Store, tmp_path: Path) -> None:
    made = image(store)
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            code = 1
            with suppress(BundleInvalid, OSError), Store.open(store.root) as mine:
                unpack_bundle(mine, mine.images.get(str(made.id)), tmp_path / "bundle", ids=IdMap())
                code = 0
            os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes.count(0) == 1
    assert again(store, tmp_path / "bundle").id == made.id
    assert sorted(os.listdir(tmp_path)) == ["bundle", "store"]


def test_places_that_cannot_be(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("none/bundle", "file/bundle"):
        with pytest.raises(BundleInvalid, match="no directory"):
            bundled(store, tmp_path / name)


# -- what has run in it may have left anything -----------------------------------------------------


def test_a_rootfs_that_is_a_link(store: Store, tmp_path: Path) -> None:
    bundled(store, tmp_path / "bundle")
    (tmp_path / "bundle/rootfs").rename(tmp_path / "elsewhere")
    (tmp_path / "bundle/rootfs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleInvalid, match="rootfs must be a directory"):
        again(store, tmp_path / "bundle")


def test_links_lead_nowhere(store: Store, tmp_path: Path) -> None:
    bundled(store, tmp_path / "bundle")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "sub").mkdir()
    (secret / "sub/a").write_bytes(b"secret")
    root = tmp_path / "bundle/rootfs"
    (root / "dir").rename(tmp_path / "moved")
    (root / "dir").symlink_to(secret)
    layer = again(store, tmp_path / "bundle").chain.diff_ids[-1]
    assert [(entry.path, entry.linkname) for entry in store.toc(layer)] == [("dir", str(secret))]


def test_what_no_image_can_hold(store: Store, tmp_path: Path) -> None:
    made = bundled(store, tmp_path / "bundle")
    root = tmp_path / "bundle/rootfs"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
    told: list[str] = []
    assert repack(store, tmp_path / "bundle", warn=told.append) == (made, None)
    assert told == ["/socket is a socket, which no image can hold; it is left out"]
    (root / "socket").unlink()
    (root / "a").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "a"))
    layer = repack(store, tmp_path / "bundle", warn=told.append)[1]
    assert layer is not None and [entry.type for entry in store.toc(layer.diff_id)] == [EntryType.WHITEOUT]
    (root / "a").unlink()
    os.mknod(root / "hole", stat.S_IFCHR, 0)
    with pytest.raises(UnsafePath, match="deletion on disk"):
        again(store, tmp_path / "bundle")
    (root / "hole").unlink()
    (root / ".wh.a").touch()
    with pytest.raises(UnsafePath, match="deletions"):
        again(store, tmp_path / "bundle")


WALK = "from_descriptor_path.descriptor_walk"


@pytest.mark.parametrize(
    ("where", "value", "error"),
    [
        ("umoci_version", None, BundleInvalid),
        ("umoci_version", "1", BundleInvalid),
        ("from_descriptor_path", None, DocumentInvalid),
        (WALK, [], DocumentInvalid),
        (WALK, ["x"], DocumentInvalid),
        (f"{WALK}.0.digest", "sha256:../x", DigestInvalid),
        (f"{WALK}.0.digest", f"sha256:{'0' * 64}", BlobMissing),
        (f"{WALK}.0.size", -1, DocumentInvalid),
        (f"{WALK}.0.mediaType", "text/plain", DocumentInvalid),
        ("map_options", [], DocumentInvalid),
        ("map_options.rootless", True, BundleInvalid),
        ("map_options.uid_mappings", [{"containerID": -1, "hostID": 0, "size": 1}], DocumentInvalid),
        ("whiteout_mode", 1, BundleInvalid),
    ],
)
def test_hostile_metadata(where: str, value: object, error: type[Exception], store: Store, tmp_path: Path) -> None:
    bundled(store, tmp_path / "bundle")
    place = tmp_path / "bundle/umoci.json"
    meta = at = json.loads(place.read_bytes())
    *path, last = where.split(".")
    for key in path:
        at = at[int(key) if key.isdigit() else key]
    at[last] = value
    place.write_text(json.dumps(meta))
    with pytest.raises(error):
        again(store, tmp_path / "bundle")


def test_metadata_that_is_no_file(store: Store, tmp_path: Path) -> None:
    bundled(store, tmp_path / "bundle")
    place = tmp_path / "bundle/umoci.json"
    place.unlink()
    with pytest.raises(BundleInvalid, match="not made by unpack"):
        again(store, tmp_path / "bundle")
    makers: list[Callable[[Path], object]] = [os.mkfifo, lambda path: path.symlink_to("/etc/passwd"), Path.mkdir]
    for make in makers:
        make(place)
        with pytest.raises(BundleInvalid):
            again(store, tmp_path / "bundle")
        place.rmdir() if place.is_dir() else place.unlink()
    place.write_bytes(b"{}" + b" " * (2 << 20))
    with pytest.raises(BundleInvalid, match="larger"):
        again(store, tmp_path / "bundle")


def test_config_json_is_not_believed(store: Store, tmp_path: Path) -> None:
    made = bundled(store, tmp_path / "bundle")
    (tmp_path / "bundle/config.json").write_text('{"root": {"path": "/etc"}}')
    assert again(store, tmp_path / "bundle").id == made.id


# -- at work while it is packed --------------------------------------------------------------------


def changed(store: Store, bundle: Path, made: Image, meanwhile: Callable[[Path], object]) -> list[str]:
    """Compare, let something happen, then read; the paths that were read."""
    with Root(bundle / "rootfs") as root:
        found = difference(root, store.tree(made.chain), ids=IdMap(), warn=pytest.fail)
        meanwhile(bundle / "rootfs")
        return [entry.path for entry, _ in found.items(root)]


def test_what_is_mounted_in_it_is_not_packed(store: Store, tmp_path: Path) -> None:
    made = bundled(store, tmp_path / "bundle")

    def body() -> None:
        linux.mount(b"proc", bytes(tmp_path / "bundle/rootfs/dir"), b"proc", 0)
        with Store.open(store.root) as mine:
            with pytest.raises(UnsafePath, match="unmount it first"):
                again(mine, tmp_path / "bundle")
            assert again(mine, tmp_path / "bundle", masks=["dir"]).id == made.id

    privately(body)


def test_directories_too_deep_for_any_image(store: Store, tmp_path: Path) -> None:
    bundled(store, tmp_path / "bundle")
    place = os.open(tmp_path / "bundle/rootfs", os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 200, dir_fd=place)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = inner
    os.close(place)
    with pytest.raises(UnsafePath, match="longer than 4095"):
        again(store, tmp_path / "bundle")
    remove(str(tmp_path / "bundle"))


@pytest.mark.parametrize(
    "runtime",
    [{"Volumes": [1]}, {"Volumes": {"/../x": {}}}, {"Labels": {"a": "\ud800"}}, {"User": "nobody"}, {"Env": 1}],
)
def test_configs_that_no_bundle_can_have(runtime: dict[str, Any], store: Store, tmp_path: Path) -> None:
    with pytest.raises(LayerError):
        bundled(store, tmp_path / "bundle", runtime=runtime)
        again(store, tmp_path / "bundle")


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda root: (root / "new").write_bytes(b"longer than it was"),
        lambda root: (root / "new").write_bytes(b"bac"),
        lambda root: (root / "new").unlink(),
        lambda root: (root / "c.txt").rename(root / "new"),
        lambda root: (root / "new").chmod(0o4755),
    ],
)
def test_a_file_that_changes_is_an_error(meanwhile: Callable[[Path], object], store: Store, tmp_path: Path) -> None:
    made = bundled(store, tmp_path / "bundle")
    (tmp_path / "bundle/rootfs/new").write_bytes(b"abc")
    assert changed(store, tmp_path / "bundle", made, lambda _: None) == ["new"]
    with pytest.raises(FileChanged, match="/new changed"):
        changed(store, tmp_path / "bundle", made, meanwhile)


def test_a_busy_bundle_gives_a_layer_that_was_true_or_an_error(store: Store, tmp_path: Path) -> None:
    made = bundled(store, tmp_path / "bundle")
    root = tmp_path / "bundle/rootfs"
    child = os.fork()
    if child == 0:
        dice = random.Random(1)
        while True:
            value = dice.choice((b"x", b"yy")) * 40_000
            (root / "busy").write_bytes(value)
            (root / "busy").unlink()
    try:
        for _ in range(15):
            try:
                chain = again(store, tmp_path / "bundle").chain
            except FileChanged:
                continue
            if chain != made.chain:
                data = store.tree(chain).read("busy", 1 << 20)
                assert data is None or set(data) <= {ord("x")} or set(data) <= {ord("y")}
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_directories_that_layers_imply_look_as_they_are_seen(store: Store, tmp_path: Path) -> None:
    layers = [
        put(store, ("d", None), ("d/e", None), ("w/x", None)),
        put(store, ("d/.wh..wh..opq", b""), ("d/e/f", b""), (".wh.w", b""), ("w/x/y", b"")),
    ]
    made = new_image(store, layers)
    unpack_bundle(store, made, tmp_path / "bundle", ids=IdMap((IdRange(0, 0, 1),)))
    same(view(tmp_path / "bundle/rootfs"), tree_view(store.tree(Chain(made.chain.diff_ids))), "unpacked")
