"""`--output`: BuildKit's words for where a result goes, as values."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pybuild.units import truth

if TYPE_CHECKING:
    from builder import Output
    from layers import Reference

KINDS = ("image", "registry", "oci", "docker", "tar", "local")
CODECS = {"gzip": "gzip", "zstd": "zstd", "uncompressed": "none"}
ANNOTATION = re.compile(r"annotation(?:-(?P<level>[a-z-]+))?(?:\[(?P<platform>[^]]*)\])?\.(?P<key>.+)", re.DOTALL)
PACKED = ("compression", "compression-level", "force-compression")
KEYS: Mapping[str, frozenset[str]] = {
    "image": frozenset(
        {*PACKED, "name", "push", "push-by-digest", "name-canonical", "oci-mediatypes", "store", "unpack"}
    ),
    "registry": frozenset({*PACKED, "name", "push-by-digest", "name-canonical", "oci-mediatypes", "store", "unpack"}),
    "oci": frozenset({*PACKED, "name", "dest", "tar", "oci-mediatypes"}),
    "docker": frozenset({"name", "dest", "tar", "oci-mediatypes", "compression", "force-compression"}),
    "tar": frozenset({"dest", "platform-split"}),
    "local": frozenset({"dest", "platform-split"}),
}
"""What each type takes, besides annotations and rewrite-timestamp."""


class Spec(NamedTuple):
    """An output, and the annotations it wants."""

    output: Output
    annotations: Mapping[str, str]


class Words:
    """The pairs of one `--output`, each to be taken once."""

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self.pairs: dict[str, str] = {}
        for item in next(csv.reader([spec], strict=True)):
            key, equals, value = item.partition("=")
            if not equals:
                raise self.wrong(f"{item!r} is not KEY=VALUE")
            self.pairs[key.strip()] = value

    def wrong(self, why: str) -> click.UsageError:
        """The error."""
        return click.UsageError(f"--output {self.spec!r}: {why}")

    def flag(self, key: str, default: bool) -> bool:
        """A truth value; a key without one is true. Raises click.UsageError."""
        found = truth(self.pairs.pop(key, str(default)) or "true")
        if found is None:
            raise self.wrong(f"{key} is true or false")
        return found


def outputs(options: Mapping[str, Any], tags: Sequence[Reference]) -> list[Spec]:
    """All that flags ask for; `tags` are the names of those that name none. Raises click.UsageError."""
    specs = [*options["outputs"], *(["type=registry"] if options["push"] else [])]
    given = {
        "compression": options["compression"],
        "compression-level": options["compression_level"],
        "force-compression": "true" if options["force_compression"] else None,
    }
    defaults = {key: str(value) for key, value in given.items() if value is not None}
    found = [output(spec, tags, defaults) for spec in specs]
    streams = [one for one in found if one.output.dest == Path("/dev/stdout")]
    if len(streams) > 1:
        raise click.UsageError("--output: only one of them can be standard output")
    return found


def output(spec: str, tags: Sequence[Reference] = (), defaults: Mapping[str, str] | None = None) -> Spec:
    """`type=oci,dest=x.tar`, a directory, or `-` for a tar on standard output. Raises click.UsageError."""
    from builder import Output

    if spec == "-":
        return Spec(Output("tar", stream(spec)), {})
    if "=" not in spec:
        return Spec(Output("local", Path(spec)), {})
    words = Words(spec)
    kind = words.pairs.pop("type", "")
    if kind not in KINDS:
        raise words.wrong(f"type is one of {', '.join(KINDS)}")
    words.pairs.pop("rewrite-timestamp", None)  # pybuild.epoch has read it
    notes = noted(words)
    if unknown := words.pairs.keys() - KEYS[kind]:
        raise words.wrong(f"unknown key {min(unknown)!r} (type={kind} takes {', '.join(sorted(KEYS[kind]))})")
    words.pairs = {**{key: value for key, value in (defaults or {}).items() if key in KEYS[kind]}, **words.pairs}
    codec = CODECS.get(words.pairs.pop("compression", "gzip"))
    level = words.pairs.pop("compression-level", None)
    if codec is None:
        raise words.wrong(f"compression is one of {', '.join(CODECS)}")
    if level is not None and not level.isdigit():
        raise words.wrong("compression-level is a number")
    packed = words.flag("tar", True)
    if not words.flag("store", True):
        raise words.wrong("an image is always in the local store; leave store=false out")
    words.flag("unpack", False)  # there is nothing to unpack: file systems are mounted as they lie in the store
    media = None
    if "oci-mediatypes" in words.pairs:
        media = "oci" if words.flag("oci-mediatypes", True) else "docker"
        if kind == "oci" and media == "docker":
            raise words.wrong("an OCI archive has OCI media types; type=docker is docker's")
    if kind == "docker" and (not packed or codec not in ("none", "gzip")):
        raise words.wrong("docker's archive is one tar with uncompressed layers; type=oci takes these keys")
    dest = words.pairs.pop("dest", None)
    if dest is None and kind == "local":
        raise words.wrong("type=local needs dest=DIRECTORY")
    if dest is None and not packed:
        raise words.wrong("tar=false needs dest=DIRECTORY")
    path = None if dest is None else Path(dest)
    if kind in ("oci", "docker", "tar") and packed:
        path = stream(spec) if dest in (None, "-") else Path(str(dest))
    push = words.flag("push", False)
    by_digest, canonical = words.flag("push-by-digest", False), words.flag("name-canonical", False)
    try:
        return Spec(
            Output(
                "registry" if push else kind,  # type: ignore[arg-type]
                path,
                codec=codec,  # type: ignore[arg-type]
                level=None if level is None else int(level),
                force=words.flag("force-compression", False),
                names=names(words, tags, by_digest=by_digest),
                by_digest=by_digest,
                canonical=canonical,
                media=media,  # type: ignore[arg-type]
                packed=packed,
                split=words.flag("platform-split", True),
            ),
            notes,
        )
    except ValueError as error:
        raise words.wrong(str(error)) from error


def stream(spec: str) -> Path:
    """Standard output, unless that is a terminal. Raises click.UsageError."""
    if sys.stdout.isatty():
        raise click.UsageError(f"--output {spec!r}: an archive is not written to a terminal; add dest=FILE")
    return Path("/dev/stdout")


def names(words: Words, tags: Sequence[Reference], *, by_digest: bool) -> tuple[Reference, ...]:
    """What `name` says, else the tags. Raises click.UsageError."""
    from layers import Reference, ReferenceInvalid

    said = words.pairs.pop("name", None)
    try:
        found = (
            tuple(tags)
            if said is None
            else tuple(
                Reference.parse(word.strip(), default_tag=not by_digest) for word in said.split(",") if word.strip()
            )
        )
    except ReferenceInvalid as error:
        raise words.wrong(str(error)) from error
    if by_digest and any(name.tag for name in found):
        raise words.wrong(f"pushed by digest, {found[0].familiar} can have no tag; add name=REPOSITORY")
    return found


def noted(words: Words) -> dict[str, str]:
    """`annotation[-LEVEL][[PLATFORM]].KEY=VALUE`, as `--annotation` writes them."""
    found = {}
    for key in [key for key in words.pairs if key.startswith("annotation")]:
        match = ANNOTATION.fullmatch(key)
        if match is None:
            raise words.wrong(f"{key!r} is not annotation.KEY, annotation-LEVEL.KEY or annotation-LEVEL[PLATFORM].KEY")
        where = f"[{match['platform']}]" if match["platform"] is not None else ""
        scope = f"{match['level'] or 'manifest'}{where}:" if match["level"] or where else ""
        found[f"{scope}{match['key']}"] = words.pairs.pop(key)
    return found
