"""From an image's words to a process: environment, identity, command line, the files that name the network.

RUN steps and containers share these rules (docker's; Dockerfile reference, "ENV", "USER", "WORKDIR").
Everything read from the image is hostile text: users are looked up by `layers.Accounts`, never by the host.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from builder.networks.wish import GATEWAY
from layers import Account
from runner import Identity, Mount
from runner.rootless import owner

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LOOPBACK_RESOLVERS = ("127.", "::1")
FALLBACK_RESOLVERS = ("nameserver 8.8.8.8", "nameserver 8.8.4.4")
LOCAL_HOSTS = (
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "ff00::0\tip6-mcastprefix",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
)


def identity(account: Account, further: Iterable[int] = ()) -> Identity:
    """The numbers that a process gets; its group is also among its further groups, as with docker."""
    return Identity(account.uid, account.gid, tuple(dict.fromkeys((account.gid, *further))), account.groups)


def assignments(lines: Iterable[str]) -> dict[str, str]:
    """`KEY=value` lines of a config's Env as a mapping, the last one of a name counts."""
    found = {}
    for line in lines:
        key, _, value = line.partition("=")
        found[key] = value
    return found


def environment(image: Sequence[str], account: Account, *layers: Mapping[str, str]) -> dict[str, str]:
    """PATH's default, then the image's Env, then `layers` in order; HOME from passwd unless it is set to something."""
    found = {"PATH": DEFAULT_PATH, **assignments(image)}
    for more in layers:
        found.update(more)
    if not found.get("HOME"):
        found["HOME"] = account.home
    return found


def command(runtime: Mapping[str, object], words: Sequence[str], entrypoint: Sequence[str] | None) -> tuple[str, ...]:
    """What is executed: entrypoint and command of the image, as `docker run` lets one override them.

    `entrypoint` None keeps the image's; given (even empty) it also drops the image's CMD.
    """
    own = strings(runtime.get("Entrypoint"))
    default = strings(runtime.get("Cmd"))
    if entrypoint is None:
        return (*own, *(words or default))
    return (*entrypoint, *words)


def unpassable(args: Iterable[str], env: Mapping[str, str], *paths: str) -> str:
    """What of a command cannot be handed to it, in words: a text with a NUL character, which ends one; else nothing."""
    for text in args:
        if "\0" in text:
            return f"the word {text!r}"
    for text in paths:
        if "\0" in text:
            return f"the path {text!r}"
    return next((f"the variable {name!r}" for name, value in env.items() if "\0" in name or "\0" in value), "")


def strings(value: object) -> tuple[str, ...]:
    """A list of strings in a config, or nothing."""
    return tuple(str(word) for word in value) if isinstance(value, list) else ()


def network_files(
    folder: Path,
    *,
    hostname: str,
    hosts: Iterable[tuple[str, str]],
    network: str,
    ip: str = "",
    dns: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    known: Sequence[str] = LOCAL_HOSTS,
) -> tuple[Mount, ...]:
    """Write hosts, hostname and resolv.conf into `folder`; the mounts that put them over /etc.

    `hosts` are (name, address) pairs of --add-host, `ip` the address asked for, `known` the lines that hosts begins
    with. Being mounts the files never enter a layer. A loopback resolver of the host is kept with network "host", where
    it can be reached, and replaced otherwise.
    In a network of its own (any other than "host" and "none") a process learns its own name, and the host's as
    `host-gateway`, by joining it.
    """
    lines = list(known)
    own, gateway, resolver = _told(network, ip)
    if own and not any(hostname in line.partition("#")[0].split()[1:] for line in lines):
        lines.append(f"{own}\t{hostname}")
    for name, address in hosts:
        if address != GATEWAY:
            lines.append(f"{address}\t{name}")
        elif gateway is not None:
            lines.append(f"{gateway()}\t{name}")
    write(folder / "hosts", "\n".join(lines) + "\n")
    write(folder / "hostname", hostname + "\n")
    write(folder / "resolv.conf", resolv_conf(network, dns, search, options, resolver))
    return network_mounts(folder)


def hosts_of_machine() -> Sequence[str]:
    """The lines of this machine's own hosts."""
    try:
        return Path("/etc/hosts").read_text(errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return LOCAL_HOSTS


def _told(network: str, ip: str) -> tuple[str, Callable[[], str] | None, str]:
    """What is known of a network before it is joined: our address, the host's, a name server."""
    if network in ("host", "none"):
        return "127.0.1.1", lambda: "127.0.0.1", ""  # the host's network is the process's own
    if owner() is not None:
        from builder.networks.usermode import BRIDGE, machine
        from runner.net.plan import USUAL, Plan

        if network != BRIDGE:
            return "", machine, USUAL.nameserver
        plan = Plan.of(ip)
        return str(plan.address.ip), machine, plan.nameserver
    return "", None, ""


def network_mounts(folder: Path) -> tuple[Mount, ...]:
    """The three files, wherever they were written, over those in /etc."""
    return tuple(
        Mount(target=f"/etc/{name}", source=folder / name, readonly=False)
        for name in ("hosts", "hostname", "resolv.conf")
    )


def resolv_conf(
    network: str,
    dns: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    resolver: str = "",
) -> str:
    """The host's resolv.conf as the process can use it, with what was asked for instead; the network's own first."""
    lines: list[str] = []
    if network != "none":
        with suppress(OSError):
            lines = Path("/etc/resolv.conf").read_text(errors="replace").splitlines()
        if network != "host":
            lines = [line for line in lines if not is_loopback_resolver(line)]
        if resolver:
            lines.insert(0, f"nameserver {resolver}")
    elif not dns:
        lines = ["# this process has no network"]
    for word, values in (("nameserver", dns), ("search", search), ("options", options)):
        if values:
            lines = [
                line for line in lines if line.split()[:1] not in ([word], ["domain" if word == "search" else word])
            ]
            said = [value for value in values if value != "."]  # docker: a dot means none
            lines += (
                [f"nameserver {one}" for one in said]
                if word == "nameserver"
                else [" ".join([word, *said])] * bool(said)
            )
    if network != "none" and not any(line.startswith("nameserver") for line in lines):
        lines += FALLBACK_RESOLVERS
    return "\n".join(lines) + "\n"


def is_loopback_resolver(line: str) -> bool:
    """True for `nameserver 127.…`: of no use in another network namespace."""
    words = line.split()
    return len(words) == 2 and words[0] == "nameserver" and words[1].startswith(LOOPBACK_RESOLVERS)


def write(path: Path, text: str) -> None:
    """A small world-readable file, whatever the umask."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(fd, 0o644)
        os.write(fd, text.encode(errors="surrogateescape"))
    finally:
        os.close(fd)
