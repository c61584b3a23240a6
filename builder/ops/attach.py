"""RUN --mount: what the mounts of a step show is looked up before its key is known, and attached while it runs.

What comes from the context is made into a layer first, like a COPY into an empty image: so a command sees just what
its key covers, nothing that .dockerignore leaves out, and no file of the host. What comes from a step is a view of its
layers. Writes to either go to an overlay that is thrown away. Caches lie in the store, under a lock; secrets in memory,
in a file system that only this process and the command see; an agent is reached through a socket of our own.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import Cancelled, StepFailed
from builder.graph import Copy, Run, Step
from builder.mounts import CACHE_MODE, BindMount, CacheMount, SecretMount, SshMount, TmpfsMount
from builder.ops.select import MOUNTED, Item, Selection, Source, mounted
from builder.secrets import SecretUnreadable
from layers import Chain, Digest
from layers.disk.paths import encode
from layers.home.caches import Caches
from layers.quick import dataclass, field, replace
from runner import Mount

if TYPE_CHECKING:
    from builder.contexts.contexts import Contexts
    from builder.ops.run import Settings
    from builder.workbench import Workbench
    from layers import Store

GLANCE = 0.1
"""Seconds between two looks whether a cache is free."""
STRICTEST = ("locked", "private", "shared")
"""What counts for a cache that one RUN mounts several times."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a mount shows: `path`, without links, in the context or in the layers `chain`; and the digest of that.

    `source` is all of it, unless it was known already what there is; `context` is the name of the context.
    """

    path: str
    content: str
    chain: Chain | None = None
    source: Source | None = None
    context: str = ""


NOTHING = Shown("", "")
"""Of mounts that show nothing of the build's."""


def look(
    store: Store,
    step: Step,
    chains: Mapping[int, Chain],
    context: Contexts,
    need: Callable[[Chain], None],
) -> list[Shown]:
    """What each mount of a RUN shows; `need` has layers here. Raises ContextError for a source that is not there."""
    assert isinstance(step.op, Run)
    found = []
    for mount in step.op.mounts:
        if isinstance(mount, BindMount | CacheMount) and mount.origin is not None:
            found.append(_in_layers(store, step, mount, chains[mount.origin], need))
        else:
            found.append(_in_context(step, mount, context) if isinstance(mount, BindMount) else NOTHING)
    return found


def _in_context(step: Step, mount: BindMount, context: Contexts) -> Shown:
    files = context(mount.context)
    if files is None:
        help = "give the directory with the files instead of -"
        raise StepFailed(step.title, "this build has no files to mount", span=step.span, help=help)
    return replace(_seen(mounted(files, mount.source, step), None), context=mount.context)


def _in_layers(
    store: Store, step: Step, mount: BindMount | CacheMount, chain: Chain, need: Callable[[Chain], None]
) -> Shown:
    from builder.ops.origin import TreeOrigin

    # Layers never change, so what was read of them once need not be read again.
    key = f"mounted:{Digest.of(encode(f'{chain.id} {mount.source}')).hex}"
    record = store.records.find(key) if chain.diff_ids else None
    if record is None:
        need(chain)
        shown = _seen(mounted(TreeOrigin.of(store, chain), mount.source, step), chain)
        if chain.diff_ids:
            store.records.keep(key, {"path": shown.path, "content": shown.content}, chain.diff_ids[-1:])
        return shown
    return Shown(record.value["path"], record.value["content"], chain)


def _seen(source: Source, chain: Chain | None) -> Shown:
    first = source.items[0]
    assert isinstance(first, Item)
    return Shown(first.path, Selection((source,)).digest(), chain, source)


@dataclass(slots=True)
class Attached:
    """What a sandbox gets of its mounts."""

    mounts: list[Mount] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    """Variables that are set whatever the Dockerfile says."""
    agent: str = ""
    """SSH_AUTH_SOCK, unless the Dockerfile has set it."""


@dataclass(slots=True)
class Attaching:
    """The mounts of one step being made; all is undone by `undo`.

    `files` is a scratch directory of this step; `tell` takes what the user should know meanwhile.
    """

    bench: Workbench
    step: Step
    settings: Settings
    files: Path
    context: Contexts
    tell: Callable[[str], None]
    stop: threading.Event
    undo: ExitStack
    _memory: Path | None = None
    _made: dict[str, Digest] = field(default_factory=dict)
    _awaited: set[str] = field(default_factory=set)

    def attach(self, shown: Sequence[Shown]) -> Attached:
        """All of them. Raises StepFailed, ContextError, Cancelled."""
        op = self.step.op
        assert isinstance(op, Run)
        found = Attached()
        caches = self._caches(op, shown)
        for number, (mount, one) in enumerate(zip(op.mounts, shown, strict=True)):
            match mount:
                case BindMount(target, readonly=readonly):
                    found.mounts.append(Mount(target, self._bound(one, readonly=readonly), readonly=readonly))
                case CacheMount(target, readonly=readonly):
                    found.mounts.append(Mount(target, caches[number], readonly=readonly))
                case TmpfsMount(target, size, readonly):
                    found.mounts.append(Mount(target, kind="tmpfs", size=size, readonly=readonly))
                case SecretMount():
                    self._secret(mount, found)
                case SshMount():
                    self._agent(mount, found)
        return found

    # -- files of the build ----------------------------------------------------------------------

    def _bound(self, shown: Shown, *, readonly: bool) -> Path:
        """Where a bind's source is, as a directory or file that may be mounted."""
        chain, path = (shown.chain, shown.path) if shown.chain is not None else (self._layer(shown), MOUNTED)
        snapshots, ids = self.bench.store.snapshots, self.settings.footing.mapping
        if readonly:
            return self.undo.enter_context(snapshots.view(chain, ids=ids, original=True)) / path
        return self.undo.enter_context(snapshots.prepare(chain, ids=ids, original=True)).root / path

    def _layer(self, shown: Shown) -> Chain:
        """One layer that has what is shown as MOUNTED and nothing else."""
        from builder.ops.copy import copy
        from builder.ops.origin import TreeOrigin

        if shown.content not in self._made:
            store = self.bench.store
            origin = TreeOrigin.of(store, shown.chain) if shown.chain is not None else self.context(shown.context)
            assert origin is not None
            # With --parents it is another instruction than any COPY of the same files, which matters to `Last`.
            op = Copy((shown.path,), "/", parents=True, link=True, context=shown.context)
            selection = Selection((shown.source or mounted(origin, shown.path, self.step),))
            step, nothing = replace(self.step, op=op), store.tree(Chain(()))
            layer = copy(store, nothing, step, selection, anew=False, form=None)
            self._made[shown.content] = layer.diff_id
        return Chain((self._made[shown.content],))

    # -- caches ----------------------------------------------------------------------------------

    def _caches(self, op: Run, shown: Sequence[Shown]) -> dict[int, Path]:
        """The directories of the caches by the numbers of their mounts, taken in one order by all steps everywhere.

        So no two steps can wait for each other. One RUN gets one directory for each cache.
        """
        groups: dict[Digest, list[int]] = {}
        for number, mount in enumerate(op.mounts):
            if isinstance(mount, CacheMount):
                groups.setdefault(cache_key(mount, shown[number]), []).append(number)
        found: dict[int, Path] = {}
        for key in sorted(groups, key=str):
            mounts = [mount for number in groups[key] if isinstance(mount := op.mounts[number], CacheMount)]
            sharing = min((mount.sharing for mount in mounts), key=STRICTEST.index)
            first, one = mounts[0], shown[groups[key][0]]

            make = partial(self._fill, key=key, mount=first, shown=one)

            caches = Caches(self.bench.store)
            if self.settings.renewal is not None:
                self.settings.renewal.begin(caches, key)
            place = self.undo.enter_context(caches.use(key, first.id, sharing, make, partial(self._pause, first.id)))
            found.update(dict.fromkeys(groups[key], place))
        return found

    def _fill(self, path: Path, key: Digest, mount: CacheMount, shown: Shown) -> None:
        """Make a new cache."""
        if self.settings.mount_data is not None and self.settings.mount_data(path, key):
            return
        if shown.chain is None:
            path.mkdir()
            os.chmod(path, CACHE_MODE)
        else:
            from layers.snapshot.unpack import unpack

            store, layer = self.bench.store, self._layer(shown)
            whole = path.with_name("whole")
            whole.mkdir()
            with store.blobs.open(layer.diff_ids[0]) as raw:
                unpack(store.toc(layer.diff_ids[0]), raw, whole, overlay=False, below=store.tree(Chain()))
            if not (whole / MOUNTED).is_dir() or (whole / MOUNTED).is_symlink():
                what = f'"/{mount.source}" is no directory, so no cache can begin with it'
                raise StepFailed(self.step.title, what, span=self.step.span)
            os.rename(whole / MOUNTED, path)
            whole.rmdir()
        if mount.mode is not None:
            os.chmod(path, mount.mode)
        if mount.uid is not None or mount.gid is not None:
            os.chown(path, mount.uid or 0, mount.gid or 0)

    def _pause(self, name: str) -> None:
        if name not in self._awaited:
            self._awaited.add(name)
            self.tell(f"waiting for the cache {name}, which another step or build uses")
        if self.stop.wait(GLANCE):
            raise Cancelled("the build was stopped")

    # -- secrets and agents ----------------------------------------------------------------------

    def _secret(self, mount: SecretMount, found: Attached) -> None:
        secret = self.settings.secrets.get(mount.id)
        if secret is None:
            if mount.required:
                help = f"give it: --secret id={mount.id},src=FILE or --secret id={mount.id},env=VARIABLE"
                what = f"the secret {mount.id!r} is required and was not given"
                raise StepFailed(self.step.title, what, span=self.step.span, help=help)
            if mount.env:
                found.env[mount.env] = ""
            return
        try:
            data = secret.read(mount.id)
        except SecretUnreadable as error:
            raise StepFailed(self.step.title, str(error), span=self.step.span) from error
        if mount.env:
            if b"\0" in data:
                what = f"the secret {mount.id!r} has a NUL character, so it cannot be a variable: mount it as a file"
                raise StepFailed(self.step.title, what, span=self.step.span)
            found.env[mount.env] = os.fsdecode(data)
        if mount.target:
            path = self._room() / str(len(found.mounts))
            held = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(held, "wb") as file:
                file.write(data)
                # Moved by us: file systems in memory know mapped mounts since Linux 6.3.
                os.fchown(held, *self.settings.footing.outside(mount.uid, mount.gid))
                os.fchmod(held, mount.mode)
            found.mounts.append(Mount(mount.target, path, readonly=True, moved=True))

    def _room(self) -> Path:
        """A directory in memory."""
        if self._memory is None:
            from runner import mounts

            room = self.files / "memory"
            room.mkdir()
            mounts.memory(room)
            self.undo.callback(mounts.unmount, room)
            self._memory = room
        return self._memory

    def _agent(self, mount: SshMount, found: Attached) -> None:
        found.agent = found.agent or mount.target
        agent = self.settings.agents.get(mount.id)
        if agent is None:
            if mount.required:
                given = mount.id if mount.id == "default" else f"{mount.id}=SOCKET"
                what = f"the SSH agent {mount.id!r} is required and was not given"
                raise StepFailed(self.step.title, what, span=self.step.span, help=f"give it: --ssh {given}")
            return
        from builder.agents import AgentProxy

        path = self.files / f"agent.{len(found.mounts)}"
        self.undo.enter_context(AgentProxy(path, agent, mode=mount.mode, uid=mount.uid, gid=mount.gid))
        found.mounts.append(Mount(mount.target, path))


def cache_key(mount: CacheMount, shown: Shown) -> Digest:
    """What is one cache: the id, what it begins with, and whose it is. The name itself leads nowhere."""
    return Digest.of(json.dumps([mount.id, shown.content, mount.mode, mount.uid, mount.gid]).encode())


def cache_keys(op: Run, shown: Sequence[Shown]) -> dict[str, str]:
    """The keys of the caches that a RUN mounts, and their names."""
    return {
        cache_key(mount, one).hex: mount.id
        for mount, one in zip(op.mounts, shown, strict=True)
        if isinstance(mount, CacheMount)
    }
