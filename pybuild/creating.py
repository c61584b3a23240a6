"""The options that `run` and `create` share, and the container settings they come to."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path

from layers.quick import replace
from pybuild import lifecycle, networking, sharing
from pybuild.declared import click
from pybuild.limiting import limited
from pybuild.limiting import limits as limits_of
from pybuild.options import together
from pybuild.userns import OPTIONS as OF_USERS
from pybuild.userns import hand_over, ids
from pybuild.variables import pairs, variables
from pybuild.walling import mounted, walled, walls
from pybuild.wiring import Context

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from builder.containers import Containers, Memory, Settings, Volume
    from layers import Image, Platform


PLACES = ("oci:", "oci-archive:", "docker-archive:", "dir:")
"""Of images that are taken from where they lie, unless the store has one of that name."""
OPTIONS = (
    click.option("--name", metavar="NAME", help="Its name; one is chosen if none is given."),
    click.option("--replace", is_flag=True, help="Remove the one that has this name now, whatever it does."),
    click.option("-i", "--interactive", is_flag=True, help="Hand standard input on."),
    click.option("-t", "--tty", is_flag=True, help="Give it a terminal."),
    click.option("--rm", "remove", is_flag=True, help="Remove it when it has ended."),
    click.option("-e", "--env", "envs", multiple=True, metavar="KEY[=VALUE]", help="A variable; KEY alone takes ours."),
    click.option("--env-file", "env_files", multiple=True, metavar="FILE", help="Variables, one a line."),
    click.option("-w", "--workdir", metavar="DIR", help="Where it starts."),
    click.option("-u", "--user", metavar="USER[:GROUP]", help="Who it is."),
    click.option("--entrypoint", metavar="PROGRAM", help="Instead of the image's."),
    click.option("-h", "--hostname", metavar="NAME", help="Its host name."),
    click.option("--domainname", metavar="NAME", help="Its NIS domain."),
    click.option("-l", "--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label."),
    *networking.OPTIONS,
    *OF_USERS,
    *sharing.OPTIONS,
    click.option("--init", is_flag=True, help="A small first process that reaps and passes signals on."),
    click.option(
        "--oom-policy",
        type=click.Choice(["kill", "freeze"]),
        default="kill",
        help="Out of memory: a process is killed, or all stand still until update raises the limit.",
    ),
    click.option("--on-oom", "oom_hook", metavar="COMMAND", help="Run this on the host when memory runs out."),
    click.option("--stop-signal", metavar="SIGNAL", help="What stop sends first (SIGTERM)."),
    click.option("--platform", metavar="PLATFORM", help="Which image of an index."),
    click.option(
        "--pull",
        type=click.Choice(["always", "missing", "never"]),
        default="missing",
        help="When to ask the registry for the image.",
    ),
    click.option("--cidfile", metavar="FILE", help="Write its id there."),
    *lifecycle.OPTIONS,
)

creation = together(*OPTIONS, limited, walled)
"""Adds the options to a command."""


def outline(context: Context, options: dict[str, Any]) -> Settings:
    """What the options say of a container whatever its image is: its walls among it. Raises UsageError."""
    from builder.containers import Settings
    from runner.cgroups import check

    if options["cidfile"] and os.path.lexists(options["cidfile"]):
        raise click.UsageError(f"--cidfile {options['cidfile']}: the file is there already; remove it first")
    for flag, most in (("hostname", 64), ("domainname", 64)):
        if len(os.fsencode(options[flag] or "")) > most:
            raise click.UsageError(f"--{flag}: longer than the {most} bytes that Linux keeps")
    if options["workdir"] and not options["workdir"].startswith("/"):
        raise click.UsageError(f"--workdir {options['workdir']}: it needs to be an absolute path")
    wished = networking.wishes(options)
    try:
        limits = limits_of(options, oom_policy=options["oom_policy"])
        hosts = tuple(networking.host(word) for word in options["hosts"])
        walled_in = walls(options, wished[0].network)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    check(limits)
    return Settings(
        id="",
        name=options["name"] or "",
        created="",
        image="",
        image_name="",
        diff_ids=(),
        path="",
        args=(),
        env={**variables(options), **walled_in.pop("env")},
        cwd=options["workdir"] or "",
        user=options["user"] or "",
        hostname=sharing.host_name(options, wished[0].network),
        shares=sharing.shares(options),
        companion=sharing.companion(context, options),
        labels={**lifecycle.labels(options["label_files"]), **pairs("--label", options["labels"])},
        tty=options["tty"],
        interactive=options["interactive"],
        remove=options["remove"],
        init=options["init"],
        network=wished[0].network,
        networks=wished,
        hosts=hosts,
        shm_size=0 if options["ipc"] == "none" else options["shm_size"] or 64 << 20,
        limits=limits,
        userns=ids(options),
        oom_hook=options["oom_hook"] or "",
        **walled_in,
    )


def settings(
    context: Context,
    asked: Settings,
    name: str,
    words: tuple[str, ...],
    options: dict[str, Any],
    *,
    detach: bool = False,
) -> Settings:
    """What `docker create` would make of these options, `asked` their outline, and an image.

    Raises UsageError, ContainerError and what a pull raises.
    """
    from builder.containers import Volume
    from builder.containers.container import now
    from builder.containers.signals import number_of
    from builder.emulation import is_foreign
    from builder.process import DEFAULT_PATH, assignments, command

    image = found(context, name, options)
    runtime = image.config.runtime
    entrypoint = None if options["entrypoint"] is None else tuple(word for word in [options["entrypoint"]] if word)
    argv = command(runtime, words, entrypoint)
    if not argv:
        raise click.UsageError(f"image {name} has neither a command nor an entrypoint: say what to run")
    try:
        stop_signal = number_of(str(options["stop_signal"] or runtime.get("StopSignal") or "TERM"))
        mounts = mounted(options)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    volumes = (*(one for one in mounts if isinstance(one, Volume)), *asked.volumes)
    tmpfs = tuple(one for one in mounts if not isinstance(one, Volume))
    used_entrypoint = tuple(runtime.get("Entrypoint") or ()) if entrypoint is None else entrypoint
    made = replace(
        asked,
        created=now(),
        image=str(image.id),
        image_name=name,
        diff_ids=tuple(str(diff_id) for diff_id in image.chain.diff_ids),
        path=argv[0],
        args=argv[1:],
        env={"PATH": DEFAULT_PATH, **assignments(runtime.get("Env") or ()), **asked.env},
        cwd=asked.cwd or str(runtime.get("WorkingDir") or "/"),
        user=asked.user or str(runtime.get("User") or "") or kept(options),
        entrypoint=used_entrypoint,
        cmd=argv[len(used_entrypoint) :],
        labels={**(runtime.get("Labels") or {}), **asked.labels},
        **networking.networking(context, options, asked.networks, runtime.get("ExposedPorts") or {}),
        stop_signal=stop_signal,
        platform=str(image.config.platform) if is_foreign(image.config.platform) else "",
        **lifecycle.settings(options, runtime, detach=detach),
        volumes=volumes + further_volumes(context, options, (*volumes, *tmpfs), runtime.get("Volumes") or {}),
        tmpfs=tmpfs,
    )
    passable(made)
    return made


def passable(made: Settings) -> None:
    """Raises ContainerError for what an image says that no process can be given."""
    from builder.process import unpassable

    check = made.healthcheck
    tested = (*made.shell, *check.test) if check is not None else ()
    targets = (volume.target for volume in made.volumes)
    if wrong := unpassable((*made.command, *tested), made.env, made.cwd, *targets):
        from builder.containers import ContainerError

        raise ContainerError(
            f"image {made.image_name}: {wrong} has a NUL character, so no command can have it; "
            "override it here (--env, --workdir, --entrypoint, --no-healthcheck), or build the image anew without it"
        )


@contextmanager
def named_in(path: str | None) -> Iterator[Callable[[str], object]]:
    """What writes the id of a new container into --cidfile, which is made first and goes again if none is made.

    Raises UsageError.
    """
    if not path:
        yield lambda _: None
        return
    try:
        file = open(path, "x", encoding="ascii")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise click.UsageError(f"--cidfile {path}: {error.strerror}") from error
    try:
        with file:
            yield file.write
        hand_over(Path(path))
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(path)
        raise


def further_volumes(
    context: Context, options: dict[str, Any], asked: Iterable[Volume | Memory], image: Mapping[str, Any]
) -> tuple[Volume, ...]:
    """Those of --volumes-from, and new ones for VOLUMEs of the image, where nothing else was asked for.

    Raises UsageError for two at one place.
    """
    from builder.containers import Containers, Volume

    taken: set[str] = set()
    for one in asked:
        if one.target in taken:
            raise click.UsageError(f"two mounts have the target {one.target}: leave one of them out")
        taken.add(one.target)
    found: dict[str, Volume] = {}
    for text in options["volumes_from"]:
        name, _, mode = text.partition(":")
        if mode not in ("", "ro", "rw", "z", "Z"):
            raise click.UsageError(f"--volumes-from {text}: unknown mode {mode!r}; ro and rw are known")
        for one in Containers(context.store).get(name).settings.volumes:
            found[one.target] = replace(one, readonly=one.readonly or mode == "ro")
    for target in image:
        path = os.path.normpath(str(target))
        if path.startswith("/") and path.strip("/"):
            found.setdefault(path, Volume("", path, kept=True))
    return tuple(one for target, one in found.items() if target not in taken)


def kept(options: dict[str, Any]) -> str:
    """Who is to run as themselves: who is not root and keeps their number, as podman has it."""
    from runner.rootless import group, owner

    user = owner()
    return f"{user}:{group()}" if options["userns"] == "keep-id" and user is not None else ""


def found(context: Context, name: str, options: dict[str, Any]) -> Image:
    """The image, pulled if it is not here. Raises BlobMissing and the errors of a registry."""
    from layers import BlobMissing, Platform, ReferenceInvalid

    platform = Platform.parse(options["platform"]) if options["platform"] else None
    if options["pull"] != "always":
        try:
            return context.store.images.get(name, platform)
        except (BlobMissing, ReferenceInvalid):
            if options["pull"] == "never":
                raise
    if name.startswith(PLACES):
        return taken(context, name, platform)
    name = name.removeprefix("docker://")
    try:
        reference = context.named(name)
    except ReferenceInvalid:
        return context.store.images.get(name, platform)
    if options["pull"] != "always" and context.store.images.target(reference):
        return context.store.images.get(str(reference), platform)
    from layers.moving.transfer import copy

    if not options["quiet"]:
        click.echo(f"Unable to find image '{reference.familiar}' locally; pulling it", err=True)
    wanted = str(reference.digest) if reference.digest else str(reference.tag)
    repository = context.store.repository()
    copy(context.registry(reference), wanted, repository, str(reference), platform=platform, keep_index=True)
    context.note("pull", reference.familiar)
    return context.store.images.get(str(reference), platform)


def taken(context: Context, name: str, platform: Platform | None) -> Image:
    """An image of a layout, an archive or a directory, taken in without a name. Raises what the place raises."""
    from layers.moving.transfer import copy
    from layers.oci.address import Address
    from pybuild.addressing import resolve, source

    address = Address.parse(name)
    with source(context, address) as there:
        target = resolve(there, address)
        copy(there, target, context.store.repository(), None, platform=platform, keep_index=True)
    return context.store.images.get(str(target.digest), platform)


def superseded(book: Containers, name: str) -> None:
    """Remove the container that has the name, if there is one, for --replace. Raises UsageError, ContainerState."""
    from builder.containers import ContainerMissing, control

    if not name:
        raise click.UsageError("--replace needs a --name: it removes the container that has it")
    with suppress(ContainerMissing, FileNotFoundError):
        found = book.get(name)
        if found.name == name.removeprefix("/"):  # not one whose id begins so
            control.discard(book, found)
