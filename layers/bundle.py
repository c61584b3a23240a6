"""An image as an OCI runtime bundle, and a bundle as the next image; umoci's files, so that both tools take both's.

    config.json          what `runc run` reads                  (layers.runtimespec)
    rootfs/              the files, unpacked
    umoci.json           which image they are of, and how ids were mapped
    sha256_<hex>.mtree   what the files were when they were unpacked, for umoci   (layers.mtree)

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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layers import mtree
from layers.compose import compose
from layers.descriptor import Descriptor
from layers.documents import decode
from layers.entry import Entry, EntryType
from layers.errors import BundleInvalid, DocumentInvalid, FileChanged, UnsafePath
from layers.idmap import IdMap, IdRange
from layers.mediatypes import MANIFESTS
from layers.paths import Root, normalise
from layers.removal import remove
from layers.rootfs import difference
from layers.runtimespec import runtime_spec
from layers.tarball import ordered
from layers.toc import Toc
from layers.tree import Tree
from layers.unpack import unpack

if TYPE_CHECKING:
    from layers.image import Image, NewLayer
    from layers.store import Store

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
        walk = _part(_part(value, "from_descriptor_path", dict), "descriptor_walk", list)
        options = _part(value, "map_options", dict)
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
            tuple(IdRange.from_json(one) for one in _part(options, key, list, None))
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
        _replace(place / META, json.dumps(value, separators=(",", ":")) + "\n")

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
    spec = runtime_spec(
        image.config, store.tree(image.chain).accounts().account(str(image.config.runtime.get("User") or "")), ids
    )
    with _unfinished(bundle) as part:
        rootfs = part / "rootfs"
        rootfs.mkdir(mode=0o755)
        os.chmod(rootfs, 0o755)
        _unpack(store, image, rootfs, ids)
        (part / "config.json").write_text(json.dumps(spec, indent="\t", ensure_ascii=False) + "\n", encoding="utf-8")
        origin = Origin(image.manifest.descriptor, ids)
        with Root(rootfs) as root:
            _manifest(root, part / origin.mtree)
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
    entries: dict[str, Entry] = {}
    implied: dict[str, Entry] = {}
    for entry in toc:
        path = entry.path.rpartition("/")[0] if entry.type is not EntryType.WHITEOUT else ""
        while path and path not in implied and not below.holds(path):
            if toc.get(path) is None:
                implied[path] = ids.outside(Entry(path, EntryType.DIR, 0o755))
            path = path.rpartition("/")[0]
        entries[f"{entry.type} {entry.path}"] = ids.outside(entry)
    return Toc.of(ordered([*entries.values(), *implied.values()]))


def repack(
    store: Store, bundle: Path, *, masks: Collection[str] = (), volumes: bool = False, warn: Callable[[str], object]
) -> tuple[Image, NewLayer | None]:
    """The image that a bundle was made of, and a layer of what changed since; None if nothing did.

    What is at or below a path of `masks`, or in a volume of the image unless `volumes`, counts as unchanged. A file
    that changes while it is read gives everything a second chance. Raises BundleInvalid, BlobMissing (the image is not
    here), FileChanged, IdUnmapped, UnsafePath, OSError.
    """
    origin = Origin.read(bundle)
    image = store.images.get(str(origin.manifest.digest))
    before = store.tree(image.chain)
    masked = [*masks, *(() if volumes else image.config.runtime.get("Volumes") or ())]
    with _rootfs(bundle) as root:
        for last in (False, True):
            try:
                found = difference(root, before, masked=set(map(normalise, masked)), ids=origin.ids, warn=warn)
                return image, compose(store, found.items(root)) if found.entries else None
            except FileChanged:
                if last:
                    raise
    raise AssertionError("unreachable")


def refresh(bundle: Path, image: Image) -> None:
    """Let a bundle be of another image, whose files are those that it holds. Raises BundleInvalid, FileChanged."""
    old = Origin.read(bundle)
    new = Origin(image.manifest.descriptor, old.ids)
    with _rootfs(bundle) as root:
        _manifest(root, bundle / new.mtree)
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


def _manifest(root: Root, place: Path) -> None:
    part = _part_of(place)
    with open(part, "w", encoding="ascii") as sink:
        mtree.write(root, sink)
    os.replace(part, place)


def _replace(place: Path, text: str) -> None:
    part = _part_of(place)
    part.write_text(text, encoding="utf-8")
    os.replace(part, place)


def _part_of(place: Path) -> Path:
    """A new file beside the one that it will become; nobody can have put a link there."""
    number, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    os.fchmod(number, 0o644)
    os.close(number)
    return Path(name)


def _part(value: Any, key: str, kind: type, default: object = ...) -> Any:
    found = value.get(key)
    if found is None and default is None:
        return kind()
    if not isinstance(found, kind):
        raise DocumentInvalid(META, f"{key} is missing or of another kind")
    return found
