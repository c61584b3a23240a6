"""Cache keys and what is kept under them.

A key covers what decides a step's result and nothing else: the layers below (by content, so a step that ran again and
made the same bytes leaves its children cached), the operation, and the digests of the files it reads. The parts are
kept beside the record, so that a miss can name the first one that differs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from builder.graph import Copy, Mkdir, Run, Step
from builder.mounts import BindMount, CacheMount, Mounted, SecretMount, SshMount, TmpfsMount
from layers import Chain, Digest
from layers.quick import asdict, dataclass
from runner import Usage

if TYPE_CHECKING:
    from layers import NewLayer, Record, Store

FORMAT = 3
"""Counts up whenever a step's result changes for the same inputs; older records are then never found."""


ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False)
LONGEST = 500
"""Characters of a part that are kept as they are; of a longer one the digest."""


@dataclass(frozen=True, slots=True)
class Key:
    """The name of a result, and what went into it."""

    text: str
    parts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Where:
    """Where a step stands, so that it is known again when it has changed.

    home: the directory and the Dockerfile of the build; of the stage, its place there, and the words of the step.
    base: the image that it stands on directly, as `name@digest`.
    """

    home: str = ""
    stage: str = ""
    position: int = 0
    title: str = ""
    base: str = ""
    arguments: tuple[str, ...] = ()
    """Which of its variables are build arguments."""

    @property
    def id(self) -> str:
        """A short name for the instruction."""
        text = json.dumps([self.home, self.stage, self.title])
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


NOWHERE = Where()


@dataclass(frozen=True, slots=True)
class Kept:
    """A result that was found: the layer, when it was made (RFC 3339), what making it took.

    `line` is where the step stood in a Dockerfile (`name:line`) when it was last built, `made` when this store learnt
    of it (seconds since the epoch).
    """

    diff_id: Digest
    size: int
    created: str
    seconds: float
    usage: Usage | None
    line: str
    made: float = 0.0

    @property
    def layer(self) -> NewLayer:
        """Its layer as one that was just made."""
        from layers import NewLayer

        return NewLayer(self.diff_id, self.size)


def run_key(below: Chain, op: Run, step: Step, shown: Sequence[str] = (), time: str = "", *, host: bool = False) -> Key:
    """Of a RUN: neither proxies nor limits nor the addresses of extra hosts count, as with BuildKit.

    `shown` are digests of what each mount shows, "" for those that show nothing of the build's. What a cache has
    kept and what a secret says count for nothing. `time` is what is asked of the times of files, as in all keys.
    host: its root is the host's, who makes device nodes where others are refused.
    """
    mounts = [_mount(mount, content) for mount, content in zip(op.mounts, shown, strict=True)]
    return _key(
        "run",
        below,
        step,
        args=list(op.args),
        env=dict(sorted(op.env.items())),
        cwd=op.cwd,
        user=op.user,
        network="none" if op.network == "none" else "host",  # which one it is decides nothing that can be known
        hosts=[name for name, _ in op.hosts],
        script=op.script.body if op.script else None,
        **({"mounts": mounts} if mounts else {}),
        **timed(time),
        **({"security": "insecure"} if op.insecure else {"users": "host"} if host else {}),
        **({"devices": [device.full for device in op.devices]} if op.devices else {}),
    )


def _mount(mount: Mounted, content: str) -> list[object]:
    """What of a mount decides a result: its kind and place, and what it shows; a source counts by its content."""
    match mount:
        case BindMount(target, readonly=readonly):
            return ["bind", target, readonly, content]
        case CacheMount(target, readonly=readonly):
            return ["cache", target, readonly, content]
        case TmpfsMount(target, readonly=readonly):
            return ["tmpfs", target, readonly]
        case SecretMount(id, target, env):
            return ["secret", target, id, env, mount.mode, mount.uid, mount.gid]
        case SshMount(id, target):
            return ["ssh", target, id, mount.mode, mount.uid, mount.gid]


def mkdir_key(below: Chain, op: Mkdir, step: Step, time: str = "") -> Key:
    """Of a WORKDIR."""
    return _key("mkdir", below, step, path=op.path, user=op.user, **timed(time))


def copy_key(below: Chain, op: Copy, step: Step, content: str, time: str = "") -> Key:
    """Of a COPY or ADD: `content` is the digest of the files that it puts down, times not counted."""
    return _key(
        "copy",
        below,
        step,
        content=content,
        dest=op.dest,
        chown=op.chown,
        chmod=op.chmod,
        unpack=[op.unpack if one is None else op.unpack_fetched for one in op.fetched] or op.unpack,
        parents=op.parents,
        link=op.link,
        **timed(time),
    )


def timed(time: str) -> dict[str, str]:
    """The part of a key that says something about times, if anything does."""
    return {"time": time} if time else {}


def _key(kind: str, below: Chain, step: Step, **parts: Any) -> Key:
    named = {"kind": kind, "below": str(below.id or ""), "platform": str(step.platform), **parts}
    text = ENCODER.encode([FORMAT, named]).encode("utf-8", "surrogateescape")
    return Key(f"step:{hashlib.sha256(text).hexdigest()}", named)


def shortened(value: Any) -> Any:
    """A part of a key as it is kept: long texts in it by their digests."""
    if isinstance(value, str) and len(value) > LONGEST:
        return f"sha256:{hashlib.sha256(value.encode('utf-8', 'surrogateescape')).hexdigest()}"
    if isinstance(value, Mapping):
        return {key: shortened(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [shortened(one) for one in value]
    return value


def find(store: Store, key: Key) -> Kept | None:
    """What is kept under a key, if its layer is here."""
    record = store.records.find(key.text)
    return None if record is None else kept(record)


def kept(record: Record) -> Kept:
    """What a record says."""
    value = record.value
    usage = value.get("usage")
    return Kept(
        Digest.parse(value["diff_id"]),
        int(value["size"]),
        value["created"],
        float(value["seconds"]),
        Usage.read(usage) if usage else None,
        value.get("line", ""),
        record.made,
    )


def where_of(record: Record) -> Where:
    """Where the step of a record stood."""
    told = record.value.get("where", {})
    return Where(**{**told, "arguments": tuple(told.get("arguments", ()))})


def keep(
    store: Store,
    key: Key,
    layer: NewLayer,
    where: Where = NOWHERE,
    *,
    created: str,
    seconds: float,
    usage: Usage | None,
    line: str,
) -> None:
    """Remember a result."""
    value = {
        "diff_id": str(layer.diff_id),
        "size": layer.size,
        "created": created,
        "seconds": round(seconds, 6),
        "usage": asdict(usage) if usage else None,
        "parts": shortened(key.parts),
        "line": line,
        "where": shortened({name: value for name, value in asdict(where).items() if value}),
    }
    store.records.keep(key.text, value, [layer.diff_id])


def move(store: Store, lines: Mapping[str, str]) -> None:
    """Note that the steps of records, by key, stand elsewhere now."""
    found = {key: record for key in lines if (record := store.records.known(key)) is not None}
    store.records.amend({key: {**record.value, "line": lines[key]} for key, record in found.items()})


def usages(store: Store, diff_ids: Iterable[Digest]) -> dict[Digest, Usage]:
    """What the commands used that made those of these layers that were built here."""
    found = {}
    for diff_id in diff_ids:
        for record in store.records.on(diff_id):
            if record.key.startswith("step:") and (usage := record.value.get("usage")):
                found[diff_id] = Usage.read(usage)
    return found


def lines(store: Store, diff_ids: Iterable[Digest]) -> dict[Digest, str]:
    """Where in a Dockerfile (`name:line`) those of these layers that were built here stood, when last built."""
    found = {}
    for diff_id in diff_ids:
        for record in store.records.on(diff_id):
            if record.key.startswith("step:") and (line := record.value.get("line")):
                found[diff_id] = line
    return found
