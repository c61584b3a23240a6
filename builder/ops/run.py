"""RUN: a command behind walls, over an overlay whose upper directory becomes the layer."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from builder.caching.cutoff import settled
from builder.emulation import is_foreign, is_i386
from builder.errors import Cancelled, StepFailed
from builder.exitcodes import HELP, explain
from builder.graph import Run, Step
from builder.ops.attach import Attaching, Shown
from builder.process import environment, identity, network_files, unpassable
from builder.times import NAME, Stamp
from layers import Chain
from layers.home import room
from layers.quick import dataclass, replace
from runner import Footing, Limits, Mount, Sandbox, SandboxBroken
from runner.rootless import owner

if TYPE_CHECKING:
    from typing import Any

    from builder.contexts.contexts import Contexts
    from builder.networks.building import Building
    from builder.secrets import Secret
    from builder.times import Times
    from builder.workbench import Workbench
    from layers import Digest, NewLayer, Workspace
    from layers.home.caches import Renewal
    from layers.making.packing import Form
    from runner import Device, Emulator, Exit, Usage
    from runner.edits import Edits
    from runner.sandbox import Wire

HOSTNAME = "buildkitsandbox"
"""What BuildKit calls it; programs that keep the name of their build host make the same bytes."""
GRACE = 2.0
"""Seconds between asking a RUN to stop and killing it."""
PLACES = ("places to mount on", "mount on ")
"""Parts of setting a sandbox up that depend on the mounts asked for."""
DENIED = os.strerror(errno.EPERM)
FOREIGN = "root is nobody on this host here; what needs more, as mknod does, can be built with --userns host"
TAIL = 20
"""Lines of output that an error shows again."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a RUN has to know beside its step.

    `form`: how its layer is compressed meanwhile. `renewal`: of the caches, where steps run anew. `footing`: by which
    numbers it knows users. `networks`: those that the steps of this build join. `former`: what the same command has
    made of the same files before. `mount_data` fills a new cache directory, if it knows how. `look`: shows somebody a
    command that failed, its file system and mounts as they are. `times`: of the files in its layer.
    `emulator`: of its processor, where this machine has none for everybody. `devices`: what the whole build was given.
    """

    limits: Limits
    keep_failed: bool
    form: Form | None
    secrets: Mapping[str, Secret]
    agents: Mapping[str, Path]
    renewal: Renewal | None
    footing: Footing
    networks: Building
    former: NewLayer | None = None
    mount_data: Callable[[Path, Digest], bool] | None = None
    look: Callable[[Step, Sandbox, Exit, Wire | None], None] | None = None
    times: Times | None = None
    emulator: Emulator | None = None
    devices: tuple[Device, ...] = ()


def run(
    bench: Workbench,
    below: Chain,
    step: Step,
    settings: Settings,
    shown: Sequence[Shown],
    *,
    context: Contexts,
    output: Callable[[int, bytes], None],
    stop: threading.Event,
    more: int,
) -> tuple[NewLayer, Usage]:
    """Run it; its layer and what it used. `shown` is what its mounts show, `more` RUNs may follow.

    Raises StepFailed with the exit, Cancelled, and what attaching the mounts raises.
    """
    from layers.making.capture import capture

    op = step.op
    assert isinstance(op, Run)
    store = bench.store
    account = store.tree(below).accounts().account(op.user)
    tail = Tail()
    edits = needed(step, op)
    if wrong := unpassable(op.args, op.env, op.cwd):
        why = f"{wrong} has a NUL character, so no command can have it"
        raise StepFailed(step.title, why, span=step.span)

    def told(stream: int, data: bytes) -> None:
        tail.take(data)
        output(stream, data)

    def tell(sentence: str) -> None:
        output(2, f"pybuild: {sentence}\n".encode("utf-8", "surrogateescape"))

    footing, times = settings.footing, settings.times
    clock = {} if times is None else {NAME: str(times.epoch)}
    place = store.snapshots.prepare(below, ids=footing.mapping, original=True, linger=True)
    with store.scratch(linger=True) as files, place as work:
        mounts = list(network_files(files, hostname=HOSTNAME, hosts=op.hosts, network=op.network))
        if op.script is not None:
            mounts.append(_script(files, op))
        with ExitStack() as undo:
            attached = Attaching(bench, step, settings, files, context, tell, stop, undo).attach(shown)
            # `op.env` holds PATH if the image or the Dockerfile has set it; the others count for this process only.
            agent = {"SSH_AUTH_SOCK": attached.agent} if attached.agent else {}
            joined = partial(settings.networks.joined, op.network, files / "hosts", hostname=HOSTNAME, names=op.hosts)
            sandbox = Sandbox(
                work.root,
                op.args,
                environment([], account, clock, op.proxies, agent, op.env, attached.env, *(one.env for one in edits)),
                op.cwd,
                identity(account, (gid for one in edits for gid in one.groups)),
                HOSTNAME,
                (*mounts, *attached.mounts, *(mount for one in edits for mount in one.mounts)),
                "host" if op.network == "host" else "none",
                limits=settings.limits,
                userns=footing.ids,
                shm_size=op.shm_size,
                grace=GRACE,
                emulator=settings.emulator,
                i386=is_i386(step.platform, settings.emulator),
                devices=(*(loops() if op.insecure else ()), *(device for one in edits for device in one.devices)),
                **(unconfined() if op.insecure else {}),
            )
            if settings.devices:
                there = {device.target for device in sandbox.devices}
                given = (device for device in settings.devices if device.target not in there)
                sandbox = replace(sandbox, devices=(*sandbox.devices, *given))
            try:
                with joined() as wire:
                    exit = bench.runtime().run(sandbox, told, stop, more=more, wire=wire, meanwhile=store.session.tidy)
            except SandboxBroken as error:
                if not shown or not error.step.startswith(PLACES):
                    raise
                raise misplaced(step, error) from error
            stopped = stop.is_set()
            if settings.look is not None and (exit.code != 0 or exit.timed_out) and not stopped:
                with joined() as wire:
                    settings.look(step, sandbox, exit, wire)  # while everything is still mounted
        if stopped and exit.code != 0:
            raise Cancelled("the build was stopped")
        if exit.code != 0 or exit.timed_out:
            crowded = room.is_full(store.root)
            keep = settings.keep_failed and not crowded
            kept = _keep(bench, work, step, op, settings, exit, output=tail.data) if keep else ""
            failed = failure(step, exit, settings.limits, tail.text, kept)
            if footing.ids is not None and DENIED in tail.text:
                failed.add_note(FOREIGN)
            if crowded:
                failed.add_note(str(room.full(store.root)))
            raise failed
        under = store.tree(below, original=True)
        stamp = None if times is None else Stamp(times, under, store.tree(below))
        layer = capture(store, work.upper, under, form=settings.form, stamp=stamp)
        result = settled(store, below, settings.former, layer)
        if result is layer:
            store.snapshots.commit(work, layer.diff_id)
    return result, exit.usage


def needed(step: Step, op: Run) -> list[Edits]:
    """What its devices bring. Raises StepFailed for one that went since the plan was made."""
    try:
        return [device.edits() for device in op.devices]
    except ValueError as error:
        raise StepFailed(step.title, str(error), span=step.span) from error


def unconfined() -> dict[str, Any]:
    """The rights of --security=insecure, as fields of a Sandbox, as BuildKit has it; `loops` are its devices."""
    from runner import ALL_DEVICES
    from runner.capabilities import held

    return {
        "capabilities": held(),
        "seccomp": False,
        "unmask": ("ALL",),
        "device_rules": (ALL_DEVICES,),
        "writable_sys": True,
    }


def loops() -> Iterator[Device]:
    """The loop devices of this host; for who is not root those that they may open."""
    from runner import Device
    from runner.nodes import is_open

    for path in sorted(Path("/dev").glob("loop[0-9-]*")):
        if path.is_char_device() or path.is_block_device():
            found = Device.like(str(path), str(path))
            if owner() is None or is_open(found):
                yield found


def _script(files: Path, op: Run) -> Mount:
    """A here-document that is a program: executable, where BuildKit puts it."""
    assert op.script is not None
    path = files / "script"
    path.write_bytes(op.script.body.encode("utf-8", "surrogateescape"))
    os.chmod(path, 0o755)
    return Mount(f"/dev/pipes/{op.script.name}", path, readonly=True)


def _keep(  # noqa: PLR0917 what a container is made of
    bench: Workbench, work: Workspace, step: Step, op: Run, settings: Settings, exit: Exit, *, output: bytes
) -> str:
    """Keep the file system of a failed command as a container; its name."""
    from builder.containers.keep import keep_failed

    platform = str(step.platform) if is_foreign(step.platform) else ""
    return keep_failed(
        bench.store,
        work,
        op,
        step.title,
        exit,
        settings.footing.ids,
        output=output,
        platform=platform,
        devices=settings.devices,
    )


def misplaced(step: Step, error: SandboxBroken) -> StepFailed:
    """The error of a mount whose place is none, in words."""
    place = f"{error.step}, {error.detail}" if error.detail else error.step
    help = "a directory is mounted on a directory and a file on a file; inside a read-only mount it must be there"
    return StepFailed(
        step.title, f"a mount cannot be attached ({place}): {os.strerror(error.errno)}", span=step.span, help=help
    )


class Tail:
    """The last lines of an output."""

    def __init__(self) -> None:
        self._data = bytearray()

    def take(self, data: bytes) -> None:
        """Remember the end of it."""
        self._data += data
        if len(self._data) > 1 << 16:
            del self._data[: -(1 << 15)]

    @property
    def data(self) -> bytes:
        """The last 32 to 64 KiB."""
        return bytes(self._data)

    @property
    def text(self) -> str:
        """At most TAIL lines."""
        return "\n".join(self._data.decode("utf-8", "replace").splitlines()[-TAIL:])


def failure(step: Step, exit: Exit, limits: Limits, tail: str, kept: str) -> StepFailed:
    """The error of a command that ended badly, in words."""
    code = exit.code
    if exit.timed_out:
        what, help = f"the time limit of {limits.seconds:g} seconds was over", "raise --timeout"
        exit = replace(exit, code=code or 124)
    elif exit.oom_killed:
        limit = f" of {limits.memory} bytes" if limits.memory else ""
        what, help = f"out of memory: the limit{limit} was reached and the kernel killed it", "raise --memory"
    else:
        what, help = explain(code), HELP.get(code, "")
    sentence = f"RUN ended with exit code {code}: {what}"
    if kept:
        look = f"its file system is kept: pybuild debug opens a shell in it, pybuild diff {kept} shows what it changed"
        help = f"{help}; {look}" if help else look
    return StepFailed(step.title, sentence, span=step.span, exit=exit, help=help, kept=kept, tail=tail)
