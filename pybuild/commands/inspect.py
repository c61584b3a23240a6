"""`pybuild inspect`: everything about containers, images, networks and volumes, in docker's JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from pybuild.transfers import connection
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Image, Store
    from layers.oci.address import Address


class NotFound(click.ClickException):
    """Neither an image nor a container."""


@click.command(
    epilog="\b\nExamples:\n  pybuild inspect app\n  pybuild inspect --format '{{.State.ExitCode}}' crashed\n"
    "  pybuild inspect --format '{{json .Config.Env}}' app\n  pybuild inspect docker://debian:12\n"
    "  pybuild inspect --raw oci:rootfs:latest"
)
@click.argument("names", nargs=-1, required=True, metavar="NAME|ID...")
@click.option("-f", "--format", "template", metavar="TEMPLATE", help="A Go template, or json.")
@click.option(
    "--type", "kind", type=click.Choice(["image", "container", "network", "volume"]), help="Look only among these."
)
@click.option("-s", "--size", is_flag=True, help="Also the bytes that a container changed.")
@click.option("--raw", is_flag=True, help="The bytes of the manifest or index; with --config those of the config.")
@click.option("--config", is_flag=True, help="The config of the image.")
@click.option("-n", "--no-tags", is_flag=True, help="Do not ask a registry for its tags.")
@click.option("--platform", metavar="PLATFORM", help="Which image of an index.")
@connection
@click.pass_obj
def inspect(
    context: Context,
    names: Sequence[str],
    template: str | None,
    kind: str | None,
    size: bool,
    raw: bool,
    config: bool,
    no_tags: bool,
    platform: str | None,
) -> int:
    """Show all that is known of containers, images, networks and volumes, as JSON.

    Of the local store docker's array is shown; of an image elsewhere (docker://REF, oci:DIR:NAME, ...) skopeo's object.
    """
    from layers.oci.address import Address, Kind
    from pybuild.exits import tell
    from pybuild.formats.described import render
    from pybuild.formats.template import compact, indented

    if raw or config:
        for name in names:
            documents(context, Address.parse(name), raw=raw, config=config, platform=platform)
        return 0
    found, elsewhere, failed = [], [], False
    for name in names:
        address = Address.parse(name)
        try:
            if address.kind is Kind.STORE:
                found.append(describe(context, name, kind, size=size, platform=platform))
            else:
                elsewhere.append(seen(context, address, platform, tags=not no_tags))
        except NotFound as error:
            failed = True
            tell(f"error: {error.message}")
    if template and template != "json":
        render((*found, *elsewhere), template)
        return int(failed)
    for value in elsewhere:
        click.echo(compact(value) if template else indented(value))
    if found or not elsewhere:
        click.echo(compact(found) if template else indented(found))
    return int(failed)


def only(kind: str, example: str) -> click.Command:
    """The command that looks among one kind of things: `image inspect`, `container inspect`."""
    assert inspect.callback is not None
    return click.Command(
        "inspect",
        callback=partial(inspect.callback, kind=kind),
        params=[one for one in inspect.params if one.name != "kind"],
        help=f"Show all that is known of {kind}s, as JSON.",
        epilog=f"\b\nExample:\n  pybuild {kind} inspect {example}",
    )


image = only("image", "--format '{{.Id}}' app")
container = only("container", "--format '{{.State.ExitCode}}' crashed")


def documents(context: Context, address: Address, *, raw: bool, config: bool, platform: str | None) -> None:
    """Write a manifest, index or config to standard output, byte for byte if `raw`."""
    import sys

    from layers import Platform
    from layers.moving.repository import document
    from pybuild import reading
    from pybuild.addressing import resolve, source

    asked = Platform.parse(platform) if platform else None
    with source(context, address) as there:
        found = resolve(there, address)
        if config:
            data = reading.config(there, reading.chosen(there, found, asked))
        else:
            data = document(there, reading.chosen(there, found, asked) if asked else found)
    if raw:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        from pybuild.formats.template import indented

        click.echo(indented(json.loads(data)))


def seen(context: Context, address: Address, platform: str | None, *, tags: bool) -> dict[str, Any]:
    """skopeo's object for an image that is not in the store. Raises BlobMissing and the errors of a registry."""
    from layers import Platform
    from layers.oci.address import Kind
    from pybuild.addressing import listing, resolve, source
    from pybuild.reading import summary

    at_registry = address.kind is Kind.REGISTRY
    with source(context, address) as there:
        return summary(
            there,
            resolve(there, address),
            Platform.parse(platform) if platform else None,
            name=address.reference.repository if at_registry else "",
            tags=listing(context, address).tags() if at_registry and tags else (),
        )


def describe(
    context: Context, name: str, kind: str | None, *, size: bool, platform: str | None = None
) -> dict[str, Any]:
    """One object, a container first as docker does. Raises NotFound, NameAmbiguous."""
    from layers import BlobMissing, Platform, PlatformMissing, ReferenceInvalid

    if kind in ("network", "volume"):
        if (other := elsewhere(context, name, kind)) is None:
            raise NotFound(f"no {kind} {name!r}; 'pybuild {kind} ls' lists them")
        return other
    if kind != "image":
        from builder.containers.errors import ContainerMissing
        from builder.containers.inspect import inspect as inspect_container

        try:
            return inspect_container(context.store, name, size=size)
        except ContainerMissing:
            if kind == "container":
                raise NotFound(f"no container {name!r}; 'pybuild ps -a' lists them") from None
    try:
        return image_json(context.store, context.store.images.get(name, Platform.parse(platform) if platform else None))
    except (BlobMissing, ReferenceInvalid, PlatformMissing) as error:
        if kind is None and (other := elsewhere(context, name, kind)) is not None:
            return other
        what = "image" if kind == "image" else "image or container"
        near = context.store.images.names()
        from difflib import get_close_matches

        meant = get_close_matches(name, [reference.familiar for reference, _ in near], 1)
        hint = f"; did you mean {meant[0]}?" if meant else "; 'pybuild images' and 'pybuild ps -a' list what there is"
        raise NotFound(f"no {what} {name!r}{hint}") from error


def elsewhere(context: Context, name: str, kind: str | None) -> dict[str, Any] | None:
    """A network or a volume of that name, if there is one."""
    from builder.containers.volumes import VolumeMissing, Volumes
    from builder.networks.errors import NetworkMissing
    from pybuild.commands.network import described

    if kind != "volume":
        try:
            return described(context, name)
        except NetworkMissing:
            pass
    if kind != "network":
        try:
            return Volumes(context.store).get(name).describe()
        except VolumeMissing:
            pass
    return None


def image_json(store: Store, image: Image) -> dict[str, Any]:
    """docker's object for an image (Docker Engine API, "Inspect an image")."""
    config = image.config
    runtime = config.runtime
    last = config.history[-1] if config.history else None
    return {
        "Id": str(image.id),
        "RepoTags": [reference.familiar for reference in image.references if reference.tag],
        "RepoDigests": repo_digests(store, image),
        "Comment": (last.comment if last else None) or "",
        "Created": image.created or "",
        "Author": config.author or "",
        "Config": {
            "User": runtime.get("User", ""),
            "ExposedPorts": runtime.get("ExposedPorts"),
            "Env": runtime.get("Env"),
            "Cmd": runtime.get("Cmd"),
            "Entrypoint": runtime.get("Entrypoint"),
            "Volumes": runtime.get("Volumes"),
            "WorkingDir": runtime.get("WorkingDir", ""),
            "OnBuild": runtime.get("OnBuild"),
            "Labels": runtime.get("Labels"),
            **{
                key: value
                for key, value in runtime.items()
                if key in ("StopSignal", "Healthcheck", "Shell", "ArgsEscaped")
            },
        },
        "Architecture": config.platform.architecture,
        **({"Variant": config.platform.variant} if config.platform.variant else {}),
        "Os": config.platform.os,
        "Size": image.size,
        "RootFS": {"Type": "layers", "Layers": [str(diff_id) for diff_id in config.diff_ids]},
        "Descriptor": image.target.to_json(),
    }


def repo_digests(store: Store, image: Image) -> list[str]:
    """`repository@digest` under which registries know it: only what came from one, or was sent to one, has any."""
    from layers.moving import sent
    from layers.oci.mediatypes import OCI_LAYER

    known = [name.familiar for name in sent.names(store, image.target.digest)]
    if any(layer.media_type != OCI_LAYER for layer in image.manifest.layers):
        known += [f"{ref.familiar_repository}@{image.target.digest}" for ref in image.references]
    return list(dict.fromkeys(known))
