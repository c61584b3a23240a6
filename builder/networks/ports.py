"""`--publish`: which ports of this machine lead into a container (docker's syntax), and holding them."""

from __future__ import annotations

import _socket as socket
import errno
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from ipaddress import ip_address

from builder.networks.errors import NetworkError
from builder.networks.wish import Publish
from layers.quick import dataclass, replace

PROTOCOLS = ("tcp", "udp", "sctp")
EVERYWHERE = "0.0.0.0"
ALL_OF_SIX = "::"
SCTP = 132


@dataclass(frozen=True, slots=True)
class Held:
    """A port of this machine that is ours: `host` is an address, "" for all of IPv4, "::" for all of IPv6."""

    publish: Publish
    outer: int
    host: str = ""


def parse(text: str) -> list[Publish]:
    """`[[IP:]HOST-PORT[-LAST]:]PORT[-LAST][/PROTOCOL]`. Raises ValueError."""
    body, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in PROTOCOLS:
        raise ValueError(f"invalid protocol {protocol!r} in {text!r}: {', '.join(PROTOCOLS)} are known")
    host, outer, inner = _split(body, text)
    first, last = _range(inner, text)
    if not first:
        raise ValueError(f"invalid port {text!r}: a container has no port 0")
    count = last - first + 1
    if not outer:
        return [Publish(port, protocol, host) for port in range(first, last + 1)]
    low, high = _range(outer, text)
    if low == 0:
        return [Publish(port, protocol, host) for port in range(first, last + 1)]
    if count == 1:
        return [Publish(first, protocol, host, low, high)]
    if high - low + 1 != count:
        raise ValueError(f"invalid port {text!r}: the two ranges differ in length")
    return [Publish(first + at, protocol, host, low + at, low + at) for at in range(count)]


def _split(body: str, text: str) -> tuple[str, str, str]:
    """Address, port of this machine and port of the container, the former two perhaps empty. Raises ValueError."""
    host = ""
    if body.startswith("["):
        host, bracket, body = body[1:].partition("]:")
        if not bracket or body.count(":") != 1:
            raise ValueError(f"invalid port {text!r}: write [IP]:HOST-PORT:PORT")
    *before, inner = body.split(":")
    if len(before) > 2:
        raise ValueError(f"invalid port {text!r}: write [[IP:]HOST-PORT:]PORT[/PROTOCOL]")
    if len(before) == 2:
        host = before[0]
    try:
        found = ip_address(host) if host else None
    except ValueError:
        raise ValueError(f"invalid port {text!r}: {host!r} is no IP address") from None
    return str(found or ""), before[-1] if before else "", inner


def exposed(text: str) -> list[str]:
    """`PORT[-LAST][/PROTOCOL]` as EXPOSE and --expose have it: `80/tcp`. Raises ValueError."""
    if ":" in text:
        raise ValueError(f"invalid port {text!r}: write PORT[/PROTOCOL]")
    return [publish.inner for publish in parse(text)]


def _range(text: str, whole: str) -> tuple[int, int]:
    import re

    if not re.fullmatch("[0-9]{1,5}(-[0-9]{1,5})?", text):
        raise ValueError(f"invalid port {whole!r}: {text!r} is neither a port nor a range of ports")
    low, _, high = text.partition("-")
    first, last = int(low), int(high or low)
    if last > 65535 or first > last:
        raise ValueError(f"invalid port {whole!r}: {text!r} lies outside 0 to 65535 or is the wrong way round")
    return first, last


def hold(
    wanted: Iterable[Publish], binding: str, held: ExitStack, *, listened: bool = False, six: bool = False
) -> list[Held]:
    """Bind every port for as long as `held` lives: so nobody else gets it, and what is taken already is told now.

    `binding` is the address for those that name none. Nobody listens on these sockets: packets are led away before;
    unless somebody else will have `listened` there, to whom connections that have just ended are no obstacle. With
    `six` there is IPv6, too: what names no address is published on all of either. Raises NetworkError.
    """
    found = []
    for one in wanted:
        host = one.host or binding
        if ":" in host and not six:
            raise NetworkError(
                f"[{host}]:{one.first}: the container's network has no IPv6 (pybuild network create --ipv6)"
            )
        outer = _bound(one, host, held, listened=listened)
        found.append(Held(one, outer, host))
        if six and not host:
            also = replace(one, first=outer, last=outer)
            found.append(Held(one, _bound(also, ALL_OF_SIX, held, listened=listened), ALL_OF_SIX))
    return found


def _bound(publish: Publish, host: str, held: ExitStack, *, listened: bool) -> int:
    last: OSError | None = None
    for port in range(publish.first, publish.last + 1):
        try:
            found = _socket(publish.protocol, six=":" in host)
            held.callback(found.close)
            if listened and publish.protocol == "tcp":
                found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, port))
            return int(found.getsockname()[1])
        except OSError as problem:
            last = problem
            if problem.errno != errno.EADDRINUSE:
                break
    assert last is not None
    shown = f"[{host}]" if ":" in host else host or EVERYWHERE
    where = f"{shown}:{publish.first}" + (f"-{publish.last}" if publish.last > publish.first else "")
    if last.errno == errno.EADDRINUSE:
        raise NetworkError(f"Bind for {where}/{publish.protocol} failed: port is already allocated; choose another")
    if last.errno == errno.EADDRNOTAVAIL:
        raise NetworkError(f"Bind for {where}/{publish.protocol} failed: this machine has no such address") from last
    if last.errno == errno.EACCES:
        help = "choose one from 1024 on, or let everybody have it (sysctl net.ipv4.ip_unprivileged_port_start)"
        raise NetworkError(f"Bind for {where}/{publish.protocol} failed: this port takes root; {help}") from last
    raise NetworkError(f"Bind for {where}/{publish.protocol} failed: {last.strerror}") from last


def _socket(protocol: str, *, six: bool) -> socket.socket:
    family = socket.AF_INET6 if six else socket.AF_INET
    if protocol == "udp":
        found = socket.socket(family, socket.SOCK_DGRAM)
    else:
        found = socket.socket(family, socket.SOCK_STREAM, SCTP if protocol == "sctp" else 0)
    if six:
        found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return found


def bindings(held: Sequence[Held]) -> dict[str, list[dict[str, str]]]:
    """Docker's `NetworkSettings.Ports` of what is published."""
    found: dict[str, list[dict[str, str]]] = {}
    for one in held:
        address = {"HostIp": one.host or EVERYWHERE, "HostPort": str(one.outer)}
        found.setdefault(one.publish.inner, []).append(address)
    return found
