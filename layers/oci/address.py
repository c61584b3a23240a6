"""Where an image is, as people write it: skopeo's names of transports, with a bare name for the local store.

    docker://REF                 a registry                oci:DIR[:NAME]        an OCI layout
    oci-archive:FILE[:NAME]      a tar of one              docker-archive:FILE[:REF]   what docker save writes
    dir:PATH                     one image, flat           NAME, ID              the local store

A NAME of a layout or archive may be `@N`, its place in the list; a digest follows the path as `PATH@sha256:...`. A
word before a colon that is a transport's is one: an image of the store that is called `oci:1` is written
`docker.io/library/oci:1`. Printing an Address and reading it again gives the same Address.
"""

from __future__ import annotations

import re
from enum import Enum

from layers.errors import DigestInvalid, ReferenceInvalid
from layers.oci.digest import Digest
from layers.oci.reference import Reference
from layers.quick import dataclass


class Kind(Enum):
    """The kinds of places; the value is what stands before the colon."""

    STORE = ""
    REGISTRY = "docker"
    LAYOUT = "oci"
    OCI_ARCHIVE = "oci-archive"
    DOCKER_ARCHIVE = "docker-archive"
    DIRECTORY = "dir"


PATHS = frozenset({Kind.LAYOUT, Kind.OCI_ARCHIVE, Kind.DOCKER_ARCHIVE, Kind.DIRECTORY})
DIGEST = re.compile(r"(?P<path>[^:]*)@(?P<digest>sha(?:256|384|512):[0-9a-f]+)\Z")
PLACE = re.compile(r"@[0-9]+\Z")
REFUSED = {
    "containers-storage": "podman's own store is podman's to read; 'podman save --format oci-archive' makes an archive",
    "docker-daemon": "no daemon is spoken to; use 'docker save', then docker-archive:FILE",
    "ostree": "no ostree repositories are read",
    "sif": "no images of Singularity are read",
    "tarball": "a bare tar has no image around it; 'pybuild import' makes one",
}


@dataclass(frozen=True, slots=True)
class Address:
    """One image's place. `path` is empty for the store and registries, `name` where nothing is named.

    In a registry and in the store `name` is the whole reference (or, in the store, an id); in a layout or an archive it
    is what the image is called there.
    """

    kind: Kind
    path: str = ""
    name: str = ""

    @classmethod
    def parse(cls, text: str, *, bare: Kind = Kind.STORE) -> Address:
        """Read a place; a name without a transport is the store's, or what `bare` says. Raises ReferenceInvalid."""
        word, colon, rest = text.partition(":")
        if colon and word in REFUSED:
            raise ReferenceInvalid(text, REFUSED[word])
        kind = next((kind for kind in Kind if colon and word == kind.value and kind.value), None)
        if kind is Kind.REGISTRY and not rest.startswith("//"):
            kind = None  # docker:dind is an image
        if kind is None:
            if "://" in text:
                raise ReferenceInvalid(text, f"{word!r} is no transport; known are {', '.join(known())}")
            if bare is Kind.REGISTRY:
                return cls(bare, "", str(Reference.parse(text)))
            if not text:
                raise ReferenceInvalid(text, "the name is empty")
            return cls(Kind.STORE, "", text)
        if kind is Kind.REGISTRY:
            return cls(kind, "", str(Reference.parse(rest[2:])))
        if kind is Kind.DIRECTORY:
            path, name = rest, ""
        elif found := DIGEST.match(rest):
            path, name = found["path"], found["digest"]
        else:
            path, _, name = rest.partition(":")
            if kind is not Kind.DOCKER_ARCHIVE and (found := DIGEST.match(f"@{name.rpartition('@')[2]}")):
                name = found["digest"]  # a name with a digest: the digest decides
        if not path or "\0" in path:
            raise ReferenceInvalid(text, f"write {kind.value}:PATH")
        if name.startswith(("sha256:", "sha384:", "sha512:")):
            try:
                Digest.parse(name)
            except DigestInvalid as error:
                raise ReferenceInvalid(text, error.why) from error
        elif kind is Kind.DOCKER_ARCHIVE and name and not PLACE.match(name):
            name = str(Reference.parse(name))
        return cls(kind, path, name)

    @property
    def reference(self) -> Reference:
        """The name as an image reference. Raises ReferenceInvalid."""
        return Reference.parse(self.name)

    def __str__(self) -> str:
        match self.kind:
            case Kind.STORE:
                return self.name
            case Kind.REGISTRY:
                return f"docker://{self.name}"
            case _ if not self.name:
                return f"{self.kind.value}:{self.path}"
            case _ if DIGEST.match(f"@{self.name}"):
                return f"{self.kind.value}:{self.path}@{self.name}"
            case _:
                return f"{self.kind.value}:{self.path}:{self.name}"


def known() -> tuple[str, ...]:
    """The transports, as they are written."""
    return ("docker://", *(f"{kind.value}:" for kind in Kind if kind in PATHS))
