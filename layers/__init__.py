"""The ground: OCI words as values, bytes by digest, chains of layers as directories.

This is the face of the package; other packages import from here only (and from `layers.quick`, what values are made
with). The names are looked up when first used (PEP 562): nobody loads SQLite, or what he does not need.
"""

from __future__ import annotations

from layers.faces import lazily

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
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

__getattr__ = lazily(
    __name__,
    {
        "errors": (
            "ArchiveInvalid",
            "BlobMismatch",
            "BlobMissing",
            "DigestInvalid",
            "DocumentInvalid",
            "LayerError",
            "NameAmbiguous",
            "NotWritable",
            "PlatformMissing",
            "ReferenceInvalid",
            "SnapshotMissing",
            "StoreFormat",
            "StoreFull",
            "StoreReadOnly",
            "UnsafePath",
        ),
        "home.blobs": ("BlobWriter", "Blobs"),
        "home.collect": ("Pruned", "prune"),
        "home.damage": ("Damage", "Findings"),
        "home.images": ("Images",),
        "home.leases": ("Lease",),
        "home.records": ("Record", "Records"),
        "home.sizes": ("Share", "Usage", "usage"),
        "home.store": ("Mounter", "Store"),
        "home.variants": ("Variants",),
        "moving.repository": ("Mounts", "Repository"),
        "oci.chain": ("Chain",),
        "oci.descriptor": ("Descriptor",),
        "oci.digest": ("ChainID", "DiffID", "Digest"),
        "oci.documents": ("History", "ImageConfig", "Index", "Manifest"),
        "oci.image": ("Image", "NewLayer"),
        "oci.platform": ("Platform",),
        "oci.reference": ("Reference",),
        "snapshot.snapshots": ("Snapshotter", "Workspace"),
        "tar.entry": ("Entry", "EntryType"),
        "tar.toc": ("Toc",),
        "views.accounts": ("Account", "AccountMissing", "Accounts"),
        "views.tree": ("Tree",),
    },
)

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
