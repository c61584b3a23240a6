"""All that is known of a container, in docker's JSON (Docker Engine API, "Inspect a container")."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from builder.containers import connecting
from builder.containers.book import Container, Containers
from builder.containers.changes import size as changed_bytes
from builder.containers.settings import Settings
from builder.containers.state import LIVE, Status
from runner import DEFAULT_CAPABILITIES

if TYPE_CHECKING:
    from layers import Store

NEVER = "0001-01-01T00:00:00Z"


def inspect(store: Store, name: str, *, size: bool = False) -> dict[str, Any]:
    """The object. Raises ContainerMissing, NameAmbiguous."""
    container = Containers(store).get(name)
    found = describe(store, container)
    if size:
        found["SizeRw"] = changed_bytes(container)
    return found


def describe(store: Store, container: Container) -> dict[str, Any]:
    """The object of a container at hand."""
    settings, state = container.settings, container.state()
    limits, capabilities = settings.limits, frozenset(settings.capabilities)
    running = state.status in LIVE
    return {
        "Id": container.id,
        "Created": settings.created,
        "Path": settings.path,
        "Args": list(settings.args),
        "State": {
            "Status": state.status.value,
            "Running": running,
            "Paused": state.status is Status.PAUSED,
            "Restarting": state.status is Status.RESTARTING,
            "OOMKilled": state.oom_killed,
            "Dead": state.status is Status.DEAD,
            "Pid": state.pid if running else 0,
            "ExitCode": state.exit_code,
            "Error": state.error,
            "StartedAt": state.started or NEVER,
            "FinishedAt": state.finished or NEVER,
            **({"Health": state.health.json()} if state.health is not None else {}),
        },
        "Image": settings.image,
        "ResolvConfPath": str(container.folder / "files/resolv.conf"),
        "HostnamePath": str(container.folder / "files/hostname"),
        "HostsPath": str(container.folder / "files/hosts"),
        "LogPath": str(container.log),
        "Name": f"/{settings.name}",
        "RestartCount": state.restarts,
        "Driver": "overlayfs",
        "Platform": "linux",
        "HostConfig": {
            "Binds": [
                f"{volume.source}:{volume.target}{':ro' if volume.readonly else ''}" for volume in settings.volumes
            ],
            "NetworkMode": settings.network,
            "RestartPolicy": {"Name": settings.restart.name, "MaximumRetryCount": settings.restart.maximum},
            "PortBindings": bindings(settings),
            "Dns": list(settings.dns),
            "DnsOptions": list(settings.dns_options),
            "DnsSearch": list(settings.dns_search),
            "ExtraHosts": [f"{name}:{address}" for name, address in settings.hosts] or None,
            "AutoRemove": settings.remove,
            "CapAdd": sorted(capabilities - DEFAULT_CAPABILITIES),
            "CapDrop": sorted(DEFAULT_CAPABILITIES - capabilities),
            "ReadonlyRootfs": settings.readonly,
            "Init": settings.init,
            "Memory": limits.memory or 0,
            "MemorySwap": limits.memory_swap or 0,
            "NanoCpus": int((limits.cpus or 0) * 1e9),
            "CpuShares": limits.cpu_shares or 0,
            "CpusetCpus": limits.cpuset_cpus or "",
            "PidsLimit": limits.pids,
            "ShmSize": settings.shm_size,
        },
        "GraphDriver": {"Name": "overlayfs", "Data": {"UpperDir": str(container.upper)}},
        "Mounts": [
            {
                "Type": "bind",
                "Source": volume.source,
                "Destination": volume.target,
                "RW": not volume.readonly,
            }
            for volume in settings.volumes
        ],
        "NetworkSettings": connecting.settings(store, container),
        "Config": {
            "Hostname": settings.hostname,
            "User": settings.user,
            "Tty": settings.tty,
            "OpenStdin": settings.interactive,
            "StdinOnce": settings.interactive and settings.input_ends,
            **({"ExposedPorts": {inner: {} for inner in settings.exposed}} if settings.exposed else {}),
            "Env": [f"{key}={value}" for key, value in settings.env.items()],
            "Cmd": list(settings.cmd) or None,
            "Image": settings.image_name,
            "WorkingDir": settings.cwd,
            "Entrypoint": list(settings.entrypoint) or None,
            "Labels": dict(settings.labels),
            "StopSignal": stop_signal(settings.stop_signal),
            "StopTimeout": int(settings.stop_timeout),
            **({"Healthcheck": settings.healthcheck.json()} if settings.healthcheck is not None else {}),
        },
        "Usage": {"MemoryPeak": state.memory_peak, "CpuSeconds": state.cpu_seconds},
    }


def bindings(settings: Settings) -> dict[str, list[dict[str, str]]]:
    """The ports that were asked for, as docker keeps them."""
    found: dict[str, list[dict[str, str]]] = {}
    for one in settings.published:
        port = str(one.first or "") + (f"-{one.last}" if one.last > one.first else "")
        found.setdefault(one.inner, []).append({"HostIp": one.host, "HostPort": port})
    return found


def stop_signal(number: int) -> str:
    """Its name, or its number if it is a real-time signal without one."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
