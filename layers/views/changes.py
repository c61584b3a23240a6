"""What changed: paths added, modified or removed, with the entry that a layer would carry."""

from __future__ import annotations

from enum import StrEnum

from layers.quick import dataclass
from layers.tar.entry import Entry


class ChangeKind(StrEnum):
    """The letters that `diff` prints."""

    ADDED = "A"
    MODIFIED = "C"
    REMOVED = "D"


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs from what lies below.

    `entry` is what the layer carries (for REMOVED a WHITEOUT). `implied` marks an unchanged
    parent directory, carried so that the layer is complete but not a change in itself.
    """

    kind: ChangeKind
    entry: Entry
    implied: bool = False
