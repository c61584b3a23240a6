"""What `version` and `info` tell: of this program, and of the machine as it finds it, by docker's names for both."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pybuild import __version__

if TYPE_CHECKING:
    from pybuild.wiring import Context

PARTS = ("click", "isal", "lark", "oras", "requests", "rich", "zstandard")
"""What pybuild stands on."""


def parts() -> dict[str, str]:
    """The versions of what pybuild stands on."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    found = {}
    for name in PARTS:
        try:
            found[name] = installed(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def program() -> dict[str, Any]:
    """docker's object of versions; the client does what a server would, so it stands for both."""
    from layers import Platform

    host = Platform.host()
    about = {
        "Version": __version__,
        "Os": host.os,
        "Arch": host.architecture,
        "KernelVersion": os.uname().release,
        "PythonVersion": platform.python_version(),
    }
    components = [{"Name": name, "Version": version} for name, version in parts().items()]
    return {"Client": about, "Server": {**about, "Components": components}}


def facts(context: Context) -> dict[str, str]:
    """What matters in a bug report, a line each."""
    from layers import LayerError
    from layers.disk.owners import numbers
    from runner import SandboxUnavailable, private
    from runner.hierarchy import discover
    from runner.rootless import owner

    with suppress(SandboxUnavailable):  # how layers are mounted is found by mounting, where nobody sees it
        private.enter()
    try:
        ways = context.store.snapshots.how()
    except LayerError as error:
        ways = f"unknown: {error}"
    there = discover()
    kinds = [*(["v2"] if there.unified is not None else []), *(["v1"] if there.legacy else [])]
    return {
        "pybuild": __version__,
        "python": platform.python_version(),
        "kernel": os.uname().release,
        "machine": os.uname().machine,
        "store": str(context.settings.root),
        "layers": ways,
        "cgroups": " and ".join(kinds) or "none",
        "controllers": " ".join(sorted(there.legacy)) or "of version 2",
        "user": "root" if owner() is None else f"{owner()}, root in a user namespace of {numbers()} numbers",
    }


def described(context: Context) -> dict[str, Any]:
    """docker's object for a machine and what is kept on it (Docker Engine API, "Get system information").

    Raises StoreFormat and other LayerErrors where the store cannot be read.
    """
    from collections import Counter
    from datetime import UTC, datetime

    from builder.containers import Containers
    from runner.hierarchy import discover
    from runner.rootless import owner

    said = facts(context)
    states = Counter(one.state().status.value for one in Containers(context.store).list())
    system = platform.freedesktop_os_release() if os.path.exists("/etc/os-release") else {}
    security = ["name=seccomp,profile=builtin", *(["name=rootless"] if owner() is not None else [])]
    return {
        "Containers": states.total(),
        "ContainersRunning": states["running"],
        "ContainersPaused": states["paused"],
        "ContainersStopped": states.total() - states["running"] - states["paused"],
        "Images": len(context.store.images.list()),
        "Driver": "overlay",
        "DriverStatus": [["Layers", said["layers"]]],
        "SystemTime": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "2" if discover().is_unified else "1",
        "KernelVersion": said["kernel"],
        "OperatingSystem": system.get("PRETTY_NAME", ""),
        "OSVersion": system.get("VERSION_ID", ""),
        "OSType": "linux",
        "Architecture": said["machine"],
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "DockerRootDir": said["store"],
        "Name": os.uname().nodename,
        "ServerVersion": __version__,
        "SecurityOptions": security,
        "PythonVersion": said["python"],
        "User": said["user"],
    }
