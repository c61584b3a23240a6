"""`--cache-from` and `--cache-to`: where shared caches are, in buildx's words."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pybuild.units import truth

if TYPE_CHECKING:
    from builder import CacheSource, CacheTarget

OTHERS = ("gha", "s3", "azblob")
FIXED = {
    "image-manifest": "a cache is always an image manifest",
    "oci-mediatypes": "a cache always has OCI media types",
}
INLINE = "BUILDKIT_INLINE_CACHE"


def source(spec: str) -> CacheSource:
    """`type=registry,ref=REF`, `type=local,src=DIR[,tag=TAG|,digest=DIGEST]`, or a reference. Raises ValueError."""
    from builder import CacheSource

    words = parsed("--cache-from", spec)
    match words.pop("type"):
        case "registry":
            found = CacheSource("registry", reference("--cache-from", spec, words))
        case "local":
            place = needed("--cache-from", spec, words, "src")
            tag = words.pop("tag", "latest")
            found = CacheSource("local", place, words.pop("digest", tag))
        case _:
            raise ValueError(f"--cache-from {spec!r}: an inline cache is read by type=registry,ref=IMAGE")
    nothing_left("--cache-from", spec, words)
    return found


def target(spec: str) -> CacheTarget:
    """`type=registry,ref=REF`, `type=local,dest=DIR`, `type=inline`, or a reference, with attributes.

    Raises ValueError.
    """
    from builder import CacheTarget

    words = parsed("--cache-to", spec)
    kind = words.pop("type")
    for key, why in FIXED.items():
        if not flag("--cache-to", spec, words, key, default=True):
            raise ValueError(f"--cache-to {spec!r}: {key}=false cannot be had: {why}")
    mode: Any = one_of("--cache-to", spec, words, "mode", {"min": "min", "max": "max"})
    if kind == "inline":
        if mode == "max":
            raise ValueError(f"--cache-to {spec!r}: an inline cache has the layers of its image only (mode=min)")
        nothing_left("--cache-to", spec, words)
        return CacheTarget("inline")
    codecs = {"gzip": "gzip", "zstd": "zstd", "uncompressed": "none"}
    codec: Any = one_of("--cache-to", spec, words, "compression", codecs)
    level = words.pop("compression-level", None)
    if level is not None and not level.isdigit():
        raise ValueError(f"--cache-to {spec!r}: compression-level is a number")
    flag("--cache-to", spec, words, "force-compression", default=False)  # it is always as it is asked for
    ignore_error = flag("--cache-to", spec, words, "ignore-error", default=False)
    mounts = flag("--cache-to", spec, words, "mounts", default=False)
    name = words.pop("tag", "latest") if kind == "local" else "latest"
    where = reference("--cache-to", spec, words) if kind == "registry" else needed("--cache-to", spec, words, "dest")
    nothing_left("--cache-to", spec, words)
    level_number = None if level is None else int(level)
    return CacheTarget(
        "registry" if kind == "registry" else "local", where, name, mode, codec, level_number, ignore_error, mounts
    )


def targets(specs: Sequence[str], build_args: Mapping[str, str]) -> tuple[CacheTarget, ...]:
    """All of them, the inline one also where a build argument asks for it. Raises ValueError."""
    found = [target(spec) for spec in specs]
    if truth(build_args.get(INLINE, "")) and not any(one.kind == "inline" for one in found):
        found.append(target("type=inline"))
    return tuple(found)


def parsed(option: str, spec: str) -> dict[str, str]:
    """The words of one specification; a bare reference is one of type registry."""
    if "=" not in spec:
        return {"type": "registry", "ref": spec}
    words = {}
    for item in next(csv.reader([spec]), []):
        key, equals, value = item.partition("=")
        if not equals:
            raise ValueError(f"{option} {spec!r}: {item!r} is not KEY=VALUE")
        words[key.strip().lower()] = value
    kind = words.setdefault("type", "registry" if "ref" in words else "")
    if kind in OTHERS:
        raise ValueError(f"{option} {spec!r}: type={kind} is not there; use type=registry or type=local")
    if kind not in ("registry", "local", "inline"):
        raise ValueError(f"{option} {spec!r}: type is one of registry, local, inline")
    return words


def reference(option: str, spec: str, words: dict[str, str]) -> str:
    """What `ref` names. Raises ValueError."""
    from layers import Reference, ReferenceInvalid

    text = needed(option, spec, words, "ref")
    try:
        return str(Reference.parse(text))
    except ReferenceInvalid as error:
        raise ValueError(f"{option} {spec!r}: {error}") from error


def needed(option: str, spec: str, words: dict[str, str], key: str) -> str:
    """A word that has to be there. Raises ValueError."""
    if not (found := words.pop(key, "")):
        raise ValueError(f"{option} {spec!r}: {key}= is missing")
    return found


def flag(option: str, spec: str, words: dict[str, str], key: str, *, default: bool) -> bool:
    """A truth. Raises ValueError."""
    if key not in words:
        return default
    text = words.pop(key)
    if (found := truth(text)) is None:
        raise ValueError(f"{option} {spec!r}: {key} is true or false")
    return found


def one_of(option: str, spec: str, words: dict[str, str], key: str, choices: Mapping[str, str]) -> str:
    """One of some words, the first if none is given. Raises ValueError."""
    text = words.pop(key, next(iter(choices)))
    if text not in choices:
        raise ValueError(f"{option} {spec!r}: {key} is one of {', '.join(choices)}")
    return choices[text]


def nothing_left(option: str, spec: str, words: Mapping[str, str]) -> None:
    """Refuse what nobody has understood. Raises ValueError."""
    if words:
        raise ValueError(f"{option} {spec!r}: unknown key {min(words)!r}")
