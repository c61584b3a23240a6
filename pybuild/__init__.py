"""pybuild: build, store and move OCI images on Linux, without a daemon.

This is the facade for programs: `from pybuild import BuildRequest, build`. Nothing is imported until a name is used, so
`import pybuild` costs nothing (PEP 562).
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

    from builder import BuildError, BuildRequest, BuildResult, Output, Secret
    from layers import Digest, Platform, Reference, Store
    from pybuild.api import build, serve
    from runner import Limits

__version__ = "0.1.0"

_ORIGINS = {
    "BuildError": "builder",
    "BuildRequest": "builder",
    "BuildResult": "builder",
    "Digest": "layers",
    "Limits": "runner",
    "Output": "builder",
    "Platform": "layers",
    "Reference": "layers",
    "Secret": "builder",
    "Store": "layers",
    "build": "pybuild.api",
    "serve": "pybuild.api",
}

__all__ = [
    "BuildError",
    "BuildRequest",
    "BuildResult",
    "Digest",
    "Limits",
    "Output",
    "Platform",
    "Reference",
    "Secret",
    "Store",
    "__version__",
    "build",
    "serve",
]


def __getattr__(name: str) -> Any:
    """Look a public name up where it lives, once."""
    origin = _ORIGINS.get(name)
    if origin is None:
        raise AttributeError(f"module 'pybuild' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(origin), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
