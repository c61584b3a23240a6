"""`pybuild images --tree`: what each name leads to, the images of an index below it, as docker draws them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pybuild import units
from pybuild.formats import filters as wanted

if TYPE_CHECKING:
    from layers import Descriptor, Digest, Image, Reference
    from pybuild.wiring import Context

HEADS = ("IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "IN USE")
Row = tuple[str, str, str, str, str]


def rows(context: Context, name: str | None) -> Iterator[Row]:
    """Everything that has a name, or one of some pattern, then what has none. DISK USAGE is of files, not of blocks."""
    from pybuild.lists import members

    found: dict[Digest, tuple[Descriptor, list[Reference]]] = {}
    for reference, target in context.store.images.names():
        words = (reference.familiar_repository, reference.familiar)
        if name is None or any(wanted.globbed(word, [name]) for word in words):
            found.setdefault(target.digest, (target, []))[1].append(reference)
    used = busy(context)
    for target, names in found.values():
        images = members(context, target)
        if not images:
            continue  # an artifact
        for reference in names[:-1]:
            yield (reference.familiar, "", "", "", "")
        yield whole(names[-1].familiar, target.digest.short, images, used)
        if target.digest != images[0].manifest.descriptor.digest:
            for image in images:
                mark = "└─" if image is images[-1] else "├─"
                yield whole(f"{mark} {image.config.platform}", image.id.short, [image], used)
    for image in context.store.images.list() if name is None else ():
        if not image.references:
            yield whole("<untagged>", image.id.short, [image], used)


def whole(name: str, identity: str, images: list[Image], used: frozenset[str]) -> Row:
    """What some images take together."""
    layers = {layer.digest: layer.size for image in images for layer in image.manifest.layers}
    content = sum(layers.values()) + sum(image.manifest.config.size + len(image.manifest.raw) for image in images)
    disk = sum(image.size for image in images)
    mark = "U" if any(str(image.id) in used for image in images) else ""
    return (name, identity, units.size(disk), units.size(content), mark)


def busy(context: Context) -> frozenset[str]:
    """Ids of the images that containers have."""
    from builder.containers import Containers

    return frozenset(one.settings.image for one in Containers(context.store).list())
