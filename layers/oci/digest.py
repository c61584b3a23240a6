"""The name of bytes: `algorithm:hex` (OCI image-spec, descriptor.md, "Digests").

A Digest that exists is well formed: a registered algorithm, lower-case hex of its exact length.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from layers.errors import DigestInvalid
from layers.quick import dataclass

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import hashlib

LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
HEX = frozenset("0123456789abcdef")
SMALL = 1 << 16
"""Bytes of a document that needs no faster hash."""
OWN = "_sha2" if sys.version_info >= (3, 12) else "_sha256"
"""The interpreter's own SHA-256."""


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A content digest; `str()` gives the form that specifications use."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read `sha256:…`; raises DigestInvalid."""
        algorithm, colon, value = text.partition(":")
        if not colon:
            raise DigestInvalid(text, "expected ALGORITHM:HEX")
        if algorithm not in LENGTHS:
            raise DigestInvalid(text, f"unsupported algorithm {algorithm!r} (supported: {', '.join(LENGTHS)})")
        if len(value) != LENGTHS[algorithm] or not HEX.issuperset(value):
            raise DigestInvalid(text, f"{algorithm} needs {LENGTHS[algorithm]} lower-case hexadecimal digits")
        return cls(algorithm, value)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Digest:
        """The digest of some bytes in memory."""
        return cls(algorithm, hexdigest(data, algorithm))

    @property
    def short(self) -> str:
        """The first twelve hex digits, as lists show them."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def hexdigest(data: bytes, algorithm: str = "sha256") -> str:
    """The hash of some bytes in memory. Of a document without OpenSSL, which takes 2 ms to load."""
    if algorithm == "sha256" and len(data) < SMALL:
        return _sha256()(data).hexdigest()
    import hashlib

    return hashlib.new(algorithm, data).hexdigest()


@cache
def _sha256() -> Callable[[bytes], hashlib._Hash]:
    """The interpreter's own, unless OpenSSL is here already, or the interpreter was built without."""
    if "hashlib" not in sys.modules:
        with suppress(ImportError):
            own: Callable[[bytes], hashlib._Hash] = __import__(OWN).sha256
            return own
    from hashlib import sha256

    return sha256


DiffID = Digest
"""Digest of a layer's uncompressed tar (OCI image-spec, config.md, "Layer DiffID")."""
ChainID = Digest
"""Digest of a stack of layers (OCI image-spec, config.md, "Layer ChainID")."""
