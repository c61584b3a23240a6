"""--pid, --ipc, --uts and --cgroupns: which namespaces of the host a container shares."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pybuild.declared import click
from pybuild.options import together

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

    from pybuild.wiring import Context

OPTIONS = (
    click.option("--pid", metavar="MODE", help="Among the processes of this machine (host) or of container:NAME."),
    click.option("--ipc", metavar="MODE", help="private (the default), none (no /dev/shm) or host."),
    click.option("--uts", metavar="host", help="This machine's host name."),
    click.option("--cgroupns", metavar="MODE", help="private (the default) or host."),
)
OTHER = "container:"
OWN: Mapping[str, frozenset[str]] = {
    "pid": frozenset({"private"}),
    "ipc": frozenset({"private", "shareable", "none"}),
    "uts": frozenset({"private"}),
    "cgroupns": frozenset({"private"}),
}
"""Words for a namespace of its own."""

shared = together(*OPTIONS)
"""Adds the options to a command."""


def shares(options: Mapping[str, Any]) -> tuple[str, ...]:
    """The namespaces of the host that it shares: pid, ipc, uts, cgroup. Raises click.UsageError."""
    found = []
    for name, own in OWN.items():
        word = options[name] or ""
        if word == "host":
            found.append(name.removesuffix("ns"))
        elif word.startswith(OTHER) and name != "pid":
            what = (
                "the walls of another container are entered by pybuild exec, and with programs of the host by nsenter"
            )
            raise click.UsageError(f"--{name} {word}: not done; {what}; --network container:NAME is")
        elif word and word not in own and not word.startswith(OTHER):
            raise click.UsageError(f"--{name} {word}: unknown; {', '.join(sorted(own))} and host are known")
    if "uts" in found and (options["hostname"] or options["domainname"]):
        raise click.UsageError("--uts host has this machine's names: leave --hostname and --domainname out")
    return tuple(found)


def companion(context: Context, options: Mapping[str, Any]) -> str:
    """The id of the container whose processes it sees, if it does. Raises click.UsageError, ContainerMissing."""
    word = options["pid"] or ""
    if not word.startswith(OTHER):
        return ""
    from builder.containers import Containers

    if options["userns"] or options["uidmap"] or options["gidmap"]:
        raise click.UsageError(f"--pid {word} has the users of that container: leave --userns out")
    return Containers(context.store).get(word.removeprefix(OTHER)).id


def needs_users_of_host(options: Mapping[str, Any]) -> str:
    """The option, if there is one, that is worth nothing in a user namespace; else nothing. Raises click.UsageError."""
    if options.get("privileged"):
        return "--privileged"
    for name in ("pid", "ipc", "cgroupns"):
        if options.get(name) == "host":
            from runner.rootless import owner

            if owner() is not None:
                raise click.UsageError(f"--{name} host: the kernel lets only root of this machine share that; use sudo")
            return f"--{name} host"
    return ""


def host_name(options: Mapping[str, Any], network: str) -> str:
    """What it is called, if that is not left to its id: with this machine's network or UTS namespace, as that is."""
    return options["hostname"] or (os.uname().nodename if "host" in (options["uts"], network) else "")
