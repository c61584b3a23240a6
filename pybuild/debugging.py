"""Shells where something happened: in the file system of a failed step, of any step of the last build, of an image.

A session runs in the sandbox that the step had, with another command: same walls, environment, user and directory.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from builder.exitcodes import explain
from layers.quick import replace
from pybuild.userns import stand

if TYPE_CHECKING:
    from builder.containers import Container
    from builder.graph import Step
    from builder.trail import Trace
    from layers import Chain, Image
    from pybuild.progress import Renderer
    from pybuild.wiring import Context
    from runner import Exit, Sandbox
    from runner.sandbox import Wire

SHELLS = ("/bin/bash", "/bin/sh", "/bin/ash", "/busybox/sh", "/bin/busybox")
HOSTNAME = "debug"


def say(text: str) -> None:
    """A line for the person, beside the data."""
    click.echo(text, err=True)


def on_terminal() -> bool:
    """Whether somebody is there to type."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def debugger(context: Context, show: Renderer) -> Callable[[Step, Sandbox, Exit, Wire | None], None]:
    """What `build --debug-on-fail` does when a command fails."""

    def look(step: Step, sandbox: Sandbox, exit: Exit, wire: Wire | None) -> None:
        show.close()
        say(f"\n{step.title}\nended with exit code {exit.code}: {explain(exit.code, oom_killed=exit.oom_killed)}")
        say("this shell has its files, mounts, environment and user; what you change is not built; 'exit' leaves it")
        session(context, sandbox, (), tty=True, wire=wire)

    return look


def session(context: Context, sandbox: Sandbox, words: Sequence[str], *, tty: bool, wire: Wire | None = None) -> int:
    """Run a command, or a shell, in a sandbox, `wire`d to a network; its streams are ours. Its exit code."""
    from builder.containers.foreground import Foreground
    from builder.containers.terminal import Streams
    from pybuild.following import follow

    args = tuple(words) or (shell(sandbox),)
    env = {**sandbox.env, **({"TERM": "xterm"} if tty else {})}
    wanted = replace(sandbox, args=args, env=env, limits=replace(sandbox.limits, seconds=None))
    streams = Streams(stdin=True, terminal=tty)
    try:
        running = context.runtime.start(wanted, streams.given, tty=tty, wire=wire)

        def passed(number: int) -> None:
            if number == signal.SIGHUP:  # nobody can come back to it, and the first process of its walls need not care
                running.kill()
            else:
                running.signal(number)

        foreground = Foreground(stdin=True, tty=running.master is not None, keys=b"")
        return follow(running, streams, foreground, passed=passed)
    finally:
        streams.close()


def shell(sandbox: Sandbox) -> str:
    """The one that the command itself was run by, else whichever is there."""
    from layers.disk.paths import Root

    own = sandbox.args[0]
    candidates: tuple[str, ...] = (own, *SHELLS) if Path(own).name.endswith("sh") else SHELLS
    with Root(sandbox.root) as root:
        for path in candidates:
            try:
                root.stat(path)
            except OSError:
                continue
            return path
    raise click.UsageError("there is no shell in this file system: name a command, as in pybuild debug . COMMAND")


def in_container(context: Context, container: Container, words: Sequence[str], *, tty: bool) -> int:
    """In the file system of a container that does not run; what is changed there stays. Raises ContainerState."""
    from builder.containers import ContainerState
    from builder.containers.connecting import joined, shared
    from builder.containers.sandboxes import order
    from pybuild.exits import warn

    stand(container.settings.userns)
    state = container.state()
    with container.claim() as mine:
        if not mine:
            raise ContainerState(container.name, "is running: pybuild exec goes into it")
        if state.finished:
            why = explain(state.exit_code, oom_killed=state.oom_killed)
            say(f"{container.name} ended with exit code {state.exit_code}: {why}")
        settings, store = container.settings, context.store
        footing = context.runtime.settle(settings.userns, store.root)
        with (
            store.snapshots.attach(settings.chain, container.folder, ids=footing.mapping) as work,
            joined(store, container, warn) as wire,
            shared(store, container) as sharing,
        ):
            sandbox = order(container, work.root, footing.ids, sharing)
            return session(context, sandbox, words, tty=tty, wire=wire)


def in_trace(context: Context, trace: Trace, words: Sequence[str], *, before: bool, tty: bool) -> int:
    """In the state before or after a step of the last build. What is changed there is forgotten."""
    from builder.containers import Containers

    if trace.kept and not before:
        return in_container(context, Containers(context.store).get(trace.kept), words, tty=tty)
    chain = trace.before if before else trace.after
    if chain is None:
        what = "nothing is before it" if before else f"it has no result ({trace.status})"
        raise click.UsageError(f"step {trace.number}, {trace.title}: {what}; pybuild debug --list shows all steps")
    say(f"{'before' if before else 'after'} step {trace.number}, {trace.title}")
    with _sandbox(context, chain, trace.run) as (sandbox, wire):
        return session(context, sandbox, words, tty=tty, wire=wire)


def in_image(context: Context, image: Image, step: int | None, words: Sequence[str], *, before: bool, tty: bool) -> int:
    """In an image, or in what it was after (before) a line of its history, counted from 1, the oldest."""
    from builder.process import assignments
    from layers import Chain

    runtime, count = image.config.runtime, len(image.chain.diff_ids)
    lines = image.config.history
    if step is not None:
        if not 1 <= step <= len(lines):
            raise click.UsageError(f"--step {step}: the history of the image has lines 1 to {len(lines)}")
        count = sum(not line.empty_layer for line in lines[: step - before])
        say(f"{'before' if before else 'after'} line {step}, {lines[step - 1].created_by}")
    elif before:
        raise click.UsageError("--before needs --step: a line of the image's history, 1 is the oldest")
    run = {
        "args": [],
        "env": assignments(runtime.get("Env") or ()),
        "cwd": str(runtime.get("WorkingDir") or "/"),
        "user": str(runtime.get("User") or ""),
        "network": "host",
        "hosts": [],
        "shm_size": 64 << 20,
    }
    with _sandbox(context, Chain(image.chain.diff_ids[:count]), run) as (sandbox, wire):
        return session(context, sandbox, words, tty=tty, wire=wire)


def chosen(traces: Sequence[Trace], text: str | None) -> Trace:
    """The step that is meant: a number, STAGE/NUMBER, words it begins with; else the failed one, or the last."""
    if not traces:
        raise click.UsageError("nothing was built in this store yet: name an image or a container")
    if text is None:
        failed = [trace for trace in traces if trace.status == "failed"]
        done = [trace for trace in traces if trace.after is not None]
        return (failed or done or list(traces))[-1]
    if text.isdigit():
        fitting = [trace for trace in traces if trace.number == int(text)]
    elif "/" in text and text.rpartition("/")[2].isdigit():
        stage, _, number = text.rpartition("/")
        fitting = [trace for trace in traces if trace.stage == stage][int(number) - 1 : int(number)]
    else:
        fitting = [trace for trace in traces if trace.title.startswith(text)]
    if len(fitting) != 1:
        what = "fits several steps" if fitting else "is no step of the last build"
        raise click.UsageError(f"--step {text!r} {what}; pybuild debug --list shows them")
    return fitting[0]


@contextmanager
def _sandbox(context: Context, chain: Chain, run: Mapping[str, Any]) -> Iterator[tuple[Sandbox, Wire | None]]:
    """A RUN's sandbox over a chain, and what wires it to its network; nothing of what happens there is kept.

    Raises BuildError for what no command can be given.
    """
    from builder.errors import BuildError
    from builder.networks.building import Building
    from builder.process import DEFAULT_PATH, environment, identity, network_files, unpassable
    from pybuild.exits import warn
    from runner import Ids
    from runner import Sandbox as Order

    store = context.store
    usual = {"env": {"PATH": DEFAULT_PATH}, "cwd": "/", "user": "", "network": "host", "hosts": [], "args": []}
    given = {**usual, **run}
    if wrong := unpassable(given["args"], given["env"], given["cwd"]):
        raise BuildError(f"{wrong} has a NUL character, so no command can have it; build the image anew without it")
    account = store.tree(chain).accounts().account(given["user"])
    network = given["network"]
    hosts = tuple((name, address) for name, address in given["hosts"])
    footing = context.runtime.settle(Ids.usual(), store.root)
    with (
        store.lease(),
        closing(Building(store, warn)) as networks,
        store.scratch() as files,
        store.snapshots.prepare(chain, ids=footing.mapping) as work,
    ):
        mounts = network_files(files, hostname=HOSTNAME, hosts=hosts, network=network)
        order = Order(
            work.root,
            tuple(given["args"]) or ("sh",),
            environment([], account, {}, given["env"]),
            given["cwd"],
            identity(account),
            HOSTNAME,
            mounts,
            "host" if network == "host" else "none",
            userns=footing.ids,
            shm_size=given.get("shm_size", 64 << 20),
        )
        with networks.joined(network, files / "hosts", hostname=HOSTNAME, names=hosts) as wire:
            yield order, wire
