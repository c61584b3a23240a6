"""A network as it was created; fixed for its life, but for a subnet that we chose and somebody else has taken since."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Interface
from pathlib import Path

from layers.quick import asdict, dataclass, field
from layers.quickjson import dumps, loads
from runner.files import text

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

    from runner.net.bridge import Bridge

NAME = "com.docker.network.bridge.name"
AMONG = "com.docker.network.bridge.enable_icc"
MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
BINDING = "com.docker.network.bridge.host_binding_ipv4"
MTU = "com.docker.network.driver.mtu"
KNOWN = (NAME, AMONG, MASQUERADE, BINDING, MTU)
"""Options of docker's bridge driver that mean something here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """`driver` is bridge, host or null. `chosen`: nobody asked for this subnet. `span`: where addresses are drawn.

    With `ipv6` it has a second subnet, and all the same of that.
    """

    id: str
    name: str
    created: str = ""
    driver: str = "bridge"
    subnet: str = ""
    gateway: str = ""
    span: str = ""
    chosen: bool = False
    ipv6: bool = False
    subnet6: str = ""
    gateway6: str = ""
    chosen6: bool = False
    internal: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def predefined(self) -> bool:
        """bridge, host and none are always there."""
        return self.name in ("bridge", "host", "none")

    @property
    def interface(self) -> str:
        """The name of its bridge."""
        return self.options.get(NAME) or f"pb-{self.id[:12]}"

    def bridge(self) -> Bridge:
        """What the kernel is asked for."""
        from runner.net.bridge import Bridge

        return Bridge(
            self.interface,
            self.id,
            IPv4Network(self.subnet),
            IPv4Address(self.gateway),
            internal=self.internal,
            masquerade=self.options.get(MASQUERADE, "true") == "true",
            isolated=self.options.get(AMONG, "true") != "true",
            mtu=int(self.options.get(MTU, "0")),
            six=self.six,
        )

    @property
    def six(self) -> IPv6Interface | None:
        """Its gateway of IPv6, with the length of the prefix."""
        return IPv6Interface(f"{self.gateway6}/{self.subnet6.partition('/')[2]}") if self.subnet6 else None

    @classmethod
    def read(cls, path: Path) -> Network:
        """The network on disk."""
        return cls(**loads(text(path)))

    def write(self, path: Path) -> None:
        """Put it on disk, whole or not at all."""
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(dumps(asdict(self)))
        draft.replace(path)

    def describe(self) -> dict[str, Any]:
        """Docker's JSON (Docker Engine API, "Inspect a network") without its containers."""
        config = [{"Subnet": self.subnet, "Gateway": self.gateway, **({"IPRange": self.span} if self.span else {})}]
        if self.subnet6:
            config.append({"Subnet": self.subnet6, "Gateway": self.gateway6})
        return {
            "Name": self.name,
            "Id": self.id,
            "Created": self.created,
            "Scope": "local",
            "Driver": self.driver,
            "EnableIPv4": True,
            "EnableIPv6": self.ipv6,
            "IPAM": {"Driver": "default", "Options": {}, "Config": config if self.subnet else []},
            "Internal": self.internal,
            "Attachable": False,
            "Ingress": False,
            "ConfigFrom": {"Network": ""},
            "ConfigOnly": False,
            "Containers": {},
            "Options": dict(self.options),
            "Labels": dict(self.labels),
        }
