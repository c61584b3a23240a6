"""Image references: `host/path:tag@digest`, normalised as docker's are.

Grammar of names, tags and digests: OCI distribution-spec, "Pulling manifests"; the rule for what
counts as a host and the docker.io defaults: github.com/distribution/reference. The whole text must
match before any path or URL is built from it.
"""

from __future__ import annotations

from layers.errors import DigestInvalid, ReferenceInvalid
from layers.oci.digest import HEX, Digest
from layers.quick import dataclass, replace

DEFAULT_HOST = "docker.io"
DEFAULT_TAG = "latest"
NAME = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\Z"
HOST = (
    r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*)"
    r"(?::[0-9]{1,5})?\Z"
)


@dataclass(frozen=True)
class Reference:
    """One image name. `tag` and `digest` may both be there: the digest then decides."""

    host: str
    path: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str, *, default_tag: bool = True) -> Reference:
        """Read and normalise; a name with neither tag nor digest gets `latest` if `default_tag`.

        Raises ReferenceInvalid, whose text says what to type instead where that is clear.
        """
        rest, at, digest_text = text.partition("@")
        digest: Digest | None = None
        if at:
            try:
                digest = Digest.parse(digest_text)
            except DigestInvalid as error:
                raise ReferenceInvalid(text, error.why) from error
        if not rest:
            raise ReferenceInvalid(text, "the name is empty")
        host, slash, path = rest.partition("/")
        if not slash or not looks_like_host(host):
            host, path = DEFAULT_HOST, rest
        elif host in ("index.docker.io", "registry-1.docker.io"):
            host = DEFAULT_HOST
        tag: str | None = None
        last = path.rfind("/")
        if (colon := path.find(":", last + 1)) >= 0:
            path, tag = path[:colon], path[colon + 1 :]
            if not is_tag(tag):
                raise ReferenceInvalid(text, f"tag {tag!r} must match [A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}")
        if host == DEFAULT_HOST and "/" not in path:
            if tag is None and digest is None and len(path) == 64 and HEX.issuperset(path):
                raise ReferenceInvalid(text, "64 hexadecimal digits are an image id, not a name")
            path = f"library/{path}"
        if not is_host(host):
            raise ReferenceInvalid(text, f"{host!r} is not a registry host")
        if not is_name(path):
            shown = path.removeprefix("library/") if host == DEFAULT_HOST else path
            why = f"repository name {shown!r} must be lower case words joined by . _ - and /"
            if is_name(path.lower()):
                why = f"repository name must be lower case; try {text.replace(shown, shown.lower(), 1)!r}"
            raise ReferenceInvalid(text, why)
        if len(path) > 255:
            raise ReferenceInvalid(text, "the repository name is longer than 255 characters")
        if tag is None and digest is None and default_tag:
            tag = DEFAULT_TAG
        return cls(host, path, tag, digest)

    @property
    def repository(self) -> str:
        """`host/path` without tag and digest."""
        return f"{self.host}/{self.path}"

    @property
    def familiar_repository(self) -> str:
        """The repository as people write it: without docker.io and library/."""
        if self.host != DEFAULT_HOST:
            return self.repository
        return self.path.removeprefix("library/")

    @property
    def familiar(self) -> str:
        """The whole reference as people write it."""
        return self.familiar_repository + self._suffix()

    def pinned(self, digest: Digest) -> Reference:
        """The same repository with a digest instead of a tag."""
        return replace(self, tag=None, digest=digest)

    def with_tag(self, tag: str) -> Reference:
        """The same repository under another tag."""
        if not is_tag(tag):
            raise ReferenceInvalid(f"{self.repository}:{tag}", f"invalid tag {tag!r}")
        return replace(self, tag=tag, digest=None)

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag

    def __str__(self) -> str:
        return self.repository + self._suffix()


def is_tag(text: str) -> bool:
    """[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"""
    letters = text.replace(".", "").replace("-", "").replace("_", "")
    return 0 < len(text) <= 128 and text[0] not in ".-" and text.isascii() and (letters.isalnum() or not letters)


def is_name(text: str) -> bool:
    """A path of lower-case words; most are so plain that no expression has to be compiled."""
    words = text.replace("/", ".").replace("-", ".").split(".")
    if text.isascii() and text == text.lower() and all(map(str.isalnum, words)):
        return True
    import re

    return re.match(NAME, text) is not None


def is_host(text: str) -> bool:
    """A registry's host, and perhaps a port."""
    if text == DEFAULT_HOST:
        return True
    import re

    return re.match(HOST, text) is not None


def looks_like_host(word: str) -> bool:
    """True if the word before the first slash names a registry, not the first part of a path."""
    return "." in word or ":" in word or word == "localhost" or word.lower() != word
