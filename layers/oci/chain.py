"""A stack of diff ids is a file system (OCI image-spec, config.md, "Layer ChainID")."""

from __future__ import annotations

from functools import cached_property

from layers.oci.digest import ChainID, DiffID, Digest
from layers.quick import dataclass


@dataclass(frozen=True)
class Chain:
    """Layers from the base upwards; the empty chain is the empty root (`scratch`)."""

    diff_ids: tuple[DiffID, ...] = ()

    @cached_property
    def ids(self) -> tuple[ChainID, ...]:
        """The ChainID of every stack from the base up to each layer."""
        found: list[ChainID] = []
        for diff_id in self.diff_ids:
            found.append(_next(found[-1], diff_id) if found else diff_id)
        return tuple(found)

    @property
    def id(self) -> ChainID | None:
        """ChainID of the whole stack; None for the empty one."""
        return self.ids[-1] if self.diff_ids else None

    @property
    def parent(self) -> Chain:
        """The stack without its uppermost layer; of the empty chain, itself."""
        return Chain(self.diff_ids[:-1])

    def push(self, diff_id: DiffID) -> Chain:
        """This stack with one more layer on top."""
        pushed = Chain((*self.diff_ids, diff_id))
        if self.diff_ids and "ids" in self.__dict__:  # what is known need not be computed again
            pushed.__dict__["ids"] = (*self.ids, _next(self.ids[-1], diff_id))
        return pushed

    def __len__(self) -> int:
        return len(self.diff_ids)


def _next(below: ChainID, diff_id: DiffID) -> ChainID:
    return Digest.of(f"{below} {diff_id}".encode())
