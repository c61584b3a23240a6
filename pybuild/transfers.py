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
    """Options of the connection to a registry, taken before the command sees them; the context's client is by them."""

    @wraps(command)
    def with_client(*args: Any, no_tls_verify: bool, **options: Any) -> Any:
        options["tls_verify"] = options["tls_verify"] and not no_tls_verify
        if wished := wishes(options):
            root: Context = click.get_current_context().obj
            root.client = client(root, **wished)
        return command(*args, **options)

    with_client = click.option("--no-tls-verify", "--insecure", "no_tls_verify", is_flag=True, hidden=True)(with_client)
    for option in reversed(options_of()):
        with_client = option(with_client)
    return with_client  # type: ignore[return-value]


def both_ends(command: Command) -> Command:
    """The same for two sides: `--src-creds` and the like become `source_client`, `--dest-creds` `target_client`."""

    @wraps(command)
    def with_clients(*args: Any, authfile: str | None, retry_times: int | None, **options: Any) -> Any:
        clients: dict[str, Client | None] = {}
        for side, name in (("src_", "source_client"), ("dest_", "target_client")):
            options[f"{side}authfile"] = options[f"{side}authfile"] or authfile
            options[f"{side}retry_times"] = retry_times
            wished = wishes(options, side)
            clients[name] = client(click.get_current_context().obj, **wished) if wished else None
        return command(*args, **clients, **options)

    with_clients = click.option("--authfile", metavar="FILE", help="Read credentials of both sides from there.")(
        with_clients
    )
    for option in reversed([*options_of("src-", " of SRC"), *options_of("dest-", " of DST"), RETRIES]):
        with_clients = option(with_clients)
    return with_clients  # type: ignore[return-value]


def machine(command: Command) -> Command:
    """buildah's `--os`, `--arch` and `--variant`, which together are one more of the `platforms`."""

    @wraps(command)
    def with_platform(*args: Any, os: str | None, arch: str | None, variant: str | None, **options: Any) -> Any:
        if os or arch or variant:
            from layers import Platform

            if options["platforms"]:
                raise click.UsageError("--platform says it all: leave --os, --arch and --variant out")
            if variant and not arch:
                raise click.UsageError("--variant is one of an --arch: say that, too")
            host = Platform.host()
            options["platforms"] = (str(Platform.of(os or host.os, arch or host.architecture, variant)),)
        return command(*args, **options)

    for option in (
        click.option("--variant", metavar="VARIANT", hidden=True),
        click.option("--arch", metavar="ARCH", hidden=True),
        click.option("--os", metavar="OS", hidden=True),
    ):
        with_platform = option(with_platform)
    return with_platform  # type: ignore[return-value]


RETRIES = click.option(
    "--retry-times", type=click.IntRange(0), metavar="N", help="How often a failure that may pass is tried again."
)


def options_of(side: str = "", whose: str = "") -> list[Callable[[Any], Any]]:
    """skopeo's options of a connection, for one of two sides or for the only one."""
    found: list[Callable[[Any], Any]] = [
        click.option(
            f"--{side}tls-verify",
            type=bool,
            is_flag=False,
            flag_value="true",
            default=True,
            metavar="[=BOOL]",
            help=f"Demand TLS and valid certificates{whose}; 127.0.0.1 and localhost may always use plain HTTP.",
        ),
        click.option(f"--{side}creds", metavar="USER:PASSWORD", help=f"Credentials{whose}, not what login remembers."),
        click.option(f"--{side}username", metavar="NAME", hidden=True),
        click.option(f"--{side}password", metavar="WORD", hidden=True),
        click.option(f"--{side}no-creds", is_flag=True, help=f"Be nobody at the registry{whose}."),
        click.option(f"--{side}registry-token", metavar="TOKEN", help=f"A bearer token{whose}, sent as it is."),
        click.option(f"--{side}cert-dir", metavar="DIR", help=f"Certificates{whose}, as in containers-certs.d(5)."),
        click.option(
            f"--{side}authfile", metavar="FILE", help=f"Read credentials{whose} from there (REGISTRY_AUTH_FILE)."
        ),
    ]
    return found if side else [*found, RETRIES]


def wishes(options: dict[str, Any], side: str = "") -> dict[str, Any]:
    """What one side's options want of a client, taken out of all options; nothing for the usual one.

    Raises click.UsageError for options that exclude each other.
    """
    names = (
        *("tls_verify", "creds", "username", "password", "no_creds", "registry_token", "cert_dir", "authfile"),
        "retry_times",
    )
    said = {name: options.pop(f"{side}{name}") for name in names}
    flags = side.replace("_", "-")
    username, password = said.pop("username"), said.pop("password")
    if username is not None or password is not None:
        if said["creds"] is not None or username is None or password is None:
            raise click.UsageError(f"--{flags}username and --{flags}password go together, and without --{flags}creds")
        said["creds"] = f"{username}:{password}"
    ways = [name for name in ("creds", "registry_token", "no_creds") if said[name]]
    if len(ways) > 1:
        words = [f"--{flags}{name.replace('_', '-')}" for name in ways]
        raise click.UsageError(f"{' and '.join(words)} exclude each other")
    found = {name: value for name, value in said.items() if name != "tls_verify" and value not in (None, False)}
    return found if said["tls_verify"] else {**found, "tls_verify": False}


def host_of(server: str) -> str:
    """The registry that a person means by a host, a URL of it, or a repository in it."""
    return server.removeprefix("https://").removeprefix("http://").partition("/")[0]


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
