"""What can go wrong on the ground floor, as facts with attributes.

Callers decide on the type and the attributes; people read the text. Every text says what
was wanted, what was met and, where one exists, the way out.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from layers.oci.descriptor import Descriptor


class LayerError(Exception):
    """Root of all errors of this package."""


class BlobMissing(LayerError):
    """Content that was asked for by name is not here."""

    def __init__(self, wanted: str, where: str) -> None:
        super().__init__(f"{wanted} is not in {where}")
        self.wanted = wanted
        self.where = where


class BlobMismatch(LayerError):
    """Bytes do not have the digest or the size that their descriptor promises."""

    def __init__(self, wanted: Descriptor, *, received: int, digest: str | None = None) -> None:
        met = f"{received} bytes" if digest is None else f"{received} bytes with digest {digest}"
        super().__init__(f"{wanted.digest} should be {wanted.size} bytes, but {met} came; nothing was kept")
        self.wanted = wanted
        self.received = received
        self.digest = digest


class ReferenceInvalid(LayerError):
    """Text that is no image reference, with the reason."""

    def __init__(self, text: str, why: str) -> None:
        super().__init__(f"invalid reference {text!r}: {why}")
        self.text = text
        self.why = why


class DigestInvalid(LayerError):
    """Text that is no digest of a known algorithm."""

    def __init__(self, text: str, why: str) -> None:
        super().__init__(f"invalid digest {text!r}: {why}")
        self.text = text
        self.why = why


class DocumentInvalid(LayerError):
    """A manifest, index, config or layout file breaks its specification."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"invalid {what}: {why}")
        self.what = what
        self.why = why


class PlatformMissing(LayerError):
    """An index holds no manifest for the platform that was asked for."""

    def __init__(self, wanted: str, available: tuple[str, ...]) -> None:
        there = ", ".join(available) or "none"
        super().__init__(f"no image for platform {wanted}; available: {there}")
        self.wanted = wanted
        self.available = available


class UnsafePath(LayerError):
    """A path of an archive or a rootfs tries to leave its root, or names what it must not."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"refused path {path!r}: {why}")
        self.path = path
        self.why = why


class LayoutBusy(LayerError):
    """Somebody is writing into a layout."""

    def __init__(self, path: str) -> None:
        super().__init__(f"the layout {path} is being written to; try again when that is done")
        self.path = path


class ArchiveInvalid(LayerError):
    """A tar or compressed stream that cannot be read as what it claims to be."""

    def __init__(self, why: str, *, offset: int | None = None) -> None:
        at = "" if offset is None else f" at byte {offset}"
        super().__init__(f"invalid archive{at}: {why}")
        self.why = why
        self.offset = offset


class SnapshotMissing(LayerError):
    """A chain cannot become a directory because one of its layers is not here."""

    def __init__(self, chain: str, why: str) -> None:
        super().__init__(f"no snapshot for {chain}: {why}")
        self.chain = chain
        self.why = why


class StoreFormat(LayerError):
    """The store on disk is of a version, or in a state, that this program cannot use."""

    def __init__(self, root: str, why: str) -> None:
        super().__init__(f"store {root}: {why}")
        self.root = root
        self.why = why


class BaseMismatch(LayerError):
    """An image does not stand on the base that was named, or cannot stand on the new one."""


class IdUnmapped(LayerError):
    """An owner that a map of ids leaves out."""

    def __init__(self, path: str, kind: str, number: int) -> None:
        super().__init__(f"/{path} belongs to {kind} {number}, which is outside of the id map; map more ids")
        self.path = path
        self.kind = kind
        self.number = number


class OwnerUnmapped(LayerError):
    """Somebody owns a file who has no number in the user namespace that this process is in."""

    def __init__(self, uid: int, gid: int, numbers: int) -> None:
        help = f"it has {numbers} numbers: give yourself more in /etc/subuid and /etc/subgid, or run as root"
        super().__init__(f"a file of {uid}:{gid} can have no owner in this user namespace; {help}")
        self.uid = uid
        self.gid = gid


class FileChanged(LayerError):
    """A file was written, replaced or removed while it was read; what was made of it was dropped."""

    def __init__(self, path: str) -> None:
        super().__init__(f"/{path} changed while it was read; stop what writes there, and try again")
        self.path = path


class FileUnreadable(LayerError):
    """A file that was to go into a layer cannot be read."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"cannot read {path}: {why}")
        self.path = path
        self.why = why


class BundleInvalid(LayerError):
    """A directory that is no bundle, or one that cannot be used so."""

    def __init__(self, bundle: str, why: str) -> None:
        super().__init__(f"bundle {bundle}: {why}")
        self.bundle = bundle
        self.why = why


class NameAmbiguous(LayerError):
    """A short id or name that fits several things."""

    def __init__(self, text: str, candidates: tuple[str, ...], *, help: str = "") -> None:
        super().__init__(f"{text!r} is ambiguous: {', '.join(candidates)}" + (f"; {help}" if help else ""))
        self.text = text
        self.candidates = candidates


class StoreReadOnly(LayerError):
    """The store can be looked at, but not written."""

    def __init__(self, root: str) -> None:
        super().__init__(
            f"store {root}: it cannot be written; nothing was changed. Give yourself the right, mount it read-write, "
            "or choose another with --root"
        )
        self.root = root


class StoreFull(LayerError):
    """The disk of the store is full; what was being written was dropped, what was there stays.

    `needed` and `free` are bytes, None where nobody knows; `names`: it is names (inodes) that are used up.
    """

    def __init__(
        self, root: str, *, disk: str = "", needed: int | None = None, free: int | None = None, names: bool = False
    ) -> None:
        where = f"the disk at {disk}" if disk else "its disk"
        what = f"no more files can be made on {where}" if names else f"no space left on {where}"
        wanted = "" if needed is None else f": at least {needed:,} bytes are needed"
        there = "" if free is None or names else f"{',' if wanted else ':'} {free:,} are free"
        super().__init__(
            f"store {root}: {what}{wanted}{there}. Nothing was damaged or half kept; make room with 'pybuild prune'"
        )
        self.root = root
        self.disk = disk
        self.needed = needed
        self.free = free
        self.names = names


class NotWritable(LayerError):
    """A place for images that can only be read."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{where} can only be read")
        self.where = where
