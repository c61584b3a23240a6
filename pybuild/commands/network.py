"""`pybuild network`: networks that containers join."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from pybuild.asking import removing
from pybuild.commands import exists
from pybuild.formats import filters as wanted
from pybuild.variables import pairs
from pybuild.wiring import Context

if TYPE_CHECKING:
    from builder.networks.book import Networks
    from builder.networks.network import Network

EPILOG = """
\b
Examples:
  pybuild network create --subnet 10.9.0.0/24 back
  pybuild run -d --name db --network back database
  pybuild run --rm --network back app ping db"""
COLUMNS = {"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE"}
FILTERS = ("driver", "id", "label", "name", "scope", "type", "dangling")


@click.group(epilog=EPILOG)
def network() -> None:
    """Networks: bridges of this machine that containers join, in which they know each other by name."""


network.add_command(exists.network)


@network.command(epilog="\b\nExamples:\n  pybuild network create back\n  pybuild network create --internal secrets")
@click.argument("name")
@click.option("-d", "--driver", default="bridge", metavar="DRIVER", help="bridge is what there is.")
@click.option(
    "--subnet",
    "subnets",
    multiple=True,
    metavar="CIDR",
    help="Its addresses, such as 10.9.0.0/24, and with --ipv6 such as fd00:9::/64; free ones are chosen otherwise.",
)
@click.option("--gateway", "gateways", multiple=True, metavar="ADDRESS", help="This machine's own address in it.")
@click.option("--ip-range", metavar="CIDR", help="The part of the subnet that containers get.")
@click.option("--internal", is_flag=True, help="No way out and no way in.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label.")
@click.option("-o", "--opt", "opts", multiple=True, metavar="KEY=VALUE", help="Docker's options of bridge networks.")
@click.option("--attachable", is_flag=True, hidden=True)
@click.option("--ipv4/--no-ipv4", default=True, help="With IPv4 addresses, as every network here.")
@click.option("--ipv6", is_flag=True, help="With IPv6 addresses, too.")
@click.option("--scope", default="local", metavar="SCOPE", help="local is what there is.")
@click.option("--ipam-driver", default="default", metavar="DRIVER", help="default is what there is.")
@click.pass_obj
def create(
    context: Context,
    name: str,
    driver: str,
    subnets: Sequence[str],
    gateways: Sequence[str],
    ip_range: str | None,
    internal: bool,
    labels: Sequence[str],
    opts: Sequence[str],
    attachable: bool,
    ipv4: bool,
    ipv6: bool,
    scope: str,
    ipam_driver: str,
) -> None:
    """Make a network; prints its id. Its bridge is there while a container is in it."""
    from builder.networks.home import at_home

    if driver != "bridge":
        raise click.UsageError(f"--driver {driver}: not known; bridge is")
    if scope != "local":
        raise click.UsageError(f"--scope {scope}: there is no cluster, networks are of this machine; local is known")
    if ipam_driver != "default":
        raise click.UsageError(f"--ipam-driver {ipam_driver}: there are no plugins; default is known")
    if not ipv4:
        raise click.UsageError("--ipv4=false: every network has IPv4 addresses here; --ipv6 adds those of IPv6")
    subnet, subnet6 = _of_each("--subnet", subnets)
    gateway, gateway6 = _of_each("--gateway", gateways)
    if (subnet6 or gateway6) and not ipv6:
        raise click.UsageError(f"{subnet6 or gateway6} is of IPv6: add --ipv6")
    if ((gateway or ip_range) and not subnet) or (gateway6 and not subnet6):
        raise click.UsageError("--gateway and --ip-range are parts of a --subnet: say that, too")
    made = partial(
        _book(context).create,
        name,
        subnet=subnet,
        gateway=gateway,
        span=ip_range or "",
        ipv6=ipv6,
        subnet6=subnet6,
        gateway6=gateway6,
        internal=internal,
        labels=pairs("--label", labels),
        options=pairs("--opt", opts),
    )
    click.echo(at_home(made).id)


@network.command("ls", epilog="\b\nExamples:\n  pybuild network ls\n  pybuild network ls -q --filter type=custom")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("--no-trunc", is_flag=True, help="Whole ids.")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help=f"{', '.join(FILTERS)}.")
@click.option("--format", "template", metavar="TEMPLATE", help="A Go template, 'table TEMPLATE' or json.")
@click.pass_obj
def list_(context: Context, quiet: bool, no_trunc: bool, filters: Sequence[str], template: str | None) -> None:
    """List networks."""
    from pybuild import units
    from pybuild.formats.table import emit
    from pybuild.formats.template import Labelled

    rules = wanted.parse(filters, FILTERS)
    used = _used(context) if "dangling" in rules else frozenset()
    found = [one for one in _book(context).list() if wanted.fits(rules, one.labels, partial(_matches, one, used))]
    if quiet:
        for one in found:
            click.echo(one.id if no_trunc else one.id[:12])
        return
    rows: list[dict[str, Any]] = [
        Labelled(
            one.labels,
            ID=one.id if no_trunc else one.id[:12],
            Name=one.name,
            Driver=one.driver,
            Scope="local",
            Internal=str(one.internal).lower(),
            IPv4="true",
            IPv6=str(one.ipv6).lower(),
            CreatedAt=units.stamp(units.moment(one.created)),
            Labels=",".join(f"{key}={value}" for key, value in one.labels.items()),
        )
        for one in found
    ]
    emit(rows, COLUMNS, template)


@network.command(epilog="\b\nExamples:\n  pybuild network inspect back\n  pybuild network inspect -f '{{.Name}}' back")
@click.argument("names", nargs=-1, required=True, metavar="NETWORK...")
@click.option("-f", "--format", "template", metavar="TEMPLATE", help="A Go template, or json.")
@click.option("-v", "--verbose", is_flag=True, hidden=True)
@click.pass_obj
def inspect(context: Context, names: Sequence[str], template: str | None, verbose: bool) -> int:
    """Show all that is known of networks and who is in them, as JSON."""
    from builder.networks.errors import NetworkMissing
    from pybuild.formats.described import describe

    return describe(names, lambda name: described(context, name), NetworkMissing, template)


@network.command(epilog="\b\nExample:\n  pybuild network rm back")
@click.argument("names", nargs=-1, required=True, metavar="NETWORK...")
@click.option("-f", "--force", is_flag=True, help="Do not mind those that are not there.")
@click.pass_obj
def rm(context: Context, names: Sequence[str], force: bool) -> int:
    """Remove networks that nobody is in."""
    from builder.networks.errors import NetworkError, NetworkMissing
    from builder.networks.home import at_home
    from pybuild.exits import tell

    failed = False
    for name in names:
        try:
            book = _book(context)
            at_home(partial(book.remove, book.get(name)))
            click.echo(name)
        except NetworkError as error:
            failed = failed or not (force and isinstance(error, NetworkMissing))
            tell(f"error: {error}")
    return int(failed)


@network.command(epilog="\b\nExample:\n  pybuild network prune -f --filter until=24h")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="until=24h, label=KEY, label!=KEY.")
@click.pass_obj
def prune(context: Context, force: bool, filters: Sequence[str]) -> None:
    """Remove all networks that no container, running or not, is meant to be in."""
    rules = wanted.parse(filters, ("until", "label", "label!"))
    if not force:
        removing("all networks that no container, running or not, is meant to be in")
    if gone := unused(context, rules):
        click.echo("Deleted Networks:")
        for name in gone:
            click.echo(name)


def unused(context: Context, rules: dict[str, list[str]]) -> list[str]:
    """Remove networks that nobody is meant to be in; their names. Raises click.UsageError for what is no moment."""
    from builder.networks.errors import NetworkInUse, NetworkMissing
    from builder.networks.home import at_home
    from pybuild import units

    try:
        moments = {text: units.parse_moment(text) for text in rules.get("until", ())}
    except ValueError as error:
        raise click.UsageError(f"--filter until: {error}") from error
    book, used, gone = _book(context), _used(context), []
    for one in book.made():
        made = datetime.fromisoformat(one.created).timestamp()
        old = all(made <= moment for moment in moments.values())
        if one.predefined or one.id in used or not old or not wanted.fits(rules, one.labels):
            continue
        try:
            at_home(partial(book.remove, one))
            gone.append(one.name)
        except (NetworkInUse, NetworkMissing):  # a container, or a build, has just joined; or somebody was quicker
            continue
    at_home(book.tidy)
    return gone


@network.command(epilog="\b\nExample:\n  pybuild network connect --alias db back postgres")
@click.argument("network")
@click.argument("container")
@click.option("--alias", "aliases", multiple=True, metavar="NAME", help="One more name of it there.")
@click.option("--ip", metavar="ADDRESS", help="Its address there.")
@click.option("--ip6", metavar="ADDRESS", help="Its IPv6 address there.")
@click.option("--mac-address", metavar="MAC", help="Its hardware address there.")
@click.option("--gw-priority", type=int, default=0, metavar="N", help="The default route goes to the highest.")
@click.pass_obj
def connect(
    context: Context,
    network: str,
    container: str,
    aliases: Sequence[str],
    ip: str | None,
    ip6: str | None,
    mac_address: str | None,
    gw_priority: int,
) -> None:
    """Let a container join a network, at once if it runs."""
    from builder.containers import Containers
    from builder.containers.connecting import connect as join
    from builder.networks.home import at_home
    from builder.networks.wish import Wish
    from pybuild import networking
    from pybuild.exits import warn

    there = _book(context).get(network)
    wish = Wish(
        network=there.name,
        aliases=tuple(aliases),
        ip=networking.address("--ip", ip) if ip else "",
        ip6=networking.address("--ip6", ip6) if ip6 else "",
        mac=networking.mac(mac_address) if mac_address else "",
        priority=gw_priority,
    )
    found = Containers(context.store).get(container)
    at_home(lambda: join(context.store, there, found, wish, warn))


@network.command(epilog="\b\nExample:\n  pybuild network disconnect back postgres")
@click.argument("network")
@click.argument("container")
@click.option("-f", "--force", is_flag=True, hidden=True)
@click.pass_obj
def disconnect(context: Context, network: str, container: str, force: bool) -> None:
    """Take a container out of a network, at once if it runs."""
    from builder.containers import Containers
    from builder.containers.connecting import disconnect as leave
    from builder.networks.home import at_home

    there, found = _book(context).get(network), Containers(context.store).get(container)
    at_home(lambda: leave(context.store, there, found))


def _of_each(option: str, values: Sequence[str]) -> tuple[str, str]:
    """One of IPv4, one of IPv6, "" for none. Raises click.UsageError."""
    kinds = [value for value in values if ":" not in value], [value for value in values if ":" in value]
    if any(len(kind) > 1 for kind in kinds):
        raise click.UsageError(f"{option}: a network has one of IPv4 and one of IPv6")
    four, six = (kind[0] if kind else "" for kind in kinds)
    return four, six


def _book(context: Context) -> Networks:
    from builder.networks.book import Networks

    return Networks(context.store)


def _used(context: Context) -> frozenset[str]:
    """Ids of the networks that some container is meant to be in."""
    from builder.containers import Containers
    from builder.containers.connecting import endpoints

    containers = Containers(context.store).list()
    return frozenset(one.id for container in containers for one, _, _ in endpoints(context.store, container))


def described(context: Context, name: str) -> dict[str, Any]:
    """Docker's object for a network. Raises NetworkMissing."""
    from builder.networks import leases
    from builder.networks.home import at_home

    book = _book(context)
    one = book.get(name)
    found = one.describe()
    found["Containers"] = {
        lease.container: {
            "Name": lease.name,
            "EndpointID": lease.outer,
            "MacAddress": lease.mac,
            "IPv4Address": lease.address,
            "IPv6Address": lease.address6,
        }
        for lease in at_home(lambda: leases.of(book, one))
        if lease.container
    }
    return found


def _matches(one: Network, used: frozenset[str], key: str, value: str) -> bool:
    match key:
        case "name":
            return wanted.named(one.name, value)
        case "id":
            return wanted.named(one.id, value)
        case "driver":
            return one.driver == value
        case "scope":
            return value == "local"
        case "type":
            return value == ("builtin" if one.predefined else "custom")
        case _:
            return wanted.boolean(value) == (one.id not in used and not one.predefined)


NAMES = {"list": "ls", "remove": "rm"}
for _other, _name in NAMES.items():
    _twin = network.commands[_name]
    network.add_command(
        click.Command(
            _other, callback=_twin.callback, params=_twin.params, help=_twin.help, epilog=_twin.epilog, hidden=True
        )
    )
