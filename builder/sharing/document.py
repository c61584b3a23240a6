"""The cache manifest: results of steps in the shape of an OCI image, so that registries and layouts keep it as one.

Its config, of a media type of our own, has a record for each result: the cache key, the layer and what making it took.
Its layers are all the blobs that records need. An image may carry records of its own layers instead, in its config
(`type=inline`). What BuildKit writes has other keys and is told from ours, never read.

Whoever may write a cache decides what a build takes from it: trusting one is the choice of whoever names it. Here it is
only made sure that a document is what it should be, and that blobs are what it says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from layers import Descriptor, DiffID, Digest, DocumentInvalid, ImageConfig, Manifest
from layers.oci import mediatypes
from layers.oci.documents import decode, encode
from layers.quick import dataclass, field

CONFIG = "application/vnd.pybuild.cache.config.v1+json"
INLINE = "io.pybuild.cache.v1"
"""The key of an image config under which records of the image's own layers are."""
BUILDKIT = ("application/vnd.buildkit.cacheconfig.", "moby.buildkit.cache.")
VERSION = 1
MOST = 100_000
"""Records of one document."""
KEY = re.compile(r"step:[0-9a-f]{64}\Z")
FACT = re.compile(r"selected:[0-9a-f]{64}\Z")
HEX = re.compile(r"[0-9a-f]{64}\Z")
CREATED = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,20}(Z|[+-][0-9]{2}:[0-9]{2})\Z")
LONGEST = 500
"""Characters of a name."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a step came to: `size` are bytes of its layer's tar, `line` where it stood in a Dockerfile.

    `made` is when, in seconds since the epoch; 0 says no more than `created`, which may be a time that was asked for.
    """

    key: str
    diff_id: DiffID
    size: int
    created: str
    seconds: float = 0.0
    line: str = ""
    made: int = 0

    @property
    def since(self) -> float:
        """When it was made, as well as is known."""
        if self.made:
            return float(self.made)
        from datetime import datetime

        try:
            return datetime.fromisoformat(self.created).timestamp()
        except ValueError:
            return 0.0


@dataclass(frozen=True, slots=True)
class MountData:
    """What a cache mount holds, as a layer; the mount's key, its name, and mode and owner of the directory."""

    key: str
    name: str
    diff_id: DiffID
    mode: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Document:
    """One cache. `facts` are digests of files that steps have read in the results of others; `layers` has the blobs."""

    results: Mapping[str, Result]
    layers: Mapping[DiffID, Descriptor]
    facts: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, MountData] = field(default_factory=dict)


def build(document: Document) -> tuple[bytes, Manifest]:
    """The config and the manifest that say it. Raises DocumentInvalid if it is too large."""
    value = {
        "version": VERSION,
        "diffIDs": [str(diff_id) for diff_id in document.layers],
        "records": [_record(one) for one in document.results.values()],
        "facts": dict(document.facts),
        "mounts": [
            {
                "key": one.key,
                "name": one.name,
                "diffID": str(one.diff_id),
                "mode": one.mode,
                "owner": [one.uid, one.gid],
            }
            for one in document.mounts.values()
        ],
    }
    config = encode(value)
    decode(config, "cache config")  # refused here rather than wherever it is read
    return config, Manifest.build(Descriptor.of(config, CONFIG), list(document.layers.values()))


def _record(one: Result) -> dict[str, Any]:
    found = {"key": one.key, "diffID": str(one.diff_id), "size": one.size, "created": one.created}
    return {**found, "seconds": one.seconds, "line": one.line, "made": one.made}


def parse(raw: bytes, manifest: Manifest) -> Document:
    """Read a cache config. Raises DocumentInvalid, DigestInvalid."""
    value = decode(raw, "cache config")
    if value.get("version") != VERSION:
        raise invalid(f"its version is {value.get('version')!r}, this program knows {VERSION}")
    ids = _list(value, "diffIDs")
    if len(ids) != len(manifest.layers):
        raise invalid(f"{len(ids)} diffIDs for {len(manifest.layers)} layers")
    layers = {Digest.parse(_text(one)): layer for one, layer in zip(ids, manifest.layers, strict=True)}
    results = {}
    for one in _list(value, "records"):
        result = _result(one, Digest.parse(_text(_object(one).get("diffID"))))
        if result.diff_id in layers:
            results[result.key] = result
    facts = _object(value.get("facts") or {})
    if not all(FACT.match(key) and HEX.match(_text(word)) for key, word in facts.items()):
        raise invalid("a fact is no digest")
    mounts = {one.key: one for one in map(_mount, _list(value, "mounts")) if one.diff_id in layers}
    return Document(results, layers, facts, mounts)


def inline(config: ImageConfig, results: Iterable[tuple[int, Result]]) -> ImageConfig:
    """An image config with records of the image's own layers, each with the layer's place."""
    value = decode(config.raw, "image config")
    records = [{"key": one.key, "layer": place, "size": one.size, "created": one.created} for place, one in results]
    return ImageConfig.parse(encode({**value, INLINE: records}))


def parse_inline(config: ImageConfig, layers: Sequence[Descriptor]) -> Document | None:
    """What an image's config says of its layers; None if it says nothing. Raises DocumentInvalid."""
    value = decode(config.raw, "image config")
    if INLINE not in value:
        return None
    if len(layers) != len(config.diff_ids):
        raise invalid(f"{len(config.diff_ids)} diff ids for {len(layers)} layers")
    results = {}
    for one in _list(value, INLINE):
        place = _number(_object(one).get("layer"))
        if place >= len(layers):
            raise invalid(f"there is no layer {place}")
        result = _result(one, config.diff_ids[place])
        results[result.key] = result
    return Document(results, dict(zip(config.diff_ids, layers, strict=True)))


def is_buildkit(manifest: Manifest, config: bytes) -> bool:
    """True for a cache that BuildKit has written, as such or in an image's config."""
    if manifest.config.media_type in mediatypes.CONFIGS:
        return any(key.startswith(BUILDKIT) for key in decode(config, "image config"))
    return manifest.config.media_type.startswith(BUILDKIT)


def invalid(why: str) -> DocumentInvalid:
    """The error of a document that is no cache."""
    return DocumentInvalid("build cache", why)


def _result(one: Any, diff_id: DiffID) -> Result:
    one = _object(one)
    key, created = _text(one.get("key")), _text(one.get("created"))
    if not KEY.match(key) or not CREATED.match(created):
        raise invalid(f"a record has the key {key[:LONGEST]!r} and the time {created[:LONGEST]!r}")
    seconds = one.get("seconds", 0.0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds) or seconds < 0:
        raise invalid("a record has no number of seconds")
    line, made = _text(one.get("line", "")), _number(one.get("made", 0))
    return Result(key, diff_id, _number(one.get("size")), created, float(seconds), line, made)


def _mount(one: Any) -> MountData:
    one = _object(one)
    key, owner = _text(one.get("key")), _list(one, "owner")
    mode = _number(one.get("mode"))
    if not HEX.match(key) or len(owner) != 2 or mode > 0o7777:
        raise invalid("a cache mount has no key, mode and owner")
    uid, gid = map(_number, owner)
    if max(uid, gid) > 0xFFFFFFFE:
        raise invalid("the owner of a cache mount is none")
    return MountData(key, _text(one.get("name")), Digest.parse(_text(one.get("diffID"))), mode, uid, gid)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid("an object was expected")
    return value


def _list(value: Mapping[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    if not isinstance(found, list) or len(found) > MOST:
        raise invalid(f"{key} is no list of at most {MOST}")
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST:
        raise invalid(f"a text of at most {LONGEST} characters was expected")
    return value


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise invalid("a number was expected")
    return value
