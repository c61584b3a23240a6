"""What is attached to an image: signatures, SBOMs, provenance (OCI distribution-spec, "Listing Referrers").

A registry that knows `subject` keeps the list itself. For one that does not, we keep an index under the tag
`<algorithm>-<hex>` of the subject, as every client does; several clients may write it at the same time, so what was
written is read again when others had time to write, and merged again if it was lost.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from layers import Descriptor, Digest, DocumentInvalid, Index
from layers.oci.documents import decode
from layers.oci.mediatypes import OCI_INDEX
from registry.errors import NotFound, ProtocolViolation, Unavailable
from registry.transport import Response

if TYPE_CHECKING:
    from registry.remote import RemoteRepository

LIMIT = 4 << 20
"""Bytes of one page of referrers, or of the fallback index."""
PAGES = 100
ROUNDS = 12
"""How often a lost entry of the fallback tag is written again."""
LEAST_WINDOW = 0.05
"""Seconds between reading and writing the tag, at least; some windows later all who read before us have written."""
NOTHING: tuple[tuple[Descriptor, ...], dict[str, str]] = ((), {})


def referrers(remote: RemoteRepository, subject: Digest, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
    """What refers to `subject`, only that of one type if given. Raises RegistryError, DocumentInvalid."""
    try:
        found = list(_pages(remote, subject, artifact_type))
    except NotFound:  # the registry has no such list
        found = list((_fallback(remote, subject) or NOTHING)[0])
    unique = {entry.digest: entry for entry in found if artifact_type in (None, entry.artifact_type)}
    return tuple(unique.values())


def note(remote: RemoteRepository, manifest: Descriptor, raw: bytes) -> None:
    """Enter a manifest that is there, and has a subject, in the fallback tag of this. Raises RegistryError."""
    value = decode(raw, "manifest")
    if not isinstance(value.get("subject"), dict):
        return
    subject = Descriptor.from_json(value["subject"], what="manifest subject").digest
    entry = entry_of(manifest, value)
    tag = fallback_tag(subject)
    for tried in range(ROUNDS + 1):
        began = time.monotonic()
        there = _fallback(remote, subject)
        if there is None:
            raise ProtocolViolation(remote.host, f"{remote.name}:{tag} should list referrers, but is no OCI index")
        entries, known = there
        if any(one.digest == entry.digest for one in entries):
            return
        if tried == ROUNDS:
            break
        index = Index.build([*entries, entry], annotations=known)
        remote.tag_bytes(tag, index.descriptor, index.raw)
        window = max(LEAST_WINDOW, time.monotonic() - began)
        remote.client.retry.stop.wait(window * random.uniform(2, 4 + tried))  # the more who write, the farther apart
    raise Unavailable(
        remote.host,
        f"others keep overwriting the list of what refers to {subject}",
        help=f"the artifact {manifest.digest} is there; attach it once more to have it listed",
    )


def fallback_tag(subject: Digest) -> str:
    """The tag that stands for a registry's own list ("Referrers Tag Schema")."""
    return f"{subject.algorithm[:32]}-{subject.hex[:64]}"


def entry_of(manifest: Descriptor, value: dict[str, Any]) -> Descriptor:
    """How a list of referrers names a manifest: by its own annotations and its artifact type, or its config's."""
    config = value.get("config")
    kind = value.get("artifactType") or (config.get("mediaType") if isinstance(config, dict) else None)
    notes = value.get("annotations")
    return Descriptor(
        manifest.media_type,
        manifest.digest,
        manifest.size,
        annotations={str(key): str(word) for key, word in notes.items()} if isinstance(notes, dict) else {},
        artifact_type=str(kind) if kind else None,
    )


def _pages(remote: RemoteRepository, subject: Digest, artifact_type: str | None) -> Iterator[Descriptor]:
    """The registry's own list. Raises NotFound if it keeps none."""
    words = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
    place: str | None = f"referrers/{subject}{words}"
    what = f"cannot list what refers to {subject}"
    for _ in range(PAGES):
        scopes = (f"repository:{remote.path}:pull",)
        answer = remote.send("GET", place or "", accept=(200,), what=what, headers={"Accept": OCI_INDEX}, scopes=scopes)
        with answer:
            raw = answer.body(LIMIT)
        try:
            found = Index.parse(raw, OCI_INDEX)
        except DocumentInvalid as error:
            if answer.headers.get("content-type", "").startswith("text/html"):
                raise NotFound(remote.host, what) from error  # it answers everything with its home page
            raise
        yield from found.manifests
        if (place := next_page(answer)) is None:
            return
        if urlsplit(place)[:2] != urlsplit(answer.url)[:2]:
            raise ProtocolViolation(remote.host, f"{what}: its next page is on another host, {urlsplit(place).netloc}")
    raise ProtocolViolation(remote.host, f"{what}: it has more than {PAGES} pages")


def _fallback(remote: RemoteRepository, subject: Digest) -> tuple[tuple[Descriptor, ...], dict[str, str]] | None:
    """Entries and annotations of the fallback tag, none if it is not there; None if the tag is something else."""
    try:
        target = remote.resolve(fallback_tag(subject))
    except NotFound:
        return NOTHING
    if target.media_type != OCI_INDEX or target.size > LIMIT:
        return None
    with remote.open(target) as source:
        raw = source.read(target.size)
    if Descriptor.of(raw, OCI_INDEX, target.digest.algorithm).digest != target.digest:
        raise ProtocolViolation(remote.host, f"sent other bytes than those of {target.digest}")
    found = Index.parse(raw, OCI_INDEX)
    return found.manifests, dict(found.annotations)


def next_page(answer: Response) -> str | None:
    """Where the next page is, by the Link header (RFC 8288); None for the last one."""
    for part in split_links(answer.headers.get("link", "")):
        target, _, parameters = part.partition(">")
        if 'rel="next"' in parameters.replace(" ", "") or "rel=next" in parameters.replace(" ", ""):
            return urljoin(answer.url, target.strip().removeprefix("<"))
    return None


def split_links(header: str) -> Iterable[str]:
    """The links of a Link header; a comma inside <> belongs to its URL."""
    begun, inside = 0, False
    for place, letter in enumerate(header):
        if letter in "<>":
            inside = letter == "<"
        elif letter == "," and not inside:
            yield header[begun:place]
            begun = place + 1
    if header[begun:].strip():
        yield header[begun:]
