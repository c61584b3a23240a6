"""The ground: OCI words as values, bytes by digest, chains of layers as directories.

This is the face of the package; other packages import from here only. Names whose modules are
costly to load are looked up when first used (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    NotWritable,
    PlatformMissing,
    ReferenceInvalid,
    SnapshotMissing,
    StoreFormat,
    StoreFull,
    StoreReadOnly,
    UnsafePath,
)
from layers.platform import Platform
from layers.reference import Reference
from layers.repository import Mounts, Repository
from layers.snapshots import Snapshotter, Workspace

if TYPE_CHECKING:
    from layers.blobs import Blobs, BlobWriter
    from layers.collect import Pruned, prune
    from layers.damage import Damage, Findings
    from layers.image import Image, NewLayer
    from layers.images import Images
    from layers.leases import Lease
    from layers.records import Record, Records
    from layers.sizes import Share, Usage, usage
    from layers.store import Mounter, Store
    from layers.toc import Toc
    from layers.tree import Tree
    from layers.variants import Variants

LAZY = {
    "BlobWriter": "blobs",
    "Blobs": "blobs",
    "Damage": "damage",
    "Findings": "damage",
    "Image": "image",
    "Images": "images",
    "Lease": "leases",
    "Mounter": "store",
    "NewLayer": "image",
    "Pruned": "collect",
    "Record": "records",
    "Records": "records",
    "Share": "sizes",
    "Store": "store",
    "Toc": "toc",
    "Tree": "tree",
    "Usage": "sizes",
    "Variants": "variants",
    "prune": "collect",
    "usage": "sizes",
}
"""Names that bring SQLite or the store with them, by module."""

__all__ = [
    "Account",
    "AccountMissing",
    "Accounts",
    "ArchiveInvalid",
    "BlobMismatch",
    "BlobMissing",
    "BlobWriter",
    "Blobs",
    "Chain",
    "ChainID",
    "Damage",
    "Descriptor",
    "DiffID",
    "Digest",
    "DigestInvalid",
    "DocumentInvalid",
    "Entry",
    "EntryType",
    "Findings",
    "History",
    "Image",
    "ImageConfig",
    "Images",
    "Index",
    "LayerError",
    "Lease",
    "Manifest",
    "Mounter",
    "Mounts",
    "NameAmbiguous",
    "NewLayer",
    "NotWritable",
    "Platform",
    "PlatformMissing",
    "Pruned",
    "Record",
    "Records",
    "Reference",
    "ReferenceInvalid",
    "Repository",
    "Share",
    "SnapshotMissing",
    "Snapshotter",
    "Store",
    "StoreFormat",
    "StoreFull",
    "StoreReadOnly",
    "Toc",
    "Tree",
    "UnsafePath",
    "Usage",
    "Variants",
    "Workspace",
    "prune",
    "usage",
]


def __getattr__(name: str) -> Any:
    if name not in LAZY:
        raise AttributeError(f"module 'layers' has no attribute {name!r}")
    value = getattr(import_module(f"layers.{LAZY[name]}"), name)
    globals()[name] = value
    return value
