"""What a check of the store finds, in words."""

from __future__ import annotations

from enum import StrEnum

from layers.quick import dataclass

REPAIR = "pybuild system check --repair"


class Kind(StrEnum):
    """What is damaged."""

    DATABASE = "database"
    BLOB = "blob"
    STRANGER = "file"
    IMAGE = "image"
    NAME = "name"
    TABLE = "table of contents"
    FORM = "compressed layer"
    RECORD = "cache record"
    CONTAINER = "container"


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong: where (a digest, a name, a path below the store), what, and which names need it.

    `remedy` is what a person can do about it, `repaired` what was done ("" if nothing), `lost` the names that went.
    """

    kind: Kind
    where: str
    what: str
    needed: tuple[str, ...] = ()
    remedy: str = REPAIR
    repaired: str = ""
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check saw: how many blobs and bytes it read, what was wrong, and what is merely left over."""

    blobs: int
    bytes: int
    damages: tuple[Damage, ...]
    leftovers: tuple[str, ...] = ()
