"""The config.json that `spec` writes for a bundle to begin with."""

import os
from collections.abc import Iterable
from typing import Any

from runner.rootless import group, owner

CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
MASKED = [
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
]  # fmt: skip
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def config(version: str, usual: Iterable[tuple[str, str, str, str]], *, rootless: bool = False) -> dict[str, Any]:
    """A shell in a root file system `rootfs`; `rootless` for a user who is root only in a namespace of its own.

    `usual` are the mounts, each as place, type, source and options.
    """
    mounts = [
        {"destination": where, "type": kind, "source": source, **({"options": words.split(",")} if words else {})}
        for where, kind, source, words in usual
    ]
    namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"]
    if rootless:
        namespaces = [*(name for name in namespaces if name != "network"), "user"]
        for mount in mounts:
            mount["options"] = [word for word in mount.get("options", []) if word != "gid=5"]
            if mount["type"] == "sysfs":
                mount |= {"type": "none", "source": "/sys"}
                mount["options"] = ["rbind", "nosuid", "noexec", "nodev", "ro"]
        mounts = [{key: value for key, value in mount.items() if value} for mount in mounts]
    uid, gid = (os.geteuid(), os.getegid()) if (user := owner()) is None else (user, group())
    identity = [("uidMappings", uid), ("gidMappings", gid)] if rootless else []
    return {
        "ociVersion": version,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "pybuild",
        "mounts": mounts,
        "linux": {
            **{key: [{"containerID": 0, "hostID": number, "size": 1}] for key, number in identity},
            **({} if rootless else {"resources": {"devices": [{"allow": False, "access": "rwm"}]}}),
            "namespaces": [{"type": name} for name in namespaces],
            "maskedPaths": MASKED,
            "readonlyPaths": READONLY,
        },
    }
