"""The options of `run` and `create` that say how a container is reached, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pybuild.declared import click

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

    from builder.networks.wish import Publish, Wish
    from pybuild.wiring import Context

OPTIONS = (
    click.option(
        "--network",
        "--net",
        "networks",
        multiple=True,
        metavar="NETWORK",
        help="bridge (the default), none, host, container:NAME, or a network by name; several times for several.",
    ),
    click.option("--ip", metavar="ADDRESS", help="Its address in the first network."),
    click.option("--ip6", metavar="ADDRESS", help="Its IPv6 address in the first network."),
    click.option("--mac-address", metavar="MAC", help="Its hardware address in the first network."),
    click.option("--network-alias", "--net-alias", "aliases", multiple=True, metavar="NAME", help="One more name."),
    click.option("--dns", multiple=True, metavar="ADDRESS", help="A name server, instead of this machine's."),
    click.option("--dns-search", multiple=True, metavar="DOMAIN", help="A search domain; . for none."),
    click.option("--dns-option", "--dns-opt", "dns_options", multiple=True, metavar="OPTION", help="For resolv.conf."),
    click.option(
        "--add-host", "hosts", multiple=True, metavar="NAME:IP", help="A line of /etc/hosts; host-gateway: us."
    ),
    click.option(
        "-p", "--publish", multiple=True, metavar="[[IP:]HOST:]PORT", help="A port of this machine leads to one of its."
    ),
    click.option("-P", "--publish-all", is_flag=True, help="Free ports lead to all that the image exposes."),
    click.option("--expose", multiple=True, metavar="PORT", help="A port that -P publishes, too."),
)  # fmt: skip
ALONE = ("host", "none")
SHARED = "container:"
NO_BRIDGE = "the container has this machine's own network (as with --network host)"


def wishes(options: Mapping[str, Any]) -> tuple[Wish, ...]:
    """The networks that are asked for, at least one. Raises UsageError."""
    first, *more = [wish(text) for text in options["networks"]] or [wish("default")]
    return (default(first) if first.network == "default" else first, *more)


def networking(
    context: Context, options: Mapping[str, Any], wished: Sequence[Wish], image_ports: Mapping[str, Any]
) -> dict[str, Any]:
    """Fields of the container's settings. Raises UsageError and what looking a network up raises."""
    from pybuild.exits import warn

    asked = [*wished]
    mode = asked[0].network
    alone = mode in ALONE or mode.startswith(SHARED)
    if alone and len(asked) > 1:
        raise click.UsageError(f"--network {mode} cannot be combined with other networks")
    if any(one.network in ALONE or one.network.startswith(SHARED) for one in asked[1:]):
        raise click.UsageError("--network host, none and container: stand alone")
    _fits(mode, alone, options)
    asked = [] if alone else _first(asked, options)
    publish, exposed = _ports(options, (*image_ports, *options["expose"]))
    if publish and alone:
        warn(f"ports are not published: with --network {mode} they are as the program opens them")
        publish = []
    for one in asked:
        if one.network != "bridge":
            from builder.networks.book import Networks

            Networks(context.store).get(one.network)
    return {
        "network": _target(context, mode) if mode.startswith(SHARED) else mode,
        "networks": tuple(asked),
        "published": tuple(publish),
        "exposed": tuple(exposed),
        "dns": tuple(address("--dns", one) for one in options["dns"]),
        "dns_search": tuple(options["dns_search"]),
        "dns_options": tuple(options["dns_options"]),
    }


def wish(text: str) -> Wish:
    """`NETWORK` or docker's long form, `name=NETWORK,alias=A,ip=I,mac-address=M,gw-priority=N`."""
    from builder.networks.wish import Wish

    if "=" not in text:
        return Wish(network=text)
    found: dict[str, Any] = {"aliases": ()}
    for item in text.split(","):
        key, _, value = item.partition("=")
        match key:
            case "name":
                found["network"] = value
            case "alias":
                found["aliases"] += (value,)
            case "ip" | "ip6":
                found[key] = address(f"--network {key}", value)
            case "mac-address":
                found["mac"] = mac(value)
            case "gw-priority" if value.lstrip("-").isdigit():
                found["priority"] = int(value)
            case _:
                raise click.UsageError(
                    f"--network {text}: {item!r} is not known; name, alias, ip, ip6, mac-address are"
                )
    if not found.get("network"):
        raise click.UsageError(f"--network {text}: it lacks name=NETWORK")
    return Wish(**found)


def address(option: str, text: str) -> str:
    """An IP address of the version that the option is for; a name server may be of either."""
    import ipaddress

    try:
        found = ipaddress.ip_address(text)
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}") from error
    if option != "--dns" and found.version != (6 if option.endswith("ip6") else 4):
        raise click.UsageError(
            f"{option} {text}: it is an address of IPv{found.version}; --ip and --ip6 are for one each"
        )
    return str(found)


def host(text: str) -> tuple[str, str]:
    """`name:address` or `name=address`. Raises ValueError."""
    import ipaddress

    split = min((at for at in (text.find(":"), text.find("=")) if at > 0), default=-1)
    name, address = text[:split], text[split + 1 :].strip("[]")
    if split < 0 or not name:
        raise ValueError(f"--add-host {text!r}: write NAME:ADDRESS")
    if address == "host-gateway":
        return name, address
    return name, str(ipaddress.ip_address(address))


def mac(text: str) -> str:
    """A hardware address for one interface."""
    import re

    found = text.lower().replace("-", ":")
    if not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", found) or int(found[:2], 16) & 1:
        raise click.UsageError(f"{text!r} is no MAC address of an interface, such as 02:42:ac:11:00:02")
    return found


def default(asked: Wish) -> Wish:
    """A bridge where one can be had, else this machine's own network, and a word about it."""
    from layers.quick import replace
    from pybuild.exits import warn
    from runner.net import rules_program
    from runner.rootless import owner

    why = ""
    if owner() is not None:
        from runner import NetworkUnavailable
        from runner.net import usermode

        try:
            usermode.find()
        except NetworkUnavailable as problem:
            why = f"{problem.what}; {problem.fix}"
    elif rules_program() is None:
        why = "nft is not installed"
    if why:
        warn(f"{why}: {NO_BRIDGE}")
    return replace(asked, network="host" if why else "bridge")


def _fits(mode: str, alone: bool, options: Mapping[str, Any]) -> None:
    if alone and (one := next((name for name in ("ip", "ip6", "mac_address", "aliases") if options[name]), None)):
        flag = "network-alias" if one == "aliases" else one.replace("_", "-")
        raise click.UsageError(f"--{flag} needs a network of the container's own, not {mode}")
    if mode.startswith(SHARED):
        for name in ("hostname", "dns", "dns_search", "dns_options", "hosts", "publish", "publish_all", "expose"):
            if options[name]:
                flag = {"hosts": "add-host", "dns_options": "dns-option"}.get(name, name.replace("_", "-"))
                raise click.UsageError(f"conflicting options: --{flag} and the network of another container ({mode})")
    if mode == "bridge" and options["aliases"]:
        raise click.UsageError(
            "--network-alias: names are known in networks that were created, not in the default bridge"
        )


def _first(asked: list[Wish], options: Mapping[str, Any]) -> list[Wish]:
    from layers.quick import replace

    first = asked[0]
    if options["ip"]:
        first = replace(first, ip=address("--ip", options["ip"]))
    if options["ip6"]:
        first = replace(first, ip6=address("--ip6", options["ip6"]))
    if options["mac_address"]:
        first = replace(first, mac=mac(options["mac_address"]))
    return [replace(first, aliases=(*first.aliases, *options["aliases"])), *asked[1:]]


def _target(context: Context, mode: str) -> str:
    from builder.containers import Containers

    return f"{SHARED}{Containers(context.store).get(mode.removeprefix(SHARED)).id}"


def _ports(options: Mapping[str, Any], opened: Sequence[str]) -> tuple[list[Publish], list[str]]:
    """What is published; what is exposed: that, and what image and user say, in order. Raises UsageError."""
    if not (options["publish"] or opened):
        return [], []
    from builder.networks import ports

    try:
        publish = [one for text in options["publish"] for one in ports.parse(text)]
        exposed = [one for text in opened for one in ports.exposed(text)]
    except ValueError as error:
        raise click.UsageError(f"--publish or --expose: {error}") from error
    exposed = sorted({*exposed, *(one.inner for one in publish)}, key=_by_number)
    if options["publish_all"]:
        known = {one.inner for one in publish}
        publish += [one for inner in exposed if inner not in known for one in ports.parse(inner)]
    return publish, exposed


def _by_number(inner: str) -> tuple[int, str]:
    port, _, protocol = inner.partition("/")
    return int(port), protocol
