"""The mounts of a machine that has no EROFS over files, so that layers are unpacked."""

import errno
from pathlib import Path

from runner import mounts


class Unpacking:
    """A `layers.Mounter` whose kernel refuses images."""

    overlay = staticmethod(mounts.overlay)
    unmount = staticmethod(mounts.unmount)

    @staticmethod
    def image(index: Path, data: Path, target: Path) -> None:
        """As Linux before 6.12 says it."""
        raise OSError(errno.ENOTBLK, "Block device required", str(target))
