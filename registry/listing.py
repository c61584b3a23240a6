"""What a registry has: tags of a repository, repositories of a host; and how to take a tag away.

Lists come in pages (OCI distribution-spec, "Listing Tags"; `Link: <…>; rel="next"`), from servers that may ignore the
page size, repeat themselves or forget to sort: the result is sorted, has each name once, and ends when a page brings
nothing new. Deleting a tag spares the others, whatever the registry can do; only a digest takes all its tags along.
"""

from __future__ import annotations

import io
import json
import re
import secrets
import sys
from collections.abc import Iterator
from urllib.parse import urlencode, urljoin

from layers import Descriptor, History, ImageConfig, Manifest, Platform
from registry.errors import ProtocolViolation, RegistryError
from registry.remote import RemoteRepository
from registry.session import Client, origin_of
from registry.transport import Request, Response

PAGE = 1000
"""Names that are asked for at once."""
MOST = 8 << 20
"""Bytes of one page that are read."""
PAGES = 10_000
WHOLE = 128 << 20
"""Bytes that all names of a list may take in memory: a registry may go on for ever."""
LINK = re.compile(r'<([^<>]*)>((?:[^,"]|"[^"]*")*)')
NEXT = re.compile(r';\s*rel\s*=\s*"?next"?\s*(?:;|\Z)')
"""One link of a Link header with its parameters, and the parameter that makes it the next page (RFC 8288)."""
WRONG = frozenset({400, 404, 405})
"""How a registry says that it does not delete: no tags, or nothing at all."""


class Listing:
    """The tags of one repository (`layers.Tags`, `layers.Deletes`)."""

    def __init__(self, repository: RemoteRepository) -> None:
        self._repository = repository
        self._name = repository.name

    def tags(self) -> tuple[str, ...]:
        """Every tag, sorted. Raises NotFound if there is no such repository, and other RegistryErrors."""
        there = self._repository
        scopes = (f"repository:{there.path}:pull",)
        what = f"cannot list the tags of {self._name}"
        return names(there.client, there.host, f"/v2/{there.path}/tags/list", "tags", there.path, scopes, what)

    def delete(self, name: str) -> None:
        """Delete a tag and spare all others; given a digest, delete that manifest and with it every tag it has.

        Where the registry deletes by digest only, the tag is first pointed to a manifest of its own, which is then
        deleted. Raises NotFound, or ProtocolViolation where nothing can be deleted at all.
        """
        before = self._repository.resolve(name)
        if (status := self._delete(name)) not in WRONG:
            return
        # First without the tag: where nothing can be deleted at all, no tag ever moves.
        if ":" in name or (status := self._delete(str(self._alone().digest))) in WRONG:
            raise self._unsupported(name, status)
        alone = self._alone()
        self._repository.tag(name, alone)
        try:
            if (status := self._delete(str(alone.digest))) in WRONG:
                raise self._unsupported(name, status)
        except RegistryError:
            self._repository.tag(name, before)
            raise

    def _alone(self) -> Descriptor:
        """A new manifest in the repository that nothing else is."""
        manifest, config = lonely()
        self._repository.put(manifest.config, io.BytesIO(config))
        self._repository.put(manifest.descriptor, io.BytesIO(manifest.raw))
        return manifest.descriptor

    def _delete(self, name: str) -> int:
        """DELETE a manifest by tag or digest; the status, which may be one of WRONG."""
        there = self._repository
        url = f"{there.client.base(there.host)}/v2/{there.path}/manifests/{name}"
        answer = there.client.send(
            Request("DELETE", url),
            host=there.host,
            path=there.path,
            scopes=(f"repository:{there.path}:delete,pull,push",),
            accept=(200, 202, 204, *WRONG),
            what=f"cannot delete {self._name}:{name}",
        )
        answer.close()
        return answer.status

    def _unsupported(self, name: str, status: int) -> ProtocolViolation:
        return ProtocolViolation(
            self._repository.host,
            f"cannot delete {name} of {self._name}",
            status=status,
            help="deleting is not supported there, or switched off; every tag is where it was",
        )


def lonely() -> tuple[Manifest, bytes]:
    """A manifest that no registry has yet, and its config."""
    history = [History(created_by=f"pybuild delete {secrets.token_hex(8)}", empty_layer=True)]
    config = ImageConfig.build(platform=Platform.host(), diff_ids=(), history=history, runtime={}, created=None)
    return Manifest.build(config.descriptor(), ()), config.raw


def catalog(client: Client, host: str) -> tuple[str, ...]:
    """Every repository that a registry shows us, sorted. Raises RegistryError."""
    what = "does not list its repositories"
    return names(client, host, "/v2/_catalog", "repositories", "", ("registry:catalog:*",), what)


def names(  # noqa: PLR0917 only for the two above
    client: Client, host: str, place: str, key: str, path: str, scopes: tuple[str, ...], what: str
) -> tuple[str, ...]:
    """All pages of a list as one, sorted, each name once. Raises RegistryError."""
    found: set[str] = set()
    held = 0
    for page in pages(client, host, place, key, path, scopes, what):
        if not (new := page - found):
            break
        found |= new
        held += sum(map(sys.getsizeof, new))
        if held > WHOLE:
            raise ProtocolViolation(host, f"{what}: the names are more than {WHOLE >> 20} MiB")
    return tuple(sorted(found))


def pages(  # noqa: PLR0917 as `names`
    client: Client, host: str, place: str, key: str, path: str, scopes: tuple[str, ...], what: str
) -> Iterator[set[str]]:
    """Each page of a list, as long as the registry names a next one on itself."""
    base = client.base(host)
    url = f"{base}{place}?{urlencode({'n': PAGE})}"
    for _ in range(PAGES):
        answer = client.send(Request("GET", url), host=host, path=path, scopes=scopes, what=what)
        with answer:
            yield read(answer, host, key)
        links = LINK.findall(answer.headers.get("link", ""))
        following = next((place for place, parameters in links if NEXT.search(parameters)), None)
        if following is None:
            return
        url = urljoin(answer.url, following)
        if origin_of(url) != origin_of(base):
            raise ProtocolViolation(host, f"{what}: the next page is at {origin_of(url)}, another host; refused")
    raise ProtocolViolation(host, f"{what}: more than {PAGES} pages")


def read(answer: Response, host: str, key: str) -> set[str]:
    """The names of one page; null means none. Raises ProtocolViolation."""
    try:
        value = json.loads(answer.body(MOST))
        found = value[key] or ()
        if not isinstance(found, list | tuple) or not all(isinstance(name, str) for name in found):
            raise ValueError("names that are no text")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProtocolViolation(host, f"answered with something that is no list of {key}") from error
    return {name for name in found if name.isprintable()}
