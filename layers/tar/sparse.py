"""Sparse files in tars that others wrote: the four forms in which GNU tar lists their pieces.

A map is a tuple of (position, length), ascending, inside the file's size; the pieces lie one after
another where the data begin (GNU tar manual, "Storing Sparse Files"). OCI layers should not have
them (image-spec, layer.md); we read them and never write them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from layers.errors import ArchiveInvalid

Map = tuple[tuple[int, int], ...]
MAX_PIECES = 1 << 20
_BLOCK = 512


def checked(pieces: Sequence[tuple[int, int]], size: int, stored: int, offset: int) -> Map:
    """The map without empty pieces. Raises ArchiveInvalid if it overlaps, leaves the file, or lacks data."""
    end = total = 0
    for position, length in pieces:
        if position < end or length < 0 or position + length > size:
            raise ArchiveInvalid("the map of a sparse file overlaps or leaves the file", offset=offset)
        end = position + length
        total += length
    if total > stored:
        raise ArchiveInvalid(f"a sparse file maps {total} bytes but stores {stored}", offset=offset)
    return tuple(piece for piece in pieces if piece[1])


def from_numbers(numbers: Sequence[int], offset: int) -> list[tuple[int, int]]:
    """Pairs from a flat list, as PAX 0.0, 0.1 and 1.0 write them."""
    if len(numbers) % 2 or len(numbers) > 2 * MAX_PIECES:
        raise ArchiveInvalid("the map of a sparse file has half a piece or too many", offset=offset)
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def from_text(text: bytes, offset: int) -> list[tuple[int, int]]:
    """PAX 0.1: "position,length,position,length"."""
    parts = text.split(b",") if text else []
    if not all(part.isdigit() and len(part) < 20 for part in parts):
        raise ArchiveInvalid("the map of a sparse file is not a list of numbers", offset=offset)
    return from_numbers([int(part) for part in parts], offset)


def from_data(read: Callable[[int, int], bytes], offset: int, stored: int) -> tuple[list[tuple[int, int]], int]:
    """PAX 1.0: decimal lines (count, then position and length of each) in whole blocks before the data.

    Returns the pieces and how many bytes of the stored ones the map takes.
    """
    data = bytearray()

    def more() -> None:
        block = read(offset + len(data), _BLOCK) if len(data) < stored else b""
        if len(block) < _BLOCK or len(data) > 40 * MAX_PIECES:
            raise ArchiveInvalid("the map of a sparse file does not end", offset=offset)
        data.extend(block)

    at = 0

    def number() -> int:
        nonlocal at
        while (end := data.find(b"\n", at)) < 0:
            more()
        digits = bytes(data[at:end])
        if not digits.isdigit() or len(digits) > 19:
            raise ArchiveInvalid("the map of a sparse file is not a list of numbers", offset=offset + at)
        at = end + 1
        return int(digits)

    count = number()
    if count > MAX_PIECES:
        raise ArchiveInvalid(f"a sparse file of {count} pieces; at most {MAX_PIECES} are read", offset=offset)
    numbers = [number() for _ in range(2 * count)]
    return from_numbers(numbers, offset), len(data)
