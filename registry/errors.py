"""What a registry, or the way to it, can answer: facts with attributes.

Every text names the registry, what was asked, what came, and the way out where one exists. No text
holds a secret or the query of a URL (signed storage URLs carry credentials there).
"""

from __future__ import annotations

from layers import BlobMissing


class RegistryError(Exception):
    """Root of all errors of this package."""

    def __init__(
        self, host: str, what: str, *, status: int | None = None, code: str | None = None, help: str | None = None
    ) -> None:
        facts = ", ".join(fact for fact in (code, f"HTTP {status}" if status else None) if fact)
        text = f"{host}: {what}" + (f" ({facts})" if facts else "") + (f"; {help}" if help else "")
        Exception.__init__(self, text)
        self.host = host
        self.what = what
        self.status = status
        self.code = code
        self.help = help


class Unauthorized(RegistryError):
    """The registry wants credentials, or does not take those that it got."""


class Denied(RegistryError):
    """The registry knows who asks and says no. Final."""


class NotFound(RegistryError, BlobMissing):
    """The registry does not have it; as a BlobMissing it is what every Repository raises for that."""

    def __init__(
        self, host: str, what: str, *, status: int | None = None, code: str | None = None, help: str | None = None
    ) -> None:
        super().__init__(host, what, status=status, code=code, help=help)
        self.wanted = what
        self.where = host


class RateLimited(RegistryError):
    """Too many requests, still after waiting as long as we are willing to."""


class Unavailable(RegistryError):
    """No usable answer: the host is not there, the connection broke, or the server failed. Worth another try."""


class Untrusted(RegistryError):
    """The host could not prove who it is (TLS). Final: never tried again, never tried without TLS."""


class ProtocolViolation(RegistryError):
    """The answer breaks the OCI distribution-spec or a rule of safety. Final."""


class CertificatesInvalid(RegistryError):
    """A file of certificates, or a key, that this machine's settings name and that cannot be used."""


class CredentialsInvalid(RegistryError):
    """A credential file or helper that cannot be used."""


class RegistriesInvalid(RegistryError):
    """A registries.conf, or a file beside it, that cannot be used."""


class Blocked(RegistryError):
    """The settings of this machine forbid this registry."""
