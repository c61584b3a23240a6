"""The options that `run` and `create` share, and the container settings they come to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pybuild import lifecycle, networking, units
from pybuild.commands.build import SIZE, host
from pybuild.wiring import Context

if TYPE_CHECKING:
    from builder.containers import Settings, Volume
    from layers import Image

Command = TypeVar("Command", bound=Callable[..., Any])
ALL = "ALL"

OPTIONS = (
    click.option("--name", metavar="NAME", help="Its name; one is chosen if none is given."),
    click.option("-i", "--interactive", is_flag=True, help="Hand standard input on."),
    click.option("-t", "--tty", is_flag=True, help="Give it a terminal."),
    click.option("--rm", "remove", is_flag=True, help="Remove it when it has ended."),
    click.option("-e", "--env", "envs", multiple=True, metavar="KEY[=VALUE]", help="A variable; KEY alone takes ours."),
    click.option("--env-file", "env_files", multiple=True, metavar="FILE", help="Variables, one a line."),
    click.option("-v", "--volume", "volumes", multiple=True, metavar="HOST:PATH[:ro]", help="A directory of the host."),
    click.option("--tmpfs", "tmpfs", multiple=True, metavar="PATH[:size=64m]", help="An empty file system in memory."),
    click.option("-w", "--workdir", metavar="DIR", help="Where it starts."),
    click.option("-u", "--user", metavar="USER[:GROUP]", help="Who it is."),
    click.option("--entrypoint", metavar="PROGRAM", help="Instead of the image's."),
    click.option("-h", "--hostname", metavar="NAME", help="Its host name."),
    click.option("-l", "--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label."),
    click.option("-m", "--memory", callback=SIZE, metavar="BYTES", help="Most memory, as in 512m."),
    click.option("--memory-swap", metavar="BYTES", help="Memory and swap together; -1 for no limit on swap."),
    click.option("--memory-reservation", callback=SIZE, metavar="BYTES", help="A soft limit."),
    click.option("--cpus", type=float, metavar="NUMBER", help="Processors' worth of time, as in 1.5."),
    click.option("-c", "--cpu-shares", type=int, metavar="NUMBER", help="Relative weight (1024 is usual)."),
    click.option("--cpuset-cpus", metavar="LIST", help="Processors that may be used, as in 0-2,4."),
    click.option("--pids-limit", type=int, metavar="NUMBER", help="Most processes and threads."),
    click.option("--shm-size", callback=SIZE, metavar="BYTES", help="Size of /dev/shm (64m)."),
    click.option("--cap-add", "cap_add", multiple=True, metavar="NAME", help="One more capability, or ALL."),
    click.option("--cap-drop", "cap_drop", multiple=True, metavar="NAME", help="One capability less, or ALL."),
    click.option(
        "--security-opt", "security", multiple=True, metavar="OPT", help="seccomp=unconfined, no-new-privileges."
    ),
    *networking.OPTIONS,
    click.option("--init", is_flag=True, help="A small first process that reaps and passes signals on."),
    click.option("--read-only", "readonly", is_flag=True, help="The root file system cannot be written."),
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
    click.option("--privileged", is_flag=True, hidden=True),
)
LATER = {
    "privileged": "--privileged is never granted; add what is needed with --cap-add",
}


def creation(command: Command) -> Command:
    """Add the options."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def settings(
    context: Context, name: str, words: tuple[str, ...], options: dict[str, Any], *, detach: bool = False
) -> Settings:
    """What `docker create` would make of the same flags and image. Raises UsageError and what a pull raises."""
    from builder.containers import Settings
    from builder.containers.book import now
    from builder.containers.control import number_of
    from builder.process import DEFAULT_PATH, assignments, command
    from runner import Limits

    for option, sentence in LATER.items():
        if options[option]:
            raise click.UsageError(sentence)
    if options["cidfile"] and os.path.lexists(options["cidfile"]):
        raise click.UsageError(f"--cidfile {options['cidfile']}: the file is there already; remove it first")
    image = found(context, name, options)
    runtime = image.config.runtime
    entrypoint = None if options["entrypoint"] is None else tuple(word for word in [options["entrypoint"]] if word)
    argv = command(runtime, words, entrypoint)
    if not argv:
        raise click.UsageError(f"image {name} has neither a command nor an entrypoint: say what to run")
    swap = options["memory_swap"]
    try:
        limits = Limits(
            memory=options["memory"],
            memory_swap=None if swap is None else -1 if swap == "-1" else units.parse_size(swap),
            memory_reservation=options["memory_reservation"],
            cpus=options["cpus"],
            cpu_shares=options["cpu_shares"],
            cpuset_cpus=options["cpuset_cpus"],
            pids=None if options["pids_limit"] in (None, 0, -1) else options["pids_limit"],
        )
        hosts = tuple(host(word) for word in options["hosts"])
        stop_signal = number_of(str(options["stop_signal"] or runtime.get("StopSignal") or "TERM"))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    used_entrypoint = tuple(runtime.get("Entrypoint") or ()) if entrypoint is None else entrypoint
    seccomp, no_new_privileges = security(options["security"])
    return Settings(
        id="",
        name=options["name"] or "",
        created=now(),
        image=str(image.id),
        image_name=name,
        diff_ids=tuple(str(diff_id) for diff_id in image.chain.diff_ids),
        path=argv[0],
        args=argv[1:],
        env={"PATH": DEFAULT_PATH, **assignments(runtime.get("Env") or ()), **variables(options)},
        cwd=options["workdir"] or str(runtime.get("WorkingDir") or "/"),
        user=options["user"] or str(runtime.get("User") or ""),
        hostname=options["hostname"] or "",
        entrypoint=used_entrypoint,
        cmd=argv[len(used_entrypoint) :],
        labels={
            **(runtime.get("Labels") or {}),
            **lifecycle.labels(options["label_files"]),
            **dict(label.partition("=")[::2] for label in options["labels"]),
        },
        tty=options["tty"],
        interactive=options["interactive"],
        remove=options["remove"],
        init=options["init"],
        readonly=options["readonly"],
        **networking.networking(context, options, runtime.get("ExposedPorts") or {}),
        hosts=hosts,
        volumes=tuple(volume(text) for text in options["volumes"]),
        tmpfs=tuple(memory(text) for text in options["tmpfs"]),
        capabilities=capabilities(options["cap_add"], options["cap_drop"]),
        seccomp=seccomp,
        no_new_privileges=no_new_privileges,
        stop_signal=stop_signal,
        shm_size=options["shm_size"] or 64 << 20,
        limits=limits,
        **lifecycle.settings(options, runtime, detach=detach),
    )


def found(context: Context, name: str, options: dict[str, Any]) -> Image:
    """The image, pulled if it is not here. Raises BlobMissing and the errors of a registry."""
    from layers import BlobMissing, Platform, ReferenceInvalid
    from layers.moving.transfer import copy

    platform = Platform.parse(options["platform"]) if options["platform"] else None
    if options["pull"] != "always":
        try:
            return context.store.images.get(name, platform)
        except BlobMissing:
            if options["pull"] == "never":
                raise
    try:
        reference = context.named(name)
    except ReferenceInvalid:
        return context.store.images.get(name, platform)
    if options["pull"] != "always" and context.store.images.target(reference):
        return context.store.images.get(str(reference), platform)
    if not options["quiet"]:
        click.echo(f"Unable to find image '{reference.familiar}' locally; pulling it", err=True)
    wanted = str(reference.digest) if reference.digest else str(reference.tag)
    repository = context.store.repository()
    copy(context.registry(reference), wanted, repository, str(reference), platform=platform, keep_index=True)
    context.note("pull", reference.familiar)
    return context.store.images.get(str(reference), platform)


def variables(options: dict[str, Any]) -> dict[str, str]:
    """--env-file, then --env."""
    lines: list[str] = []
    for file in options["env_files"]:
        text = Path(file).read_text(encoding="utf-8", errors="surrogateescape")
        lines += [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    return assigned([*lines, *options["envs"]])


def assigned(lines: Iterable[str]) -> dict[str, str]:
    """`KEY=value`, or KEY alone for our own value of it, if there is one."""
    read = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if not key:
            raise click.UsageError(f"invalid environment variable: {line!r}")
        if equals:
            read[key] = value
        elif key in os.environ:
            read[key] = os.environ[key]
    return read


def volume(text: str) -> Volume:
    """`HOST:PATH[:ro]`. The host's directory must be there."""
    from builder.containers import Volume

    parts = text.split(":")
    if len(parts) not in (2, 3) or not parts[1].startswith("/"):
        raise click.UsageError(f"--volume {text!r}: write HOST:PATH or HOST:PATH:ro; named volumes are not kept yet")
    modes = parts[2].split(",") if len(parts) == 3 else []
    if unknown := [mode for mode in modes if mode not in ("ro", "rw", "z", "Z")]:
        raise click.UsageError(f"--volume {text!r}: unknown mode {unknown[0]!r}; ro and rw are known")
    source = os.path.abspath(parts[0])
    if not parts[0].startswith(("/", ".")):
        raise click.UsageError(f"--volume {text!r}: named volumes are not kept yet; give a path, such as ./{parts[0]}")
    if not os.path.exists(source):
        raise click.UsageError(f"--volume {text!r}: {source} is not there")
    return Volume(source, os.path.normpath(parts[1]), "ro" in modes)


def memory(text: str) -> tuple[str, int | None]:
    """`PATH[:size=64m]`."""
    path, _, rest = text.partition(":")
    size = None
    for item in rest.split(",") if rest else ():
        key, _, value = item.partition("=")
        if key != "size":
            raise click.UsageError(f"--tmpfs {text!r}: only size= is known")
        size = units.parse_size(value)
    if not path.startswith("/"):
        raise click.UsageError(f"--tmpfs {text!r}: the path must be absolute")
    return path, size


def capabilities(add: Iterable[str], drop: Iterable[str]) -> tuple[str, ...]:
    """The default set, changed as docker changes it: ALL, then single names."""
    from difflib import get_close_matches

    from runner import CAPABILITIES, DEFAULT_CAPABILITIES

    def known(word: str) -> str:
        name = word.upper().removeprefix("CAP_")
        if name != ALL and name not in CAPABILITIES:
            near = get_close_matches(name, CAPABILITIES, 1)
            raise click.UsageError(f"unknown capability {word!r}" + (f"; did you mean {near[0]}?" if near else ""))
        return name

    added, dropped = [known(word) for word in add], [known(word) for word in drop]
    chosen = set(CAPABILITIES) if ALL in added else set() if ALL in dropped else set(DEFAULT_CAPABILITIES)
    chosen |= {name for name in added if name != ALL}
    chosen -= {name for name in dropped if name != ALL}
    return tuple(sorted(chosen))


def security(words: Iterable[str]) -> tuple[bool, bool]:
    """(seccomp, no_new_privileges)."""
    seccomp, no_new = True, False
    for word in words:
        if word == "seccomp=unconfined":
            seccomp = False
        elif word in ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"):
            no_new = True
        elif word not in ("apparmor=unconfined", "label=disable"):
            raise click.UsageError(f"--security-opt {word!r}: seccomp=unconfined and no-new-privileges are known")
    return seccomp, no_new
