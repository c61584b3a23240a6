"""What a container asks of networks, and which of its ports are to be reached from outside."""

from __future__ import annotations

from pathlib import Path

from layers.quick import dataclass

ALONE = ("host", "none")
"""Networks that nobody has to join."""
GATEWAY = "host-gateway"
"""What --add-host calls the host as a process in a network of its own sees it."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """`network` is a name or an id. `priority`: the default route goes to the highest, of equals to the first."""

    network: str
    aliases: tuple[str, ...] = ()
    ip: str = ""
    ip6: str = ""
    mac: str = ""
    priority: int = 0


@dataclass(frozen=True)
class Publish:
    """One port of a container; `first` to `last` are the ports of this machine to choose from, 0 means any free one."""

    port: int
    protocol: str = "tcp"
    host: str = ""
    first: int = 0
    last: int = 0

    @property
    def inner(self) -> str:
        """As docker writes it: `80/tcp`."""
        return f"{self.port}/{self.protocol}"


@dataclass(frozen=True, kw_only=True)
class Member:
    """Who joins networks: a container, or a step of a build, which nobody else sees.

    `hosts` is its /etc/hosts, `gateways` are names there for the host.
    """

    wishes: tuple[Wish, ...]
    published: tuple[Publish, ...] = ()
    hosts: Path
    container: str = ""
    name: str = ""
    hostname: str = ""
    gateways: tuple[str, ...] = ()
