"""The name of bytes: `algorithm:hex` (OCI image-spec, descriptor.md, "Digests").

A Digest that exists is well formed: a registered algorithm, lower-case hex of its exact length.
"""

from __future__ import annotations

import hashlib
import re

from layers.errors import DigestInvalid
from layers.quick import dataclass

LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
HEX = re.compile(r"[0-9a-f]+\Z")


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
        if len(value) != LENGTHS[algorithm] or not HEX.match(value):
            raise DigestInvalid(text, f"{algorithm} needs {LENGTHS[algorithm]} lower-case hexadecimal digits")
        return cls(algorithm, value)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Digest:
        """The digest of some bytes in memory."""
        return cls(algorithm, hashlib.new(algorithm, data).hexdigest())

    @property
    def short(self) -> str:
        """The first twelve hex digits, as lists show them."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


DiffID = Digest
"""Digest of a layer's uncompressed tar (OCI image-spec, config.md, "Layer DiffID")."""
ChainID = Digest
"""Digest of a stack of layers (OCI image-spec, config.md, "Layer ChainID")."""
