"""Manifest lists of the store: found by name, made anew when they change, filled with images from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from layers.oci.address import Address, Kind
from layers.quick import replace
from pybuild.addressing import resolve, source

if TYPE_CHECKING:
    from layers import Descriptor, Digest, Image, Index, Platform, Reference
    from pybuild.wiring import Context


def find(context: Context, name: str) -> tuple[Reference, Index]:
    """The list that a name of the store points to. Raises BlobMissing, ClickException if it is no list."""
    from layers import BlobMissing, Index, Reference
    from layers.oci import mediatypes

    reference = Reference.parse(name)
    target = context.store.images.target(reference)
    if target is None:
        raise BlobMissing(f"manifest list {reference.familiar}", f"the store {context.store.root}")
    if target.media_type not in mediatypes.INDEXES:
        raise click.ClickException(f"{reference.familiar} is an image, not a manifest list")
    return reference, Index.parse(context.store.blobs.read(target.digest), target.media_type)


def keep(context: Context, reference: Reference, index: Index) -> Descriptor:
    """Let the name point to this list."""
    store, target = context.store, index.descriptor
    store.blobs.keep(index.raw, index.media_type)
    store.images.learn(target, [entry.digest for entry in index.manifests])
    store.images.tag(reference, target)
    return target


def entries(context: Context, image: str, platform: Platform | None, *, every: bool) -> list[Descriptor]:
    """What a list would say of an image, which is fetched if it is not in the store.

    Of another list that is its image of `platform` (its only one, or this machine's), or with `every` all of them.
    """
    from layers import BlobMissing, Index, Platform
    from layers.moving.repository import document
    from layers.moving.transfer import copy
    from layers.oci import mediatypes

    address = Address.parse(image)
    local = context.store.repository()
    try:
        with source(context, address) as there:
            found = resolve(there, address)
    except BlobMissing:
        if address.kind is not Kind.STORE:
            raise
        address = Address(Kind.REGISTRY, "", image)
    with source(context, address) as there:
        found = resolve(there, address)
        chosen: Sequence[Descriptor] = ()
        if found.media_type in mediatypes.INDEXES:
            index = Index.parse(document(there, found), found.media_type)
            chosen = index.manifests if every else (only(index, platform),)
            if not every and (there_is := chosen[0].platform) is not None:
                platform = Platform(there_is.os, there_is.architecture, there_is.variant)
        if address.kind is not Kind.STORE:
            copy(there, found, local, None, platform=platform, every=every, keep_index=True)
    if not chosen:
        return [described(context, found)] if found.media_type in mediatypes.MANIFESTS else []
    if missing := [entry for entry in chosen if context.store.images.document(entry.digest) is None]:
        error = BlobMissing(f"{missing[0].platform} of {image}", f"the store {context.store.root}")
        error.add_note("'pybuild pull --all-platforms' fetches all of them")
        raise error
    return list(chosen)


def members(context: Context, target: Descriptor) -> list[Image]:
    """The images that are here of what a name points to; none of an artifact."""
    from layers import BlobMissing, Index
    from layers.oci import mediatypes

    images = context.store.images
    if target.media_type not in mediatypes.INDEXES:
        try:
            return [images.get(str(target.digest))]
        except BlobMissing:
            return []
    found: dict[Digest, Image] = {}
    for entry in Index.parse(context.store.blobs.read(target.digest), target.media_type).manifests:
        with suppress(BlobMissing):
            image = images.get(str(entry.digest))
            found.setdefault(image.id, image)
    return list(found.values())


def only(index: Index, platform: Platform | None) -> Descriptor:
    """The entry of a platform; if none is said, of the only image or else this machine's. Raises PlatformMissing."""
    from layers import Platform
    from layers.oci.documents import runnable

    images = [entry for entry in index.manifests if runnable(entry)]
    if platform is None and len(images) == 1:
        return images[0]
    return index.choose(platform or Platform.host())


def described(context: Context, found: Descriptor) -> Descriptor:
    """A manifest of the store with the platform that its config says."""
    from layers import ImageConfig, Manifest
    from layers.oci.documents import is_image

    manifest = Manifest.parse(context.store.blobs.read(found.digest), found.media_type)
    if not is_image(manifest):
        return replace(found.bare, artifact_type=manifest.artifact_type)
    config = ImageConfig.parse(context.store.blobs.read(manifest.config.digest))
    return replace(found.bare, platform=config.platform)


def altered(entry: Descriptor, options: dict[str, Any]) -> Descriptor:
    """An entry as flags want it to be told."""
    from layers import Platform

    now = entry.platform
    platform = Platform.of(
        options["os"] or (now.os if now else "linux"),
        options["arch"] or (now.architecture if now else ""),
        options["variant"] or (now.variant if now and not options["arch"] else None),
    )
    platform = replace(
        platform,
        os_version=options["os_version"] or (now.os_version if now else None),
        os_features=tuple(options["os_features"]) or (now.os_features if now else ()),
    )
    notes = {**entry.annotations, **pairs(options["annotations"])}
    return replace(entry, platform=platform if platform.architecture else now, annotations=notes)


def pairs(words: Sequence[str]) -> dict[str, str]:
    """`KEY=VALUE` words. Raises click.UsageError."""
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise click.UsageError(f"--annotation {word!r} is not KEY=VALUE")
        found[key] = value
    return found
