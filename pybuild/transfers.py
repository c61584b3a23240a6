"""What the commands that talk to registries share: options of the connection, and progress of blobs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pybuild import units

if TYPE_CHECKING:
    from layers import Descriptor
    from pybuild.wiring import Context
    from registry.session import Client

Command = TypeVar("Command", bound=Callable[..., Any])
Tell = Callable[["Descriptor", int, int], None]


def client(context: Context, **options: Any) -> Client:
    """What talks to registries, as flags want it; what the user should know is told on standard error."""
    from pybuild.exits import tell
    from registry import session

    return session.client(stop=context.stop, tell=lambda text: tell(f"warning: {text}"), **options)


def mirrors(command: Command) -> Command:
    """`--registry-mirror`, taken from the options before the command sees it."""

    @wraps(command)
    def with_mirrors(*args: Any, registry_mirror: Sequence[str], **options: Any) -> Any:
        click.get_current_context().obj.mirrors = tuple(registry_mirror)
        return command(*args, **options)

    return click.option(
        "--registry-mirror",
        multiple=True,
        metavar="HOST",
        help="Pull what is on docker.io from there if it can be had, besides the mirrors of registries.conf.",
    )(with_mirrors)  # type: ignore[return-value]


def connection(command: Command) -> Command:
    """`--tls-verify`, `--creds`, `--registry-token` and `--authfile`: the command does not see these options."""

    @wraps(command)
    def with_client(
        *args: Any,
        tls_verify: bool,
        no_tls_verify: bool,
        creds: str | None,
        registry_token: str | None,
        authfile: str | None,
        **options: Any,
    ) -> Any:
        tls_verify = tls_verify and not no_tls_verify
        if creds and registry_token:
            raise click.UsageError("--creds and --registry-token exclude each other")
        if not tls_verify or creds or registry_token or authfile:
            root: Context = click.get_current_context().obj
            root.client = client(
                root, creds=creds, registry_token=registry_token, authfile=authfile, tls_verify=tls_verify
            )
        return command(*args, **options)

    options = (
        click.option(
            "--tls-verify",
            type=bool,
            is_flag=False,
            flag_value="true",
            default=True,
            metavar="[=BOOL]",
            help="Demand TLS and valid certificates; 127.0.0.1 and localhost may always use plain HTTP.",
        ),
        click.option("--no-tls-verify", "--insecure", "no_tls_verify", is_flag=True, hidden=True),
        click.option("--creds", metavar="USER:PASSWORD", help="Instead of what login has remembered."),
        click.option("--registry-token", metavar="TOKEN", help="A bearer token, sent as it is."),
        click.option("--authfile", metavar="FILE", help="Read credentials from there (REGISTRY_AUTH_FILE)."),
    )
    for option in options:
        with_client = option(with_client)
    return with_client  # type: ignore[return-value]


def host_of(server: str) -> str:
    """The registry that a person means by a host, a URL of it, or a repository in it."""
    return server.removeprefix("https://").removeprefix("http://").partition("/")[0]


def both_ends(command: Command) -> Command:
    """The same for two sides: `--src-creds` and the like become `source_client`, `--dest-creds` `target_client`."""

    @wraps(command)
    def with_clients(*args: Any, authfile: str | None, **options: Any) -> Any:
        clients: dict[str, Client | None] = {}
        for side, name in (("src", "source_client"), ("dest", "target_client")):
            creds, own = options.pop(f"{side}_creds"), options.pop(f"{side}_authfile")
            verify = options.pop(f"{side}_tls_verify")
            clients[name] = None
            if not verify or creds or own or authfile:
                root: Context = click.get_current_context().obj
                clients[name] = client(root, creds=creds, authfile=own or authfile, tls_verify=verify)
        return command(*args, **clients, **options)

    with_clients = click.option("--authfile", metavar="FILE", help="Read credentials of both sides from there.")(
        with_clients
    )
    for side, word in (("dest", "DST"), ("src", "SRC")):
        for option in (
            click.option(
                f"--{side}-tls-verify",
                type=bool,
                default=True,
                metavar="BOOL",
                help=f"Demand TLS and valid certificates of {word}.",
            ),
            click.option(f"--{side}-authfile", metavar="FILE", help=f"Read the credentials for {word} from there."),
            click.option(f"--{side}-creds", metavar="USER:PASSWORD", help=f"For {word}, instead of what login knows."),
        ):
            with_clients = option(with_clients)
    return with_clients  # type: ignore[return-value]


@contextmanager
def bars(color: bool, *, quiet: bool, verb: str) -> Iterator[Tell | None]:
    """Progress of blobs on standard error: bars on a terminal, else a line for each blob that is done."""
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield Lines(verb)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True, no_color=not color)) as progress:
        tasks: dict[object, Any] = {}
        turn = threading.Lock()

        def tell(blob: Descriptor, moved: int, total: int) -> None:
            with turn:
                if blob.digest not in tasks:
                    tasks[blob.digest] = progress.add_task(blob.digest.short, total=total)
            progress.update(tasks[blob.digest], completed=moved)

        yield tell


class Lines:
    """A line for each blob when all of it has moved."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._done: set[object] = set()
        self._turn = threading.Lock()

    def __call__(self, blob: Descriptor, moved: int, total: int) -> None:
        """Say it once."""
        with self._turn:
            if moved < total or blob.digest in self._done:
                return
            self._done.add(blob.digest)
        click.echo(f"{blob.digest.short}: {self._verb} {units.size(total)}", err=True)
