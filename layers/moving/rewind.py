"""A stream from a source that can begin anywhere, made seekable: going elsewhere opens it anew from there.

A registry that receives from another one can so be sent the same bytes again when the first try broke off.
"""

from __future__ import annotations

import io
from typing import BinaryIO

from layers.moving.repository import Resumes
from layers.oci.descriptor import Descriptor


class Rewindable(io.RawIOBase):
    """The bytes of some content; opened by the first read. Raises what the source raises."""

    def __init__(self, source: Resumes, wanted: Descriptor) -> None:
        self._source = source
        self._wanted = wanted
        self._position = 0
        self._stream: BinaryIO | None = None

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        if self._stream is None:
            self._stream = self._source.open_from(self._wanted, self._position)
        data = self._stream.read(size)
        self._position += len(data)
        return data

    def tell(self) -> int:
        """Where the next byte comes from."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a byte of the content."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._wanted.size}[whence]
        if base + offset != self._position:
            self._position = base + offset
            self._drop()
        return self._position

    def close(self) -> None:
        """Give the source's stream up."""
        self._drop()
        super().close()

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
