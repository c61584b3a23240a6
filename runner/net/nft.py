"""Rules for a bridge, as one table of nftables a network that nobody else has a part in.

A table is replaced in one transaction and deleted as a whole; published ports are elements of its two maps, so that one
can be added and taken away without knowing the others. Tables of other people are neither read for decisions nor
written: what they drop stays dropped, and `raise_table` names them.
"""

import os
from collections.abc import Iterable
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from runner.errors import NetworkUnavailable
from runner.net import rules_program

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # the same without enumerations

INSTALL = "install the package nftables, or use --network host or none"

RULES = """
add table {ip} {table}
delete table {ip} {table}
table {ip} {table} {{
  map any {{ type inet_proto . inet_service : {address} . inet_service; }}
  map at {{ type {address} . inet_proto . inet_service : {address} . inet_service; }}
  chain early {{
    type filter hook prerouting priority -300;
    iifname "{bridge}" {ip} daddr {{ {closed} }} drop
  }}
  chain inbound {{ type nat hook prerouting priority -100; fib daddr type local jump publish; }}
  chain local {{ type nat hook output priority -100; {here} fib daddr type local jump publish; }}
  chain publish {{
    dnat {ip} to {ip} daddr . meta l4proto . th dport map @at
    dnat {ip} to meta l4proto . th dport map @any
  }}
  chain outbound {{
    type nat hook postrouting priority 100;
    {masquerade}
    {ip} saddr {subnet} oifname "{bridge}" ct status dnat masquerade
    {back}
  }}
  chain forward {{
    type filter hook forward priority 0;
    iifname "{bridge}" oifname "{bridge}" {among}
    oifname "{bridge}" ct state established,related accept
    oifname "{bridge}" ct status dnat accept
    oifname "{bridge}" drop
    {outward}
  }}
}}
"""
"""early: services of the host's loopback and link-local ones (the metadata of clouds) are nobody's business, although
127.0.0.1 of the host leads to published ports. forward: what comes in is an answer, a published port or from the same
bridge; so two bridges cannot talk."""
FAMILIES = (
    {
        "ip": "ip",
        "address": "ipv4_addr",
        "closed": "127.0.0.0/8, 169.254.0.0/16",
        "here": "",
        "back": 'ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade',
    },
    {"ip": "ip6", "address": "ipv6_addr", "closed": "::1, fd00:ec2::254", "here": "ip6 daddr != ::1", "back": ""},
)
"""What differs: ::1 of this machine leads to no container, for an answer to it would find no way."""


def table_of(network: str) -> str:
    """The table of a network with this id."""
    return f"pybuild_{network[:12]}"


def raise_table(
    table: str,
    bridge: str,
    subnet: IPv4Network,
    subnet6: IPv6Network | None = None,
    *,
    internal: bool,
    masquerade: bool,
    isolated: bool,
) -> list[str]:
    """Make or replace the table; the chains of other tables that drop whatever they are not told about."""
    order = ""
    for family, network in zip(FAMILIES, (subnet, subnet6), strict=True):
        if network is not None:
            masked = f'{family["ip"]} saddr {network} oifname != "{bridge}" masquerade'
            order += RULES.format(
                **{**family, "back": family["back"].format(bridge=bridge)},
                table=table,
                bridge=bridge,
                subnet=network,
                masquerade=masked if masquerade and not internal else "",
                among="drop" if isolated else "accept",
                outward=f'iifname "{bridge}" drop' if internal else "",
            )
    return list(_dropping(run(f"{order}list chains\n")))


def drop_table(table: str, *, six: bool = False) -> None:
    """Take the table away, and with `six` that of IPv6; one that is not there is no error."""
    families = ("ip", "ip6") if six else ("ip",)
    run("".join(f"add table {family} {table}\ndelete table {family} {table}\n" for family in families))


def publish(table: str, elements: Iterable[tuple[str, str, int, IPv4Address | IPv6Address, int]]) -> None:
    """Lead ports of this machine to a container: (address, protocol, port, its address, its port).

    Instead of an address "" means all of IPv4, "::" all of IPv6.
    """
    lines = [
        f"add element {_family(host)} {table} {_key(host, protocol, port)} : {target} . {inner} }}"
        for host, protocol, port, target, inner in elements
    ]
    if lines:
        run("\n".join(lines) + "\n")


def withdraw(table: str, elements: Iterable[tuple[str, str, int]]) -> None:
    """Lead them nowhere any more. A table or an element that is gone is no error."""
    lines = [f"delete element {_family(element[0])} {table} {_key(*element)} }}\n" for element in elements]
    for order in ["".join(lines), *lines] if lines else ():
        try:
            run(order)
            return
        except NetworkUnavailable as error:
            if "No such file" not in error.what:
                raise


def _family(host: str) -> str:
    return "ip6" if ":" in host else "ip"


def _key(host: str, protocol: str, port: int) -> str:
    return f"any {{ {protocol} . {port}" if host in ("", "::") else f"at {{ {host} . {protocol} . {port}"


def run(commands: str) -> str:
    """One transaction: all of it or nothing; what it prints. Raises NetworkUnavailable."""
    if (path := rules_program()) is None:
        raise NetworkUnavailable("bridge networks need nft", INSTALL)
    with ExitStack() as held:
        streams = [os.memfd_create(name) for name in ("commands", "output", "errors")]
        for descriptor in streams:
            held.callback(os.close, descriptor)
        os.write(streams[0], commands.encode())
        os.lseek(streams[0], 0, os.SEEK_SET)
        actions = [(os.POSIX_SPAWN_DUP2, ours, theirs) for theirs, ours in enumerate(streams)]
        ordinary = (signal.SIGPIPE, signal.SIGXFSZ)  # which Python ignores
        process = os.posix_spawn(path, [path, "-f", "-"], os.environ, file_actions=actions, setsigdef=ordinary)
        _, status = os.waitpid(process, 0)
        said, why = (os.pread(one, os.fstat(one).st_size, 0).decode(errors="replace") for one in streams[1:])
    if status:
        why = (why.strip().splitlines() or ["no reason given"])[0].removeprefix("/dev/stdin:")
        raise NetworkUnavailable(f"nft refused the rules of a bridge network ({why})", "use --network host or none")
    return said


def _dropping(chains: str) -> Iterable[str]:
    """Names of chains, not ours, that forwarded packets meet and that drop by policy."""
    table = chain = ""
    for line in map(str.strip, chains.splitlines()):
        if line.startswith("table "):
            table = line.removeprefix("table ").removesuffix(" {")
        elif line.startswith("chain "):
            chain = line.removeprefix("chain ").removesuffix(" {")
        elif "hook forward" in line and "policy drop" in line and not table.startswith("ip pybuild_"):
            yield f"{table} {chain}"
