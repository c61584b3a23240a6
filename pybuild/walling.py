"""Options of `run` and `create` that make the walls of a container higher or lower, and what they come to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pybuild.declared import click
from pybuild.hardware import DIRECTORIES, devices, everything, named
from pybuild.limiting import ValueRefused
from pybuild.options import together

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

    from builder.containers import Memory, Volume

OPTIONS = (
    click.option(
        "-v",
        "--volume",
        "volumes",
        multiple=True,
        metavar="[HOST|NAME:]PATH[:ro]",
        help="A directory of the host, a volume by name, or a new one.",
    ),
    click.option(
        "--mount", "mounts", multiple=True, metavar="SPEC", help="type=volume|bind|tmpfs,source=,target=,readonly."
    ),
    click.option(
        "--volumes-from", "volumes_from", multiple=True, metavar="CONTAINER[:ro]", help="Those of another container."
    ),
    click.option("--volume-driver", type=click.Choice(["local"]), help="local is what there is."),
    click.option("--tmpfs", "tmpfs", multiple=True, metavar="PATH[:size=64m]", help="An empty file system in memory."),
    click.option("--read-only", "readonly", is_flag=True, help="The root file system cannot be written."),
    click.option("--device", "devices", multiple=True, metavar="HOST[:PATH][:rwm]|NAME", help="A device of the host."),
    DIRECTORIES,
    click.option("--device-cgroup-rule", "device_rules", multiple=True, metavar="RULE", help="As in 'c 10:* rwm'."),
    click.option("--cap-add", "cap_add", multiple=True, metavar="NAME", help="One more capability, or ALL."),
    click.option("--cap-drop", "cap_drop", multiple=True, metavar="NAME", help="One capability less, or ALL."),
    click.option("--group-add", "group_add", multiple=True, metavar="GROUP", help="One more group, by name or number."),
    click.option("--sysctl", "sysctls", multiple=True, metavar="NAME=VALUE", help="A setting of its own namespaces."),
    click.option(
        "--security-opt",
        "security",
        multiple=True,
        metavar="OPT",
        help="seccomp=FILE|unconfined, no-new-privileges, systempaths=unconfined, mask=PATHS, unmask=PATHS|ALL.",
    ),
    click.option("--privileged", is_flag=True, help="No walls but namespaces: all rights and devices of this host."),
)
ONCE = {"apparmor": "AppArmor profiles", "label": "SELinux labels"}
"""What other engines hand on to security modules of the host, and we do not."""
OWN_SYSCTLS = frozenset(
    "kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni "
    "kernel.shm_rmid_forced kernel.domainname".split()
)
SYSCTL = r"[a-z0-9_]+(?:[./][A-Za-z0-9_-]+)+\Z"

walled = together(*OPTIONS)
"""Adds the options to a command."""


def walls(options: Mapping[str, Any], network: str) -> dict[str, Any]:
    """The fields of a container's settings that the options decide; `env` and `volumes` are those that devices bring.

    Raises ValueError.
    """
    from builder.containers import Volume
    from runner import Rule
    from runner.capabilities import tweaked

    privileged = options["privileged"]
    edits = named(options["devices"], options)
    found = [*devices(options["devices"]), *edits.devices]
    if privileged:
        asked = {device.target for device in found}
        found += [device for device in everything() if device.target not in asked]
    secured = security(options["security"], privileged=privileged)
    add = [*options["cap_add"], *(["ALL"] if privileged else [])]
    return {
        "volumes": tuple(Volume(str(one.source), one.target, one.readonly) for one in edits.mounts),
        "readonly": options["readonly"],
        "devices": tuple(found),
        "device_rules": (
            *(Rule.parse(text) for text in options["device_rules"]),
            *([Rule("a")] if privileged else []),
        ),
        "capabilities": tuple(sorted(tweaked(add, options["cap_drop"]))),
        "further_groups": (*options["group_add"], *map(str, edits.groups)),
        "env": edits.env,
        "sysctls": (
            *([("kernel.domainname", options["domainname"])] if options["domainname"] else []),
            *(sysctl(text, network) for text in options["sysctls"]),
        ),
        "privileged": privileged,
        **secured,
    }


def mounted(options: Mapping[str, Any]) -> list[Volume | Memory]:
    """What -v, --tmpfs and --mount say; directories of the host are made for it. Raises ValueError."""
    if not (options["volumes"] or options["tmpfs"] or options["mounts"]):
        return []
    from pybuild.mounting import memory, mount, volume

    said = {name: dict.fromkeys(options[name]) for name in ("volumes", "tmpfs", "mounts")}  # twice the same is once
    return [*map(volume, said["volumes"]), *map(memory, said["tmpfs"]), *map(mount, said["mounts"])]


def sysctl(text: str, network: str) -> tuple[str, str]:
    """`NAME=VALUE`, of a namespace that is the container's own. Raises ValueError."""
    import re

    name, equals, value = text.partition("=")
    if not equals or not re.match(SYSCTL, name):
        raise ValueRefused(f"--sysctl {text}", "write NAME=VALUE, for example net.ipv4.ip_forward=1")
    name = name.replace("/", ".")
    if name.startswith("net."):
        if network == "host":
            raise ValueRefused(f"--sysctl {text}", "it would change the host's network; choose another --network")
    elif name not in OWN_SYSCTLS and not name.startswith("fs.mqueue."):
        raise ValueRefused(f"--sysctl {text}", "it counts for the whole host, not for one container")
    return name, value


def security(words: Iterable[str], *, privileged: bool = False) -> dict[str, Any]:
    """What --security-opt says, as fields of settings. Raises ValueError."""
    found: dict[str, Any] = {"seccomp": not privileged, "profile": "", "no_new_privileges": False}
    mask: list[str] = []
    unmask: list[str] = ["ALL"] if privileged else []
    for word in words:
        flag = f"--security-opt {word}"
        sign = next((letter for letter in word if letter in "=:"), "")
        key, _, value = word.partition(sign) if sign else (word, "", "")
        if key == "no-new-privileges" and value in ("", "true", "false"):
            found["no_new_privileges"] = value != "false"
        elif key == "seccomp" and value:
            found["seccomp"], found["profile"] = profile(flag, value)
        elif key == "systempaths" and value == "unconfined":
            unmask.append("ALL")
        elif key == "mask" and value:
            mask += absolute(flag, value)
        elif key == "unmask" and value:
            unmask += ["ALL"] if value == "ALL" else absolute(flag, value)
        elif key in ONCE:
            if value not in ("unconfined", "disable"):
                raise ValueRefused(flag, f"{ONCE[key]} are never set here; leave it out, the other walls stand")
        else:
            known = "seccomp=FILE, seccomp=unconfined, no-new-privileges, systempaths=unconfined, mask=, unmask="
            raise ValueRefused(flag, f"unknown{'' if sign else ' or without a value'}; known are {known}")
    return {**found, "mask": tuple(mask), "unmask": tuple(unmask)}


def profile(flag: str, value: str) -> tuple[bool, str]:
    """(whether there is a filter, the profile's JSON if it is not the usual one). Raises ValueError."""
    from runner.capabilities import held
    from runner.profile import compiled

    if value in ("unconfined", "builtin"):
        return value == "builtin", ""
    try:
        text = Path(value).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueRefused(flag, f"{value}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueRefused(flag, f"{value} is no text") from None
    try:
        compiled(text, held())
    except ValueError as error:
        raise ValueRefused(flag, str(error)) from None
    return True, text


def absolute(flag: str, value: str) -> list[str]:
    """Paths with colons between them. Raises ValueError."""
    paths = value.split(":")
    for path in paths:
        if not path.startswith("/") or "/../" in f"{path}/":
            raise ValueRefused(flag, f"{path!r} is no absolute path")
    return paths
