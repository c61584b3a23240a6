"""`pybuild buildx imagetools`: images of registries, put together and looked at where they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pybuild.transfers import connection
from pybuild.variables import pairs
from pybuild.wiring import Context

if TYPE_CHECKING:
    from pybuild.combining import Source

EPILOG = """
\b
Examples:
  pybuild buildx imagetools create -t example.org/app:1 example.org/app:1-amd64 example.org/app:1-arm64
  pybuild buildx imagetools inspect --format '{{.Manifest.Digest}}' example.org/app:1"""


@click.group(epilog=EPILOG)
def imagetools() -> None:
    """Images of registries, put together and looked at where they are."""


@imagetools.command(epilog=EPILOG)
@click.argument("names", nargs=-1, metavar="SOURCE...")
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME:TAG", help="What the result is called; repeatable.")
@click.option("--append", is_flag=True, help="Add to what the first tag means now.")
@click.option("-f", "--file", "files", multiple=True, metavar="FILE", help="A source as a descriptor in JSON.")
@click.option(
    "--annotation", "annotations", multiple=True, metavar="LEVEL:KEY=VALUE", help="index: or manifest-descriptor:"
)
@click.option("-p", "--platform", "platforms", multiple=True, metavar="PLATFORM", help="Only these images.")
@click.option("--prefer-index/--no-prefer-index", default=True, help="An index of a single image, too (the usual).")
@click.option("--dry-run", is_flag=True, help="Print the result and push nothing.")
@click.option("--progress", hidden=True)
@click.option("--builder", hidden=True)
@connection
@click.pass_obj
def create(
    context: Context,
    names: Sequence[str],
    tags: Sequence[str],
    append: bool,
    files: Sequence[str],
    annotations: Sequence[str],
    platforms: Sequence[str],
    prefer_index: bool,
    dry_run: bool,
    progress: str | None,
    builder: str | None,
) -> None:
    """Make an image, or an index of images, of SOURCEs in registries, and push it. No layer passes through here."""
    from layers import Platform, Reference
    from pybuild.combining import combined, deliver, find
    from pybuild.formats.template import encoded

    wanted = [Reference.parse(tag) for tag in tags]
    if not wanted and not dry_run:
        raise click.UsageError("nothing to push to: add --tag NAME:TAG, or --dry-run")
    if append and not wanted:
        raise click.UsageError("--append adds to what a --tag means: name one")
    said = [*([tags[0]] if append else []), *names, *(described(Path(file), wanted) for file in files)]
    if not said:
        raise click.UsageError("name at least one SOURCE")
    with context.store.lease():
        sources = [find(context, at(name, wanted)) for name in said]
        target, raw = combined(
            sources,
            pairs("--annotation", annotations),
            [Platform.parse(word) for words in platforms for word in words.split(",")],
            lone=not prefer_index,
        )
        if dry_run:
            as_it_is = target == sources[0].target
            click.echo(raw if as_it_is else encoded(json.loads(raw), indent=2))
            return
        for name in wanted:
            deliver(context, sources, target, raw, name)
            click.echo(f"{name.familiar}: digest: {target.digest} size: {target.size}")


def at(name: str, wanted: Sequence[Any]) -> str:
    """A source by its digest alone is in the repository of the first tag. Raises click.UsageError."""
    if not name.startswith("sha256:"):
        return name
    if not wanted:
        raise click.UsageError(f"{name}: say in which repository, as NAME@{name}")
    return f"{wanted[0].repository}@{name}"


def described(file: Path, wanted: Sequence[Any]) -> str:
    """The source that a file describes. Raises click.UsageError, OSError."""
    try:
        return at(str(json.loads(file.read_bytes())["digest"]), wanted)
    except (ValueError, KeyError, TypeError) as error:
        raise click.UsageError(f"--file {file}: no descriptor as JSON, with a digest") from error


@imagetools.command(epilog=EPILOG)
@click.argument("name")
@click.option("--raw", is_flag=True, help="The bytes of the manifest or index.")
@click.option(
    "--format", "template", metavar="TEMPLATE", help="A Go template of Name, Manifest, Image, Provenance, SBOM."
)
@click.option("--builder", hidden=True)
@connection
@click.pass_obj
def inspect(context: Context, name: str, raw: bool, template: str | None, builder: str | None) -> None:
    """Show the image or index NAME of a registry."""
    from pybuild.combining import find

    found = find(context, name)
    if raw:
        click.echo(found.raw, nl=False)
    elif template is None:
        click.echo("\n".join(table(found)))
    else:
        from pybuild.formats.described import render
        from pybuild.formats.template import folded

        render([folded(facts(found, template))], template)


def table(found: Source) -> list[str]:
    """buildx's lines of it."""
    lines = [
        f"Name:      {found.name}",
        f"MediaType: {found.target.media_type}",
        f"Digest:    {found.target.digest}",
    ]
    repository = found.name.rpartition("@")[0] or found.name
    for number, entry in enumerate(found.index.manifests if found.index else ()):
        lines += ["", "Manifests:"] if not number else [""]
        lines += [f"  Name:        {repository}@{entry.digest}", f"  MediaType:   {entry.media_type}"]
        if entry.platform is not None:
            lines.append(f"  Platform:    {entry.platform}")
        if entry.annotations:
            width = max(map(len, entry.annotations)) + 1
            lines.append("  Annotations:")
            lines += [f"    {f'{key}:':<{width}} {value}" for key, value in sorted(entry.annotations.items())]
    return lines


def facts(found: Source, template: str) -> dict[str, Any]:
    """buildx's object of it, as far as a template asks for it."""
    from layers import Manifest
    from layers.moving.repository import document
    from layers.oci.documents import runnable

    value: dict[str, Any] = {"Name": found.name, "Manifest": found.target.to_json()}
    index = found.index
    if index is not None:
        value["Manifest"] |= {"schemaVersion": 2, "manifests": [entry.to_json() for entry in index.manifests]}

    def config(manifest: Any, raw: bytes) -> Any:
        return json.loads(document(found.there, Manifest.parse(raw, manifest.media_type).config))

    images = [entry for entry in index.manifests if runnable(entry)] if index else []
    if index is None:
        value["Image"] = config(found.target, found.raw)
    else:
        value["Image"] = {str(entry.platform): config(entry, document(found.there, entry.bare)) for entry in images}
    if "." in template and ("Provenance" in template or "SBOM" in template or template in ("json", "{{json .}}")):
        from pybuild.attested import PROVENANCE, SBOM, of

        for key, types, inner in (("Provenance", PROVENANCE, "SLSA"), ("SBOM", SBOM, "SPDX")):
            beside = {
                str(entry.platform): {inner: told[0]}
                for entry in images
                if index is not None and (told := of(found.there, index, entry.digest, types))
            }
            value[key] = next(iter(beside.values())) if len(images) == 1 and beside else beside
    return value
