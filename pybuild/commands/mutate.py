"""`pybuild mutate`: an image with another config, its layers as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from pybuild.shaping import chosen, named
from pybuild.wiring import Context

if TYPE_CHECKING:
    from layers import Image
    from layers.oci.address import Address


def words(texts: Sequence[str]) -> list[str]:
    """`a,b` and repeated options as one list; a comma in a word is quoted as in CSV. Raises click.UsageError."""
    import csv

    try:
        return [word for text in texts for line in csv.reader([text], strict=True) for word in line]
    except csv.Error as error:
        raise click.UsageError(f"{texts[0]!r} is no comma-separated list: {error}") from error


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """`KEY=VALUE` as a mapping. Raises click.UsageError."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.UsageError(f"{option} {text!r}: write KEY=VALUE")
        found[key] = value
    return found


@click.command(
    epilog="\b\nExamples:\n  pybuild mutate --env LANG=C.UTF-8 --user 1000 -t app:2 app:1\n"
    "  pybuild mutate --entrypoint /bin/app,--serve --label team=web app\n"
    "  pybuild mutate --append config.tar --set-platform linux/arm64 -o app.tar app"
)
@click.argument("image")
@click.option("--entrypoint", multiple=True, metavar="WORD,...", help="The entrypoint; the command is dropped.")
@click.option("--cmd", multiple=True, metavar="WORD,...", help="The command.")
@click.option("-e", "--env", "envs", multiple=True, metavar="KEY=VALUE", help="A variable.")
@click.option("-l", "--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label.")
@click.option("-a", "--annotation", "annotations", multiple=True, metavar="KEY=VALUE", help="One of the manifest's.")
@click.option("-u", "--user", metavar="USER[:GROUP]", help="Who runs it.")
@click.option("-w", "--workdir", metavar="DIR", help="Where it starts.")
@click.option("--exposed-ports", "ports", multiple=True, metavar="PORT[/udp],...", help="The ports it listens on.")
@click.option("--set-platform", metavar="OS/ARCH", help="What the config says it is for.")
@click.option("--append", "tars", multiple=True, metavar="TAR", help="One more layer; - reads standard input.")
@click.option("-o", "--output", "dest", metavar="FILE", help="Also write it there, as an archive for docker load.")
@named
@chosen
@click.pass_obj
def mutate(context: Context, /, image: str, name: Address | None, platform: str | None, **given: Any) -> None:
    """Make an image of IMAGE with another config or other annotations; print its id.

    Its layers, and all that is not asked for here, stay byte for byte; nothing asked for gives the same image.
    """
    from layers import History, Platform
    from layers.oci.image import edit, rewrite, stack
    from pybuild.shaping import bring, keep, now
    from pybuild.subject import image as image_of

    with context.store.lease():
        found = image_of(context.store, image, platform)
        manifest, config = found.manifest, found.config
        system = Platform.parse(given["set_platform"]) if given["set_platform"] else None
        config = edit(
            config,
            diff_ids=config.diff_ids,
            history=config.history,
            runtime=changed(config.runtime, given),
            platform=system,
        )
        notes = {**manifest.annotations, **pairs(given["annotations"], "--annotation")}
        manifest = rewrite(manifest, config, manifest.layers, notes)
        if tars := given["tars"]:
            created = now()
            lines = [History(created, f"pybuild mutate --append {tar}") for tar in tars]
            manifest, config = stack(manifest, config, bring(context, tars), lines)
        result = keep(context, manifest, config, name)
        if given["dest"]:
            write(context, result, given["dest"])


def changed(runtime: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A config object after the options; a list or mapping that is asked for replaces, or adds by key."""
    from layers.bundles.runtimespec import table
    from layers.bundles.runtimespec import words as listed

    value = dict(runtime)
    if given["entrypoint"]:
        value["Entrypoint"] = words(given["entrypoint"])
        value.pop("Cmd", None)  # it was this entrypoint's
    if given["cmd"]:
        value["Cmd"] = words(given["cmd"])
    if given["envs"]:
        value["Env"] = merged(listed(value, "Env"), pairs(given["envs"], "--env"))
    if given["labels"]:
        value["Labels"] = {**table(value, "Labels"), **pairs(given["labels"], "--label")}
    if given["user"] is not None:
        value["User"] = given["user"]
    if given["workdir"] is not None:
        value["WorkingDir"] = given["workdir"]
    if given["ports"]:
        value["ExposedPorts"] = {port(text): {} for text in words(given["ports"])}
    return value


def merged(lines: Iterable[str], new: Mapping[str, str]) -> list[str]:
    """Lines of an environment, those that are there in their places."""
    left = dict(new)
    found = []
    for line in lines:
        key = line.partition("=")[0]
        found.append(f"{key}={left.pop(key)}" if key in left else line)
    return [*found, *(f"{key}={value}" for key, value in left.items())]


def port(text: str) -> str:
    """`80` as `80/tcp`. Raises click.UsageError."""
    number, slash, protocol = text.partition("/")
    if not number.isdigit() or not 0 < int(number) < 1 << 16 or (slash and protocol not in ("tcp", "udp", "sctp")):
        raise click.UsageError(f"--exposed-ports {text!r}: write PORT, PORT/tcp, PORT/udp or PORT/sctp")
    return f"{number}/{protocol or 'tcp'}"


def write(context: Context, image: Image, dest: str) -> None:
    """The image as an archive."""
    from pathlib import Path

    from builder.export import replacing
    from layers.moving.archive import save

    with replacing(Path(dest)) as sink:
        save(context.store, [(image.target, image.references)], sink, kind="docker")
