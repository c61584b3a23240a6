"""What the commands of `pybuild oci` share: the containers, the words for errors, the terminal."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from layers.quick import dataclass
from pybuild.cli import LazyGroup

if TYPE_CHECKING:
    from runner.oci.engine import Engine
    from runner.oci.home import Home
    from runner.oci.process import Process
    from runner.running import Running

FAILED = {"exec": 255}
"""Exit codes of failures that are not 1: exec's must not look like its command's."""
TITLED = frozenset({"create", "run"})
"""Commands whose failures begin with their name, as callers of runtimes know it."""
TABS = 3


@dataclass
class Face:
    """The global flags, and what they lead to."""

    root: Path
    log: Path | None
    log_format: str
    debug: bool
    systemd: bool

    @cached_property
    def home(self) -> Home:
        """The root of states."""
        from runner.oci.home import Home

        return Home(self.root)

    @cached_property
    def engine(self) -> Engine:
        """The containers' life. Raises SandboxUnavailable."""
        from runner import private, rootless
        from runner.oci.engine import Engine

        if rootless.owner() is not None:  # nobody but the machine's root may copy a mount of its own namespace
            private.enter()
        return Engine(self.home)

    def close(self) -> None:
        """Let go of the spawner: what it bore must be adopted before we end."""
        if "engine" in self.__dict__:
            self.engine.close()

    def tell(self, level: str, message: str) -> None:
        """Where errors go: into the log, if there is one, and to stderr."""
        from runner.oci.home import now

        when = now()
        if self.log_format == "json":
            line = json.dumps({"level": level, "msg": message, "time": when})
        else:
            line = f"time={json.dumps(when)} level={level} msg={json.dumps(message)}"
        if self.log is not None:
            with suppress(OSError), self.log.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            line = message
        if level == "error" or self.log is None:
            click.echo(line, err=True)

    def warn(self, messages: Sequence[str]) -> None:
        """Tell what went wrong but changes nothing."""
        for message in messages:
            self.tell("warning", message)

    def json(self, value: object, *, indent: int | None = 2) -> None:
        """Print a value."""
        click.echo(json.dumps(value, indent=indent))

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Print columns, each as wide as its widest word."""
        widths = [max(12, *(len(row[column]) + TABS for row in rows)) for column in range(len(rows[0]))] if rows else []
        for row in rows:
            words = (word.ljust(width) for word, width in zip(row[:-1], widths, strict=False))
            click.echo("".join(words) + row[-1])

    def owner(self, container: str) -> str:
        """Who made a container."""
        from pwd import getpwuid

        from runner import rootless

        number = self.home.get(container).folder.stat().st_uid
        if not number:
            number = rootless.owner() or 0
        try:
            return getpwuid(number).pw_name
        except KeyError:
            return f"#{number}"

    def send(self, running: Running, path: str | None) -> None:
        """Hand the terminal's master to whoever listens at a socket."""
        if path is None or running.master is None:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.connect(path)
            socket.send_fds(channel, [b"/dev/ptmx"], [running.master])

    def follow(self, running: Running, begin: Callable[[], object] = lambda: None) -> int:
        """Let it `begin` and stay until it has ended: signals go to it, our terminal is its own. Its exit code."""
        from builder.containers.foreground import Foreground
        from builder.containers.terminal import Streams
        from pybuild.following import follow

        tty = running.master is not None
        streams = Streams(stdin=False, terminal=True)  # without a terminal it has our streams itself
        return follow(running, streams, Foreground(stdin=tty, tty=tty, keys=b""), begin=begin)


class Runtime(LazyGroup):
    """The group; an error becomes a line of the log here, and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        from runner import RunnerError

        try:
            return super().invoke(ctx)
        except (RunnerError, OSError, ValueError) as error:
            face: Face = ctx.obj
            if face.debug:
                import traceback

                traceback.print_exc()
            name = ctx.invoked_subcommand or ""
            face.tell("error", _words(name, error))
            return FAILED.get(name, 1)


def _words(name: str, error: Exception) -> str:
    words = str(error)
    if isinstance(error, OSError):
        where = f" {error.filename}" if isinstance(error.filename, str) else ""
        words = f"{(error.strerror or str(error)).lower()}{where}"
    if name in TITLED:
        return f"{Path(sys.argv[0]).name} {name} failed: {words}"
    return f"exec failed: {words}" if name == "exec" else words


def process_asked(config: dict[str, Any], args: Sequence[str], flags: dict[str, Any]) -> Process:
    """The process that `exec` shall run: a file's, or the container's own with what the flags change.

    Raises BundleInvalid, ContainerError.
    """
    from runner.oci.document import Node
    from runner.oci.errors import ContainerError
    from runner.oci.process import SETS, read

    if flags["file"] is not None:
        process = Node.read(flags["file"].read_bytes(), "process").value
    elif not args:
        raise ContainerError("process args cannot be empty")
    else:
        process = dict(Node(config).table("process").value)
        process["args"] = list(args)
        process["terminal"] = False
        for key in ("oomScoreAdj", "consoleSize"):
            process.pop(key, None)
    if flags["tty"]:
        process["terminal"] = True
    if flags["cwd"]:
        process["cwd"] = flags["cwd"]
    if flags["apparmor"]:
        process["apparmorProfile"] = flags["apparmor"]
    if flags["no_new_privs"]:
        process["noNewPrivileges"] = True
    if flags["env"]:
        process["env"] = [*(process.get("env") or []), *flags["env"]]
    user = dict(process.get("user") or {})
    if flags["user"]:
        uid, _, gid = flags["user"].partition(":")
        try:
            user = {**user, "uid": int(uid), "gid": int(gid) if gid else user.get("gid", 0)}
        except ValueError as error:
            raise ContainerError(f"{flags['user']!r} is not UID[:GID]") from error
    if flags["additional_gids"]:
        user["additionalGids"] = [*(user.get("additionalGids") or []), *flags["additional_gids"]]
    process["user"] = user
    if flags["capabilities"]:
        sets = dict(process.get("capabilities") or {})
        for key in SETS[:3]:
            sets[key] = [*(sets.get(key) or []), *flags["capabilities"]]
        process["capabilities"] = sets
    return read(Node(process, "process"))
