"""What the runner is asked for: the sandbox of a container, and that of a further command in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from builder.containers.connecting import SHARED, wishes
from builder.containers.container import Container
from builder.containers.errors import ContainerState
from builder.containers.settings import Memory, Settings, Volume
from builder.emulation import is_i386, lending
from builder.process import LOCAL_HOSTS, environment, hosts_of_machine, identity, network_files, network_mounts
from layers import Account, Accounts, Platform
from layers.disk.paths import Root
from layers.quick import replace
from runner import Ids, Mount, RunnerError, Sandbox
from runner.capabilities import held
from runner.ranges import private
from runner.rootless import standing

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from typing import Any

    from layers import Store
    from runner.native import Native

PRIVILEGED = {"seccomp": False, "privileged": True}
LIMIT = 8 << 20
"""Bytes of passwd and group that are read."""


def order(
    container: Container,
    root: Path,
    ids: Ids | None,
    sharing: tuple[int, Path] | None = None,
    companion: int | None = None,
) -> Sandbox:
    """What the runner is asked for. `sharing`: the network namespace and the /etc files of another container.

    `companion`: a process whose namespaces of processes and users it has, by a descriptor.
    """
    settings = container.settings
    if standing():
        from builder.containers.introducing import introduce

        introduce(root, settings.userns, settings.cwd or "/")
    account, further = who(root, settings.user, settings.further_groups)
    files = container.folder / "files"
    files.mkdir(exist_ok=True)
    own = network_mounts(sharing[1]) if sharing is not None else _network_files(container, files)
    mounts = [
        *(replace(one, readonly=True) if settings.readonly else one for one in own),
        *map(_in_memory, settings.tmpfs),
        *(Mount(one.target, source(container.store, one), readonly=one.readonly) for one in settings.volumes),
    ]
    covered = {mount.target for mount in mounts[3:]}
    mounts = [mount for number, mount in enumerate(mounts) if number >= 3 or mount.target not in covered]
    return Sandbox(
        root,
        settings.command,
        process_environment(settings, account),
        settings.cwd or "/",
        identity(account, further),
        settings.hostname,
        tuple(mounts),
        readonly_root=settings.readonly,
        init=settings.init,
        shm_size=settings.shm_size,
        stop_signal=settings.stop_signal,
        sysctls=settings.sysctls,
        companion=companion,
        disposable=settings.remove,
        **_walls(settings, ids, sharing[0] if sharing is not None else None),
        **rights(settings),
        **lending(settings.platform, ids),
    )


def expect(runtime: Native, settings: Settings, ids: Ids | None, place: Path) -> None:
    """Have its process made while other things are made ready; where that fails, the real start says why.

    `runtime.rest` lets go of it if there is no start.
    """
    if settings.network.startswith(SHARED) or settings.companion:
        return
    with suppress(RunnerError):
        likely = runtime.presume(ids, place)
        capabilities = frozenset(settings.capabilities)
        runtime.expect(Sandbox(Path("/"), settings.command, capabilities=capabilities, **_walls(settings, likely)))


def _walls(settings: Settings, ids: Ids | None, network: int | None = None) -> dict[str, Any]:
    """What its process has to know when it is made, as fields of a Sandbox."""
    return {
        "network": network if network is not None else "host" if settings.network == "host" else "none",
        "limits": settings.limits,
        "userns": ids,
        "devices": settings.devices,
        "device_rules": settings.device_rules,
        "writable_sys": settings.privileged,
        "shares": frozenset(settings.shares),
        "mask": settings.mask,
        "unmask": settings.unmask,
    }


def rights(settings: Settings) -> dict[str, Any]:
    """What every process of a container may do, as fields of a Sandbox: the first one's and those of exec."""
    capabilities = frozenset(settings.capabilities)
    found: dict[str, Any] = {
        "capabilities": capabilities,
        "seccomp": settings.seccomp,
        "no_new_privileges": settings.no_new_privileges,
    }
    if settings.profile:
        from runner.profile import compiled

        found["filter"] = compiled(settings.profile, capabilities)
    return found


def entering(
    container: Container,
    pid: int,
    words: Sequence[str],
    *,
    user: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    tty: bool = False,
    privileged: bool = False,
) -> Sandbox:
    """A further command in a container that runs; all else is as the container has it.

    Raises AccountMissing, ContainerState.
    """
    settings = container.settings
    root = Path(f"/proc/{pid}/root")
    try:
        account, further = who(root, settings.user if user is None else user, settings.further_groups)
    except FileNotFoundError:
        raise ContainerState(container.name, "has just ended") from None
    except PermissionError as problem:
        what = "was begun where XDG_RUNTIME_DIR was another, so it cannot be entered: set that, or restart it"
        raise ContainerState(container.name, what) from problem
    own = {**process_environment(settings, account), **({"TERM": "xterm"} if tty else {}), **(env or {})}
    return Sandbox(
        root,
        tuple(words),
        own,
        cwd or settings.cwd or "/",
        identity(account, further),
        limits=settings.limits,
        i386=bool(settings.platform) and is_i386(Platform.parse(settings.platform), None),
        **(PRIVILEGED | {"capabilities": held()} if privileged else rights(settings)),
    )


def source(store: Store, mount: Volume) -> Path:
    """What a container sees there. Raises VolumeError."""
    if not mount.kept:
        return Path(mount.source)
    from builder.containers.volumes import Volumes

    return Volumes(store).source(mount)


def numbers(store: Store, settings: Settings, held: ExitStack, warn: Callable[[str], None]) -> Ids | None:
    """The numbers of its users, until `held` is closed. Raises ContainerMissing, ContainerState."""
    if not settings.companion:
        return private(settings.userns, held, warn)
    from builder.containers.companions import users

    return users(store, settings)


def _in_memory(one: Memory) -> Mount:
    owner = (one.uid, one.gid)
    return Mount(
        one.target, None, "tmpfs", one.readonly, one.size, one.mode, one.noexec, owner=owner, inodes=one.inodes
    )


def _network_files(container: Container, files: Path) -> tuple[Mount, ...]:
    settings, wished = container.settings, wishes(container)
    return network_files(
        files,
        hostname=settings.hostname,
        hosts=settings.hosts,
        network=settings.network if len(wished) < 2 else wished[-1].network,
        ip=wished[0].ip if len(wished) == 1 else "",
        dns=settings.dns,
        search=settings.dns_search,
        options=settings.dns_options,
        known=hosts_of_machine() if settings.network == "host" else LOCAL_HOSTS,
    )


def process_environment(settings: Settings, account: Account) -> dict[str, str]:
    """As docker has it: PATH, HOSTNAME, TERM with a terminal, then what was asked for, HOME last."""
    own = {"HOSTNAME": settings.hostname, **({"TERM": "xterm"} if settings.tty else {})}
    return environment([], account, own, settings.env)


def who(root: Path, user: str, further: Sequence[str]) -> tuple[Account, list[int]]:
    """USER's text in the file system's own accounts, and `further` groups' numbers. Raises AccountMissing."""

    def read(path: str) -> bytes | None:
        try:
            return place.read(path, LIMIT)
        except OSError:
            return None

    with Root(root) as place:
        accounts = Accounts.read(read)
    return accounts.account(user), [accounts.gid(group) for group in further]
