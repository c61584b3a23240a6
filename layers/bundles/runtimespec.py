"""From an image's config to a runtime's: what `runc run` needs to know (OCI image-spec, conversion.md).

A pure function. What the image does not say is as umoci says it, so that bundles of both are used alike: few
capabilities, a terminal, namespaces for all but users, the usual mounts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from layers.bundles.idmap import IdMap
from layers.errors import DocumentInvalid
from layers.oci.documents import ImageConfig
from layers.views.accounts import Account

VERSION = "1.0.0"
PREFIX = "org.opencontainers.image."
ENVIRONMENT = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm")
CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
NAMESPACES = ("pid", "network", "ipc", "uts", "mount")
MASKED = (
    "/proc/kcore",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
)
READONLY = ("/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
MOUNTS: tuple[tuple[str, str, str, str], ...] = (
    ("/proc", "proc", "proc", ""),
    ("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    ("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
    ("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    ("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
    ("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid,noexec,nodev,relatime,ro"),
)
"""Where, type, source, options."""
VOLUME = "rw,nosuid,nodev,noexec,relatime"


def runtime_spec(config: ImageConfig, account: Account, ids: IdMap) -> dict[str, Any]:
    """The config.json of a bundle; `account` is who the image's User is in its own files.

    Raises DocumentInvalid for an image that is not for Linux, or whose config breaks its specification.
    """
    runtime = config.runtime
    if config.platform.os != "linux":
        raise DocumentInvalid("image config", f"it is for {config.platform.os or 'no system'}; a bundle is for linux")
    user: dict[str, Any] = {"uid": account.uid, "gid": account.gid}
    if account.groups:
        user["additionalGids"] = list(account.groups)
    volumes = sorted(table(runtime, "Volumes"))
    return {
        "ociVersion": VERSION,
        "process": {
            "terminal": True,
            "user": user,
            "args": [*words(runtime, "Entrypoint"), *words(runtime, "Cmd")] or ["sh"],
            "env": environment(words(runtime, "Env"), account.home),
            "cwd": text(runtime, "WorkingDir") or "/",
            "capabilities": {
                kind: list(CAPABILITIES) for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs"},
        "hostname": "pybuild",
        "mounts": [
            *(_mount(target, kind, source, options) for target, kind, source, options in MOUNTS),
            *(_mount(volume, "tmpfs", "none", VOLUME) for volume in volumes),
        ],
        "annotations": remarks(config),
        "linux": {
            **({"uidMappings": [one.to_json() for one in ids.uids]} if ids.uids else {}),
            **({"gidMappings": [one.to_json() for one in ids.gids]} if ids.gids else {}),
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in (*NAMESPACES, *(("user",) if ids else ()))],
            "maskedPaths": list(MASKED),
            "readonlyPaths": list(READONLY),
        },
    }  # fmt: skip


def environment(lines: list[str], home: str) -> list[str]:
    """The defaults, changed and added to by the image's; HOME only if the image has none. Raises DocumentInvalid."""
    found = {line.partition("=")[0]: line for line in ENVIRONMENT}
    for line in lines:
        name, equals, _ = line.partition("=")
        if not name or not equals:
            raise DocumentInvalid("image config", f"Env has {line!r}, which is not NAME=VALUE")
        found[name] = line
    found.setdefault("HOME", f"HOME={home}")
    return list(found.values())


def remarks(config: ImageConfig) -> dict[str, str]:
    """What of an image has no place in a runtime's config; its labels, which go before all else."""
    runtime, platform = config.runtime, config.platform
    ports = sorted(table(runtime, "ExposedPorts"))
    said = {
        "os": platform.os,
        "architecture": platform.architecture,
        "variant": platform.variant,
        "os.version": platform.os_version,
        "os.features": ",".join(platform.os_features),
        "author": config.author,
        "created": config.created,
        "stopSignal": text(runtime, "StopSignal"),
        "exposedPorts": ",".join(ports),
    }
    labels = {str(key): str(value) for key, value in table(runtime, "Labels").items()}
    return dict(sorted({**{PREFIX + key: value for key, value in said.items() if value}, **labels}.items()))


def _mount(target: str, kind: str, source: str, options: str) -> dict[str, Any]:
    found = [word for word in options.split(",") if word]
    return {"destination": target, "type": kind, "source": source, **({"options": found} if found else {})}


def table(runtime: Mapping[str, Any], key: str) -> dict[str, Any]:
    """An object in an image's config, such as its Labels. Raises DocumentInvalid."""
    value = runtime.get(key) or {}
    if not isinstance(value, dict):
        raise DocumentInvalid("image config", f"{key} is no object")
    return value


def words(runtime: Mapping[str, Any], key: str) -> list[str]:
    """A list of texts, such as Env. Raises DocumentInvalid."""
    value = runtime.get(key) or []
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise DocumentInvalid("image config", f"{key} is no list of words")
    return value


def text(runtime: Mapping[str, Any], key: str) -> str:
    """A text, such as User. Raises DocumentInvalid."""
    value = runtime.get(key) or ""
    if not isinstance(value, str):
        raise DocumentInvalid("image config", f"{key} is no text")
    return value
