"""An image of elsewhere that is looked at without becoming one of ours.

Its layers come into the store, verified, as bytes that this process holds and the next prune takes; no name and no
image is noted.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from layers.errors import DocumentInvalid
from layers.home.ingest import ingest, receive
from layers.moving.repository import Repository, document
from layers.moving.transfer import JOBS
from layers.oci import mediatypes
from layers.oci.descriptor import Descriptor
from layers.oci.digest import DiffID
from layers.oci.documents import ImageConfig, Index, Manifest
from layers.oci.image import Image
from layers.oci.platform import Platform

if TYPE_CHECKING:
    from layers.home.store import Store


def visit(store: Store, source: Repository, found: Descriptor, platform: Platform | None = None) -> Image:
    """The image that a manifest, or an index, of `source` names, with its layers here.

    Raises BlobMissing, BlobMismatch, PlatformMissing, DocumentInvalid, ArchiveInvalid, UnsafePath.
    """
    target = found
    if found.media_type in mediatypes.INDEXES:
        index = Index.parse(document(source, found), found.media_type)
        target = index.choose(platform or Platform.host()).bare
    manifest = Manifest.parse(document(source, target), target.media_type)
    config = ImageConfig.parse(document(source, manifest.config))

    def bring(layer: Descriptor) -> DiffID:
        if store.blobs.has(layer.digest):
            return ingest(store, layer)
        with source.open(layer) as stream:
            return receive(store, layer, stream)

    with ThreadPoolExecutor(JOBS, thread_name_prefix="pybuild-visit") as pool:
        met = tuple(pool.map(bring, manifest.layers))
    if met != config.diff_ids:
        raise DocumentInvalid(f"image {target.digest}", "its layers are not those that its config names")
    size = sum(store.blobs.size(diff_id) for diff_id in met)
    return Image(config.digest, found, manifest, config, (), size, config.created)
