"""`pybuild registry`: the store as a registry for others."""

from __future__ import annotations

import gc
import signal
import threading
from pathlib import Path

import click

from pybuild.exits import INTERRUPTED, tell
from pybuild.wiring import Context

EPILOG = """
\b
Examples:
  pybuild registry serve                            this store, on 127.0.0.1:5000
  pybuild registry serve --port 0 /srv/images       another store, on a free port that is printed
  pybuild registry serve --listen :443 --tls-cert cert.pem --tls-key key.pem --htpasswd users

\b
While it runs:
  pybuild -t app . && skopeo copy docker://127.0.0.1:5000/app:latest dir:app    what was built can be pulled
  docker push 127.0.0.1:5000/app:2 && pybuild run --rm app:2                    what was pushed can be run"""

GARBAGE = 10_000
"""Objects between two looks for cycles."""
LOOK_SECONDS = 0.5
"""How often Python looks at signals: one that comes just before a wait without end is not seen."""


@click.group(epilog="\b\nExample:\n  pybuild registry serve --port 0")
def registry() -> None:
    """Serve the store as a registry."""


@registry.command(epilog=EPILOG)
@click.argument("directory", required=False, metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False))
@click.option("--listen", default="127.0.0.1:5000", show_default=True, metavar="HOST:PORT", help="Where to listen.")
@click.option("-p", "--port", type=click.IntRange(0, 65535), metavar="PORT", help="Another port there; 0: a free one.")
@click.option("--read-only", is_flag=True, help="Nothing can be pushed or deleted.")
@click.option("--no-delete", is_flag=True, help="Nothing can be deleted.")
@click.option("--htpasswd", metavar="FILE", type=click.Path(path_type=Path), help="Users; made with htpasswd -B.")
@click.option("--tls-cert", metavar="FILE", type=click.Path(path_type=Path), help="Certificates, as PEM.")
@click.option("--tls-key", metavar="FILE", type=click.Path(path_type=Path), help="Their key, if it is in another file.")
@click.option("--log", is_flag=True, help="A line for each request, on standard error.")
@click.pass_obj
def serve(
    context: Context,
    directory: Path | None,
    listen: str,
    port: int | None,
    read_only: bool,
    no_delete: bool,
    htpasswd: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    log: bool,
) -> int:
    """Serve the images of this store, or of the store in DIR, until Ctrl-C.

    A repository is called what its image is called: an image built as 'app' is pulled as HOST:PORT/app, and one that
    is pushed as HOST:PORT/team/app:1 is 'team/app:1' here. The address is printed when connections are taken.
    """
    from layers import Store
    from registry.server import Address, Htpasswd, RegistryServer, identity

    if tls_key and not tls_cert:
        raise click.UsageError("--tls-key needs --tls-cert")
    try:
        address = Address.parse(listen)
    except ValueError as error:
        raise click.UsageError(f"--listen: {error}") from error
    address = address if port is None else address.at(port)
    guard = Htpasswd(htpasswd) if htpasswd else None
    tls = identity(tls_cert, tls_key) if tls_cert else None
    if not address.loopback and not (guard and tls):
        others = f"everybody there can {'read' if read_only else 'read and change'} images: add --htpasswd"
        danger = "passwords can be read on the way: add --tls-cert" if guard else others
        tell(f"warning: {address} can be reached from the network, and {danger}")
    asked: list[int] = []
    stop = threading.Event()

    def end(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Store.open(directory) if directory else context.store as store:
            store.sweep()
            with RegistryServer(
                store,
                address,
                writable=not read_only,
                deletable=not no_delete,
                guard=guard,
                tls=tls,
                log=say if log else None,
                report=say,
            ) as server:
                gc.set_threshold(GARBAGE)  # this process lives for days
                click.echo(str(server.address))
                while not stop.wait(LOOK_SECONDS):
                    pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return INTERRUPTED if asked == [signal.SIGINT] else 0


def say(text: str) -> None:
    """One line on standard error, whole although threads write at the same time."""
    click.echo(text, err=True)
