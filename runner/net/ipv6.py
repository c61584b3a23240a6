"""IPv6 of the kernel, switched on for one interface, and forwarding of it."""

from contextlib import suppress
from pathlib import Path

from runner.errors import NetworkUnavailable

SETTINGS = Path("/proc/sys/net/ipv6")
CALM = (("accept_ra", "0"), ("autoconf", "0"), ("accept_dad", "0"), ("disable_ipv6", "0"))
"""Nobody announces himself as a router there, and nobody need be asked whether he has an address, for we give them."""


def missing() -> str:
    """Why this machine has none; "" if it has."""
    if not SETTINGS.is_dir():
        return "this machine has no IPv6 (its kernel was built, or told by ipv6.disable=1, to have none)"
    return ""


def enable(name: str) -> None:
    """Switch it on for an interface of this network namespace. Raises NetworkUnavailable, OSError."""
    if why := missing():
        raise NetworkUnavailable(why, "make the network without --ipv6")
    for key, value in CALM:
        (SETTINGS / "conf" / name / key).write_text(value)


def has(name: str) -> bool:
    """Whether it is switched on for an interface of this network namespace."""
    with suppress(FileNotFoundError):
        return (SETTINGS / "conf" / name / "disable_ipv6").read_text().strip() == "0"
    return False


def forward() -> list[str]:
    """Let this machine forward it; sentences about what was changed.

    A machine that forwards takes no routers' announcements any more, unless its interfaces are told to (accept_ra=2).
    """
    switch = SETTINGS / "conf/all/forwarding"
    if switch.read_text().strip() != "0":
        return []
    kept = []
    for place in sorted((SETTINGS / "conf").iterdir()):
        accepts = place / "accept_ra"
        with suppress(FileNotFoundError):  # an interface that has just gone
            if place.name not in ("all", "lo") and accepts.read_text().strip() == "1":
                accepts.write_text("2")
                kept.append(place.name)
    switch.write_text("1")
    also = f", and {', '.join(kept)} still listen to routers (accept_ra is 2)" if kept else ""
    return [
        f"this machine forwards IPv6 packets from now on (net.ipv6.conf.all.forwarding is 1{also}): "
        "networks with --ipv6 need it; it stays so when they have gone"
    ]
