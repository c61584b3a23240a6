"""Layers and images put into a store by hand: tars by the standard library, documents by `layers`."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from layers import Descriptor, Digest, History, Image, ImageConfig, NewLayer, Platform, Reference, Store
from layers.home.ingest import commit
from layers.oci.image import describe


def tar_of(files: Mapping[str, bytes | str | None]) -> bytes:
    """A tar of files (bytes), symlinks (text) and directories (None), in this order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.mtime = 1_000_000_000
            if content is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
            else:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return buffer.getvalue()


def new_layer(store: Store, files: Mapping[str, bytes | str | None]) -> NewLayer:
    """A layer of the store that holds these files."""
    raw = tar_of(files)
    with store.blobs.writer() as writer:
        writer.write(raw)
        return NewLayer(commit(store, writer), len(raw))


def new_image(
    store: Store,
    layers: list[NewLayer],
    *names: str,
    created: str = "2020-01-01T00:00:00Z",
    packed: list[Descriptor] | None = None,
    platform: Platform | None = None,
) -> Image:
    """An image of these layers under these names; its manifest names `packed`, if given, in their place."""
    history = [History(created, f"layer {number}") for number in range(len(layers))]
    config = ImageConfig.build(
        platform=platform or Platform.host(),
        diff_ids=[layer.diff_id for layer in layers],
        history=history,
        runtime={},
        created=created,
    )
    manifest = describe(config, packed or [layer.descriptor for layer in layers])
    return store.images.add(manifest, config, [Reference.parse(name) for name in names])


def on_disk(store: Store) -> set[Digest]:
    """Every blob that is here."""
    return set(store.blobs.all())


def resident(store: Store, name: str, *pins: Digest) -> Path:
    """A container as the ground knows it: a row that needs `pins`, and its folder."""
    folder = store.root / "containers" / name
    folder.mkdir()
    with store.db.write() as db:
        words = (name, name[:12], "2026-01-01T00:00:00Z", " ".join(map(str, pins)), "{}", "")
        db.execute("INSERT INTO container VALUES (?, ?, ?, ?, ?, ?)", words)
    return folder
