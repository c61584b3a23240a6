"""Compressed streams: gzip, zstd, and for archives that people bring, bzip2 and xz.

Reading is bounded (a read never inflates to more than it asks for), takes several members or
frames one after another as one stream (RFC 1952, 2.2; RFC 8878, 3), and is strict about the end: what is cut
off or followed by other bytes is ArchiveInvalid. Written bytes depend on the input, the level and the
encoder's version only: no names, no times.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from layers.errors import ArchiveInvalid, LayerError
from layers.tar.pipeline import at_once

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LEVELS = {"gzip": 2, "zstd": 3}
"""The codecs that layers are written with, and the level of each if none is asked for."""

RANGES = {"gzip": (0, 9), "zstd": (1, 22)}
MAX_WINDOW = 128 << 20
"""Bytes that a zstd frame may make us remember; larger ones are refused."""

PIECE = 4 << 20
"""Bytes of one member of what is written as gzip: enough that cutting costs less than a thousandth in size."""

_FEED = 256 << 10
_LONGEST_MAGIC = 6
_MAGIC = 4  # bytes of zstd's
_MAGICS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}
_SKIPPABLE = tuple(bytes((first, 0x2A, 0x4D, 0x18)) for first in range(0x50, 0x60))


class CodecInvalid(LayerError):
    """A compression, or a level of one, that does not exist."""

    def __init__(self, codec: str, level: int | None = None) -> None:
        if codec in RANGES and level is not None:
            why = f"{codec} has levels {RANGES[codec][0]} to {RANGES[codec][1]}, not {level}"
        else:
            why = f"no compression is called {codec!r}; there are {' and '.join(RANGES)}"
        super().__init__(why)
        self.codec = codec
        self.level = level


class _Decompressor(Protocol):
    """The form of bz2's and lzma's decompressors, and of isal's."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /, max_length: int = -1) -> bytes: ...


def codec_of(magic: bytes) -> str:
    """What a stream that begins so is compressed with: gzip, zstd, bzip2, xz or none."""
    if magic.startswith(_SKIPPABLE):
        return "zstd"
    return next((codec for start, codec in _MAGICS.items() if magic.startswith(start)), "none")


def decompress(source: BinaryIO) -> BinaryIO:
    """What a stream holds, whatever it is compressed with (even nothing), as a stream to read once.

    Reading raises ArchiveInvalid for damage, a cut end and bytes after the end (but NULs); so does an empty source.
    """
    head = b""
    while len(head) < _LONGEST_MAGIC and (more := source.read(_FEED)):
        head += more
    if not head:
        raise ArchiveInvalid("it is empty")
    codec = codec_of(head)
    feed = _Feed(head, source)
    if codec == "none":
        return cast(BinaryIO, _Stream(feed.read))
    if codec == "zstd":
        return cast(BinaryIO, _Stream(_zstd(feed)))
    return cast(BinaryIO, _Stream(_Members(codec, feed).read))


def compress(codec: str, level: int, source: BinaryIO) -> Iterator[bytes]:
    """The compressed form of all that a source holds, piece by piece, in several threads.

    gzip (0-3 isal, 4-9 zlib) comes as members of PIECE bytes each, zstd (1-22) as one frame whose encoder has threads
    of its own: the same bytes on every machine. Raises CodecInvalid.
    """
    if codec not in RANGES or not RANGES[codec][0] <= level <= RANGES[codec][1]:
        raise CodecInvalid(codec, level)
    pieces = _pieces(source)
    if codec == "zstd":
        return _frame(level, pieces)
    return at_once(partial(_deflate(level), level=level, wbits=31), pieces)


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    """PIECE bytes each, fewer at the end only; at least one piece."""
    piece = whole(source, PIECE)
    yield piece
    while len(piece) == PIECE and (piece := whole(source, PIECE)):
        yield piece


def _deflate(level: int) -> Callable[..., bytes]:
    if level > 3:
        import zlib

        return zlib.compress
    from isal import isal_zlib

    return cast(Callable[..., bytes], isal_zlib.compress)


def _frame(level: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    import zstandard

    encoder = zstandard.ZstdCompressor(level=level, threads=2).compressobj()  # more threads, the same bytes
    for piece in pieces:
        yield encoder.compress(piece)
    yield encoder.flush()


def whole(source: BinaryIO, size: int) -> bytes:
    """So many bytes of a source, fewer only at its end."""
    pieces = []
    left = size
    while left and (piece := source.read(left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces) if len(pieces) != 1 else pieces[0]


class _Stream(io.RawIOBase):
    """A binary stream over a function that reads up to so many bytes."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        return self.readall() if size is None or size < 0 else self._read(size)

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self._read(_FEED), b""))

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._read(len(view))
        view[: len(data)] = data
        return len(data)


class _Feed:
    """A source whose first bytes were looked at already."""

    def __init__(self, head: bytes, source: BinaryIO) -> None:
        self._head = head
        self._source = source

    def read(self, size: int) -> bytes:
        if not self._head:
            return self._source.read(size)
        piece, self._head = self._head[:size], self._head[size:]
        return piece


class _Members:
    """Members of gzip, bzip2 or xz one after another."""

    def __init__(self, codec: str, feed: _Feed) -> None:
        self._codec = codec
        self._feed = feed
        self._new, self._errors = _members(codec)
        self._member: _Decompressor | None = self._new()
        self._rest = b""

    def read(self, size: int) -> bytes:
        while size and self._member is not None:
            data = b""
            if self._rest:
                data, self._rest = self._rest, b""
            elif self._member.needs_input:
                data = self._feed.read(_FEED)
                if not data:
                    raise ArchiveInvalid(f"the {self._codec} stream is cut off")
            try:
                out = self._member.decompress(data, size)
            except self._errors as error:
                raise ArchiveInvalid(f"the {self._codec} stream is damaged: {error}") from error
            if self._member.eof:
                self._next(self._member.unused_data)
            if out:
                return out
        return b""

    def _next(self, rest: bytes) -> None:
        """Go on to another member, or to the end."""
        while not (rest := rest.lstrip(b"\0")):
            rest = self._feed.read(_FEED)
            if not rest:
                self._member = None
                return
        while len(rest) < _LONGEST_MAGIC and (more := self._feed.read(_FEED)):
            rest += more
        if codec_of(rest) != self._codec:
            raise ArchiveInvalid(f"other bytes follow the end of the {self._codec} stream")
        self._member, self._rest = self._new(), rest


def _members(codec: str) -> tuple[Callable[[], _Decompressor], tuple[Any, ...]]:
    """Makes a decompressor for one member, and what it raises for damage."""
    if codec == "gzip":
        from isal import igzip_lib

        def new() -> _Decompressor:
            return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)  # checks the length and CRC, too

        return new, (igzip_lib.IsalError, ValueError)
    if codec == "bzip2":
        import bz2

        return bz2.BZ2Decompressor, (OSError, ValueError)
    import lzma

    return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_WINDOW), (lzma.LZMAError,)


def _zstd(feed: _Feed) -> Callable[[int], bytes]:
    import zstandard

    frames = _Frames(feed)
    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    reader = decoder.stream_reader(cast(BinaryIO, frames), read_size=_FEED, read_across_frames=True)

    def read(size: int) -> bytes:
        try:
            data = reader.read(size)
        except zstandard.ZstdError as error:
            raise ArchiveInvalid(f"the zstd stream is damaged or wants too much memory: {error}") from error
        if size and not data:
            frames.check_end()
        return data

    return read


class _Frames:
    """A zstd stream on its way to the decoder, which takes a cut end for the end: watches where frames end."""

    def __init__(self, feed: _Feed) -> None:
        self._feed = feed
        self._steps = _frames()
        self._held = b""
        self._wanted = next(self._steps)
        self._between = True

    def read(self, size: int) -> bytes:
        chunk = self._feed.read(size)
        at = 0
        while at < len(chunk):
            self._between = False
            if self._wanted < 0:  # to be skipped
                step = min(-self._wanted, len(chunk) - at)
                self._wanted += step
                self._go_on(b"") if not self._wanted else None
            else:
                step = min(self._wanted - len(self._held), len(chunk) - at)
                self._held += chunk[at : at + step]
                if len(self._held) == self._wanted:
                    held, self._held = self._held, b""
                    self._go_on(held)
            at += step
        return chunk

    def check_end(self) -> None:
        """Raises ArchiveInvalid unless the stream ended where a frame did."""
        if not self._between:
            raise ArchiveInvalid("the zstd stream is cut off")

    def _go_on(self, data: bytes) -> None:
        self._wanted = self._steps.send(data)
        while not self._wanted:
            self._wanted = self._steps.send(b"")
        self._between = self._wanted == _MAGIC  # nothing else of this length is asked for


def _frames() -> Generator[int, bytes, None]:
    """The parts of a zstd stream: yields how many bytes to send, or, negative, how many to skip (RFC 8878, 3.1)."""
    while True:
        magic = yield _MAGIC
        if magic in _SKIPPABLE:
            size = int.from_bytes((yield 2) + (yield 2), "little")
            yield -size
            continue
        if codec_of(magic) != "zstd":
            raise ArchiveInvalid("other bytes follow the end of the zstd stream")
        flags = (yield 1)[0]
        single = flags >> 5 & 1
        yield -((not single) + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6])
        last = 0
        while not last:
            block = int.from_bytes((yield 3), "little")
            last = block & 1
            yield -(1 if block >> 1 & 3 == 1 else block >> 3)
        yield -4 if flags & 4 else 0
