"""Whom we believe: which hosts may speak plain HTTP, which certificates count, which proxy to take.

Plain HTTP is for the loopback interface and for hosts that were named insecure, nobody else. System
CAs count everywhere; `certs.d/HOST[:PORT]/` may add CAs and a client certificate for one host
(containers-certs.d(5)).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from layers.quick import dataclass, field
from registry.errors import CertificatesInvalid

if TYPE_CHECKING:
    from ssl import SSLContext

CERTIFICATES = ("/etc/containers/certs.d", "/etc/docker/certs.d")


def name_of(netloc: str) -> str:
    """The host of `host:port`, lower case, without brackets."""
    return (urlsplit(f"//{netloc}").hostname or "").lower()


def literal_kind(netloc: str) -> str:
    """`loopback`, `linklocal`, `private` or `public`: what a host says of itself without asking DNS."""
    name = name_of(netloc)
    if name == "localhost" or name.endswith(".localhost"):
        return "loopback"
    try:
        address = ip_address(name)
    except ValueError:
        return "public"
    if (mapped := getattr(address, "ipv4_mapped", None)) is not None:
        address = mapped
    if address.is_loopback:
        return "loopback"
    if address.is_link_local:
        return "linklocal"
    return "private" if address.is_private else "public"


@dataclass(frozen=True, slots=True)
class Trust:
    """The rules of one run. `insecure` hosts need no valid certificate and may speak plain HTTP.

    `folder` holds certificates for every host, besides those that certs.d has for one.
    """

    insecure: frozenset[str] = frozenset()
    everyone: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    folder: str = ""

    def may_be_plain(self, netloc: str) -> bool:
        """True if plain HTTP is acceptable for this registry."""
        return literal_kind(netloc) == "loopback" or self.is_insecure(netloc)

    def is_insecure(self, netloc: str) -> bool:
        """True if the user said that this host needs no valid certificate."""
        return self.everyone or netloc in self.insecure or name_of(netloc) in self.insecure

    def context(self, netloc: str) -> SSLContext:
        """The TLS settings for a host. Raises CertificatesInvalid for a file of them that cannot be used."""
        import ssl

        context = ssl.create_default_context()
        if self.is_insecure(netloc):
            import warnings

            from urllib3.exceptions import InsecureRequestWarning

            warnings.simplefilter("ignore", InsecureRequestWarning)  # it was asked for
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        if not any(os.path.exists(path) for path in ssl.get_default_verify_paths()[:2] if path):
            import certifi  # a machine without ca-certificates

            context.load_verify_locations(certifi.where())
        for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            if bundle := self.environment.get(variable):
                with explained(netloc, bundle, f"correct or unset {variable}"):
                    folder = os.path.isdir(bundle)
                    context.load_verify_locations(**{"capath" if folder else "cafile": bundle})
        home = self.environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        places = [Path(place, netloc) for place in (f"{home}/containers/certs.d", *CERTIFICATES)]
        if self.folder:
            with explained(netloc, self.folder, "name a directory with files *.crt, *.cert and *.key"):
                os.listdir(self.folder)
            places.append(Path(self.folder))
        for own in filter(Path.is_dir, places):
            for authority in sorted(own.glob("*.crt")):
                with explained(netloc, authority, "it must hold certificates as PEM"):
                    context.load_verify_locations(authority)
            for certificate in sorted(own.glob("*.cert")):
                key = certificate.with_suffix(".key")
                with explained(netloc, certificate, f"its key must be {key}"):
                    context.load_cert_chain(certificate, key)
        return context

    def proxies(self, scheme: str, netloc: str) -> dict[str, str]:
        """The proxy for a URL, by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; never for loopback."""
        if literal_kind(netloc) == "loopback":
            return {}
        words = {name.lower(): value for name, value in self.environment.items() if name.lower().endswith("_proxy")}
        found = words.get(f"{scheme}_proxy") or words.get("all_proxy")
        if not found or spared(name_of(netloc), netloc, words.get("no_proxy", "")):
            return {}
        return {scheme: found}

    def allows(self, registry: str, target: str) -> bool:
        """False if `registry` sends us to an inner address that it could not name as its own kind of host."""
        kind = literal_kind(target)
        if name_of(registry) == name_of(target) or kind == "public":
            return True
        return kind != "linklocal" and kind == literal_kind(registry)


@contextmanager
def explained(netloc: str, path: str | Path, help: str) -> Iterator[None]:
    """Say which file the TLS library could not use."""
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        why = error.strerror or str(error)
        raise CertificatesInvalid(netloc, f"the certificates in {path} cannot be used: {why}", help=help) from error


def spared(name: str, netloc: str, words: str) -> bool:
    """True if NO_PROXY names the host, a domain above it, or everything."""
    for word in (word.strip().lower().removeprefix("*").lstrip(".") for word in words.split(",")):
        if word and (word in (name, netloc) or name.endswith(f".{word}")):
            return True
    return words.strip() == "*"
