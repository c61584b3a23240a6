"""Processes with their control groups that are made before their commands come, since entering groups takes long."""

from __future__ import annotations

import os
from _thread import LockType, allocate_lock
from contextlib import ExitStack, suppress
from pathlib import Path

from layers.quick import dataclass, field
from runner import devices, guard, masks, ulimits
from runner.capabilities import granted, mask
from runner.cgroups import Cgroup
from runner.errors import LimitUnavailable
from runner.hierarchy import Hierarchy, discover
from runner.ids import Ids, lines
from runner.job import START, Seed
from runner.limits import Limits
from runner.linux import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS
from runner.owners import nested
from runner.sandbox import Sandbox
from runner.spawner import Sown, Spawner

MOST = 2
"""Processes that wait for commands at most."""


@dataclass(frozen=True)
class Kind:
    """What a process must know before it is made; `network`: whose network namespace it shares, `ids`: its users."""

    limits: Limits
    namespaces: int
    time_offset: int | None
    network: int | None
    ids: Ids | None
    own_cgroups: bool
    companion: int | None
    rules: tuple[devices.Rule, ...]
    writable_sys: bool
    masked: tuple[bytes, ...]
    readonly: tuple[bytes, ...]
    capabilities: frozenset[str]

    @classmethod
    def of(cls, sandbox: Sandbox) -> Kind:
        """Of what a command shall become. Raises SandboxUnavailable for capabilities that we cannot give."""
        masked, readonly = masks.chosen(sandbox.mask, sandbox.unmask)
        rules = devices.allowing((*(device.rule for device in sandbox.devices), *sandbox.device_rules))
        return cls(
            sandbox.limits,
            _namespaces(sandbox),
            sandbox.time_offset,
            sandbox.network if isinstance(sandbox.network, int) else None,
            sandbox.userns,
            "cgroup" not in sandbox.shares,
            sandbox.companion,
            rules,
            sandbox.writable_sys,
            tuple(masked),
            tuple(readonly),
            granted(sandbox.capabilities),
        )


@dataclass(frozen=True)
class Spare:
    """A process with its control groups, made for commands of one kind, that waits for one.

    `capabilities` are those that it can have: who is not kept from opening devices may not make them.
    """

    kind: Kind
    cgroup: Cgroup
    guarded: bool
    capabilities: frozenset[str]
    sown: Sown

    def clear(self) -> None:
        """Take it away unused."""
        self.sown.drop()
        self.cgroup.remove()


@dataclass
class Spares:
    """The processes that wait; threads may share them."""

    spawner: Spawner
    waiting: list[Spare] = field(default_factory=list)
    _leaving: list[Cgroup] = field(default_factory=list)
    _turn: LockType = field(default_factory=allocate_lock)

    def take(self, kind: Kind) -> Spare:
        """One that is ready, or a new one."""
        with self._turn:
            for spare in self.waiting:
                if spare.kind == kind:
                    self.waiting.remove(spare)
                    return spare
        return self._make(kind)

    def prepare(self, kind: Kind, more: int) -> None:
        """Make ready for commands that will come: entering control groups takes the kernel longer than the rest.

        And take away what is left of those that have been; best called by who waits for one.
        """
        with self._turn:
            missing = min(more, MOST) - sum(spare.kind == kind for spare in self.waiting)
            leaving, self._leaving = self._leaving, []
        for _ in range(missing):
            spare = self._make(kind)
            with self._turn:
                self.waiting.append(spare)
        for cgroup in leaving:
            with suppress(OSError):  # the next start of pybuild tries again (`runner.sweep`)
                cgroup.remove()

    def met(self) -> tuple[int, int]:
        """Of the only one that waits: its number, if it has been made by now, else 0; and where to say WIRED."""
        with self._turn:
            return self.waiting[0].sown.met() if len(self.waiting) == 1 else (0, -1)

    def remove(self, cgroup: Cgroup, *, last: bool = False) -> None:
        """Take groups away: later while more is expected, for the kernel makes whoever does it wait.

        `last`: all who were inside have gone with their PID namespace, and we end soon; the spawner does it.
        """
        with self._turn:
            if later := bool(self.waiting):
                self._leaving.append(cgroup)
        if last and not later:
            cgroup.leave(self.spawner.clear)
        elif not later:
            cgroup.remove()

    def rest(self) -> None:
        """Let go of what was made ready for commands that did not come."""
        with self._turn:
            waiting, self.waiting = self.waiting, []
            leaving, self._leaving = self._leaving, []
        for spare in waiting:
            spare.clear()
        for cgroup in leaving:
            cgroup.remove()

    def _make(self, kind: Kind) -> Spare:
        with ExitStack() as undo, ExitStack() as sent:
            there = discover()
            ulimits.check_score(kind.limits.oom_score_adj)
            cgroup = Cgroup.create(kind.limits, there)
            undo.callback(cgroup.remove)
            guarded = bool(guard.restrict(cgroup.unified, cgroup.legacy.get("devices"), kind.rules))
            if not guarded and kind.rules != devices.DEFAULT:
                _unguarded(kind.rules)
            capabilities = kind.capabilities if guarded else kind.capabilities - {"MKNOD"}
            descriptors, words = membership(cgroup, sent)
            sown = self.spawner.sow(
                Seed(
                    kind=START,
                    namespaces=kind.namespaces,
                    uid_map=lines(kind.ids.uids) if kind.ids is not None else b"",
                    gid_map=lines(kind.ids.gids) if kind.ids is not None else b"",
                    time_offset=kind.time_offset,
                    cgroup_view=_cgroup_view(there, cgroup),
                    shares_network=kind.network is not None,
                    own_cgroups=kind.own_cgroups,
                    joins_others=_joined(kind),
                    oom_score_adj=kind.limits.oom_score_adj,
                    writable_sys=kind.writable_sys,
                    masked=[path for path in kind.masked if path.startswith(masks.KERNEL)],
                    readonly=list(kind.readonly),
                    bounding=mask(capabilities),
                    **words,
                ),
                [*descriptors, *(one for one in (kind.network, kind.companion) if one is not None)],
            )
            undo.pop_all()
            return Spare(kind, cgroup, guarded, capabilities, sown)


def _unguarded(rules: tuple[devices.Rule, ...]) -> None:
    """See that nobody gets more than was said. Raises LimitUnavailable.

    In a user namespace that stands for who is not root, nodes cannot be made, and the host's are opened with that
    person's rights: nothing has to be forbidden there but a part of a use.
    """
    part = next((one for one in rules if one not in devices.DEFAULT and not set("rw") <= set(one.access)), None)
    if not nested() or part is not None:
        what = "cannot be set by this process"
        fix = f"leave out that it may be opened for {part.access} only" if nested() and part else "leave devices out"
        raise LimitUnavailable("devices", "devices", what, fix)


def _namespaces(sandbox: Sandbox) -> int:
    kinds = CLONE_NEWNS
    for name, kind in (("pid", CLONE_NEWPID), ("ipc", CLONE_NEWIPC), ("uts", CLONE_NEWUTS)):
        kinds |= kind if name not in sandbox.shares else 0
    if sandbox.network == "none":
        kinds |= CLONE_NEWNET
    if sandbox.companion is not None:
        return kinds & ~CLONE_NEWPID
    if sandbox.userns is not None:
        kinds |= CLONE_NEWUSER
    return kinds


def _joined(kind: Kind) -> int:
    """The kinds of namespaces of its companion that it has."""
    if kind.companion is None:
        return 0
    return CLONE_NEWPID | (CLONE_NEWUSER if kind.ids is not None else 0)


def membership(group: Cgroup, sent: ExitStack) -> tuple[list[int], dict[str, object]]:
    """Descriptors by which a process enters the groups, and what a seed says of them."""
    descriptors = group.joins()
    for descriptor in descriptors:
        sent.callback(os.close, descriptor)
    words: dict[str, object] = {"joins": len(descriptors), "unified": group.unified is not None}
    if group.unified is not None:  # version 2: it is born inside
        unified = os.open(group.unified, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        sent.callback(os.close, unified)
        descriptors.append(unified)
    return descriptors, words


def _cgroup_view(there: Hierarchy, group: Cgroup) -> list[tuple[bytes, bytes, dict[bytes, bytes | None]]]:
    """What stands at /sys/fs/cgroup: the one tree of version 2, or a directory a hierarchy of version 1."""
    if there.is_unified:
        return [(b"", b"cgroup2", {})]
    by_place: dict[Path, list[str]] = {}
    for controller, path in there.legacy.items():
        by_place.setdefault(path, []).append(controller)
    return [
        (",".join(names).encode(), b"cgroup", {name.encode(): None for name in names})
        for names in by_place.values()
        if all(name in group.legacy for name in names)
    ]
