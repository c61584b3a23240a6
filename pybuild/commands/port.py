"""`pybuild port`: where the ports of a container are published."""

from __future__ import annotations

import click

from pybuild.wiring import Context


@click.command(epilog="\b\nExamples:\n  pybuild port web\n  pybuild port web 80/tcp")
@click.argument("container")
@click.argument("port", required=False, metavar="[PORT[/PROTOCOL]]")
@click.pass_obj
def port(context: Context, container: str, port: str | None) -> None:
    """List the published ports of CONTAINER, or the addresses of one."""
    from builder.containers.connecting import at, numbered
    from builder.containers.inspect import inspect

    published = inspect(context.store, container)["NetworkSettings"]["Ports"] or {}
    addresses = {
        inner: [at(one["HostIp"], one["HostPort"]) for one in places] for inner, places in published.items() if places
    }
    if port is None:
        for inner, places in sorted(addresses.items(), key=lambda item: numbered(item[0])):
            for place in places:
                click.echo(f"{inner} -> {place}")
        return
    wanted = port if "/" in port else f"{port}/tcp"
    if wanted not in addresses:
        raise click.ClickException(f"no public port {wanted!r} published for {container}")
    for place in addresses[wanted]:
        click.echo(place)
