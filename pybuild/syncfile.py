"""What `sync --src yaml` copies: skopeo's file of registries, their images and how they are spoken to (skopeo-sync(1)).

registry.example.org:
    images: {busybox: [], redis: ["1.0", "sha256:0000..."]}
    images-by-tag-regex: {nginx: ^1\\.13}
    credentials: {username: ada, password: secret}
    tls-verify: false
    cert-dir: /etc/certs
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layers.quick import dataclass
from pybuild.semver import constraint

if TYPE_CHECKING:
    from layers.oci.address import Address
    from pybuild.wiring import Context
    from registry.session import Client

KEYS = ("images", "images-by-tag-regex", "images-by-semver", "credentials", "tls-verify", "cert-dir")


@dataclass(frozen=True, slots=True)
class Host:
    """One registry of the file."""

    name: str
    images: Mapping[str, tuple[str, ...]]
    patterns: tuple[tuple[str, Callable[[str], object]], ...]
    options: Mapping[str, Any]

    def client(self, context: Context, usual: Client | None) -> Client | None:
        """What speaks to it: as the file says, else as the flags do."""
        from pybuild.transfers import client

        return client(context, **self.options) if self.options else usual

    def addresses(self, context: Context, client: Client | None) -> Iterator[Address]:
        """Its images: those with tags or digests as they are, of others every tag. Raises RegistryErrors."""
        from layers import Reference
        from pybuild.syncing import at, images

        for repository, tags in self.images.items():
            if not tags:
                yield from images(context, f"{self.name}/{repository}", client)
            for tag in tags:
                sign = "@" if ":" in tag else ":"
                yield at(Reference.parse(f"{self.name}/{repository}{sign}{tag}"))
        for repository, fits in self.patterns:
            for address in images(context, f"{self.name}/{repository}", client):
                if fits(str(address.reference.tag)):
                    yield address


def hosts(file: Path) -> list[Host]:
    """What a file says. Raises click.UsageError for what it should not, and OSError."""
    import yaml

    try:
        value = yaml.safe_load(file.read_bytes())
    except yaml.YAMLError as error:
        raise click.UsageError(f"{file} is not YAML: {error}") from error
    return [host(file, str(name), told) for name, told in mapping(file, "it", value).items()]


def host(file: Path, name: str, told: Any) -> Host:
    """One registry. Raises click.UsageError."""
    where = mapping(file, name, told)
    for key in where:
        if key not in KEYS:
            raise click.UsageError(f"{file}: {name} has {key!r}, which is not known; {', '.join(KEYS)} are")
    images = {
        str(repository): tuple(map(str, tags or ()))
        for repository, tags in mapping(file, f"{name}: images", where.get("images") or {}).items()
    }
    patterns: list[tuple[str, Callable[[str], object]]] = []
    for key, read in (("images-by-tag-regex", lambda text: re.compile(text).search), ("images-by-semver", constraint)):
        for repository, text in mapping(file, f"{name}: {key}", where.get(key) or {}).items():
            try:
                patterns.append((str(repository), read(str(text))))
            except re.error as error:
                raise click.UsageError(f"{file}: {name}: {text!r} is no regular expression: {error}") from error
            except ValueError as error:
                raise click.UsageError(f"{file}: {name}: {error}") from error
    return Host(name, images, tuple(patterns), options(file, name, where))


def options(file: Path, name: str, where: Mapping[str, Any]) -> dict[str, Any]:
    """How a registry is spoken to, as words of a client. Raises click.UsageError."""
    found: dict[str, Any] = {}
    if (word := where.get("credentials")) is not None:
        known = mapping(file, f"{name}: credentials", word)
        if not {"username", "password"} <= known.keys():
            raise click.UsageError(f"{file}: {name}: credentials are a username and a password")
        found["creds"] = f"{known['username']}:{known['password']}"
    if where.get("tls-verify") is False:
        found["tls_verify"] = False
    if where.get("cert-dir"):
        found["cert_dir"] = str(where["cert-dir"])
    return found


def mapping(file: Path, what: str, value: Any) -> Mapping[Any, Any]:
    """An object. Raises click.UsageError for anything else."""
    if not isinstance(value, dict):
        raise click.UsageError(f"{file}: {what} is no mapping of names")
    return value
