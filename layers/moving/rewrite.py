"""Images in another form than they lie somewhere: layers compressed otherwise, or under other media types.

The config, and so the image id, stays byte for byte. A manifest is written anew only where something in it changes;
everything else that it says stays. A layer is made in its other form when the manifest that names it is asked for,
and checked on the way: what comes out of a compressed layer is what the config's DiffID promises.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, BinaryIO

from layers.errors import DocumentInvalid
from layers.moving.forms import Forms, StoreForms
from layers.moving.repository import ReadOnly, Repository, document
from layers.oci import mediatypes
from layers.oci.attested import IN_TOTO, REFERENCE, about
from layers.oci.descriptor import Descriptor
from layers.oci.digest import Digest
from layers.oci.documents import ImageConfig, Index, Manifest, decode, encode
from layers.quick import replace

if TYPE_CHECKING:
    from layers.home.store import Store

JOBS = 4
LARGEST = 64 << 20
"""Bytes of a statement that are read."""
OF_THE_BYTES = ("zstd-chunked", "stargz")
"""Annotations of a layer that speak of its compressed bytes: they go when those do."""


class Rewritten(ReadOnly):
    """Another repository, seen with `codec` for its layers and `kind` ("oci" or "docker") for its media types.

    Only raw layers are compressed, unless `force`: then all of them get `codec` ("none" unpacks them), with `anew` even
    those that have it already, at another level perhaps. `resolve` tells what is there; `rewrite` gives its other form.
    """

    def __init__(
        self,
        source: Repository,
        forms: Forms,
        *,
        codec: str | None = None,
        kind: str | None = None,
        force: bool = False,
        anew: bool = False,
    ) -> None:
        self.source = source
        self.where = "a view of images"
        self._forms = forms
        self._codec = codec
        self._kind = kind
        self._force = force
        self._anew = anew and force
        self._documents: dict[Digest, bytes] = {}
        self.was: dict[Digest, Digest] = {}
        """What each document that was written anew was made of."""
        self.notes: dict[str, None] = {}
        """What had to be left out or done otherwise than asked, each once, in words."""

    def resolve(self, name: str) -> Descriptor:
        """What a name points to, as it is. Raises BlobMissing."""
        return self.source.resolve(name)

    def rewrite(self, target: Descriptor) -> Descriptor:
        """The other form of a manifest or index; the same where nothing changes. Raises DocumentInvalid."""
        if target.media_type not in mediatypes.DOCUMENTS:
            return target
        raw = document(self.source, target)
        if target.media_type in mediatypes.INDEXES:
            return self._index(target, Index.parse(raw, target.media_type))
        return self._manifest(target, Manifest.parse(raw, target.media_type))

    def has(self, wanted: Descriptor) -> bool:
        """True for what was rewritten and for what is there."""
        return wanted.digest in self._documents or self.source.has(wanted)

    def open(self, wanted: Descriptor) -> BinaryIO:
        """The bytes. Raises BlobMissing."""
        if (raw := self._documents.get(wanted.digest)) is not None:
            return io.BytesIO(raw)
        return self._forms.open(wanted) or self.source.open(wanted)

    # -- inside ----------------------------------------------------------------------------------

    def _index(self, target: Descriptor, index: Index) -> Descriptor:
        """An index over the other forms of the images that are there; entries of absent ones stay."""
        value = decode(index.raw, "index")
        differs = False
        moved: dict[Digest, Descriptor] = {}
        pairs = list(zip(value["manifests"], index.manifests, strict=True))
        for entry, told in sorted(pairs, key=lambda pair: REFERENCE in pair[1].annotations):  # images first
            if self.source.has(told):
                other = self._statements(told, moved) if REFERENCE in told.annotations else self.rewrite(told)
                if other.digest != told.digest:
                    moved[told.digest] = other
                    if REFERENCE in told.annotations:
                        entry["annotations"][REFERENCE] = other.annotations[REFERENCE]
                differs |= other.digest != told.digest
                entry.update(mediaType=other.media_type, digest=str(other.digest), size=other.size)
                if other.digest != told.digest:
                    entry.pop("data", None)
        kind = self._media_type(target.media_type)
        if differs and any(entry["mediaType"] == mediatypes.OCI_MANIFEST for entry in value["manifests"]):
            kind = mediatypes.OCI_INDEX
        if kind == mediatypes.DOCKER_INDEX and kind != target.media_type:
            self._drop(value, "annotations", "artifactType", "subject", what="the index")
        return self._author(value, kind, target) if differs or kind != target.media_type else target

    def _statements(self, told: Descriptor, moved: Mapping[Digest, Descriptor]) -> Descriptor:
        """Statements about an image that has another digest now: they speak of it by that."""
        subject = moved.get(Digest.parse(told.annotations[REFERENCE]))
        if subject is None or told.media_type not in mediatypes.MANIFESTS:
            return told
        manifest = Manifest.parse(document(self.source, told), told.media_type)
        value = decode(manifest.raw, "manifest")
        now = {old: new.digest for old, new in moved.items()}
        ids: dict[str, str] = {}
        for entry, layer in zip(value["layers"], manifest.layers, strict=True):
            if layer.media_type == IN_TOTO and layer.size <= LARGEST:
                with self.source.open(layer) as stream:
                    raw = about(stream.read(LARGEST), now)
                made = self._keep(raw, IN_TOTO)
                ids[str(layer.digest)] = str(made.digest)
                entry.update(digest=str(made.digest), size=made.size)
                entry.pop("data", None)
        if manifest.config.media_type in mediatypes.CONFIGS:
            config = decode(document(self.source, manifest.config), "image config")
            if isinstance(rootfs := config.get("rootfs"), dict):
                rootfs["diff_ids"] = [ids.get(one, one) for one in rootfs.get("diff_ids") or ()]
            value["config"] = self._keep(encode(config), manifest.config.media_type).to_json()
        if isinstance(value.get("subject"), dict):
            value["subject"] = subject.bare.to_json()
        found = self._author(value, told.media_type, told)
        return replace(found, annotations={**told.annotations, REFERENCE: str(subject.digest)})

    def _keep(self, raw: bytes, media_type: str) -> Descriptor:
        """A blob that is to be found here."""
        found = Descriptor.of(raw, media_type)
        self._documents[found.digest] = raw
        return found

    def _manifest(self, target: Descriptor, manifest: Manifest) -> Descriptor:
        changes = self._layers(manifest)
        value = decode(manifest.raw, "manifest")
        kind = self._media_type(target.media_type)
        zstd = any(layer.media_type.endswith("+zstd") for layer in changes.values())
        if kind == mediatypes.DOCKER_MANIFEST and zstd:
            if self._kind == "docker":
                raise DocumentInvalid(f"image {target.digest}", "docker's manifests know no zstd; add --compress gzip")
            kind = mediatypes.OCI_MANIFEST
            self._note("zstd layers need OCI media types, so the image gets them")
        for at, layer in enumerate(manifest.layers):
            if other := changes.get(layer.digest):
                value["layers"][at] = changed(value["layers"][at], other, kind)
        if self._kind is not None or kind != target.media_type:
            for entry in (value["config"], *value["layers"]):
                entry["mediaType"] = translated(entry["mediaType"], kind)
        if kind == mediatypes.DOCKER_MANIFEST and kind != target.media_type:
            self._drop(value, "annotations", "artifactType", "subject", what="the manifest")
        if value == decode(manifest.raw, "manifest") and kind == target.media_type:
            return target
        return self._author(value, kind, target)

    def _layers(self, manifest: Manifest) -> dict[Digest, Descriptor]:
        """The layers that get another form, by the digest they have now."""
        codec = self._codec
        if codec is None or manifest.config.media_type not in mediatypes.CONFIGS:
            return {}
        wanted = []
        for layer in manifest.layers:
            now = mediatypes.codec_of(layer.media_type)
            if now is None or layer.media_type in mediatypes.FOREIGN_LAYERS or (now == codec and not self._anew):
                continue
            if now == "none" or self._force:
                wanted.append(layer)
        if not wanted:
            return {}
        config = ImageConfig.parse(document(self.source, manifest.config))
        if len(config.diff_ids) != len(manifest.layers):
            raise DocumentInvalid(
                "manifest", f"{len(manifest.layers)} layers for {len(config.diff_ids)} diff ids of the config"
            )
        ids = dict(zip((layer.digest for layer in manifest.layers), config.diff_ids, strict=True))
        distinct = list({layer.digest: layer for layer in wanted}.values())
        with ThreadPoolExecutor(JOBS, thread_name_prefix="pybuild-pack") as pool:
            made = pool.map(lambda layer: self._forms.make(layer, ids[layer.digest], codec), distinct)
            return dict(zip((layer.digest for layer in distinct), made, strict=True))

    def _media_type(self, now: str) -> str:
        """What a document becomes."""
        if self._kind is None:
            return now
        oci = mediatypes.TWINS.get(now, now)
        return oci if self._kind == "oci" else DOCKER[oci]

    def _drop(self, value: dict[str, Any], *keys: str, what: str) -> None:
        for key in keys:
            if value.pop(key, None):
                self._note(f"docker's format knows no {key}: {what} loses them")

    def _note(self, text: str) -> None:
        self.notes.setdefault(text)

    def _author(self, value: dict[str, Any], kind: str, like: Descriptor) -> Descriptor:
        if kind != like.media_type or "mediaType" in value:
            value["mediaType"] = kind
        raw = encode(value)
        found = Descriptor.of(raw, kind)
        self._documents[found.digest] = raw
        self.was[found.digest] = like.digest
        return replace(like, media_type=kind, digest=found.digest, size=found.size, data=None)


def changed(entry: Mapping[str, Any], layer: Descriptor, kind: str) -> dict[str, Any]:
    """A layer's object for its other form; what it says beyond stays, unless it speaks of the old bytes."""
    media_type = translated(layer.media_type, kind)
    value = {**entry, "mediaType": media_type, "digest": str(layer.digest), "size": layer.size}
    for stale in ("data", "urls", "annotations"):
        value.pop(stale, None)
    notes = entry.get("annotations") or {}
    if kept := {key: word for key, word in notes.items() if not any(form in key for form in OF_THE_BYTES)}:
        value["annotations"] = kept
    return value


DOCKER = {oci: docker for docker, oci in mediatypes.TWINS.items()}


def translated(media_type: str, kind: str) -> str:
    """The type of a config or layer in a manifest of `kind`. Raises DocumentInvalid if docker has no such type."""
    if kind == mediatypes.OCI_MANIFEST:
        return mediatypes.TWINS.get(media_type, media_type)
    if media_type in mediatypes.TWINS:
        return media_type
    if media_type not in DOCKER:
        raise DocumentInvalid("manifest", f"docker's format has no twin of {media_type!r}")
    return DOCKER[media_type]


class Packed(Rewritten):
    """The store as others want to see it: layers that lie here uncompressed appear under `codec`.

    With `force` layers that came compressed in another way are changed, too.
    """

    def __init__(
        self,
        store: Store,
        codec: str | None = "gzip",
        level: int | None = None,
        *,
        force: bool = False,
        kind: str | None = None,
    ) -> None:
        forms = StoreForms(store, level)
        super().__init__(
            store.repository(), forms, codec=codec, kind=kind, force=force, anew=level is not None and codec != "none"
        )
