"""Places of images, opened: from what people write to a `layers.Repository` and the name in it.

Reading opens what is there; writing makes it, and what is written as one file takes its name when it is complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from layers.oci.address import Address, Kind

if TYPE_CHECKING:
    from layers import Descriptor, Repository
    from pybuild.wiring import Context
    from registry.listing import Listing
    from registry.session import Client


@contextmanager
def source(context: Context, address: Address, client: Client | None = None) -> Iterator[Repository]:
    """What is at a place, to be read. Raises BlobMissing, DocumentInvalid, ArchiveInvalid and RegistryErrors."""
    path = Path(address.path)
    match address.kind:
        case Kind.STORE:
            yield context.store.repository()
        case Kind.REGISTRY:
            yield registry(context, address, client)
        case Kind.LAYOUT:
            from layers.moving.layout import Layout

            yield Layout.at(path)
        case Kind.DIRECTORY:
            from layers.moving.directory import Directory

            yield Directory.at(path)
        case Kind.OCI_ARCHIVE | Kind.DOCKER_ARCHIVE:
            from layers.moving.archive import reader
            from layers.moving.members import opened

            with path.open("rb") as file, opened(file, context.store.scratch) as members:
                yield reader(members, f"the archive {path}")


@contextmanager
def target(context: Context, address: Address, client: Client | None = None) -> Iterator[Repository]:
    """A place to write to. Raises DocumentInvalid where something else lies, OSError and RegistryErrors."""
    path = Path(address.path)
    match address.kind:
        case Kind.STORE:
            yield context.store.repository()
        case Kind.REGISTRY:
            yield registry(context, address, client)
        case Kind.LAYOUT:
            from layers.moving.layout import Layout

            yield Layout.create(path)
        case Kind.DIRECTORY:
            from layers.moving.directory import Directory

            yield Directory.create(path)
        case Kind.OCI_ARCHIVE | Kind.DOCKER_ARCHIVE:
            from builder.export import replacing
            from layers.moving.archivewriter import ArchiveWriter

            with replacing(path) as sink:
                writer = ArchiveWriter(sink, docker=address.kind is Kind.DOCKER_ARCHIVE, where=f"the archive {path}")
                yield writer
                writer.finish()


def registry(context: Context, address: Address, client: Client | None) -> Repository:
    """A repository of a registry, spoken to through `client` if flags asked for one of their own."""
    if client is None:
        return context.registry(address.reference)
    from registry.remote import RemoteRepository

    return RemoteRepository(address.reference, client)


def listing(context: Context, address: Address, client: Client | None = None) -> Listing:
    """The tags of a repository of a registry."""
    from registry.listing import Listing
    from registry.remote import RemoteRepository

    if client is not None:
        return Listing(RemoteRepository(address.reference, client))
    return Listing(context.registry(address.reference).origin)


def resolve(there: Repository, address: Address) -> Descriptor:
    """What an address points to at its place. Raises BlobMissing, NameAmbiguous and what the place raises."""
    from layers import BlobMissing

    if address.kind is Kind.REGISTRY:
        reference = address.reference
        return there.resolve(str(reference.digest or reference.tag))
    try:
        return there.resolve(address.name)
    except BlobMissing as error:
        if address.kind is Kind.STORE:
            error.add_note(f"a bare name is the store's; to ask a registry write docker://{address.name}")
        raise


def given(address: Address) -> str | None:
    """The name that `tag` takes at a place; None if what is copied gets none. Raises ReferenceInvalid."""
    from layers import ReferenceInvalid

    if address.kind in (Kind.REGISTRY, Kind.STORE):
        reference = address.reference
        if reference.digest is not None:
            if address.kind is Kind.REGISTRY:
                return None
            raise ReferenceInvalid(address.name, "a digest is no name to give; write NAME:TAG")
        return str(reference) if address.kind is Kind.STORE else reference.tag
    if address.name.startswith(("@", "sha256:", "sha384:", "sha512:")):
        raise ReferenceInvalid(str(address), "only a name can be given, not a place in a list nor a digest")
    return address.name
