"""The head of an index of layers: what it is, and the tars that are its further devices.

A module of its own, for whoever mounts an index needs no more of it than this (format: `layers.snapshot.erofs`).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

from layers.errors import DigestInvalid
from layers.oci.digest import DiffID, Digest
from layers.quick import dataclass

BLOCK = 512
_BITS = 9
_MAGIC = 0xE0F5E1E2
_SUPERBLOCK = struct.Struct("<IIIBBHQQIIII16s16sIHHHBBIQB23x")
_AT = 1024  # of the superblock
_SLOT = struct.Struct("<64sII56x")
_SLOTS_AT = _AT + _SUPERBLOCK.size
_DEVICES = struct.Struct("<HH")
_DEVICES_AT = _AT + 0x56  # in the superblock: how many devices, and where their slots begin
_DEVICE_TABLE = 0x8


class CannotIndex(Exception):
    """Something has no place in an image; the layers must be unpacked."""


@dataclass(frozen=True)
class Device:
    """A raw tar that is a device: its name, its whole blocks, and the block of the address space where it begins."""

    diff_id: DiffID
    blocks: int
    start: int


def head_size(devices: int) -> int:
    """Bytes of a head with so many devices."""
    return _SLOTS_AT + devices * _SLOT.size


def head(devices: Sequence[Device], *, root: int, inodes: int, blocks: int, metadata: int) -> bytes:
    """The beginning of an image of so many blocks: `metadata` is the block from which its inodes are numbered."""
    data = bytearray(head_size(len(devices)))
    _SUPERBLOCK.pack_into(
        data, _AT, _MAGIC, 0, 0, _BITS, 0, root, inodes, 0, 0, blocks, metadata, 0, bytes(16), bytes(16), _DEVICE_TABLE,
        0, len(devices), _SLOTS_AT // _SLOT.size, 0, 0, 0, 0, 0,
    )  # fmt: skip
    for number, device in enumerate(devices):
        tag = device.diff_id.hex.encode()
        _SLOT.pack_into(data, _SLOTS_AT + number * _SLOT.size, tag, device.blocks, device.start)
    return bytes(data)


def devices(image: Path) -> list[DiffID]:
    """The tars that an image needs as further devices, in its order. Raises OSError, CannotIndex if it is damaged."""
    try:
        with open(image, "rb", buffering=0) as file:
            head = file.read(_SLOTS_AT)
            count, first = _DEVICES.unpack_from(head, _DEVICES_AT)
            slots = os.pread(file.fileno(), count * _SLOT.size, first * _SLOT.size)
        return [Digest.parse(f"sha256:{tag.decode()}") for tag, _, _ in _SLOT.iter_unpack(slots)]
    except (struct.error, ValueError, DigestInvalid) as error:
        raise CannotIndex("its index is damaged") from error
