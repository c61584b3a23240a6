"""Files from URLs: fetched once, kept as a layer of one file, asked for again only to learn whether they changed.

As with BuildKit the file has mode 0600 and the time that the server says it was last modified, else the epoch; what is
kept is believed while the server says that it has not changed (ETag, Last-Modified), or if its checksum is known.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

from builder.errors import ContextError
from builder.sources.gitref import redacted
from layers import Digest, Entry, EntryType
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.secrets import Secret
    from layers import Store

UNNAMED = "__unnamed__"
"""The name of what has none in its URL, as BuildKit calls it."""
MODE = 0o600
HEADERS = ("HTTP_AUTH_HEADER_{host}", "HTTP_AUTH_TOKEN_{host}")


@dataclass(frozen=True, slots=True)
class WebSource:
    """A file at a URL. name: what it is called here. checksum: what its bytes have to be."""

    url: str
    name: str
    checksum: Digest | None = None

    @property
    def shown(self) -> str:
        """The URL without what may be secret in it."""
        return redacted(self.url)


class Answer(Protocol):
    """Status and headers (names in lower case) of what a server said."""

    @property
    def status(self) -> int:
        """200, or 304 for what has not changed."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """All of them."""
        ...


class Web(Protocol):
    """The web, handed in by the roof."""

    def head(self, url: str, headers: Mapping[str, str]) -> Answer | None:
        """What a HEAD says, None if it cannot be had."""
        ...

    def get(
        self, url: str, headers: Mapping[str, str], write: Callable[[bytes], object], most: int | None = None
    ) -> Answer:
        """Hand a file to `write`. Raises ContextError in words."""
        ...


def is_url(text: str) -> bool:
    """True for what ADD fetches with HTTP."""
    return text.startswith(("http://", "https://"))


def web_source(url: str, checksum: str = "", name: str = "") -> WebSource:
    """A URL as ADD takes it; without a `name` the last one of the path counts. Raises ValueError, DigestInvalid."""
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError(f"{url!r} has no host")
    _ = parts.port  # raises for one that is no number
    base = posixpath.basename(posixpath.normpath(unquote(parts.path))) if parts.path else ""
    if base in ("", ".", "..") or "\0" in base:
        base = UNNAMED
    clean = urlunsplit(parts._replace(fragment=""))
    return WebSource(clean, name or base, Digest.parse(checksum) if checksum else None)


def fetched(
    store: Store,
    web: Web,
    source: WebSource,
    secrets: Mapping[str, Secret],
    progress: Callable[[int], object] = lambda _: None,
) -> Digest:
    """The layer that has the file alone.

    Raises ContextError for the wrong checksum and what hinders the web, SecretUnreadable and StoreFull.
    """
    headers, _ = authorization(source.url, secrets)
    key = key_of(source, secrets)
    record = store.records.find(key)
    known: Mapping[str, Any] = record.value if record is not None else {}
    if known and source.checksum is not None and str(source.checksum) in known["digests"]:
        return Digest.parse(known["diff_id"])
    url = without_user(source.url)
    asking = dict(headers)
    if known and source.checksum is None:
        if known["etag"]:
            asking["If-None-Match"] = known["etag"]
        elif known["modified"]:
            asking["If-Modified-Since"] = known["modified"]
        if len(asking) > len(headers):
            there = web.head(url, asking)
            if there is not None and (there.status == 304 or _same(there.headers, known)):
                return Digest.parse(known["diff_id"])
    algorithms = ["sha256"] + ([source.checksum.algorithm] if source.checksum is not None else [])
    hashers = {name: hashlib.new(name) for name in algorithms}
    with store.scratch() as scratch, (scratch / "file").open("w+b") as file:

        def write(piece: bytes) -> None:
            for hasher in hashers.values():
                hasher.update(piece)
            file.write(piece)
            progress(len(piece))

        answer = web.get(url, asking, write)
        if answer.status == 304:
            return Digest.parse(known["diff_id"])
        digests = [f"{name}:{hasher.hexdigest()}" for name, hasher in hashers.items()]
        if source.checksum is not None and str(source.checksum) not in digests:
            got = next(text for text in digests if text.startswith(f"{source.checksum.algorithm}:"))
            what = f"digest mismatch for {source.shown}: {got} (expected: {source.checksum})"
            raise ContextError(what, help="if the new file is what is wanted, write its checksum")
        size = file.tell()
        file.seek(0)
        from layers.making.compose import compose

        entry = Entry(source.name, EntryType.FILE, MODE, size=size, mtime_ns=seconds(answer.headers) * 10**9)
        layer = compose(store, [(entry, file)])
    value = {
        "diff_id": str(layer.diff_id),
        "url": source.shown,
        "etag": answer.headers.get("etag", ""),
        "modified": answer.headers.get("last-modified", ""),
        "digests": digests,
        "size": layer.size,
    }
    store.records.keep(key, value, [layer.diff_id])
    return layer.diff_id


def key_of(source: WebSource, secrets: Mapping[str, Secret]) -> str:
    """Where a file is kept: by its URL, its name, and which secrets open it. Raises as `authorization`."""
    said = repr([source.url, source.name, authorization(source.url, secrets)[1]])
    return f"url:{Digest.of(said.encode('utf-8', 'surrogateescape')).hex}"


def _same(headers: Mapping[str, str], known: Mapping[str, Any]) -> bool:
    """True if a HEAD names the file that is kept."""
    if known["etag"]:
        return etag(headers.get("etag", "")) == etag(known["etag"])
    return bool(known["modified"]) and headers.get("last-modified") == known["modified"]


def etag(text: str) -> str:
    """A tag without the mark that it is a weak one."""
    return text.removeprefix("W/")


def seconds(headers: Mapping[str, str]) -> int:
    """When a file was last modified, as its server says; 0 if it says nothing that makes sense."""
    from email.utils import parsedate_to_datetime

    try:
        return max(int(parsedate_to_datetime(headers.get("last-modified", "")).timestamp()), 0)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0


def without_user(url: str) -> str:
    """A URL without user and password, which travel in a header."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def authorization(url: str, secrets: Mapping[str, Secret]) -> tuple[dict[str, str], list[str]]:
    """The header that the secrets of a host make, and the names of those that were used. Raises ContextError."""
    from base64 import b64encode

    parts = urlsplit(url)
    for pattern in HEADERS:
        id = pattern.format(host=parts.netloc.rpartition("@")[2])
        if id in secrets:
            value = secrets[id].read(id).decode("latin-1").strip()
            if re.search(r"[\r\n\0]", value):
                raise ContextError(f"the secret {id} has several lines, and a header has one")
            return {"Authorization": f"Bearer {value}" if "TOKEN" in pattern else value}, [id]
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}, ["user"]
    return {}, []
