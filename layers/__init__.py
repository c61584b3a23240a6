"""The ground: OCI words as values, bytes by digest, chains of layers as directories.

This is the face of the package; other packages import from here only (and from `layers.quick`, what values are made
with). The names are looked up when first used (PEP 562): nobody loads SQLite, or what he does not need.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

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
    from layers.home.blobs import Blobs, BlobWriter
    from layers.home.collect import Pruned, prune
    from layers.home.damage import Damage, Findings
    from layers.home.images import Images
    from layers.home.leases import Lease
    from layers.home.records import Record, Records
    from layers.home.sizes import Share, Usage, usage
    from layers.home.store import Mounter, Store
    from layers.home.variants import Variants
    from layers.moving.repository import Mounts, Repository
    from layers.oci.chain import Chain
    from layers.oci.descriptor import Descriptor
    from layers.oci.digest import ChainID, DiffID, Digest
    from layers.oci.documents import History, ImageConfig, Index, Manifest
    from layers.oci.image import Image, NewLayer
    from layers.oci.platform import Platform
    from layers.oci.reference import Reference
    from layers.snapshot.snapshots import Snapshotter, Workspace
    from layers.tar.entry import Entry, EntryType
    from layers.tar.toc import Toc
    from layers.views.accounts import Account, AccountMissing, Accounts
    from layers.views.tree import Tree

LAZY = {
    "Account": "views.accounts",
    "AccountMissing": "views.accounts",
    "Accounts": "views.accounts",
    "ArchiveInvalid": "errors",
    "BlobMismatch": "errors",
    "BlobMissing": "errors",
    "BlobWriter": "home.blobs",
    "Blobs": "home.blobs",
    "Chain": "oci.chain",
    "ChainID": "oci.digest",
    "Damage": "home.damage",
    "Descriptor": "oci.descriptor",
    "DiffID": "oci.digest",
    "Digest": "oci.digest",
    "DigestInvalid": "errors",
    "DocumentInvalid": "errors",
    "Entry": "tar.entry",
    "EntryType": "tar.entry",
    "Findings": "home.damage",
    "History": "oci.documents",
    "Image": "oci.image",
    "ImageConfig": "oci.documents",
    "Images": "home.images",
    "Index": "oci.documents",
    "LayerError": "errors",
    "Lease": "home.leases",
    "Manifest": "oci.documents",
    "Mounter": "home.store",
    "Mounts": "moving.repository",
    "NameAmbiguous": "errors",
    "NewLayer": "oci.image",
    "NotWritable": "errors",
    "Platform": "oci.platform",
    "PlatformMissing": "errors",
    "Pruned": "home.collect",
    "Record": "home.records",
    "Records": "home.records",
    "Reference": "oci.reference",
    "ReferenceInvalid": "errors",
    "Repository": "moving.repository",
    "Share": "home.sizes",
    "SnapshotMissing": "errors",
    "Snapshotter": "snapshot.snapshots",
    "Store": "home.store",
    "StoreFormat": "errors",
    "StoreFull": "errors",
    "StoreReadOnly": "errors",
    "Toc": "tar.toc",
    "Tree": "views.tree",
    "UnsafePath": "errors",
    "Usage": "home.sizes",
    "Variants": "home.variants",
    "Workspace": "snapshot.snapshots",
    "prune": "home.collect",
    "usage": "home.sizes",
}
"""The module of each name."""

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
    from importlib import import_module

    value = getattr(import_module(f"layers.{LAZY[name]}"), name)
    globals()[name] = value
    return value
