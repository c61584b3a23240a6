"""From a registry's image to one of the store and back: what was pushed can be run, what was built can be pulled.

Coming in, the layers of an image get their raw tars before its manifest is answered, so that whoever sees the push
succeed can run the image. What is no image, or not the image that its config says, is kept all the same, byte for byte.
Going out, a layer that lies here uncompressed is compressed when its image is first asked for; the tag then names the
manifest that went out, so it keeps its digest from there on. The id of the image does not change.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from layers import BlobMissing, Descriptor, ImageConfig, LayerError, Manifest, Reference, Store, StoreFormat, StoreFull
from layers.home.ingest import ingest
from layers.moving.rewrite import Packed
from layers.moving.transfer import copy
from layers.oci.documents import is_image
from registry.server.holdings import Holdings

JOBS = 4
"""Layers of one image that are unpacked at the same time."""


def adopt(store: Store, manifest: Manifest) -> bool:
    """Make an image of the store of a manifest whose blobs are here; False if it is none. Raises StoreFull."""
    if not is_image(manifest):
        return False
    try:
        config = ImageConfig.parse(store.blobs.read(manifest.config.digest))
        with ThreadPoolExecutor(JOBS, thread_name_prefix="pybuild-adopt") as pool:
            met = tuple(pool.map(partial(ingest, store), manifest.layers))
        if met == config.diff_ids:
            store.images.add(manifest, config)
    except (StoreFull, StoreFormat):
        raise
    except LayerError:  # no tar, no config, or a layer that stays elsewhere: an artifact
        return False
    return met == config.diff_ids


def outgoing(store: Store, holdings: Holdings, name: Reference) -> Descriptor | None:
    """What a tag points to, in the form in which it travels; None if there is no such tag. Claimed for this process."""
    while True:
        named = store.images.target(name)
        target = None if named is None else store.images.document(named.digest)
        if target is None or holdings.has(Reference(name.host, name.path), target.digest):
            return target
        packed = target
        if not holdings.travelled(target.digest):
            with suppress(BlobMissing):  # an index of which only some images are here goes as it is
                packed = copy(Packed(store), target, store.repository(), None, every=True)
        if holdings.send(name, target, packed):
            return packed
