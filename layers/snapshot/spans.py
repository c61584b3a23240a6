"""Which layers of a chain are one directory: so that there are few, and chains share those of what they share."""

from __future__ import annotations

from layers.oci.digest import Digest
from layers.quicktuple import NamedTuple

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from layers.oci.chain import Chain
    from layers.oci.digest import ChainID

RADIX = 16
"""Layers that share an index in a long chain, and indexes that share one (docs/adr/0006-index.md has the numbers)."""
FLATTEN = 240
MOST_LAYERS = 2 * FLATTEN
"""Directories that are stacked at most; the kernel's limit is 500 (OVL_MAX_STACK)."""


class Span(NamedTuple):
    """Layers of a chain that are one directory: those from number `bottom` up to, but without, `top`."""

    bottom: int
    top: int

    def key(self, chain: Chain) -> ChainID:
        """The name of the directory."""
        last = chain.ids[self.top - 1]
        alone = self.top - self.bottom == 1
        return last if alone else Digest.of(f"layers {self.bottom} to {self.top} of {last}".encode())

    def parts(self) -> list[Span]:
        """What it is made of; nothing if it is one layer."""
        step = (self.top - self.bottom) // RADIX
        return [Span(at, at + step) for at in range(self.bottom, self.top, step)] if step else []


def indexed(depth: int) -> list[Span]:
    """The indexes of a chain, lowest first: as many of each size as the digits of its depth say, written in RADIX.

    So chains share the indexes of what they have in common, every layer is indexed once for each digit at most, and
    there are few. The uppermost layer is always by itself: a RUN has left its directory, and more may come.
    """
    size, bottom, found = 1, 0, []
    while size * RADIX < depth:
        size *= RADIX
    while size:
        while bottom + size < depth:
            found.append(Span(bottom, bottom + size))
            bottom += size
        size //= RADIX
    return [*found, Span(bottom, depth)] if depth else []


def unpacked(depth: int) -> list[Span]:
    """The directories of a chain that cannot be indexed: one a layer, unless there are more than can be stacked."""
    flat = (depth - 1) // FLATTEN * FLATTEN if depth > MOST_LAYERS else 0
    return ([Span(0, flat)] if flat else []) + [Span(at, at + 1) for at in range(flat, depth)]
