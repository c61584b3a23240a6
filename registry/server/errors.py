"""Why a registry cannot be served, as a fact for whoever started it."""

from __future__ import annotations

from registry.errors import RegistryError


class CannotServe(RegistryError):
    """The address is taken, a certificate cannot be used, or a password file cannot be checked."""
