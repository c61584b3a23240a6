"""The ground: OCI words as values, bytes by digest, chains of layers as directories.

This is the face of the package; other packages import from here only. Names whose modules are
costly to load are looked up when first used (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from layers.moving.repository import Mounts, Repository
from layers.oci.chain import Chain
from layers.oci.descriptor import Descriptor
from layers.oci.digest import ChainID, DiffID, Digest
from layers.oci.documents import History, ImageConfig, Index, Manifest
from layers.oci.platform import Platform
from layers.oci.reference import Reference
from layers.snapshot.snapshots import Snapshotter, Workspace
from layers.tar.entry import Entry, EntryType
from layers.views.accounts import Account, AccountMissing, Accounts

if TYPE_CHECKING:
    from layers.home.blobs import Blobs, BlobWriter
    from layers.home.collect import Pruned, prune
    from layers.home.damage import Damage, Findings
    from layers.home.images import Images
    from layers.home.leases import Lease
    from layers.home.records import Record, Records
    from layers.home.sizes import Share, Usage, usage
    from layers.home.store import Mounter, Store
    from layers.home.variants import Variants
    from layers.oci.image import Image, NewLayer
    from layers.tar.toc import Toc
    from layers.views.tree import Tree

LAZY = {
    "BlobWriter": "home.blobs",
    "Blobs": "home.blobs",
    "Damage": "home.damage",
    "Findings": "home.damage",
    "Image": "oci.image",
    "Images": "home.images",
    "Lease": "home.leases",
    "Mounter": "home.store",
    "NewLayer": "oci.image",
    "Pruned": "home.collect",
    "Record": "home.records",
    "Records": "home.records",
    "Share": "home.sizes",
    "Store": "home.store",
    "Toc": "tar.toc",
    "Tree": "views.tree",
    "Usage": "home.sizes",
    "Variants": "home.variants",
    "prune": "home.collect",
    "usage": "home.sizes",
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
