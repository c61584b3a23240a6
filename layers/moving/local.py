"""The store as a Repository: what pull, load and save move images into and out of.

Names are whole references (`docker.io/library/alpine:3`) or digests. Putting a compressed layer
makes its raw tar in the same pass; putting a manifest checks that what it names is here and that
the layers are those of its config, so an image is never half here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, BinaryIO

from layers.errors import BlobMissing, DocumentInvalid
from layers.home.ingest import diff_id_of, gather, receive
from layers.moving import names
from layers.oci import mediatypes
from layers.oci.descriptor import Descriptor
from layers.oci.digest import Digest
from layers.oci.documents import ImageConfig, Index, Manifest, is_image, read_document
from layers.oci.reference import Reference

if TYPE_CHECKING:
    from layers.home.store import Store


class LocalRepository:
    """A store behind the five methods of `layers.Repository`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._where = f"the store {store.root}"

    def resolve(self, name: str) -> Descriptor:
        """What a reference, a digest, or an image id, whole or its first digits, points to.

        Raises BlobMissing, NameAmbiguous, ReferenceInvalid.
        """
        if name.startswith(("sha256:", "sha384:", "sha512:")):
            found = self.store.images.document(Digest.parse(name))
            if found is None and not name.startswith("sha256:"):
                raise BlobMissing(name, self._where)
        else:
            reference = names.reference(name)
            found = self.store.images.target(reference) if reference else None
        return found or self.store.images.get(name).target

    def has(self, wanted: Descriptor) -> bool:
        """True if the content is here; for a manifest or index, registered; for a layer, with its raw tar."""
        self.store.session.claim(wanted.digest)
        if not self.store.blobs.has(wanted.digest):
            return False
        if wanted.media_type in mediatypes.INDEXES | mediatypes.MANIFESTS:
            return self.store.images.document(wanted.digest) is not None
        if mediatypes.codec_of(wanted.media_type) in (None, "none"):
            return True
        diff_id = self.store.variants.diff_id(wanted.digest)
        return diff_id is not None and self.store.here(diff_id)

    def open(self, wanted: Descriptor) -> BinaryIO:
        """The bytes of some content. Raises BlobMissing."""
        return self.store.blobs.open(wanted.digest)

    def put(self, wanted: Descriptor, source: BinaryIO) -> None:
        """Keep content, blobs before documents. Raises BlobMismatch, BlobMissing, DocumentInvalid."""
        if wanted.media_type in mediatypes.MANIFESTS:
            self._put_manifest(wanted, read_document(wanted, source))
        elif wanted.media_type in mediatypes.INDEXES:
            self._put_index(wanted, read_document(wanted, source))
        elif mediatypes.codec_of(wanted.media_type) is not None:
            receive(self.store, wanted, source)
        else:
            self.store.blobs.put(wanted, source)

    def gather(self, wanted: Descriptor, open_at: Callable[[int], BinaryIO]) -> None:
        """Keep a blob, going on with what is here of it. Raises BlobMismatch, ArchiveInvalid."""
        gather(self.store, wanted, open_at)

    def turn(self, wanted: Descriptor, pause: Callable[[int], None]) -> AbstractContextManager[object]:
        """Fetch it while nobody else does."""
        return self.store.turns.take(f"blob {wanted.digest}", pause)

    def tag(self, name: str, target: Descriptor) -> None:
        """Let a reference point to a manifest or index that is here. Raises BlobMissing."""
        self.store.images.tag(Reference.parse(name), target)

    def _put_manifest(self, wanted: Descriptor, raw: bytes) -> None:
        manifest = Manifest.parse(raw, wanted.media_type)
        foreign = False
        for child in (manifest.config, *manifest.layers):
            self.store.session.claim(child.digest)
            if not self.store.blobs.has(child.digest):
                if child.media_type in mediatypes.FOREIGN_LAYERS:
                    foreign = True  # it stays where its urls say; such an image can be passed on, not run
                    continue
                raise BlobMissing(f"{child.digest}, which manifest {wanted.digest} names,", self._where)
        if is_image(manifest) and not foreign:
            config = ImageConfig.parse(self.store.blobs.read(manifest.config.digest))
            met = tuple(diff_id_of(self.store, layer) for layer in manifest.layers)
            if met != config.diff_ids:
                said, are = [", ".join(diff_id.short for diff_id in ids) or "none" for ids in (config.diff_ids, met)]
                raise DocumentInvalid(
                    f"image {wanted.digest}", f"its config says diff ids {said}, its layers are {are}"
                )
            self.store.images.add(manifest, config)
        else:
            self.store.blobs.keep(raw, wanted.media_type)
            children = [manifest.config.digest, *(layer.digest for layer in manifest.layers)]
            self.store.images.learn(wanted, children)

    def _put_index(self, wanted: Descriptor, raw: bytes) -> None:
        index = Index.parse(raw, wanted.media_type)
        children = [entry.digest for entry in index.manifests]
        self.store.session.claim(*children)
        if children and not any(self.store.images.document(child) for child in children):
            raise BlobMissing(f"every image of index {wanted.digest}", self._where)
        self.store.blobs.keep(raw, wanted.media_type)
        self.store.images.learn(wanted, children)
