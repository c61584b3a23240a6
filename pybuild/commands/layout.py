"""`pybuild layout`: what umoci does with the names and blobs of an OCI layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pybuild import units
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers.moving.layout import Layout
    from layers.oci.address import Address

EPILOG = """
\b
Examples:
  pybuild layout new --image images:app
  pybuild layout ls --layout images
  pybuild layout gc --layout images"""
WHERE = click.option("--layout", "path", required=True, metavar="DIR", help="The layout.")
IMAGE = click.option("--image", "image", required=True, metavar="DIR[:TAG]", help="An image of a layout.")


@click.group(epilog=EPILOG)
def layout() -> None:
    """Name, list and tidy the images of an OCI layout, with umoci's words.

    Images go in and out by copy, unpack, repack, mutate and all others that take oci:DIR:TAG.
    """


@layout.command(epilog=EPILOG)
@WHERE
def init(path: str) -> None:
    """Make an empty layout."""
    from layers.moving.layout import Layout

    if Path(path, "index.json").exists():
        raise click.ClickException(f"there is a layout at {path} already")
    Layout.create(Path(path))


@layout.command(epilog=EPILOG)
@IMAGE
def new(image: str) -> None:
    """Make an image without layers."""
    import io

    from layers import History, ImageConfig, Manifest, Platform
    from pybuild.shaping import now

    there, name = opened(image)
    if name in there.tags():
        raise click.ClickException(f"{image} is there already")
    moment = now()
    line = History(moment, "pybuild layout new", empty_layer=True)
    config = ImageConfig.build(platform=Platform.host(), diff_ids=(), history=[line], runtime={}, created=moment)
    manifest = Manifest.build(config.descriptor(), ())
    there.put(manifest.config, io.BytesIO(config.raw))
    there.put(manifest.descriptor, io.BytesIO(manifest.raw))
    there.tag(name, manifest.descriptor)
    click.echo(str(manifest.descriptor.digest))


@layout.command("ls", epilog=EPILOG)
@WHERE
def list_(path: str) -> None:
    """List the tags, one a line."""
    from layers.moving.layout import Layout

    for name in Layout.at(Path(path)).tags():
        click.echo(name)


@layout.command(epilog=EPILOG)
@IMAGE
@click.argument("name", metavar="NEW-TAG")
def tag(image: str, name: str) -> None:
    """Give an image one more tag."""
    there, known = opened(image)
    there.tag(name, there.resolve(known))


@layout.command(epilog=EPILOG)
@IMAGE
def rm(image: str) -> None:
    """Take a tag away; the bytes go with gc."""
    there, known = opened(image)
    there.delete(known)


@layout.command(epilog=EPILOG)
@IMAGE
@click.option("--json", "as_json", is_flag=True, help="umoci's object.")
@click.pass_context
def stat(ctx: click.Context, image: str, as_json: bool) -> None:
    """Show the layers of an image and what made them."""
    from pybuild.commands.history import history

    if not as_json:
        ctx.invoke(history, image=str(address(image)))
        return
    from layers import ImageConfig
    from layers.moving.repository import document
    from pybuild.formats.template import compact
    from pybuild.reading import chosen, parsed

    there, known = opened(image)
    manifest = parsed(there, chosen(there, there.resolve(known), None))
    config = ImageConfig.parse(document(there, manifest.config))
    layers = iter(zip(manifest.layers, config.diff_ids, strict=True))
    lines: list[dict[str, Any]] = []
    for line in config.history:
        layer, diff_id = (None, "") if line.empty_layer else next(layers, (None, ""))
        lines.append({"layer": layer and layer.to_json(), "diff_id": str(diff_id), **line.to_json()})
    click.echo(compact({"history": lines}))


@layout.command(
    epilog="\b\nExamples:\n  pybuild layout insert --image images:app ./app /usr/bin/app\n"
    "  pybuild layout insert --image images:app --tag thin --whiteout /usr/share/doc"
)
@IMAGE
@click.option("--tag", "tag", metavar="NEW-TAG", help="Name of the result, in place of the same one.")
@click.option("--opaque", is_flag=True, help="Hide what the directory had in it before.")
@click.option("--whiteout", is_flag=True, help="Delete TARGET instead: insert --whiteout TARGET.")
@click.option("--uid-map", "uids", multiple=True, metavar="CONTAINER:HOST:SIZE", help="As whom owners are seen here.")
@click.option("--gid-map", "gids", multiple=True, metavar="CONTAINER:HOST:SIZE", help="The same of groups.")
@click.argument("paths", nargs=-1, required=True, metavar="SOURCE TARGET")
@click.pass_obj
def insert(
    context: Context,
    image: str,
    tag: str | None,
    opaque: bool,
    whiteout: bool,
    uids: Sequence[str],
    gids: Sequence[str],
    paths: Sequence[str],
) -> None:
    """Put SOURCE, a file or directory of this machine, as one more layer at TARGET into an image of a layout."""
    from layers import History
    from layers.bundles.idmap import IdMap, IdRange
    from layers.bundles.insertion import deletion, insertion
    from layers.oci.address import Address, Kind
    from layers.oci.image import stack
    from pybuild.shaping import keep, now, warn
    from pybuild.subject import elsewhere

    if len(paths) != (1 if whiteout else 2) or (opaque and whiteout):
        raise click.UsageError("write insert [--opaque] SOURCE TARGET, or insert --whiteout TARGET")
    there, known = opened(image)
    where = address(image)
    ids = IdMap(tuple(map(IdRange.parse, uids)), tuple(map(IdRange.parse, gids)))
    with context.store.lease():
        base = elsewhere(context.store, str(Address(Kind.LAYOUT, where.path, known)))
        if whiteout:
            layer = deletion(context.store, paths[0])
        else:
            layer = insertion(context.store, Path(paths[0]), paths[1], opaque=opaque, ids=ids, warn=warn)
        line = History(now(), "pybuild layout insert", base.config.author or None)
        target = Address(Kind.LAYOUT, str(there.root), tag or known)
        keep(context, *stack(base.manifest, base.config, [layer], [line]), target)


@layout.command(epilog=EPILOG)
@WHERE
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.pass_obj
def gc(context: Context, path: str, dry_run: bool) -> None:
    """Remove the blobs that no name leads to; not while somebody writes into the layout."""
    from layers.moving.layout import Layout
    from layers.moving.layoutgc import collect

    found = collect(Layout.at(Path(path)), dry=dry_run)
    for digest, size in found:
        click.echo(f"{'Would delete' if dry_run else 'Deleted'}: {digest} {units.size(size)}")
    total = units.size(sum(size for _, size in found))
    click.echo(f"Total {'reclaimable' if dry_run else 'reclaimed'} space: {total}")


def address(image: str) -> Address:
    """An image of a layout, as umoci names it. Raises ReferenceInvalid."""
    from layers.oci.address import Address

    return Address.parse(image if image.startswith("oci:") else f"oci:{image}")


def opened(image: str) -> tuple[Layout, str]:
    """The layout of an image, and its tag there, umoci's usual one if none is said. Raises BlobMissing."""
    from layers.moving.layout import Layout

    where = address(image)
    return Layout.at(Path(where.path)), where.name or "latest"
