"""An image as an OCI runtime bundle, and a bundle as the next image; umoci's files, so that both tools take both's.

    config.json          what `runc run` reads                  (layers.bundles.runtimespec)
    rootfs/              the files, unpacked
    umoci.json           which image they are of, and how ids were mapped
    sha256_<hex>.mtree   what the files were when they were unpacked, for umoci   (layers.bundles.mtree)

A bundle takes its name when it is whole; like a checkout it is not synced. What a killed process left beside it goes
when the same name is unpacked again. What is in a bundle is hostile once it has run: nothing in it is opened through a
link, and of its files only umoci.json is read.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from layers.bundles import mtree
from layers.bundles.idmap import IdMap, IdRange
from layers.bundles.rootfs import difference
from layers.bundles.runtimespec import runtime_spec, table, text
from layers.disk.durable import placed
from layers.disk.paths import Root, normalise
from layers.disk.removal import remove
from layers.errors import BundleInvalid, DocumentInvalid, FileChanged, UnsafePath
from layers.making.compose import compose
from layers.oci.descriptor import Descriptor
from layers.oci.documents import decode
from layers.oci.mediatypes import MANIFESTS
from layers.quick import dataclass
from layers.snapshot.unpack import unpack
from layers.tar.entry import Entry, EntryType
from layers.tar.tarball import ordered
from layers.tar.toc import Toc
from layers.views.tree import Tree

if TYPE_CHECKING:
    from layers.home.store import Store
    from layers.oci.digest import Digest
    from layers.oci.image import Image, NewLayer

META = "umoci.json"
VERSION = "2"
META_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Origin:
    """What a bundle says of itself: the manifest of its image, and how its ids are mapped."""

    manifest: Descriptor
    ids: IdMap

    @classmethod
    def read(cls, bundle: Path) -> Origin:
        """Read it from a bundle of ours or umoci's. Raises BundleInvalid, DocumentInvalid, OSError."""
        with Root(bundle) as root:
            try:
                raw = root.read(META, META_LIMIT)
            except FileNotFoundError as error:
                raise BundleInvalid(str(bundle), f"it has no {META}: it was not made by unpack") from error
            except (OSError, UnsafePath) as error:
                raise BundleInvalid(str(bundle), f"its {META} cannot be read: {error}") from error
        value = decode(raw, META)
        if value.get("umoci_version") != VERSION:
            version = value.get("umoci_version")
            raise BundleInvalid(str(bundle), f"{META} is of version {version!r}, only {VERSION!r} is known")
        walk = _field(_field(value, "from_descriptor_path", dict), "descriptor_walk", list)
        options = _field(value, "map_options", dict)
        if options.get("rootless"):
            raise BundleInvalid(str(bundle), "it was unpacked with --rootless, which is not understood yet; use umoci")
        if value.get("whiteout_mode") not in (None, 0):
            raise BundleInvalid(str(bundle), "its rootfs has deletions in overlayfs's form, which is not understood")
        if not walk:
            raise DocumentInvalid(META, "descriptor_walk is empty")
        manifest = Descriptor.from_json(walk[-1], what=META)
        if manifest.media_type not in MANIFESTS:
            raise DocumentInvalid(META, f"descriptor_walk ends with {manifest.media_type}, which is no manifest")
        ranges = [
            tuple(IdRange.from_json(one) for one in _field(options, key, list, missing=True))
            for key in ("uid_mappings", "gid_mappings")
        ]
        return cls(manifest, IdMap(*ranges))

    def write(self, place: Path) -> None:
        """Write it, whole or not at all."""
        options = {
            "uid_mappings": [one.to_json() for one in self.ids.uids] or None,
            "gid_mappings": [one.to_json() for one in self.ids.gids] or None,
            "rootless": False,
        }
        value = {
            "umoci_version": VERSION,
            "from_descriptor_path": {"descriptor_walk": [self.manifest.to_json()]},
            "map_options": options,
            "whiteout_mode": 0,
        }
        with _replacing(place / META) as sink:
            sink.write(json.dumps(value, separators=(",", ":")) + "\n")

    @property
    def mtree(self) -> str:
        """The name of the manifest of the files."""
        return f"{self.manifest.digest.algorithm}_{self.manifest.digest.hex}.mtree"


def unpack_bundle(store: Store, image: Image, bundle: Path, *, ids: IdMap) -> None:
    """Make a bundle of an image; it is there whole or not at all.

    Raises BundleInvalid if something has that name already, IdUnmapped, UnsafePath, AccountMissing, DocumentInvalid,
    OSError.
    """
    bundle = Path(os.path.abspath(bundle))
    if os.path.lexists(bundle) and (bundle.is_symlink() or not bundle.is_dir() or os.listdir(bundle)):
        raise BundleInvalid(str(bundle), "something is there already; give a new name, or an empty directory")
    if not bundle.parent.is_dir():
        raise BundleInvalid(str(bundle), f"{bundle.parent} is no directory, so that nothing can be put there")
    account = store.tree(image.chain).accounts().account(text(image.config.runtime, "User"))
    spec = runtime_spec(image.config, account, ids)
    with placed(bundle), _unfinished(bundle) as part:
        rootfs = part / "rootfs"
        rootfs.mkdir(mode=0o755)
        os.chmod(rootfs, 0o755)
        _unpack(store, image, rootfs, ids)
        with _replacing(part / "config.json") as sink:
            sink.write(json.dumps(spec, indent="\t") + "\n")
        origin = Origin(image.manifest.descriptor, ids)
        with Root(rootfs) as root, _replacing(part / origin.mtree) as sink:
            mtree.write(root, sink)
        origin.write(part)
        try:
            os.rename(part, bundle)
        except OSError as error:
            raise BundleInvalid(str(bundle), "something was put there meanwhile") from error


@contextmanager
def _unfinished(bundle: Path) -> Iterator[Path]:
    """A directory beside the bundle, locked while we live; on leaving it is gone or has another name."""
    prefix = f".{bundle.name}.unpacking-"
    for entry in os.scandir(bundle.parent):
        if entry.name.startswith(prefix) and entry.is_dir(follow_symlinks=False):
            with ExitStack() as close, suppress(BlockingIOError, FileNotFoundError):
                _lock(entry.path, close)
                remove(entry.path)
    with ExitStack() as close:
        part = tempfile.mkdtemp(prefix=prefix, dir=bundle.parent)
        _lock(part, close)
        try:
            yield Path(part)
        finally:
            remove(part)


def _lock(directory: str, close: ExitStack) -> None:
    """Hold a directory until `close`. Raises BlockingIOError if somebody does."""
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    close.callback(os.close, held)
    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unpack(store: Store, image: Image, target: Path, ids: IdMap) -> None:
    """All layers, one over the other, with owners as the host knows them."""
    below: list[tuple[Toc, Any]] = []
    root = ids.outside(Entry("", EntryType.DIR, 0o755))
    os.chown(target, root.uid, root.gid)
    for diff_id in image.config.diff_ids:
        toc, tree = store.toc(diff_id), Tree(below)
        if ids:
            toc = mapped(toc, tree, ids)
        with store.blobs.open(diff_id) as raw:
            unpack(toc, raw, target, overlay=False, below=tree)
        below.append((toc, partial(store.blobs.open, diff_id)))
    if not Tree(below).lists(""):
        os.utime(target, (0, 0))


def mapped(toc: Toc, below: Tree, ids: IdMap) -> Toc:
    """A layer's table with the owners that the host knows; directories that nothing lists are root's, and so listed."""
    root = Entry("", EntryType.DIR, 0o755)
    entries = [] if toc.get("") is not None or below.lists("") else [ids.outside(root)]
    seen: set[str] = set()
    for entry in toc:
        entries.append(ids.outside(entry))
        path = entry.path if entry.type is EntryType.OPAQUE else entry.path.rpartition("/")[0]
        while path and path not in seen:
            seen.add(path)
            looks = None if toc.hides(path) else below.get(path)
            if toc.is_dir(path) and toc.get(path) is None and (looks is None or looks.type is not EntryType.DIR):
                entries.append(ids.outside(Entry(path, EntryType.DIR, 0o755)))
            path = path.rpartition("/")[0]
    return Toc.of(ordered(entries))


def repack(
    store: Store,
    bundle: Path,
    *,
    masks: Collection[str] = (),
    volumes: bool = False,
    warn: Callable[[str], object],
    find: Callable[[Digest], Image] | None = None,
) -> tuple[Image, NewLayer | None]:
    """The image that a bundle was made of, and a layer of what changed since; None if nothing did.

    `find` knows the image by the digest of its manifest, as the store does. What is at or below a path of `masks`, or
    in a volume of the image unless `volumes`, counts as unchanged. A file that changes while it is read gives all a
    second chance. Raises BundleInvalid, BlobMissing (the image is not here), FileChanged, IdUnmapped, UnsafePath,
    OSError.
    """
    origin = Origin.read(bundle)
    digest = origin.manifest.digest
    image = store.images.get(str(digest)) if find is None else find(digest)
    before = store.tree(image.chain)
    masked = {normalise(path) for path in (*masks, *(() if volumes else table(image.config.runtime, "Volumes")))}

    def pack(root: Root) -> NewLayer | None:
        found = difference(root, before, masked=masked, ids=origin.ids, warn=warn)
        return compose(store, found.items(root)) if found.entries else None

    with _rootfs(bundle) as root:
        try:
            return image, pack(root)
        except FileChanged:
            return image, pack(root)


def refresh(bundle: Path, image: Image) -> None:
    """Let a bundle be of another image, whose files are those that it holds. Raises BundleInvalid, FileChanged."""
    old = Origin.read(bundle)
    new = Origin(image.manifest.descriptor, old.ids)
    with _rootfs(bundle) as root, _replacing(bundle / new.mtree) as sink:
        mtree.write(root, sink)
    new.write(bundle)
    if new.mtree != old.mtree:
        with suppress(FileNotFoundError):
            os.unlink(bundle / old.mtree)


def _rootfs(bundle: Path) -> Root:
    """The files of a bundle. Raises BundleInvalid if they are elsewhere."""
    with Root(bundle) as root:
        try:
            found = root.open("rootfs", os.O_PATH | os.O_DIRECTORY, follow=False)
        except OSError as error:
            raise BundleInvalid(str(bundle), "its rootfs must be a directory, not a link or anything else") from error
        try:
            return Root(f"/proc/self/fd/{found}")
        finally:
            os.close(found)


@contextmanager
def _replacing(place: Path) -> Iterator[TextIO]:
    """A new file that takes its name when it is written, whatever has that name now."""
    number, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with open(number, "w", encoding="ascii") as sink:
            os.fchmod(number, 0o644)
            yield sink
        os.replace(name, place)
    except BaseException:
        os.unlink(name)
        raise


def _field(value: Any, key: str, kind: type, *, missing: bool = False) -> Any:
    """A member of an object, of a kind, or empty if it may be `missing`. Raises DocumentInvalid."""
    found = value.get(key)
    if found is None and missing:
        return kind()
    if not isinstance(found, kind):
        raise DocumentInvalid(META, f"{key} is missing or of another kind")
    return found
