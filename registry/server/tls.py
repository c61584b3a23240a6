"""The server's side of TLS, 1.2 or newer."""

from __future__ import annotations

import ssl
from pathlib import Path

from registry.server.errors import CannotServe


def identity(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """What proves who we are: certificates and their key, which may be in the same file. Raises CannotServe."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise CannotServe(
            str(certificate),
            "the certificate or its key cannot be used",
            help="both are wanted as PEM, without password",
        ) from error
    return context
