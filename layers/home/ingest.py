"""From a compressed layer to its raw tar, and from a raw tar to a compressed layer, in one pass.

Reading, hashing, inflating, hashing again and writing overlap in threads (`layers.tar.pipeline`). Nothing is
named before all of it was verified: size and digest of what came, the end of the compressed stream, every
header of the tar. The bytes that a layer may inflate to are bounded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial as prepared
from typing import TYPE_CHECKING, BinaryIO, cast

from layers.errors import ArchiveInvalid, BlobMismatch, DocumentInvalid, LayerError
from layers.home.blobs import CHUNK, Blobs, BlobWriter
from layers.home.partial import Continued, partial
from layers.home.room import demand
from layers.oci import mediatypes
from layers.oci.descriptor import Descriptor
from layers.oci.digest import DiffID, Digest
from layers.oci.image import NewLayer
from layers.tar.pipeline import Behind, Pipe, Stopped

if TYPE_CHECKING:
    from layers.home.store import Store

LEAST_LIMIT = 8 << 30
MOST_LIMIT = 64 << 30
RATIO = 200
"""A layer may inflate to RATIO times its compressed size, but always to LEAST_LIMIT and never beyond MOST_LIMIT."""


def receive(store: Store, wanted: Descriptor, source: BinaryIO) -> DiffID:
    """Keep a layer as it comes, make its raw tar and table of contents in the same pass; its DiffID.

    Raises BlobMismatch if other bytes come than promised, ArchiveInvalid and UnsafePath if they are no layer,
    DocumentInvalid for a kind of layer that cannot be read. Nothing is kept then.
    """
    codec_of(wanted)
    if (known := here_whole(store, wanted)) is not None:
        return known
    demand(store.root, wanted.size)
    with store.blobs.writer(wanted.digest.algorithm) as packed:
        return unpack_into(store, wanted, source, packed)


def gather(store: Store, wanted: Descriptor, open_at: Callable[[int], BinaryIO]) -> None:
    """Keep a blob, a layer as `receive` does, going on with what an earlier process got of it (`layers.home.partial`).

    A part that turns out to be bad, as after a power cut, is dropped and all is fetched again. Raises as `receive`.
    """
    layer = mediatypes.codec_of(wanted.media_type) is not None
    store.session.claim(wanted.digest)
    if layer and store.blobs.has(wanted.digest):
        ingest(store, wanted)  # a process was killed before it noted what the blob holds
        return
    while True:
        with suppress(BadPart), partial(store.blobs, wanted) as part:
            if store.blobs.has(wanted.digest) and (not layer or here_whole(store, wanted) is not None):
                return  # another process brought it while we waited
            with closing(Continued(part, open_at)) as stream:
                source = cast(BinaryIO, stream)
                try:
                    if layer:
                        unpack_into(store, wanted, source, part)
                    else:
                        pump(source, part.write, wanted)
                        verify(part, wanted)
                        part.commit()
                except BlobMismatch as error:
                    if part.kept:
                        raise BadPart from error
                    raise
            return


class BadPart(LayerError):
    """Bytes of an earlier run that are not those of the blob."""


def here_whole(store: Store, wanted: Descriptor) -> DiffID | None:
    """The DiffID of a layer that is here as it comes and as its raw tar; claimed for this process."""
    store.session.claim(wanted.digest)
    known = known_diff_id(store, wanted)
    return known if known is not None and store.blobs.has(wanted.digest) and store.here(known) else None


def unpack_into(store: Store, wanted: Descriptor, source: BinaryIO, packed: BlobWriter) -> DiffID:
    """Write a layer as it comes and make its raw tar from the same bytes; its DiffID. Raises as `receive`."""
    codec = codec_of(wanted)
    if codec == "none":
        pump(source, packed.write, wanted)
        verify(packed, wanted)
        if wanted.digest.algorithm != "sha256":
            raise DocumentInvalid(f"layer {wanted.digest}", "the name of an uncompressed layer must be its sha256")
        return commit(store, packed)
    pipe = Pipe()

    def take(chunk: bytes) -> None:
        packed.write(chunk)
        pipe.feed(chunk)

    with store.blobs.writer() as raw, Inflating(codec, pipe, raw, limit(wanted.size)) as inflating:
        pump(source, take, wanted)
        verify(packed, wanted)
        with packed.flushing():
            inflating.finish()
            diff_id = commit(store, raw)
        packed.commit()
    store.variants.learn(wanted.digest, diff_id, codec, level=None, size=wanted.size)
    return diff_id


def ingest(store: Store, blob: Descriptor) -> DiffID:
    """The layer of a blob that is here, its raw tar made if need be. Raises BlobMissing, ArchiveInvalid, UnsafePath."""
    codec = codec_of(blob)
    store.session.claim(blob.digest)
    known = known_diff_id(store, blob)
    if known is not None and store.here(known):
        return known
    with store.lock(f"ingest.{blob.digest.hex}"):
        known = known_diff_id(store, blob)
        if known is not None and store.here(known):
            return known
        with store.blobs.open(blob.digest) as source, store.blobs.writer() as raw:
            inflate(codec, source, raw, limit(blob.size))
            diff_id = commit(store, raw)
        store.variants.learn(blob.digest, diff_id, codec, level=None, size=blob.size)
        return diff_id


def bring(store: Store, source: BinaryIO) -> NewLayer:
    """Make a layer of a tar in any compression, or none. Raises ArchiveInvalid, UnsafePath."""
    with store.blobs.writer() as raw:
        inflate("any", source, raw, MOST_LIMIT)
        diff_id = commit(store, raw)
    return NewLayer(diff_id, store.blobs.size(diff_id))


def diff_id_of(store: Store, layer: Descriptor) -> DiffID:
    """The layer that a descriptor names, whose blob is here. Raises as `ingest`."""
    return ingest(store, layer)


def compress(blobs: Blobs, diff_id: DiffID, codec: str, level: int | None) -> tuple[Digest, int, int]:
    """Write the compressed form of a layer; (digest, bytes, the level that was used). Raises BlobMissing."""
    from layers.tar import codec as codecs

    used = codecs.LEVELS[codec] if level is None else level
    with blobs.open(diff_id) as raw, blobs.writer() as writer:
        with Behind(writer.write) as write:
            for piece in codecs.compress(codec, used, raw):
                write(piece)
        digest, size = writer.commit()
        return digest, size, used


class Inflating:
    """Inflates in a thread what another one feeds to a pipe."""

    def __init__(self, codec: str, pipe: Pipe, raw: BlobWriter, most: int) -> None:
        self._pipe = pipe
        self._failure: BaseException | None = None
        self._work = prepared(inflate, codec, cast(BinaryIO, pipe), raw, most)
        self._thread = threading.Thread(target=self._run, name="pybuild-inflate", daemon=True)

    def __enter__(self) -> Inflating:
        self._thread.start()
        return self

    def finish(self) -> None:
        """No more comes; wait, and raise what went wrong."""
        self._pipe.finish()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._thread.is_alive():
            self._pipe.finish(cut=True)
            self._thread.join()

    def _run(self) -> None:
        try:
            self._work()
        except Stopped:
            pass
        except BaseException as failure:  # raised by `finish` in the thread that waits
            self._failure = failure
        finally:
            self._pipe.close()


def inflate(codec: str, source: BinaryIO, raw: BlobWriter, most: int) -> None:
    """Write what a compressed stream holds. Raises ArchiveInvalid if it is damaged or holds more than `most` bytes."""
    from layers.tar.codec import decompress

    left = most
    with Behind(raw.write) as write:
        stream = source if codec == "none" else decompress(source)
        while chunk := stream.read(CHUNK):
            left -= len(chunk)
            if left < 0:
                raise ArchiveInvalid(f"it inflates to more than the {most} bytes allowed for a layer of its size")
            write(chunk)


def pump(source: BinaryIO, take: Callable[[bytes], object], wanted: Descriptor) -> None:
    """Hand on what comes, up to one byte more than was promised."""
    left = wanted.size + 1
    while left and (chunk := source.read(min(CHUNK, left))):
        left -= len(chunk)
        take(chunk)


def verify(writer: BlobWriter, wanted: Descriptor) -> None:
    """Compare what came with what was promised. Raises BlobMismatch."""
    met = writer.digest
    if writer.size != wanted.size or met != wanted.digest:
        raise BlobMismatch(wanted, received=writer.size, digest=str(met))


def commit(store: Store, raw: BlobWriter) -> DiffID:
    """Name a raw tar that can be read to its end, and keep its table of contents. Raises ArchiveInvalid, UnsafePath."""
    from layers.tar.toc import Toc

    with raw.reader() as tar, raw.flushing():
        toc = Toc.scan(tar)
    diff_id, _ = raw.commit()
    store.keep_toc(diff_id, toc)
    return diff_id


def codec_of(layer: Descriptor) -> str:
    """How a layer is compressed. Raises DocumentInvalid for what is no layer that we can read."""
    codec = mediatypes.codec_of(layer.media_type)
    if codec is None:
        raise DocumentInvalid(
            f"layer {layer.digest}", f"its media type {layer.media_type!r} is not one that can be read"
        )
    return codec


def known_diff_id(store: Store, layer: Descriptor) -> DiffID | None:
    """The DiffID of a layer's blob, if it needs no reading or is remembered."""
    return layer.digest if mediatypes.codec_of(layer.media_type) == "none" else store.variants.diff_id(layer.digest)


def limit(size: int) -> int:
    """Bytes that a layer of `size` compressed bytes may inflate to."""
    return max(LEAST_LIMIT, min(RATIO * size, MOST_LIMIT))
