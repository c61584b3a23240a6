"""`pybuild verify`: an image built once more from what it was built of, and compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pybuild.commands.build import mapping
from pybuild.wiring import Context

if TYPE_CHECKING:
    from builder import BuildRequest
    from builder.verifying import Key, Layer, Verdict
    from layers import Image, Store

INPUTS = {"read": "files of the context", "dockerfile": "Dockerfile"}
MOST = 50
"""Files of a layer that are named."""


@click.command(
    epilog="\b\nExamples:\n  pybuild verify app\n  pybuild verify app ../another-checkout\n"
    "  pybuild verify --ignore-times app ../another-checkout   for what was built with --timestamp now"
)
@click.argument("name", metavar="IMAGE")
@click.argument("place", metavar="[CONTEXT]", required=False)
@click.option("-f", "--file", "file", metavar="FILE", help="The Dockerfile, by default the one it was built from.")
@click.option(
    "--build-arg", "build_args", multiple=True, callback=mapping("environment"), metavar="KEY[=VALUE]",
    help="Another value of an ARG than it was built with.",
)  # fmt: skip
@click.option("--target", metavar="STAGE", help="Another stage than it was built up to.")
@click.option("--build-context", "contexts", multiple=True, metavar="NAME=PLACE", help="As for build.")
@click.option("--secret", "secrets", multiple=True, metavar="id=NAME[,src=FILE|,env=VAR]", help="As for build.")
@click.option("--ssh", "agents", multiple=True, metavar="default|ID=SOCKET", help="As for build.")
@click.option("--ignore-times", is_flag=True, help="What differs in times only is the same.")
@click.option("--format", "template", metavar="json", type=click.Choice(["json"]), help="The result as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show the build.")
@click.pass_obj
def verify(roof: Context, /, name: str, place: str | None, **options: Any) -> int:
    """Build IMAGE once more, with no cache, and show in what the result differs: config, layers, files.

    Dockerfile, arguments, platform and time are those that it was built with, and the files those of CONTEXT, or of
    the directory that it was built in. 0 if every byte is the same, 1 if not. Nothing is changed in the cache.
    """
    from builder.build import build as run
    from builder.builds import built
    from builder.verifying import compare, differing
    from pybuild.progress import renderer

    store = roof.store
    image = store.images.get(name)
    record = built(store, image.manifest.descriptor.digest)
    request = wanted(image, record.inputs if record is not None else {}, place, options)
    before = {one.id for one in store.images.list()}
    roof.sweep()
    quiet = options["quiet"] or options["template"] is not None
    with renderer("quiet" if quiet else "auto", color=roof.settings.color) as show, roof.interruptible():
        result = run(request, roof.bench, show, roof.stop)
        show.finish(result, [])
    again = store.images.get(str(result.target.digest))
    changed = differing(record.inputs, result.inputs[0]) if record is not None else []
    verdict = compare(image, again)
    ignore = options["ignore_times"]
    if options["template"] is not None:
        from pybuild.formats.template import compact

        click.echo(compact(data(store, image, again, verdict, changed, ignore_times=ignore)))
    else:
        for line in words(store, name, image, again, verdict, changed, ignore_times=ignore):
            click.echo(line)
    equal = same(store, verdict, ignore_times=ignore)
    if again.id not in before:
        store.images.remove(again.id)
    return int(not equal)


def wanted(image: Image, recorded: Mapping[str, Any], place: str | None, options: dict[str, Any]) -> BuildRequest:
    """The same build as a request. Raises click.UsageError where it is not known how."""
    from builder import BuildRequest, CacheTarget
    from builder.times import Times
    from pybuild.contexts import address, agents_for, named
    from pybuild.secrets import agent, secret

    where = place or recorded.get("context") or recorded.get("source")
    if where is None and "text" not in recorded:
        why = "its files came on standard input" if recorded else "it was not built here"
        raise click.UsageError(f"it is not known how this image was built: {why}; give CONTEXT")
    local = where is not None and Path(where).is_dir()
    elsewhere = address(where, bare=True) if where is not None and not local else None
    if where is not None and not local and elsewhere is None:
        raise click.UsageError(f"{where}, where it was built, is no directory now; give CONTEXT")
    contexts = named(options["contexts"])
    if lacking := sorted(recorded.get("contexts", {}).keys() - contexts.keys()):
        raise click.UsageError(f"it was built with --build-context {lacking[0]}=…: give it again")
    file = options["file"] or recorded.get("file")
    if place and not options["file"] and file and Path(file).is_relative_to(recorded.get("context", "/")):
        file = str(Path(place) / Path(file).relative_to(recorded.get("context", "/")))
    text = recorded["text"].encode() if "text" in recorded and not options["file"] else None
    try:
        return BuildRequest(
            context=Path(where) if where is not None and local else None,
            source=elsewhere,
            contexts=contexts,
            dockerfile=Path(file) if file and text is None else None,
            text=text,
            target=options["target"] or recorded.get("target"),
            build_args={**recorded.get("args", {}), **options["build_args"]},
            labels=recorded.get("labels", {}),
            annotations=recorded.get("annotations", {}),
            platforms=(image.config.platform,),
            no_cache=True,
            network=recorded.get("network", "host"),
            add_hosts=tuple((name, address) for name, address in recorded.get("hosts", ())),
            shm_size=recorded.get("shm_size", 64 << 20),
            squash=recorded.get("squash"),
            epoch=recorded.get("epoch"),
            times=Times.parse(recorded.get("times", "")),
            clock=recorded.get("clock", False),
            cache_to=(CacheTarget("inline"),) if recorded.get("inline") else (),
            apart=True,
            secrets=dict(secret(spec) for spec in options["secrets"]),
            agents=dict(agent(spec) for spec in options["agents"] or agents_for(elsewhere)),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def counted(verdict: Verdict, *, ignore_times: bool) -> Sequence[Key]:
    """The keys of the config that count."""
    return [key for key in verdict.keys if not (ignore_times and key.is_time)]


def rows(store: Store, layer: Layer, *, ignore_times: bool) -> list[dict[str, Any]]:
    """The files of a layer that differ, as data."""
    from builder.verifying import sides
    from layers.views.treediff import Reason, diff
    from pybuild.formats.reasons import words as reasons

    before, after = sides(store, layer)
    ignored = (Reason.MTIME,) if ignore_times else ()
    return [
        {"Kind": one.kind.value, "Path": f"/{one.path}", "Reasons": reasons(one, before, after)}
        for one in diff(before, after, ignore=ignored, reasons=True)
    ]


def same(store: Store, verdict: Verdict, *, ignore_times: bool) -> bool:
    """True if nothing that counts differs."""
    if verdict.annotations or counted(verdict, ignore_times=ignore_times):
        return False
    return not verdict.layers or (
        ignore_times and not any(rows(store, one, ignore_times=True) for one in verdict.layers)
    )


def data(
    store: Store, image: Image, again: Image, verdict: Verdict, changed: Sequence[Key], *, ignore_times: bool
) -> dict[str, Any]:
    """All that differs."""
    return {
        "Same": same(store, verdict, ignore_times=ignore_times),
        "Old": str(image.manifest.descriptor.digest),
        "New": str(again.manifest.descriptor.digest),
        "Inputs": [{"Key": key.path, "Old": key.old, "New": key.new} for key in changed],
        "Config": [
            {"Key": key.path, "Old": key.old, "New": key.new} for key in counted(verdict, ignore_times=ignore_times)
        ],
        "Layers": [
            {
                "Layer": one.place,
                "CreatedBy": one.created_by,
                "Old": None if one.old is None else str(one.old),
                "New": None if one.new is None else str(one.new),
                "Files": rows(store, one, ignore_times=ignore_times),
            }
            for one in verdict.layers
        ],
    }


def advice(found: Sequence[Mapping[str, Any]]) -> str:
    """What to do about files that differ, if it is known of some why they do."""
    from builder.volatile import remedy

    return remedy(one["Path"] for one in found if one["Kind"] != "C" or "content" in one["Reasons"])


def words(
    store: Store,
    name: str,
    image: Image,
    again: Image,
    verdict: Verdict,
    changed: Sequence[Key],
    *,
    ignore_times: bool,
) -> Iterator[str]:
    """The same for people."""
    from pybuild.formats.names import shown

    old, new = image.manifest.descriptor.digest, again.manifest.descriptor.digest
    for key in changed:
        yield f"input {INPUTS.get(key.path, key.path)}: {key.old} -> {key.new}"
    for key in counted(verdict, ignore_times=ignore_times):
        yield f"config {key.path}: {key.old} -> {key.new}"
    if verdict.annotations:
        yield "annotations of the manifest differ"
    differing: list[Mapping[str, Any]] = []
    for one in verdict.layers:
        found = rows(store, one, ignore_times=ignore_times)
        differing += found
        if not found and ignore_times:
            continue
        yield f"layer {one.place + 1} ({shown(one.created_by)}):"
        for row in found[:MOST]:
            why = ", ".join(f"{reason} {told}" for reason, told in row["Reasons"].items())
            yield f"    {row['Kind']} {shown(row['Path'])}{f'  ({why})' if why else ''}"
        if len(found) > MOST:
            yield f"    and {len(found) - MOST} more"
        if not found:
            yield "    the same files, in another form"
    if verdict.same:
        yield f"{name} is reproducible: built once more it is {new}"
    elif same(store, verdict, ignore_times=ignore_times):
        yield f"{name} is reproducible but for times: {old}, built once more {new}"
    else:
        yield f"{name} is not reproducible: {old}, built once more {new}"
        if help := advice(differing):
            yield f"help: {help}"
