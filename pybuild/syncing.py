"""Which images `sync` copies, and where each goes: decided before the first byte moves.

The names of what is written are skopeo's (skopeo-sync(1)): the last part of the repository with its tag, or with
`scoped` the whole name. Two images that would land in one place are an error, not a race.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from layers.oci.address import Address, Kind
from layers.quick import dataclass

if TYPE_CHECKING:
    from layers import Reference
    from pybuild.wiring import Context
    from registry.session import Client


class Colliding(Exception):
    """Several images would go to one place."""

    def __init__(self, place: Address, images: Sequence[Address]) -> None:
        shown = " and ".join(map(str, images))
        super().__init__(f"{shown} would both become {place}; --scoped keeps their whole names apart")


@dataclass(frozen=True, slots=True)
class Way:
    """One image to copy."""

    origin: Address
    destination: Address


def ways(
    origins: Sequence[Address], base: str, destination: Kind, destination_text: str, *, scoped: bool
) -> tuple[Way, ...]:
    """Where each image goes; `base` is the directory that was walked, if one was. Raises Colliding."""
    found: dict[Address, Address] = {}
    for origin in origins:
        name = suffix(origin, base, scoped=scoped)
        if destination is Kind.DIRECTORY:
            place = Address(Kind.DIRECTORY, os.path.join(destination_text, name))
        else:
            host, slash, rest = name.partition("/")
            name = f"{host.replace(':', '_')}/{rest}" if scoped and slash else name  # no colon fits into a path
            place = Address.parse(f"docker://{destination_text.removeprefix('docker://').strip('/')}/{name}")
        if (other := found.setdefault(place, origin)) != origin:
            raise Colliding(place, (other, origin))
    return tuple(Way(origin, place) for place, origin in found.items())


def suffix(origin: Address, base: str, *, scoped: bool) -> str:
    """What an image is called below its destination."""
    if origin.kind is Kind.REGISTRY:
        whole = origin.name
    else:
        whole = os.path.relpath(origin.path, base)
        if whole == ".":
            whole = os.path.basename(os.path.abspath(base))
    return whole if scoped else whole.rpartition("/")[2]


def images(context: Context, text: str, client: Client | None) -> Iterator[Address]:
    """The images of a repository, of one reference, or (`HOST/`, `HOST/PREFIX/`) of all repositories below a name."""
    from layers import Reference
    from pybuild.addressing import listing
    from registry.errors import NotFound
    from registry.listing import catalog

    text = text.removeprefix("docker://")
    if text.endswith("/"):
        host, _, prefix = text.partition("/")
        host = Reference.parse(f"{host}/any").host
        known = catalog(client or context.client, host)
        repositories = [
            Reference.parse(f"{host}/{name}", default_tag=False) for name in known if name.startswith(prefix)
        ]
    else:
        repositories = [Reference.parse(text, default_tag=False)]
    for repository in repositories:
        if repository.tag or repository.digest:
            yield at(repository)
            continue
        try:
            tags = listing(context, at(repository), client).tags()
        except NotFound:
            if text.endswith("/"):
                continue  # a catalog goes on naming repositories of which everything was deleted
            raise
        for tag in tags:
            yield at(repository.with_tag(tag))  # which refuses a tag that would lead out of a directory


def at(reference: Reference) -> Address:
    """A reference as a place."""
    return Address(Kind.REGISTRY, "", str(reference))


def directories(base: Path) -> Iterator[Address]:
    """Every `dir:` image at or below a directory, sorted. Raises BlobMissing if there is none."""
    from layers import BlobMissing

    found = False
    for folder, below, files in os.walk(base):
        below.sort()
        if "manifest.json" in files:
            found = True
            below.clear()
            yield Address(Kind.DIRECTORY, folder)
    if not found:
        raise BlobMissing("an image (a directory with manifest.json)", str(base))


def filtered(origins: Iterator[Address], include: Sequence[str], exclude: Sequence[str]) -> list[Address]:
    """Those whose tag matches one of `include`, if there are any, and none of `exclude`."""
    wanted, unwanted = [re.compile(text) for text in include], [re.compile(text) for text in exclude]
    kept = []
    for origin in origins:
        tag = (origin.name or origin.path).rpartition("/")[2].partition(":")[2]
        if wanted and not any(rule.search(tag) for rule in wanted):
            continue
        if not any(rule.search(tag) for rule in unwanted):
            kept.append(origin)
    return kept
