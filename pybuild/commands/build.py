"""`pybuild build`: an image from a Dockerfile."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layers.quick import replace
from pybuild import units
from pybuild.hardware import DIRECTORIES, described, unnamed
from pybuild.limiting import limited, limits, typed
from pybuild.networking import host
from pybuild.transfers import connection, machine, mirrors
from pybuild.userns import hand_over, ids, namespaced, stand
from pybuild.wiring import Context

if TYPE_CHECKING:
    from builder import BuildRequest, BuildResult, Lifetime

COURSE = (
    "pybuild.attesting",
    "pybuild.cacheflags",
    "pybuild.contexts",
    "pybuild.epoch",
    "pybuild.outputs",
    "pybuild.progress",
    "pybuild.secrets",
    "layers.home.caches",
    "layers.home.images",
    "layers.home.records",
    "layers.home.store",
    "layers.home.turns",
    "runner.cgroups",
    "builder.build",
    "builder.checks.before",
    "builder.checks.rules",
    "builder.contexts.statcache",
    "builder.executing.execution",
    "builder.executing.glance",
    "builder.road",
)
"""What it loads in any case (`layers.compiled`)."""
EPILOG = """
\b
Examples:
  pybuild -t app .
  pybuild build -f docker/Dockerfile --build-arg VERSION=2 -t app:2 .
  pybuild build --memory 512m --cpus 1.5 --pids-limit 100 --network none -t app .
  pybuild build --secret id=token,env=TOKEN --ssh default -t app .
  pybuild build --squash -t registry.example.org/app --push .
  pybuild build -o type=oci,dest=app.tar .
  pybuild build --dry-run .
  pybuild build --cache-from example.org/app:cache --cache-to type=registry,ref=example.org/app:cache,mode=max .
  pybuild build - < Dockerfile
  tar cz . | pybuild build -
  pybuild build https://example.org/app.git#v1.2:docker
  pybuild build --build-context base=docker-image://debian:sid --build-context lib=../lib ."""


def mapping(kind: str) -> Callable[[click.Context, click.Parameter, Sequence[str]], dict[str, str]]:
    """A reader of `KEY=VALUE` options; a bare KEY of a build argument takes its value from the environment."""

    def read(_: click.Context, parameter: click.Parameter, words: Sequence[str]) -> dict[str, str]:
        found = {}
        for word in words:
            key, equals, value = word.partition("=")
            if not key:
                raise click.BadParameter(f"{word!r} has no name; write KEY=VALUE", param=parameter)
            if equals:
                found[key] = value
            elif kind == "environment":
                if key in os.environ:
                    found[key] = os.environ[key]
            else:
                found[key] = ""
        return found

    return read


PERIOD = typed(units.parse_period)


@click.command(epilog=EPILOG)
@click.argument("context", metavar="[PATH|URL|-]", required=False, default=".")
@click.option("-t", "--tag", "tags", multiple=True, metavar="NAME[:TAG]", help="Name of the image; may be repeated.")
@click.option("-f", "--file", "file", metavar="FILE", help="The Dockerfile (PATH/Dockerfile); - reads standard input.")
@click.option(
    "--build-arg",
    "build_args",
    multiple=True,
    callback=mapping("environment"),
    metavar="KEY[=VALUE]",
    help="Value of an ARG.",
)
@click.option(
    "--build-context",
    "contexts",
    multiple=True,
    metavar="NAME=VALUE",
    help="What FROM and --from mean by NAME: a directory, URL, docker-image://IMAGE, oci-layout://DIR, target:STAGE.",
)
@click.option(
    "--ignorefile", metavar="FILE", help="Read this instead of FILE.dockerignore, .dockerignore, .containerignore."
)
@click.option("--target", metavar="STAGE", help="Build only up to this stage.")
@click.option(
    "--platform", "platforms", multiple=True, metavar="OS/ARCH", help="What to build for, by default this machine."
)
@machine
@click.option(
    "--label", "labels", multiple=True, callback=mapping("label"), metavar="KEY=VALUE", help="A label of the image."
)
@click.option(
    "--annotation",
    "annotations",
    multiple=True,
    callback=mapping("annotation"),
    metavar="[LEVEL[PLATFORM]:]KEY=VALUE",
    help="An annotation of the manifest, or of the index: manifest, index, manifest-descriptor, index-descriptor.",
)
@click.option("--no-cache", is_flag=True, help="Run every step anew.")
@click.option(
    "--no-cache-filter", "no_cache_filter", multiple=True, metavar="STAGE", help="Run the steps of a stage anew."
)
@click.option(
    "--always", multiple=True, metavar="STEP", help="Run a step anew: STAGE/NUMBER, or its words as in 'RUN apt-get *'."
)
@click.option(
    "--cache-ttl",
    "lifetimes",
    multiple=True,
    metavar="[STEP=]TIME",
    help="How old a result may be, as in 24h or 'RUN apt-get *=24h'.",
)
@click.option("--explain", is_flag=True, help="Say of each step that runs which input has changed.")
@click.option("--dry-run", is_flag=True, help="Say which steps would run, why, and how long they took last time.")
@click.option("--format", "template", metavar="TEMPLATE", help="Of --dry-run: a Go template, 'table TEMPLATE' or json.")
@click.option("--exit-code", is_flag=True, help="Of --dry-run: 1 if a step would run.")
@click.option("--pull", is_flag=True, help="Ask the registry for newer base images.")
@click.option("--timeout", callback=PERIOD, metavar="TIME", help="Most time of each RUN, as in 90s or 10m.")
@click.option(
    "--network", default="default", metavar="NETWORK", help="Network of RUN: host (the default), none, bridge, a name."
)
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="id=NAME[,src=FILE|,env=VAR]",
    help="What RUN --mount=type=secret shows, and nothing keeps.",
)
@click.option(
    "--ssh",
    "agents",
    multiple=True,
    metavar="default|ID=SOCKET",
    help="The SSH agent that RUN --mount=type=ssh may use.",
)
@click.option("--add-host", "hosts", multiple=True, metavar="NAME:IP", help="A line of /etc/hosts for RUN.")
@limited
@namespaced
@click.option("--device", "devices", multiple=True, metavar="HOST[:PATH][:rwm]", help="A device that RUN has.")
@click.option(
    "--allow",
    multiple=True,
    metavar="WHAT",
    help="Let RUN have security.insecure, network.host, device or device=NAME if it asks.",
)
@DIRECTORIES
@click.option(
    "--squash",
    is_flag=False,
    flag_value="new",
    metavar="[all]",
    help="One layer of what this build adds; =all: of everything.",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    metavar="SPEC",
    help="type=image|registry|oci|docker|tar|local,dest=PATH,...; a directory or - for short.",
)
@click.option(
    "--compression",
    type=click.Choice(["gzip", "zstd", "uncompressed"]),
    help="Of layers that leave the store; also -o ...,compression=.",
)
@click.option("--compression-level", type=click.IntRange(0, 22), metavar="LEVEL", help="How hard to try.")
@click.option("--force-compression", is_flag=True, help="Also of layers that came compressed otherwise.")
@click.option("--push", is_flag=True, help="Push the tags when the build is done.")
@click.option("--load", is_flag=True, help="Accepted: the image is always in the local store.")
@click.option("--iidfile", metavar="FILE", help="Write the image id there.")
@click.option("--metadata-file", metavar="FILE", help="Write what was built there, as JSON.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "tty", "plain", "json", "rawjson", "quiet"]),
    default=None,
    help="How to show what happens (PYBUILD_PROGRESS).",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only the image id.")
@click.option("-j", "--jobs", type=click.IntRange(min=1), metavar="NUMBER", help="Steps at the same time.")
@click.option(
    "--timestamp",
    metavar="SECONDS|now",
    help="The time of the image and of every file in new layers; now: by the clock, and files keep theirs. "
    "Otherwise what goes in decides, so that the same inputs give the same digests.",
)
@click.option(
    "--rewrite-timestamp/--no-rewrite-timestamp",
    "rewrite",
    default=None,
    help="No file in a new layer is younger than SOURCE_DATE_EPOCH (the usual); also -o ...,rewrite-timestamp=true.",
)
@click.option("--rm/--no-rm", default=True, help="--no-rm keeps nothing more: only failed steps leave a container.")
@click.option(
    "--keep-failed/--discard-failed", default=True, help="Keep the file system of a RUN that failed (the default)."
)
@click.option("--strict", is_flag=True, help="What is usually passed over in silence is an error.")
@click.option(
    "--cache-from",
    multiple=True,
    metavar="SPEC",
    help="Use a shared cache: type=registry,ref=NAME (also an image with an inline one), type=local,src=DIR.",
)
@click.option(
    "--cache-to",
    multiple=True,
    metavar="SPEC",
    help="Write one: type=registry,ref=NAME, type=local,dest=DIR, type=inline; mode=min|max, mounts=true.",
)
@click.option(
    "--call",
    metavar="check|outline|targets[,format=json]",
    help="Tell something of the Dockerfile instead of building it.",
)
@click.option("--check", "call", flag_value="check", help="The same as --call=check.")
@click.option("--debug-on-fail", is_flag=True, help="Open a shell where a RUN fails, while its mounts are there.")
@click.option(
    "--provenance", multiple=True, metavar="true|min|max|false", help="Tell beside the image how it was built (SLSA)."
)
@click.option("--sbom", multiple=True, metavar="true|false", help="Tell beside the image what is installed (SPDX).")
@click.option(
    "--attest",
    multiple=True,
    metavar="type=provenance|sbom,...",
    help="The same; also mode=max, builder-id=ID, reproducible=true, referrers=true.",
)
@click.option("--layers", is_flag=True, hidden=True)  # buildah's word for what is always done
@connection
@mirrors
@click.pass_obj
def build(roof: Context, /, **options: Any) -> int:
    """Build an image from PATH, the directory that COPY reads, and the Dockerfile in it.

    It may be a git repository (https://HOST/REPO.git#BRANCH:DIRECTORY), the URL of a tar or of a Dockerfile, or - for a
    tar or a Dockerfile on standard input; a build of a Dockerfile alone has no files to copy.
    """
    if not (options["call"] or options["dry_run"]):
        stand(ids(options))
    request = requested(roof, options)
    if options["call"]:
        from pybuild.calling import call, parsed

        what, as_json, harmless = parsed(options["call"])
        if what != "build":
            return call(roof, request, what, as_json=as_json, harmless=harmless)
    if options["dry_run"]:
        from pybuild.foretold import show as foretell

        return foretell(roof, request, options["template"], exit_code=options["exit_code"])
    if options["template"] is not None or options["exit_code"]:
        raise click.UsageError("--format and --exit-code say how to show what --dry-run finds")
    perform(roof, request, options)
    return 0


def perform(roof: Context, request: BuildRequest, options: dict[str, Any]) -> BuildResult:
    """Build, show how it goes, and tell what was built to whom the options say. Raises as `builder.build.build`."""
    from builder.build import build as run
    from pybuild.progress import renderer

    reachable(roof, request)
    kind = "quiet" if options["quiet"] else options["progress"] or os.environ.get("PYBUILD_PROGRESS") or "auto"
    roof.sweep()
    with renderer(kind, color=roof.settings.color) as show, roof.interruptible():
        bench = roof.bench
        if options["debug_on_fail"]:
            from pybuild.debugging import debugger, on_terminal

            if on_terminal():
                bench = replace(bench, debugger=debugger(roof, show))
            else:
                click.echo("note: no terminal here for --debug-on-fail: pybuild debug looks in later", err=True)
        result = run(request, bench, show, roof.stop)
        given(request, options)
        show.finish(result, [reference.familiar for reference in request.tags])
    if kind == "quiet":
        click.echo(str(result.image_id))
    if options["iidfile"]:
        several = len(result.image_ids) > 1
        Path(options["iidfile"]).write_text(str(result.target.digest if several else result.image_id))
        hand_over(Path(options["iidfile"]))
    if options["metadata_file"]:
        Path(options["metadata_file"]).write_text(json.dumps(metadata(request, result), indent=2) + "\n")
        hand_over(Path(options["metadata_file"]))
    return result


def given(request: BuildRequest, options: dict[str, Any]) -> None:
    """Let all that was written outside of the store belong to who builds, whatever users they asked for."""
    shared = [Path(target.where) for target in request.cache_to if target.kind == "local"]
    for path in (*shared, *(one.dest for one in request.outputs if one.dest is not None)):
        if not path.is_relative_to("/dev") and path.exists():
            hand_over(path)


def reachable(roof: Context, request: BuildRequest) -> None:
    """Raise if there is no network of that name."""
    if request.network not in ("host", "none"):
        from builder.networks.book import Networks

        Networks(roof.store).get(request.network)


def requested(roof: Context, options: dict[str, Any]) -> BuildRequest:
    """The flags as one value. Raises click.UsageError and what the values themselves raise."""
    from builder import BuildRequest
    from layers import Platform, Reference
    from pybuild.attesting import attest
    from pybuild.cacheflags import source, targets
    from pybuild.contexts import agents_for, named, sources
    from pybuild.outputs import outputs
    from pybuild.secrets import agent, secret

    found = sources(roof, options["context"], options["file"])
    if options["ignorefile"] is not None:
        if found["context"] is None:
            raise click.UsageError("--ignorefile is for a context that is a directory")
        found["ignorefile"] = Path(options["ignorefile"])
    platforms = [Platform.parse(word) for words in options["platforms"] for word in words.split(",")]
    from pybuild.epoch import moments

    dates = moments(options)
    tags = tuple(Reference.parse(tag) for tag in options["tags"])
    specs = outputs(options, tags)
    if any(one.output.kind == "registry" and not one.output.names for one in specs):
        raise click.UsageError("pushing needs a name: add -t HOST/NAME")
    if options["squash"] not in (None, "new", "all"):
        raise click.UsageError(f"--squash={options['squash']}: write --squash or --squash=all")
    given: dict[str, Any] = {"shm_size": options["shm_size"]} if options["shm_size"] else {}
    try:
        return BuildRequest(
            tags=tags,
            target=options["target"],
            build_args=options["build_args"],
            labels=options["labels"],
            annotations={**options["annotations"], **{k: v for spec in specs for k, v in spec.annotations.items()}},
            platforms=tuple(dict.fromkeys(platforms)),
            no_cache=options["no_cache"],
            no_cache_filter=options["no_cache_filter"],
            always=options["always"],
            lifetimes=tuple(lifetime(text) for text in options["lifetimes"]),
            explain=options["explain"],
            cache_from=tuple(map(source, options["cache_from"])),
            cache_to=targets(options["cache_to"], options["build_args"]),
            pull=options["pull"],
            limits=limits(options, seconds=options["timeout"]),
            network="host" if options["network"] == "default" else options["network"],
            userns=ids(options),
            devices=unnamed(options["devices"]),
            add_hosts=tuple(host(word) for word in options["hosts"]),
            squash=options["squash"],
            outputs=tuple(spec.output for spec in specs),
            **dates,
            jobs=options["jobs"],
            keep_failed=options["keep_failed"],
            secrets=dict(secret(spec) for spec in options["secrets"]),
            strict=options["strict"],
            agents=dict(agent(spec) for spec in options["agents"] or agents_for(found.get("source"))),
            contexts=named(options["contexts"]),
            allow=frozenset(options["allow"]),
            **described(options),
            attest=attest(options),
            **found,
            **given,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def lifetime(text: str) -> Lifetime:
    """`24h`, or `PATTERN=24h`. Raises ValueError."""
    from builder import Lifetime

    pattern, _, period = text.rpartition("=")
    try:
        return Lifetime(units.parse_period(period), pattern)
    except ValueError as error:
        raise ValueError(f"--cache-ttl {text!r}: {error}") from error


def metadata(request: BuildRequest, result: BuildResult) -> dict[str, Any]:
    """What buildx writes into its metadata file: of what was pushed or written, else of what is in the store."""
    target = result.exported[-1] if result.exported else result.target
    value: dict[str, Any] = {}
    if len(result.image_ids) == 1:
        value["containerimage.config.digest"] = str(result.image_id)
    value["containerimage.descriptor"] = target.to_json()
    value["containerimage.digest"] = str(target.digest)
    names = [*request.tags, *(name for one in request.outputs for name in one.names)]
    if names:
        value["image.name"] = ",".join(dict.fromkeys(str(name) for name in names))
    return value
