"""What a container was created as; only `rename` and `update` change it."""

from __future__ import annotations

from collections.abc import Mapping

from builder.containers.restart import RestartPolicy
from builder.networks.wish import Publish, Wish
from layers import Chain, Digest
from layers.quick import asdict, dataclass, field
from layers.quickjson import dumps, loads
from runner import Device, Ids, Limits, Rule

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

    from builder.containers.health import Healthcheck

TEXTS = (
    *("diff_ids", "args", "entrypoint", "cmd", "capabilities", "shell", "further_groups", "mask", "unmask"),
    *("exposed", "dns", "dns_search", "dns_options", "shares"),
)
"""Settings that are lists of texts."""


@dataclass(frozen=True)
class Volume:
    """`-v source:target[:ro]`: a directory or file of the host inside the container; or, `kept`, a volume by name.

    A kept one without a source gets a name when the container is made; `labels` and `options` are for one that is not
    there yet. `empty`: it is not filled with what the image has at the target (`nocopy`).
    """

    source: str
    target: str
    readonly: bool = False
    kept: bool = False
    empty: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Memory:
    """`--tmpfs target:options`: an empty file system of `size` bytes and `inodes` files at most."""

    target: str
    size: int | None = None
    mode: int | None = None
    readonly: bool = False
    noexec: bool = True
    uid: int = 0
    gid: int = 0
    inodes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that `run` and `create` can ask for, resolved: no default is left to be looked up later.

    `image` is the id, `image_name` what the user typed. `user` is USER's text, resolved at each start in the
    container's own passwd, like `further_groups`. `input_ends`: the end of the first attached client's input is the
    command's, too. `stop_timeout` is seconds between the stop signal and SIGKILL. `shell` runs CMD-SHELL health
    checks. `network` is docker's NetworkMode (none, host, container:ID, or the name of the first of `networks`);
    `exposed` has ports as in `80/tcp`. `profile` is the JSON of a system-call filter of its own. `oom_hook` is a
    command of the host's shell for when memory runs out. `shares` are kinds of namespaces: pid, ipc, uts, cgroup.
    `log_driver` is json-file or none; a file of the log has `log_size` bytes, 0 for no bound, and there are
    `log_files`. `userns` are the numbers of its users, None for the host's.
    """

    id: str
    name: str
    created: str
    image: str
    image_name: str
    diff_ids: tuple[str, ...]
    path: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    user: str
    hostname: str
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    tty: bool = False
    interactive: bool = False
    remove: bool = False
    init: bool = False
    readonly: bool = False
    network: str = "none"
    networks: tuple[Wish, ...] = ()
    published: tuple[Publish, ...] = ()
    exposed: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()
    volumes: tuple[Volume, ...] = ()
    tmpfs: tuple[Memory, ...] = ()
    capabilities: tuple[str, ...] = ()
    seccomp: bool = True
    no_new_privileges: bool = False
    stop_signal: int = 15
    shm_size: int = 64 << 20
    limits: Limits = field(default_factory=Limits)
    input_ends: bool = True
    stop_timeout: float = 10.0
    restart: RestartPolicy = RestartPolicy()
    healthcheck: Healthcheck | None = None
    shell: tuple[str, ...] = ("/bin/sh", "-c")
    further_groups: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    device_rules: tuple[Rule, ...] = ()
    privileged: bool = False
    profile: str = ""
    mask: tuple[str, ...] = ()
    unmask: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    oom_hook: str = ""
    shares: tuple[str, ...] = ()
    companion: str = ""
    """The id of the container whose processes it sees."""
    log_driver: str = "json-file"
    log_size: int = 0
    log_files: int = 1
    userns: Ids | None = None
    platform: str = ""
    """What its programs are for, where that is another processor than that of the machine it was made on."""

    @property
    def chain(self) -> Chain:
        """The layers below the container's own."""
        return Chain(tuple(Digest.parse(text) for text in self.diff_ids))

    @property
    def known_as(self) -> str:
        """What its own /etc/hosts calls it: the whole name, which is its canonical one, then the short one."""
        domain = dict(self.sysctls).get("kernel.domainname", "")
        whole = f"{self.hostname}.{domain}" if domain else self.hostname
        return " ".join(dict.fromkeys((whole, whole.partition(".")[0])))

    @property
    def command(self) -> tuple[str, ...]:
        """The whole argument vector."""
        return (self.path, *self.args)

    @classmethod
    def parse(cls, text: str) -> Settings:
        """The settings as a store keeps them."""
        value: dict[str, Any] = loads(text)
        for key in TEXTS:
            if key in value:
                value[key] = tuple(value[key])
        value["networks"] = tuple(
            Wish(**{**wish, "aliases": tuple(wish["aliases"])}) for wish in value.get("networks") or ()
        )
        value["published"] = tuple(Publish(**one) for one in value.get("published") or ())
        value["hosts"] = tuple((name, address) for name, address in value["hosts"])
        value["sysctls"] = tuple((name, text) for name, text in value.get("sysctls", ()))
        value["tmpfs"] = tuple(Memory(**one) for one in value["tmpfs"])
        value["devices"] = tuple(Device(*one) for one in value.get("devices", ()))
        value["device_rules"] = tuple(Rule(*one) for one in value.get("device_rules", ()))
        value["volumes"] = tuple(Volume(**volume) for volume in value["volumes"])
        value["limits"] = Limits.read(value["limits"])
        value["restart"] = RestartPolicy(**value.get("restart", {}))
        if check := value.get("healthcheck"):
            from builder.containers.health import Healthcheck

            value["healthcheck"] = Healthcheck(**{**check, "test": tuple(check["test"])})
        if (ids := value.get("userns")) is not None:
            value["userns"] = Ids.from_json(ids)
        return cls(**value)

    def text(self) -> str:
        """As a store keeps them."""
        return dumps(asdict(self))
