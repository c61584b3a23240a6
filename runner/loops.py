"""Files as block devices (loop(4)), for kernels that mount file systems from devices only.

A device is set up read-only and gives its file up by itself when its last user lets go (autoclear). While it is being
mounted that is us, afterwards the mount: so it is gone with the mount namespace, even after SIGKILL.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from contextlib import ExitStack

_GET_FREE, _CONFIGURE = 0x4C82, 0x4C0A  # LOOP_CTL_GET_FREE, LOOP_CONFIGURE (Linux 5.8)
_FLAGS = 1 | 4  # LO_FLAGS_READ_ONLY, LO_FLAGS_AUTOCLEAR
_CONFIG = struct.Struct("=II52xI236x")  # struct loop_config: file, bytes of a block, lo_flags
_BLOCK = 512
_ATTEMPTS = 64
"""Others take free devices too, between our asking for one and taking it."""


def attach(file: int, opened: ExitStack) -> int:
    """A descriptor of a device that shows an open file; `opened` closes it. Raises OSError."""
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            number = fcntl.ioctl(control, _GET_FREE)
            device = os.open(f"/dev/loop{number}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _CONFIGURE, _CONFIG.pack(file, _BLOCK, _FLAGS))
            except OSError as problem:
                os.close(device)
                if problem.errno != errno.EBUSY:
                    raise
                continue
            opened.callback(os.close, device)
            return device
        raise OSError(errno.EBUSY, "others took every free loop device")
    finally:
        os.close(control)
