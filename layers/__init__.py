"""The ground: OCI words as values, bytes by digest, chains of layers as directories.

This is the face of the package; other packages import from here only. Names whose modules are
costly to load are looked up when first used (PEP 562).
"""

from layers.accounts import Account, AccountMissing, Accounts
from layers.chain import Chain
from layers.descriptor import Descriptor
from layers.digest import ChainID, DiffID, Digest
from layers.documents import History, ImageConfig, Index, Manifest
from layers.entry import Entry, EntryType
from layers.errors import (
    ArchiveInvalid,
    BlobMismatch,
    BlobMissing,
    DigestInvalid,
    DocumentInvalid,
    LayerError,
    NameAmbiguous,
    PlatformMissing,
    ReferenceInvalid,
    SnapshotMissing,
    StoreFormat,
    UnsafePath,
)
from layers.platform import Platform
from layers.reference import Reference
from layers.repository import Mounts, Repository

__all__ = [
    "Account",
    "AccountMissing",
    "Accounts",
    "ArchiveInvalid",
    "BlobMismatch",
    "BlobMissing",
    "Chain",
    "ChainID",
    "Descriptor",
    "DiffID",
    "Digest",
    "DigestInvalid",
    "DocumentInvalid",
    "Entry",
    "EntryType",
    "History",
    "ImageConfig",
    "Index",
    "LayerError",
    "Manifest",
    "Mounts",
    "NameAmbiguous",
    "Platform",
    "PlatformMissing",
    "Reference",
    "ReferenceInvalid",
    "Repository",
    "SnapshotMissing",
    "StoreFormat",
    "UnsafePath",
]
