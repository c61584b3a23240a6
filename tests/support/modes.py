"""Every way in which layers become directories: as this kernel does it, and as others would make us do it."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

from layers import Mounter
from runner import mounts


class Looping:
    """A `layers.Mounter` whose kernel mounts images from block devices only, as Linux before 6.12."""

    overlay = staticmethod(mounts.overlay)
    unmount = staticmethod(mounts.unmount)

    @staticmethod
    def image(index: Path, data: Sequence[Path], target: Path, *, loops: bool = False) -> None:
        """As that kernel says it."""
        if not loops:
            raise OSError(errno.ENOTBLK, "Block device required", str(target))
        mounts.image(index, data, target, loops=True)


class Unpacking:
    """A `layers.Mounter` whose kernel has no EROFS, so that layers are unpacked."""

    overlay = staticmethod(mounts.overlay)
    unmount = staticmethod(mounts.unmount)

    @staticmethod
    def image(index: Path, data: Sequence[Path], target: Path, *, loops: bool = False) -> None:
        """As that kernel says it."""
        raise OSError(errno.ENODEV, "No such device", str(target))


MODES: dict[str, Mounter | None] = {"files": mounts, "loops": Looping(), "unpacked": Unpacking(), "plain": None}
"""The mounters of a store, by how it makes directories then."""
