"""What a container was created as; only `rename` and `update` change it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, field
from pathlib import Path
from typing import Any

from builder.containers.health import Healthcheck
from builder.containers.restart import RestartPolicy
from builder.networks.wish import Publish, Wish
from layers import Chain, Digest
from layers.disk import durable
from layers.quick import dataclass
from runner import Limits

NETWORKED = ("exposed", "dns", "dns_search", "dns_options")


@dataclass(frozen=True, slots=True)
class Volume:
    """`-v source:target[:ro]`: a directory or file of the host inside the container."""

    source: str
    target: str
    readonly: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that `run` and `create` can ask for, resolved: no default is left to be looked up later.

    `image` is the id, `image_name` what the user typed. `user` is USER's text, resolved at each start
    in the container's own passwd. `tmpfs` maps targets to a size in bytes or None. `input_ends`: the end of the first
    attached client's input is the command's, too. `stop_timeout` is seconds between the stop signal and SIGKILL.
    `shell` runs CMD-SHELL health checks. `network` is docker's NetworkMode (none, host,
    container:ID, or the name of the first of `networks`); `exposed` has ports as in `80/tcp`.
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
    tmpfs: tuple[tuple[str, int | None], ...] = ()
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

    @property
    def chain(self) -> Chain:
        """The layers below the container's own."""
        return Chain(tuple(Digest.parse(text) for text in self.diff_ids))

    @property
    def command(self) -> tuple[str, ...]:
        """The whole argument vector."""
        return (self.path, *self.args)

    @classmethod
    def read(cls, path: Path) -> Settings:
        """The settings on disk."""
        value: dict[str, Any] = json.loads(path.read_bytes())
        for key in ("diff_ids", "args", "entrypoint", "cmd", "capabilities", "shell", *NETWORKED):
            if key in value:
                value[key] = tuple(value[key])
        value["networks"] = tuple(
            Wish(**{**wish, "aliases": tuple(wish["aliases"])}) for wish in value.get("networks") or ()
        )
        value["published"] = tuple(Publish(**one) for one in value.get("published") or ())
        value["hosts"] = tuple((name, address) for name, address in value["hosts"])
        value["tmpfs"] = tuple((target, size) for target, size in value["tmpfs"])
        value["volumes"] = tuple(Volume(**volume) for volume in value["volumes"])
        value["limits"] = Limits(**value["limits"])
        value["restart"] = RestartPolicy(**value.get("restart", {}))
        if check := value.get("healthcheck"):
            value["healthcheck"] = Healthcheck(**{**check, "test": tuple(check["test"])})
        return cls(**value)

    def write(self, path: Path) -> None:
        """Write them, whole or not at all; for good once the folder is synced."""
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        durable.write(draft, json.dumps(asdict(self)).encode())
        draft.replace(path)
