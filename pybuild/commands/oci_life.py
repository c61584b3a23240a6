"""`pybuild oci create|start|run|exec|kill|delete|pause|resume`: what changes a container of a bundle."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pybuild.oci import Face, process_asked
from pybuild.options import together

if TYPE_CHECKING:
    from runner.oci.engine import Wishes
    from runner.running import Running

BUNDLE = click.option(
    "--bundle", "-b", type=click.Path(path_type=Path), default=".", help="The bundle's directory (.)."
)
PID_FILE = click.option("--pid-file", type=click.Path(path_type=Path), help="Write the process's number there.")
CONSOLE = click.option("--console-socket", metavar="SOCKET", help="Send the terminal's master there.")
PRESERVE = click.option("--preserve-fds", type=click.IntRange(min=0), default=0, help="Descriptors from 3 on to pass.")
NO_PIVOT = click.option("--no-pivot", is_flag=True, help="Change the root without pivot_root(2), as on a ramdisk.")
KEYRING = click.option("--no-new-keyring", is_flag=True, help="Stay in the caller's session keyring.")
ID = click.argument("container", metavar="CONTAINER-ID")
CREATION = together(BUNDLE, CONSOLE, PID_FILE, NO_PIVOT, KEYRING, PRESERVE, ID)


@click.command()
@CREATION
@click.pass_obj
def create(face: Face, /, container: str, bundle: Path, **flags: Any) -> None:
    """Make a container that waits for `start`."""
    made(face, container, bundle, flags, detached=True)


@click.command()
@CREATION
@click.option("--detach", "-d", is_flag=True, help="Do not wait for its end.")
@click.option("--keep", is_flag=True, help="Do not delete it when it has ended.")
@click.option("--no-subreaper", is_flag=True, hidden=True)
@click.pass_obj
def run(face: Face, /, container: str, bundle: Path, detach: bool, keep: bool, **flags: Any) -> int:
    """Make a container, start it, and unless detached wait for its end and delete it; its exit code becomes ours."""
    running = made(face, container, bundle, flags, detached=detach)

    def begin() -> None:
        face.warn(face.engine.start(container))

    if detach:
        begin()
        return 0
    try:
        return face.follow(running, begin)
    finally:
        if not keep:
            face.warn(face.engine.delete(container, force=True))


@click.command()
@ID
@click.pass_obj
def start(face: Face, container: str) -> None:
    """Let a created container go."""
    face.warn(face.engine.start(container))


@click.command()
@ID
@click.argument("name", metavar="[SIGNAL]", default="TERM")
@click.option("--all", "-a", "everybody", is_flag=True, help="To every process inside.")
@click.pass_obj
def kill(face: Face, container: str, name: str, everybody: bool) -> None:
    """Send a signal (TERM) to a container's first process."""
    face.engine.kill(container, number(name), everybody=everybody)


@click.command()
@ID
@click.option("--force", "-f", is_flag=True, help="Kill it if it runs; do not mind if it is not there.")
@click.pass_obj
def delete(face: Face, container: str, force: bool) -> None:
    """Take away all that belongs to a container that has ended."""
    face.warn(face.engine.delete(container, force=force))


@click.command()
@ID
@click.pass_obj
def pause(face: Face, container: str) -> None:
    """Freeze a container."""
    face.engine.pause(container)


@click.command()
@ID
@click.pass_obj
def resume(face: Face, container: str) -> None:
    """Let a frozen container go on."""
    face.engine.pause(container, paused=False)


@click.command("exec", context_settings={"allow_interspersed_args": False})
@together(CONSOLE, PID_FILE, PRESERVE)
@click.option("--cwd", metavar="DIR", help="Where it starts.")
@click.option("--env", "-e", "env", multiple=True, metavar="NAME=VALUE", help="A variable.")
@click.option("--tty", "-t", is_flag=True, help="Give it a terminal.")
@click.option("--user", "-u", metavar="UID[:GID]", help="Who it is.")
@click.option("--additional-gids", "-g", type=int, multiple=True, help="Further groups.")
@click.option("--process", "-p", "file", type=click.Path(path_type=Path), help="A file with the whole `process`.")
@click.option("--detach", "-d", is_flag=True, help="Do not wait for its end.")
@click.option("--process-label", hidden=True)
@click.option("--apparmor", metavar="PROFILE", help="Its AppArmor profile.")
@click.option("--no-new-privs", is_flag=True, help="It can gain no rights.")
@click.option("--cap", "-c", "capabilities", multiple=True, metavar="CAP_NAME", help="A further capability.")
@click.option("--ignore-paused", is_flag=True, help="Even if the container is frozen.")
@ID
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def exec_(face: Face, /, container: str, args: tuple[str, ...], **flags: Any) -> int:
    """Run a further process in a running container; its exit code becomes ours."""
    record = face.home.get(container).read()
    process = process_asked(record.config, args, flags)
    wishes = wished(face, flags, detached=flags["detach"], terminal=process.terminal)
    running = face.engine.enter(container, process, wishes, ignore_paused=flags["ignore_paused"])
    face.send(running, flags["console_socket"])
    return 0 if flags["detach"] else face.follow(running)


def number(name: str) -> int:
    """A signal by number or name. Raises ContainerError."""
    import signal

    from runner.oci.errors import ContainerError

    word = name.upper().removeprefix("SIG")
    if name.isdigit() and 0 < int(name) < 65:
        return int(name)
    found = getattr(signal, f"SIG{word}", None)
    if not isinstance(found, signal.Signals):
        raise ContainerError(f'unknown signal "{name}"')
    return int(found)


def made(face: Face, container: str, folder: Path, flags: dict[str, Any], *, detached: bool) -> Running:
    """Create a container; its terminal goes where the flags say."""
    from runner.oci.bundle import Bundle

    bundle = Bundle.open(folder)
    wishes = wished(face, flags, detached=detached, terminal=bundle.process.terminal)
    running = face.engine.create(container, bundle, wishes)
    try:
        face.send(running, flags["console_socket"])
    except BaseException:
        face.engine.delete(container, force=True)
        raise
    return running


def wished(face: Face, flags: dict[str, Any], *, detached: bool, terminal: bool) -> Wishes:
    """What the flags say beside the bundle. Raises ContainerError."""
    from runner.oci.engine import Wishes
    from runner.oci.errors import ContainerError

    if detached and terminal and not flags["console_socket"]:
        raise ContainerError("cannot allocate tty if runtime will detach without setting console socket")
    if flags["console_socket"] and not (detached and terminal):
        raise ContainerError("cannot use console socket if runtime will not detach or allocate tty")
    listening = int(os.environ.get("LISTEN_FDS") or 0)
    inherited = range(3, 3 + listening + flags["preserve_fds"])
    for descriptor in inherited:
        try:
            os.fstat(descriptor)
        except OSError as error:
            raise ContainerError(f"please check that preserved-fd {descriptor} is present") from error
    words = {b"LISTEN_FDS": b"%d" % listening, b"LISTEN_PID": b"1"} if listening else {}
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC) if terminal else -1  # until it opens its terminal
    return Wishes(
        pid_file=flags["pid_file"],
        pivot=not flags.get("no_pivot"),
        keyring=not flags.get("no_new_keyring"),
        systemd=face.systemd,
        detached=detached,
        streams=(nothing, nothing, nothing) if terminal else (0, 1, 2),
        inherited=tuple(inherited),
        environment=words,
    )
