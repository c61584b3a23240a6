"""Unix sockets that keep messages apart (SOCK_SEQPACKET, unix(7)), and descriptors in their messages.

The library's `socket` makes enumerations of all the constants of all protocols, which takes 2 ms of each start; these
are the sockets below it.
"""

from __future__ import annotations

import os
import struct
from _socket import (
    AF_UNIX,
    CMSG_SPACE,
    MSG_CMSG_CLOEXEC,
    MSG_DONTWAIT,
    SCM_RIGHTS,
    SO_PEERCRED,
    SO_SNDTIMEO,
    SOCK_SEQPACKET,
    SOL_SOCKET,
    socket,
    socketpair,
)

from runner.suppress import suppress

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self


class Socket(socket):
    """One end; closed on leaving a `with`. Not inherited by programs."""

    __slots__ = ()

    @classmethod
    def new(cls, descriptor: int = -1) -> Self:
        """One that is not connected yet; or that of a descriptor, which is its own from now on."""
        return cls(AF_UNIX, SOCK_SEQPACKET, 0, descriptor) if descriptor >= 0 else cls(AF_UNIX, SOCK_SEQPACKET)

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        """Two that are connected."""
        one, other = socketpair(AF_UNIX, SOCK_SEQPACKET)
        return (cls(AF_UNIX, SOCK_SEQPACKET, 0, one.detach()), cls(AF_UNIX, SOCK_SEQPACKET, 0, other.detach()))

    @classmethod
    def listening(cls, folder: Path, name: str) -> Self:
        """One whom others call by its name in a folder; what has the name goes.

        A socket's path has only 107 bytes, so a descriptor leads there.
        """
        with suppress(FileNotFoundError):
            os.unlink(folder / name)
        line = cls.new()
        place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            line.bind(f"/proc/self/fd/{place}/{name}")
            line.listen(64)
            line.setblocking(False)
        except BaseException:
            line.close()
            raise
        finally:
            os.close(place)
        return line

    @classmethod
    def calling(cls, folder: Path | str, name: str, patience: float) -> Self | None:
        """One that is connected to who listens there, and waits so many seconds for answers; None if nobody does.

        Raises TimeoutError if so many others call that it does not come to us.
        """
        try:
            place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        line = cls.new()
        try:
            seconds, rest = divmod(patience, 1)
            line.setsockopt(SOL_SOCKET, SO_SNDTIMEO, struct.pack("ll", int(seconds), int(rest * 1e6)))
            line.connect(f"/proc/self/fd/{place}/{name}")  # only who blocks waits where the queue is full (unix(7))
            line.settimeout(patience)
        except (FileNotFoundError, ConnectionRefusedError):
            line.close()
            return None
        except BlockingIOError:
            line.close()
            raise TimeoutError("so many others call that nobody has answered") from None
        except BaseException:
            line.close()
            raise
        finally:
            os.close(place)
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def accept(self) -> Self:
        """Our end to the next who calls. Raises BlockingIOError if there is none and waiting was not wished."""
        descriptor, _ = self._accept()  # type: ignore[attr-defined]
        return type(self)(AF_UNIX, SOCK_SEQPACKET, 0, descriptor)

    def peer(self) -> int:
        """The process that listened where we called, if that lives still (unix(7), SO_PEERCRED)."""
        pid: int = struct.unpack("3i", self.getsockopt(SOL_SOCKET, SO_PEERCRED, 12))[0]
        return pid

    def send_with(self, message: bytes, descriptors: Sequence[int]) -> None:
        """Send a message and descriptors."""
        packed = struct.pack(f"{len(descriptors)}i", *descriptors)
        self.sendmsg([message], [(SOL_SOCKET, SCM_RIGHTS, packed)] if packed else [])

    def receive_with(self, size: int, most: int, *, wait: bool = True) -> tuple[bytes, list[int]]:
        """A message of `size` bytes at most, empty at the end, and up to `most` descriptors, which are ours then.

        Raises BlockingIOError if there is none and waiting was not wished.
        """
        flags = MSG_CMSG_CLOEXEC | (0 if wait else MSG_DONTWAIT)
        message, extra, _, _ = self.recvmsg(size, CMSG_SPACE(4 * most), flags)
        given: list[int] = []
        for level, kind, data in extra:
            if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
                given += struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4])
        return message, given
