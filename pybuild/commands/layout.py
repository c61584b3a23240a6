"""`pybuild layout`: what umoci does with the names and blobs of an OCI layout."""

from __future__ import annotations

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
