"""Finds the images that FROM and COPY --from name: in the store, else in the registry of the reference."""

from __future__ import annotations

from collections.abc import Callable

from builder.errors import DockerfileError
from builder.graph import BaseImage
from builder.sources.named import LayoutImage
from builder.span import Span
from builder.workbench import Workbench
from layers import (
    BlobMissing,
    Descriptor,
    DocumentInvalid,
    ImageConfig,
    Index,
    LayerError,
    Manifest,
    Platform,
    PlatformMissing,
    Reference,
    Repository,
)
from layers.oci.mediatypes import INDEXES
from layers.quick import replace

MOST = 4 << 20
"""Bytes of a document that are read."""


class Bases:
    """A `builder.planning.names.Images`: asks registries only for what is not here, or for everything with `pull`."""

    def __init__(self, bench: Workbench, *, pull: bool) -> None:
        self._bench = bench
        self._pull = pull
        self._found: dict[tuple[Reference, Platform], BaseImage] = {}

    def __call__(self, reference: Reference, platform: Platform, span: Span) -> BaseImage:
        """The documents of an image. Raises DockerfileError where the Dockerfile is to blame, else what hindered it."""
        key = (reference, platform)
        if key not in self._found:
            self._found[key] = self._find(reference, platform, span)
        return self._found[key]

    def known(self, named: Callable[[str], Reference]) -> Callable[[str, Platform, Span], BaseImage | None]:
        """The same by name, with None for whatever cannot be had: the plan has told why, or will."""

        def find(name: str, platform: Platform, span: Span) -> BaseImage | None:
            try:
                return self(named(name), platform, span)
            except Exception:
                return None

        return find

    def layout(self, place: LayoutImage, platform: Platform, span: Span) -> BaseImage:
        """The documents of an image in an OCI layout. Raises DockerfileError."""
        from layers.moving.layout import Layout

        try:
            found = read(Layout.at(place.path), Reference.parse("oci-layout"), place.name, platform)
        except LayerError as error:
            raise DockerfileError(span, f"oci-layout://{place.path}: {error}") from error
        local = all(self._bench.store.here(diff_id) for diff_id in found.chain.diff_ids)
        reference = Reference.parse(f"oci-layout@{found.target.digest}")
        return replace(found, reference=reference, local=local, layout=place.path)

    def _find(self, reference: Reference, platform: Platform, span: Span) -> BaseImage:
        images = self._bench.store.images
        if not self._pull or self._bench.remote is None or reference.digest is not None:
            try:
                if (image := images.find(reference, platform)) is not None:
                    if not platform.accepts(image.config.platform):
                        raise PlatformMissing(str(platform), (str(image.config.platform),))
                    return BaseImage(reference, image.target, image.manifest, image.config, True)
            except PlatformMissing:
                if self._bench.remote is None:
                    raise
        if self._bench.remote is None:
            raise DockerfileError(
                span, f"image {reference.familiar} is not in the store, and this build may ask nobody"
            )
        remote = self._bench.remote(reference)
        wanted = str(reference.digest) if reference.digest else str(reference.tag)
        try:
            return read(remote, reference, wanted, platform)
        except BlobMissing as error:
            names = [known.familiar for known, _ in images.names()]
            from difflib import get_close_matches

            near = get_close_matches(reference.familiar, names, 2)
            help = f"did you mean {' or '.join(near)}, which is here?" if near else f"{error}"
            raise DockerfileError(span, f"image {reference.familiar}: not found", help=help) from error


def read(remote: Repository, reference: Reference, name: str, platform: Platform) -> BaseImage:
    """The documents of one platform's image in a repository. Raises BlobMissing, PlatformMissing, DocumentInvalid."""
    target = chosen = remote.resolve(name)
    if target.media_type in INDEXES:
        chosen = Index.parse(content(remote, target), target.media_type).choose(platform)
    manifest = Manifest.parse(content(remote, chosen), chosen.media_type)
    config = ImageConfig.parse(content(remote, manifest.config))
    if target.media_type in INDEXES and not platform.accepts(config.platform):
        raise PlatformMissing(str(platform), (str(config.platform),))
    # A manifest that is all there is for whatever platform is taken; a check tells that it is another one's.
    return BaseImage(reference, target, manifest, config, False)


def content(remote: Repository, wanted: Descriptor) -> bytes:
    """A document, verified. Raises DocumentInvalid."""
    with remote.open(wanted) as source:
        data = source.read(MOST + 1)
        while len(data) <= MOST and (more := source.read(MOST + 1 - len(data))):
            data += more
    met = Descriptor.of(data, wanted.media_type)
    if met.digest != wanted.digest:
        raise DocumentInvalid(f"document {wanted.digest}", f"other bytes came, of digest {met.digest}")
    return data
