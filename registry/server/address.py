"""Where to listen: `HOST:PORT`, and what that means for others on the network."""

from __future__ import annotations

import re
import socket
from ipaddress import ip_address
from typing import Any

from layers.quick import dataclass, replace

TEXT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]*))(?::([0-9]{1,5}))?\Z")


@dataclass(frozen=True, slots=True)
class Address:
    """A host (a name, an IP address, or empty for all) and a port; 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, port: int = 5000) -> Address:
        """Read `127.0.0.1:5000`, `[::1]:0`, `:5000`. Raises ValueError."""
        found = TEXT.match(text)
        if found is None or int(found[3] or 0) > 65535:
            raise ValueError(f"{text!r} is not HOST:PORT")
        return cls(found[1] or found[2] or "", int(found[3]) if found[3] else port)

    def at(self, port: int) -> Address:
        """The same host, another port."""
        return replace(self, port=port)

    @property
    def loopback(self) -> bool:
        """True if only this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def resolve(self) -> tuple[socket.AddressFamily, Any]:
        """What to bind to. Raises OSError."""
        family, *_, found = socket.getaddrinfo(
            self.host or None, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return family, found

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
