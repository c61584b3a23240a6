"""The names of an OCI layout: its `index.json` as a value (OCI image-spec, image-layout.md, "index.json File").

Entries that are not understood (an algorithm of tomorrow, fields of other tools) stay byte for byte what they mean:
only the entry that is named anew is written by us.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from layers.errors import BlobMissing, DigestInvalid, DocumentInvalid, NameAmbiguous, ReferenceInvalid
from layers.oci import mediatypes
from layers.oci.descriptor import Descriptor
from layers.oci.digest import Digest
from layers.oci.documents import check_kind, decode, encode, media_type_of
from layers.oci.reference import Reference
from layers.quick import dataclass, replace

LAYOUT_FILE = b'{"imageLayoutVersion":"1.0.0"}'
REF_NAME = "org.opencontainers.image.ref.name"
FULL_NAME = "io.containerd.image.name"
SHOWN = 20
"""Names that an error lists."""
EMPTY = {"schemaVersion": 2, "mediaType": mediatypes.OCI_INDEX, "manifests": []}


@dataclass(frozen=True, slots=True)
class Names:
    """What a layout holds by name; changes give another value."""

    value: Mapping[str, Any]

    @classmethod
    def parse(cls, raw: bytes) -> Names:
        """Read index.json. Raises DocumentInvalid."""
        value = decode(raw, "index.json")
        check_kind(value, mediatypes.OCI_INDEX, mediatypes.INDEXES, "index.json", forbidden=("layers", "config"))
        entries = value.get("manifests") or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise DocumentInvalid("index.json", "manifests is not a list of objects")
        return cls({**value, "manifests": entries})

    @property
    def raw(self) -> bytes:
        """The file's text."""
        return encode(self.value)

    def entries(self) -> Iterator[Descriptor]:
        """The entries that can be read; those of unknown digest algorithms are passed over."""
        for entry in self.value["manifests"]:
            try:
                yield Descriptor.from_json(entry, what="entry of index.json")
            except DigestInvalid:
                continue

    def listed(self) -> tuple[str, ...]:
        """Every name, sorted; whole ones as people write them."""
        return tuple(sorted({name for entry in self.entries() if (name := familiar(entry.annotations))}))

    def resolve(self, name: str, where: str, look: Callable[[Digest], bytes]) -> Descriptor:
        """What a name, `@N` (a place in the list), a digest, or "" (the only image) points to.

        `look` reads a blob, for digests that index.json does not list. Raises BlobMissing, NameAmbiguous.
        """
        if name.startswith("@"):
            entries = self.value["manifests"]
            if not name[1:].isdecimal() or int(name[1:]) >= len(entries):
                raise BlobMissing(f"image {name} (of {len(entries)})", where)
            return Descriptor.from_json(entries[int(name[1:])], what="entry of index.json").bare
        if ":" in name and "/" not in name and name.partition(":")[0] in ("sha256", "sha384", "sha512"):
            return self._by_digest(Digest.parse(name), look)
        found = self._called(name, where) if name else list(self.entries())
        digests = dict.fromkeys(entry.digest for entry in found)
        if not digests:
            names = self.listed()
            there = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "") or "none"
            raise BlobMissing(f"image {name!r} (names there: {there})" if name else "an image", where)
        if len(digests) > 1:
            said = [
                f"{name_of(entry.annotations)}@{entry.digest}" if not name else str(entry.digest) for entry in found
            ]
            how = "a digest, as in PATH@sha256:..." if name else "a name or a digest"
            raise NameAmbiguous(name or where, tuple(dict.fromkeys(said)), help=f"choose by {how}")
        return found[0].bare

    def pointing(self, name: str, target: Descriptor, full: str | None = None) -> Names:
        """The same with `name` for `target`; what had the name before loses its entry. "" adds it without a name."""
        entries = self.value["manifests"]
        same = [old for old in entries if old.get("digest") == str(target.digest)]
        if not name and not full and same:
            return self
        replaced = [old for old in entries if (named(old) == full if full else name and called(old, name))]
        nameless = [old for old in same if named(old) is None][:1]
        base = next(
            (old for old in (*replaced, *nameless) if old in same),
            replace(target.bare, annotations=target.annotations).to_json(),
        )
        words = {**notes(base), **({REF_NAME: name} if name else {}), **({FULL_NAME: full} if full else {})}
        entry = {**base, "annotations": words} if words else base
        kept = [old for old in entries if old not in replaced and old not in nameless]
        return Names({**self.value, "manifests": [*kept, entry]})

    def without(self, name: str) -> Names:
        """The same without a name, however it is written, or without all entries of a digest."""
        entries = self.value["manifests"]
        kept = [old for old in entries if not called(old, name) and old.get("digest") != name]
        if kept == entries and ("/" in name or ":" in name) and (wanted := reference(name)):
            kept = [old for old in entries if reference_of(notes(old)) != wanted]
        return Names({**self.value, "manifests": kept})

    def _by_digest(self, digest: Digest, look: Callable[[Digest], bytes]) -> Descriptor:
        for entry in self.entries():
            if entry.digest == digest:
                return entry.bare
        raw = look(digest)
        met = Digest.of(raw, digest.algorithm)
        if met != digest:
            raise DocumentInvalid(f"document {digest}", f"the bytes that came have digest {met}")
        return Descriptor.of(raw, media_type_of(raw, f"document {digest}"), digest.algorithm)

    def _called(self, name: str, where: str) -> list[Descriptor]:
        """The entries that a name means: written exactly so, else the same reference written otherwise."""
        for entry in self.value["manifests"]:
            if called(entry, name):
                Descriptor.from_json(entry, what=f"entry {name} of {where}")  # named by what we cannot read: say so
        found = [entry for entry in self.entries() if called(entry.to_json(), name)]
        if found or not ("/" in name or ":" in name):
            return found
        wanted = reference(name)
        return [entry for entry in self.entries() if wanted and reference_of(entry.annotations) == wanted]


def notes(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The annotations of a raw entry."""
    found = entry.get("annotations")
    return found if isinstance(found, dict) else {}


def called(entry: Mapping[str, Any], name: str) -> bool:
    """True if a raw entry has exactly this name."""
    return name in (notes(entry).get(REF_NAME), notes(entry).get(FULL_NAME))


def named(entry: Mapping[str, Any]) -> str | None:
    """The name of a raw entry."""
    return name_of(notes(entry))


def name_of(annotations: Mapping[str, Any]) -> str | None:
    """A whole name where there is one, as archives of docker and containerd have; else the ref.name."""
    return annotations.get(FULL_NAME) or annotations.get(REF_NAME) or None


def familiar(annotations: Mapping[str, Any]) -> str | None:
    """The name as docker shows it, without the registry and namespace that go without saying."""
    whole = reference(annotations[FULL_NAME]) if annotations.get(FULL_NAME) else None
    return whole.familiar if whole else name_of(annotations)


def reference_of(annotations: Mapping[str, str]) -> Reference | None:
    """The image reference that an entry carries; a bare tag is none."""
    name = name_of(annotations)
    return reference(name) if name and (FULL_NAME in annotations or "/" in name or ":" in name) else None


def reference(name: str) -> Reference | None:
    """A reference, or None if it is not one."""
    try:
        return Reference.parse(name)
    except ReferenceInvalid:
        return None
