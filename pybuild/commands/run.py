"""`pybuild run`: a new container, from image to exit code."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, suppress

from layers.compiled import hasten
from layers.quick import replace
from pybuild import exits
from pybuild.creating import creation, named_in, outline, settings, superseded
from pybuild.declared import click
from pybuild.lifecycle import KEYS, PROXY, attached
from pybuild.userns import stand, standing
from pybuild.wiring import Context

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import signal
    from typing import Any

    from builder.containers import Container, Settings
    from builder.networks.asked import Asked
    from runner import Ids
else:
    import _signal as signal  # the same without enumerations

COURSE = (
    "pybuild.first",
    "pybuild.usual",
    "layers.home.store",
    "runner.native",
    "runner.cgroups",
    "runner.guard",
    "builder.containers.sandboxes",
)
"""All that is needed until others are at work for it: who makes its process, who makes its network ready."""
MOST = 1 << 16
"""Bytes of what a monitor says that are told."""
EPILOG = """
\b
Examples:
  pybuild run --rm app
  pybuild run -it --entrypoint sh app
  pybuild run -d --name web --memory 256m --cpus 0.5 app
  pybuild run --rm --network none --read-only --tmpfs /tmp app"""


@click.command(epilog=EPILOG, context_settings={"allow_interspersed_args": False})
@creation
@click.option("-d", "--detach", is_flag=True, help="Do not wait for it; print its id.")
@KEYS
@PROXY
@click.argument("image")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def run(
    context: Context,
    /,
    image: str,
    command: tuple[str, ...],
    detach: bool,
    keys: bytes,
    proxy: bool,
    **options: Any,
) -> int:
    """Run COMMAND (by default the image's) in a new container of IMAGE; its exit code becomes ours.

    125: the container could not be started. 126: the command cannot be executed. 127: it was not found. 128+N: a signal
    ended it. The detach keys leave it running.
    """
    from builder.containers import Containers
    from builder.containers.names import propose

    asked = replace(outline(context, options), id=os.urandom(32).hex())
    proposed = asked.name or propose()
    if not detach:
        stand(asked.userns)
    book = Containers(context.store)
    with ExitStack() as held:
        # Ports are opened by ourselves; and who is replaced has its place in the network until then.
        alone = detach or options["publish"] or options["publish_all"] or options["replace"]
        neighbour = None if alone else invited(context, asked, proposed, held)
        numbers = None if detach else expected(context, asked, held)
        hasten("pybuild.staying")
        context.release()
        book.forsaken()
        hurry(context, neighbour)
        with context.store.lease():
            wanted = settings(context, asked, image, command, options, detach=detach)
            hurry(context, neighbour)
            if options["replace"]:
                superseded(book, wanted.name)
            with named_in(options["cidfile"]) as name:
                container = book.create(wanted, proposed)
                name(container.id)
        streams = attached(options["attach"])
        try:
            if detach:
                with container.beginning() as lock:
                    context.tidy()
                    print(container.id, flush=True)
                    begin(context, container, lock)
                return 0
            from pybuild.staying import stay

            return stay(
                context, container, numbers, neighbour, streams, stdin=options["interactive"], keys=keys, proxy=proxy
            )
        except BaseException:
            if container.settings.remove and container.exists:
                book.remove(container)
            raise


def invited(context: Context, asked: Settings, proposed: str, held: ExitStack) -> Asked | None:
    """Who makes its network ready from now on, if somebody does; it has its id and, probably, its name."""
    from builder.containers.connecting import ask
    from builder.containers.container import Container

    whole = replace(asked, name=proposed, hostname=asked.hostname or asked.id[:12])
    if (found := ask(context.store, Container(context.store, asked.id), exits.warn, whole)) is not None:
        held.callback(found.close)
    return found


def expected(context: Context, asked: Settings, held: ExitStack) -> Ids | None:
    """The numbers of a container's users; and its process is being made from now on, while all else is looked up."""
    from builder.containers.sandboxes import expect, numbers

    ids = numbers(context.store, asked, held, exits.warn)
    held.callback(context.runtime.rest)
    expect(context.runtime, asked, ids, context.store.root)
    return ids


def hurry(context: Context, neighbour: Asked | None) -> None:
    """Have its process wired, if that is there by now: the later, the more the two are in each other's way."""
    if neighbour is not None:
        neighbour.meet(*context.runtime.met())


def begin(context: Context, container: Container, lock: int) -> None:
    """Start the small process that stays with a detached container; returns when the command runs.

    The descriptor of the container's lock becomes that process's. Raises CommandRefused, ContainerError.
    """
    from builder.containers.errors import CommandRefused, ContainerError

    told, tell = os.pipe()
    program = [sys.executable, "-P", "-m", "pybuild"]  # never one that lies in the working directory
    words = [*program, "--root", str(context.settings.root)]
    words += ["start", "--monitor", str(tell), "--lock", str(lock), container.id]
    with open(container.folder / "monitor", "w+b") as said:
        monitor = os.posix_spawn(
            sys.executable,
            words,
            standing(container.settings.userns) or os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, said.fileno(), 2),
                *((os.POSIX_SPAWN_CLOSE, one) for one in inherited()),
                *((os.POSIX_SPAWN_DUP2, one, one) for one in (tell, lock)),
            ],
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # which Python ignores
            setsid=True,
        )
        os.close(tell)
        with os.fdopen(told, "rb") as answer:
            began = answer.read() == b"started"
        code = 0 if began else os.waitstatus_to_exitcode(os.waitpid(monitor, 0)[1])
        heard = os.pread(said.fileno(), MOST, 0).decode(errors="replace").strip()  # it may have removed itself
    if began:
        if heard:
            exits.tell(heard)
        return
    why = heard.removeprefix("error: ")
    ended = f"it did not start: what looks after it was ended by signal {-code}" if code < 0 else "it did not start"
    why = why.removeprefix(f"container {container.name}: ") or ended
    raise CommandRefused(container.name, why, code) if code in (126, 127) else ContainerError(why)


def inherited() -> list[int]:
    """What others have left open for us, and would wait for us to close; all that we have opened ends with us."""
    kept = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # that of the listing itself
            if int(name) > 2 and os.get_inheritable(int(name)):
                kept.append(int(name))
    return kept
