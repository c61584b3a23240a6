"""Compressed streams against the standard library's and zstandard's own encoders, whole, joined, cut and damaged."""

import bz2
import gzip
import io
import lzma
import random
import threading
import tracemalloc
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from layers import ArchiveInvalid
from layers.tar.codec import LEVELS, PIECE, RANGES, CodecInvalid, codec_of, compress, decompress

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}
DATA = random.Random(5).randbytes(300_000) + b"again and again " * 40_000
encoded = pytest.mark.parametrize("codec", ENCODERS)


class Dribble(io.BytesIO):
    """Gives less than it is asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(777, 777 if size is None or size < 0 else size))


def inflate(data: bytes, size: int = 1 << 20) -> bytes:
    stream = decompress(io.BytesIO(data))
    return b"".join(iter(lambda: stream.read(size), b""))


@encoded
def test_what_others_wrote_is_read(codec: str) -> None:
    packed = ENCODERS[codec](DATA)
    assert codec_of(packed[:6]) == codec
    assert inflate(packed) == inflate(packed, 999) == DATA
    assert io.BufferedReader(decompress(io.BytesIO(packed))).read() == DATA  # type: ignore[type-var]


@encoded
def test_members_are_one_stream(codec: str) -> None:
    pack = ENCODERS[codec]
    assert inflate(pack(DATA) + pack(b"") + pack(b"end")) == DATA + b"end"


@encoded
@pytest.mark.parametrize("cut", [1, 5, 9, 1000])
def test_a_cut_stream_is_refused(codec: str, cut: int) -> None:
    with pytest.raises(ArchiveInvalid, match=r"cut off|damaged"):
        inflate(ENCODERS[codec](DATA)[:-cut])
    with pytest.raises(ArchiveInvalid, match=r"cut off|damaged"):
        inflate(ENCODERS[codec](DATA)[: 6 + cut])


@encoded
def test_bytes_after_the_end_are_refused_and_padding_is_not(codec: str) -> None:
    packed = ENCODERS[codec](b"data")
    with pytest.raises(ArchiveInvalid, match="follow the end"):
        inflate(packed + b"more")
    if codec != "zstd":  # tapes pad with zeros; zstd never was on tape
        assert inflate(packed + bytes(10_000)) == b"data"


@encoded
def test_damage_is_noticed(codec: str) -> None:
    packed = bytearray(ENCODERS[codec](DATA))
    packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(ArchiveInvalid):
        inflate(bytes(packed))


def test_nothing_and_anything() -> None:
    with pytest.raises(ArchiveInvalid, match="empty"):
        decompress(io.BytesIO(b""))
    assert inflate(b"x") == b"x"
    assert inflate(b"not compressed at all") == b"not compressed at all"


def test_skippable_frames_are_skipped() -> None:
    skippable = b"\x53\x2a\x4d\x18" + (70_000).to_bytes(4, "little") + bytes(70_000)
    assert inflate(skippable + ENCODERS["zstd"](b"data") + skippable) == b"data"
    with pytest.raises(ArchiveInvalid, match="cut off"):
        inflate(ENCODERS["zstd"](b"data") + skippable[:-1])


@encoded
def test_a_bomb_goes_off_slowly(codec: str) -> None:
    packed = ENCODERS[codec](bytes(64 << 20))
    stream = decompress(io.BytesIO(packed))
    tracemalloc.start()
    try:
        piece = stream.read(1 << 20)
        assert piece == bytes(len(piece))
        assert piece
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_frame_that_wants_too_much_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    packing = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = packing.compress(bytes(1 << 20)) + packing.flush()
    with pytest.raises(ArchiveInvalid, match="memory"):
        inflate(packed)


@pytest.mark.parametrize(("codec", "level"), [(codec, level) for codec, ends in RANGES.items() for level in ends])
def test_what_we_write_others_read_and_it_is_the_same_each_time(codec: str, level: int) -> None:
    packed = b"".join(compress(codec, level, io.BytesIO(DATA)))
    assert b"".join(compress(codec, level, Dribble(DATA))) == packed, "however it is read"
    other = gzip.decompress if codec == "gzip" else lambda data: zstandard.decompress(data, max_output_size=len(DATA))
    assert other(packed) == DATA
    if codec == "gzip":
        assert packed[3:8] == bytes(5), "no name, no time"


@pytest.mark.parametrize(("codec", "level"), [("gzip", 10), ("gzip", -1), ("zstd", 0), ("lz4", 1)])
def test_levels_that_do_not_exist(codec: str, level: int) -> None:
    with pytest.raises(CodecInvalid, match=codec):
        compress(codec, level, io.BytesIO())


def test_many_members_and_one_frame_whatever_the_number_of_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    data = random.Random(1).randbytes(1000) * (2 * PIECE // 1000 + 5)
    found = []
    for processors in (1, 2, 7):
        monkeypatch.setattr("os.cpu_count", lambda many=processors: many)
        found.append({codec: b"".join(compress(codec, LEVELS[codec], io.BytesIO(data))) for codec in LEVELS})
    assert found[0] == found[1] == found[2]
    assert gzip.decompress(found[0]["gzip"]) == data
    assert inflate(found[0]["gzip"]) == data
    assert inflate(found[0]["zstd"]) == data


def test_nothing_is_compressed_to_nothing_that_can_be_read() -> None:
    for codec in LEVELS:
        assert inflate(b"".join(compress(codec, LEVELS[codec], io.BytesIO()))) == b""


def test_a_reader_that_leaves_lets_the_threads_go() -> None:
    before = threading.active_count()
    pieces = compress("gzip", 1, io.BytesIO(bytes(40 << 20)))
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert threading.active_count() <= before


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh9", b"\xfd7zXZ\0"]))
def test_any_bytes_are_read_or_refused(data: bytes, magic: bytes) -> None:
    try:
        inflate(magic + data)
    except ArchiveInvalid:
        pass
