"""`pybuild tag`: another name for the same image."""

from __future__ import annotations

import click

from pybuild.wiring import Context


@click.command(epilog="\b\nExample:\n  pybuild tag app registry.example.org/team/app:1.4")
@click.argument("image")
@click.argument("name")
@click.pass_obj
def tag(context: Context, image: str, name: str) -> None:
    """Let NAME point to IMAGE (a name, an id, or the first digits of one)."""
    from layers import BlobMissing, Reference, ReferenceInvalid

    reference = Reference.parse(name)
    if reference.digest is not None:
        raise ReferenceInvalid(name, "a tag cannot carry a digest")
    images = context.store.images
    target = None
    try:
        target = images.target(Reference.parse(image))  # an index stays an index
    except (ReferenceInvalid, BlobMissing):
        pass
    target = target or images.get(image).target
    images.tag(reference, target)
    context.note("tag", str(target.digest), reference.familiar)
