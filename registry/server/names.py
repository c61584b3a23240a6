"""What a repository of the registry is called, and what the store calls it.

A repository's name is what a person types for the image: `app` is the store's `app`, `team/app` its `team/app`, and
`example.org/team/app` the image of that registry. So what was built here can be pulled under its own name, and what is
pushed as `app:1` can be run as `app:1`. Names of the store with a port (`localhost:5000/app`) are no repository names
and are not served. The whole text must match before anything is made of it (distribution-spec, "Pulling manifests").
"""

from __future__ import annotations

from layers import Digest, DigestInvalid, Reference, ReferenceInvalid
from layers.oci.reference import DEFAULT_HOST, is_name, is_tag
from registry.server.faults import Fault

LONGEST = 255


def repository(text: str) -> Reference:
    """The store's name for a repository, without a tag. Raises Fault NAME_INVALID."""
    if len(text) <= LONGEST and is_name(text):
        found = stored(text)
        # Names of the store are read back from their text: one that would come back as another is none of ours.
        try:
            if Reference.parse(str(found), default_tag=False) == found:
                return found
        except ReferenceInvalid:
            pass
    raise Fault("NAME_INVALID", f"{text[:LONGEST]!r} is no repository name: lower case words joined by . _ - and /")


def stored(text: str) -> Reference:
    """A path as a reference; a first word that looks like a host but cannot be one is a word of Docker Hub's."""
    try:
        return Reference.parse(text, default_tag=False)
    except ReferenceInvalid:
        return Reference(DEFAULT_HOST, text)


def path(reference: Reference) -> str | None:
    """What a name of the store is called here, or None if it cannot be said."""
    text = reference.familiar_repository
    try:
        return text if repository(text).repository == reference.repository else None
    except Fault:
        return None


def tag(text: str, *, code: str = "MANIFEST_INVALID") -> str:
    """A tag as it is. Raises Fault; what cannot be a tag is unknown to those who ask, invalid to those who send."""
    if not is_tag(text):
        raise Fault(code, f"{text[:200]!r} is no tag: it must match [A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}")
    return text


def digest(text: str) -> Digest:
    """A digest. Raises Fault DIGEST_INVALID."""
    try:
        return Digest.parse(text)
    except DigestInvalid as error:
        raise Fault("DIGEST_INVALID", str(error)[:500]) from error
