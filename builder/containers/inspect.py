"""All that is known of a container, in docker's JSON (Docker Engine API, "Inspect a container")."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from builder.containers import connecting
from builder.containers.book import Containers
from builder.containers.changes import size as changed_bytes
from builder.containers.container import Container
from builder.containers.settings import Memory, Settings, Volume
from builder.containers.state import LIVE, Status
from builder.containers.volumes import VolumeError, Volumes
from layers import BlobMissing
from runner import DEFAULT_CAPABILITIES, masks
from runner.limits import RATES

if TYPE_CHECKING:
    from layers import Store

NEVER = "0001-01-01T00:00:00Z"


def inspect(store: Store, name: str, *, size: bool = False) -> dict[str, Any]:
    """The object. Raises ContainerMissing, NameAmbiguous."""
    container = Containers(store).get(name)
    found = describe(store, container)
    if size:
        found["SizeRw"] = changed_bytes(container)
        found["SizeRootFs"] = found["SizeRw"] + whole(store, container)
    return found


def whole(store: Store, container: Container) -> int:
    """Bytes of the files of its image, or of its layers if that has gone."""
    try:
        return store.images.get(container.settings.image).size
    except BlobMissing:
        return sum(store.blobs.size(diff_id) for diff_id in container.settings.chain.diff_ids)


def describe(store: Store, container: Container) -> dict[str, Any]:
    """The object of a container at hand."""
    settings, state = container.settings, container.state()
    capabilities = frozenset(settings.capabilities)
    running = state.status in LIVE
    masked, readonly = masks.chosen(settings.mask, settings.unmask)
    drawn = frozenset(one.source for one in settings.volumes if one.kept and is_drawn(store, one))
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
                f"{volume.source}:{volume.target}{':ro' if volume.readonly else ''}"
                for volume in settings.volumes
                if volume.source not in drawn
            ],
            "NetworkMode": settings.network,
            "LogConfig": {"Type": settings.log_driver, "Config": log_options(settings)},
            "RestartPolicy": {"Name": settings.restart.name, "MaximumRetryCount": settings.restart.maximum},
            "PortBindings": bindings(settings),
            "Dns": list(settings.dns),
            "DnsOptions": list(settings.dns_options),
            "DnsSearch": list(settings.dns_search),
            "ExtraHosts": [f"{name}:{address}" for name, address in settings.hosts] or None,
            "UsernsMode": "host" if settings.userns is None else "",
            "PidMode": f"container:{settings.companion}" if settings.companion else "host" * ("pid" in settings.shares),
            "IpcMode": "host" if "ipc" in settings.shares else "private" if settings.shm_size else "none",
            "UTSMode": "host" if "uts" in settings.shares else "",
            "CgroupnsMode": "host" if "cgroup" in settings.shares else "private",
            "AutoRemove": settings.remove,
            "GroupAdd": list(settings.further_groups),
            "Privileged": settings.privileged,
            "SecurityOpt": security(settings),
            "MaskedPaths": [f"/{path.decode()}" for path in masked],
            "ReadonlyPaths": [f"/{path.decode()}" for path in readonly],
            "Sysctls": dict(settings.sysctls),
            "Tmpfs": {one.target: options(one) for one in settings.tmpfs},
            "CapAdd": sorted(capabilities - DEFAULT_CAPABILITIES),
            "CapDrop": sorted(DEFAULT_CAPABILITIES - capabilities),
            "ReadonlyRootfs": settings.readonly,
            "Init": settings.init,
            **resources(settings),
            "ShmSize": settings.shm_size,
        },
        "GraphDriver": {
            "Name": "overlayfs",
            "Data": {
                "UpperDir": str(container.upper),
                **({"MergedDir": f"/proc/{state.pid}/root"} if running and state.pid else {}),  # nobody else sees it
            },
        },
        "Mounts": [mounted(store, volume) for volume in settings.volumes],
        "NetworkSettings": connecting.settings(store, container),
        "Config": {
            "Hostname": settings.hostname,
            "Domainname": dict(settings.sysctls).get("kernel.domainname", ""),
            "User": settings.user,
            "Tty": settings.tty,
            "OpenStdin": settings.interactive,
            "StdinOnce": settings.interactive and settings.input_ends,
            **({"ExposedPorts": {inner: {} for inner in settings.exposed}} if settings.exposed else {}),
            "Env": [f"{key}={value}" for key, value in settings.env.items()],
            "Cmd": list(settings.cmd) or None,
            "Image": settings.image_name,
            "Volumes": {one.target: {} for one in settings.volumes if one.source in drawn} or None,
            "WorkingDir": settings.cwd,
            "Entrypoint": list(settings.entrypoint) or None,
            "Labels": dict(settings.labels),
            "StopSignal": stop_signal(settings.stop_signal),
            "StopTimeout": int(settings.stop_timeout),
            **({"Healthcheck": settings.healthcheck.json()} if settings.healthcheck is not None else {}),
        },
        "Usage": {"MemoryPeak": state.memory_peak, "CpuSeconds": state.cpu_seconds},
    }


def log_options(settings: Settings) -> dict[str, str]:
    """What --log-opt said."""
    bound = {"max-size": str(settings.log_size)} if settings.log_size else {}
    return bound | ({"max-file": str(settings.log_files)} if settings.log_files > 1 else {})


def is_drawn(store: Store, mount: Volume) -> bool:
    """Whether a volume has no name that anybody gave it."""
    try:
        return Volumes(store).get(mount.source).is_anonymous
    except VolumeError:
        return False


def mounted(store: Store, mount: Volume) -> dict[str, Any]:
    """An element of Mounts."""
    where = {"Destination": mount.target, "Mode": "ro" if mount.readonly else "", "RW": not mount.readonly}
    if not mount.kept:
        return {"Type": "bind", "Source": mount.source, **where, "Propagation": "rprivate"}
    place = str(Volumes(store).folder / mount.source / "_data")
    return {"Type": "volume", "Name": mount.source, "Source": place, **where, "Driver": "local", "Propagation": ""}


def bindings(settings: Settings) -> dict[str, list[dict[str, str]]]:
    """The ports that were asked for, as docker keeps them."""
    found: dict[str, list[dict[str, str]]] = {}
    for one in settings.published:
        port = str(one.first or "") + (f"-{one.last}" if one.last > one.first else "")
        found.setdefault(one.inner, []).append({"HostIp": one.host, "HostPort": port})
    return found


def resources(settings: Settings) -> dict[str, Any]:
    """The limits, as HostConfig has them."""
    limits = settings.limits
    rates: dict[str, list[dict[str, Any]]] = {word: [] for word in RATES}
    for word, device, number in limits.device_rates:
        rates[word].append({"Path": device, "Rate": number})
    return {
        "Memory": limits.memory or 0,
        "MemorySwap": limits.memory_swap or 0,
        "MemoryReservation": limits.memory_reservation or 0,
        "MemorySwappiness": limits.memory_swappiness,
        "OomPolicy": limits.oom_policy,
        "OnOom": settings.oom_hook,
        "OomKillDisable": limits.oom_kill_disable,
        "OomScoreAdj": limits.oom_score_adj or 0,
        "NanoCpus": int((limits.cpus or 0) * 1e9),
        "CpuShares": limits.cpu_shares or 0,
        "CpuQuota": limits.cpu_quota or 0,
        "CpuPeriod": limits.cpu_period or 0,
        "CpusetCpus": limits.cpuset_cpus or "",
        "CpusetMems": limits.cpuset_mems or "",
        "PidsLimit": limits.pids,
        "BlkioWeight": limits.blkio_weight or 0,
        "BlkioWeightDevice": [{"Path": path, "Weight": weight} for path, weight in limits.blkio_weight_devices],
        "BlkioDeviceReadBps": rates["rbps"],
        "BlkioDeviceWriteBps": rates["wbps"],
        "BlkioDeviceReadIOps": rates["riops"],
        "BlkioDeviceWriteIOps": rates["wiops"],
        "Ulimits": [{"Name": name, "Soft": soft, "Hard": hard} for name, soft, hard in limits.ulimits],
        "Devices": [
            {"PathOnHost": one.source, "PathInContainer": one.target, "CgroupPermissions": one.access}
            for one in settings.devices
        ],
        "DeviceCgroupRules": [str(rule) for rule in settings.device_rules],
    }


def security(settings: Settings) -> list[str]:
    """The walls that were asked for, as --security-opt writes them."""
    return [
        *(["no-new-privileges"] if settings.no_new_privileges else []),
        *(["seccomp=unconfined"] if not settings.seccomp else []),
        *([f"seccomp={settings.profile}"] if settings.profile else []),
        *(f"mask={path}" for path in settings.mask),
        *(f"unmask={path}" for path in settings.unmask),
    ]


def options(memory: Memory) -> str:
    """What follows the path in --tmpfs."""
    words = ["ro" if memory.readonly else "rw", "noexec" if memory.noexec else "exec"]
    words += [f"size={memory.size}"] if memory.size is not None else []
    words += [f"uid={memory.uid}", f"gid={memory.gid}"] if memory.uid or memory.gid else []
    words += [f"nr_inodes={memory.inodes}"] if memory.inodes is not None else []
    return ",".join([*words, *([f"mode={memory.mode:o}"] if memory.mode is not None else [])])


def stop_signal(number: int) -> str:
    """Its name, or its number if it is a real-time signal without one."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
