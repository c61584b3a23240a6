"""One image from one place to another, in the form that was asked for: what copy, sync, push and pull do.

Documents travel as their bytes unless somebody asks for another form. Places that hold layers raw (the store, docker's
archives) are the exception: what goes out of them is compressed, as everybody expects of an image that travels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from layers.oci.address import Address, Kind
from layers.quick import dataclass
from pybuild.addressing import given, resolve, source, target

if TYPE_CHECKING:
    from layers import Descriptor, Digest, Platform, Repository
    from layers.moving.rewrite import Rewritten
    from layers.moving.transfer import Progress
    from pybuild.wiring import Context
    from registry.session import Client

RAW = frozenset({Kind.STORE, Kind.DOCKER_ARCHIVE})
"""Places where layers lie uncompressed."""


@dataclass(frozen=True, slots=True)
class Form:
    """What an image should look like where it goes; None: as it is.

    `codec` for all its layers, or with `raw_only` for those that lie uncompressed; `kind` of media types ("oci",
    "docker"); `preserve` changes nothing at all, not even where it goes without saying.
    """

    codec: str | None = None
    level: int | None = None
    kind: str | None = None
    raw_only: bool = False
    preserve: bool = False

    def codec_between(self, origin: Kind, destination: Kind) -> tuple[str | None, bool]:
        """The codec that layers get on this way, and whether all of them or only raw ones."""
        if self.preserve:
            return None, False
        if self.codec is not None:
            return self.codec, not self.raw_only
        if destination is Kind.DOCKER_ARCHIVE:
            return "none", True
        if origin in RAW and destination not in RAW:
            return "gzip", False
        return None, False


@dataclass(frozen=True, slots=True)
class Copied:
    """What came of it: what lies there now, the digest that it had before, and what was left out on the way."""

    image: Descriptor
    was: Digest
    notes: tuple[str, ...]


def copy(
    context: Context,
    origin: Address,
    destination: Address,
    *,
    form: Form,
    platform: Platform | None = None,
    every: bool = False,
    also: Sequence[str] = (),
    source_client: Client | None = None,
    target_client: Client | None = None,
    progress: Progress | None = None,
) -> Copied:
    """Copy an image, which gets the names `also` besides that of its destination.

    Raises what the places raise, and DocumentInvalid where the form cannot be had.
    """
    from layers import BlobMissing, DocumentInvalid
    from layers.moving.rewrite import Rewritten
    from layers.moving.transfer import copy as transfer

    tag = given(destination)
    with ExitStack() as stack:
        stack.enter_context(context.store.lease())
        there = stack.enter_context(source(context, origin, source_client))
        found = resolve(there, origin)  # before anything is made where it should go
        seen = stack.enter_context(view(context, there, origin.kind, destination.kind, form))
        here = stack.enter_context(target(context, destination, target_client))
        try:
            after = transfer(
                seen,
                found,
                here,
                tag,
                platform=platform,
                every=every,
                keep_index=destination.kind is Kind.STORE,
                progress=progress,
                places=context.places,
            )
        except BlobMissing as error:
            if every and origin.kind is Kind.STORE:
                error.add_note(f"the store has a part of {origin}; 'pybuild pull --all-platforms' fetches the others")
            raise
        for name in also:
            here.tag(name, after)
        copied = Copied(after, after.digest, ())
        if isinstance(seen, Rewritten):
            copied = Copied(after, seen.was.get(after.digest, after.digest), tuple(seen.notes))
    if origin.kind is Kind.STORE and destination.kind is Kind.REGISTRY:
        from layers.moving import sent

        sent.note(context.store, copied.was, destination.reference.pinned(after.digest))
    if destination.kind is Kind.REGISTRY and (said := destination.reference.digest) not in (None, after.digest):
        raise DocumentInvalid(f"image {after.digest}", f"it was sent, but it is not {said}, which {destination} names")
    return copied


@contextmanager
def view(
    context: Context, there: Repository, origin: Kind, destination: Kind, form: Form
) -> Iterator[Repository | Rewritten]:
    """A place as the destination should see it."""
    codec, force = form.codec_between(origin, destination)
    if codec is None and form.kind is None:
        yield there
        return
    from layers.moving.forms import ScratchForms
    from layers.moving.rewrite import Packed, Rewritten

    if origin is Kind.STORE:
        yield Packed(context.store, codec, form.level, force=force, kind=form.kind)
        return
    with context.store.scratch() as room:
        forms = ScratchForms(there, context.store.scratch, room, form.level)
        anew = form.level is not None and codec != "none"
        yield Rewritten(there, forms, codec=codec, kind=form.kind, force=force, anew=anew)
