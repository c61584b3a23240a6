"""What a RUN has mounted, as data: everything expanded, every place absolute.

The flags themselves, with the keys and mixes that the language allows, are in `builder.dockerfile.mounts`; this is what
the plan makes of one, once WORKDIR is known and `from` has become a step.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from layers.quick import dataclass, replace

if TYPE_CHECKING:
    from builder.dockerfile import RunMount

CACHE_MODE = 0o755
SECRET_MODE = 0o400
SSH_MODE = 0o600


@dataclass(frozen=True, slots=True)
class BindMount:
    """A file or directory of the result of the step `origin`, or of the context of a name ("": the build's own).

    What is written to it is lost.
    """

    target: str
    source: str = ""
    origin: int | None = None
    readonly: bool = True
    context: str = ""


@dataclass(frozen=True, slots=True)
class CacheMount:
    """A directory that lasts from one build to the next, one for each `id`; no part of any result.

    A new one is empty, or has what `source` of the step `origin` has. mode, uid and gid are those of a new directory,
    None for 0755 and 0, or for what the source has.
    """

    target: str
    id: str
    sharing: Literal["shared", "private", "locked"] = "shared"
    source: str = ""
    origin: int | None = None
    readonly: bool = False
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True, slots=True)
class TmpfsMount:
    """A file system in memory, `size` bytes large at most."""

    target: str
    size: int | None = None
    readonly: bool = False


@dataclass(frozen=True, slots=True)
class SecretMount:
    """A secret of the request as a file ("" for none) or a variable; without `required` it may be missing."""

    id: str
    target: str = ""
    env: str = ""
    required: bool = False
    mode: int = SECRET_MODE
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class SshMount:
    """The socket of an agent of the request; without `required` it may be missing."""

    id: str
    target: str
    required: bool = False
    mode: int = SSH_MODE
    uid: int = 0
    gid: int = 0


Mounted = BindMount | CacheMount | TmpfsMount | SecretMount | SshMount


def mounted(flag: RunMount, cwd: str, origin: int | None, number: int) -> Mounted:
    """What a flag means in the working directory `cwd`; `number` counts the ssh mounts of its RUN.

    Raises ValueError, in words, for what only shows now.
    """
    target = "/" + _inside(posixpath.join(cwd, flag.target)) if flag.target else ""
    if target == "/":
        raise ValueError(f"invalid mount target {flag.target!r}: it would cover the whole root")
    match flag.type:
        case "bind":
            return BindMount(target, _inside(flag.source), origin, flag.readonly)
        case "cache":
            source = _inside(flag.source)
            if source and origin is None:
                raise ValueError("a cache has a source only together with from=: a stage or an image to begin with")
            return CacheMount(
                target,
                flag.id or target,
                flag.sharing,
                source,
                origin,
                flag.readonly,
                flag.mode,
                flag.uid,
                flag.gid,
            )
        case "tmpfs":
            return TmpfsMount(target, flag.size, flag.readonly)
        case "secret":
            if not target and flag.env is None:
                target = f"/run/secrets/{posixpath.basename(flag.id)}"
            mode = SECRET_MODE if flag.mode is None else flag.mode
            return SecretMount(flag.id, target, flag.env or "", flag.required, mode, flag.uid or 0, flag.gid or 0)
        case "ssh":
            target = target or f"/run/buildkit/ssh_agent.{number}"
            mode = SSH_MODE if flag.mode is None else flag.mode
            return SshMount(flag.id or "default", target, flag.required, mode, flag.uid or 0, flag.gid or 0)


def in_namespace(mount: Mounted, build_args: Mapping[str, str]) -> Mounted:
    """A cache under the name that BUILDKIT_CACHE_MOUNT_NS gives it, so that builds that say otherwise share none."""
    namespace = build_args.get("BUILDKIT_CACHE_MOUNT_NS")
    if not namespace or not isinstance(mount, CacheMount):
        return mount
    return replace(mount, id=f"{namespace}/{mount.id}")


def _inside(path: str) -> str:
    """A path below its root, clean; "" is the root itself, and nothing leads above it."""
    return posixpath.normpath("/" + path).lstrip("/")
