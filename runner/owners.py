"""Whether, and by what, files can be shown to a user namespace with the owners that they have on disk."""

from __future__ import annotations

import errno
import os
from _thread import LockType, allocate_lock
from functools import cache
from pathlib import Path

from layers.quick import dataclass, field, replace
from runner.errors import SandboxBroken, SandboxUnavailable, SpawnerLost
from runner.files import text
from runner.ids import ALL, Ids, for_mounts, lines, read
from runner.rootless import STANDING, alone, promised

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from runner.spawner import Sown, Spawner

SCARCE = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
"""What the kernel says when there is too little of something at the moment."""
EMPTY = frozenset({"/proc/sys/fs/binfmt_misc", "/proc/fs/nfsd"})
"""Where something may be mounted below /proc without hiding anything of it."""


@dataclass(frozen=True)
class Footing:
    """What was settled: the numbers of users, None for the host's; what maps mounts; and why it is less than asked."""

    ids: Ids | None = None
    mapping: int | None = None
    why: str = ""

    def outside(self, uid: int, gid: int) -> tuple[int, int]:
        """The numbers on the host of somebody inside. Raises KeyError for who has none."""
        return (uid, gid) if self.ids is None else self.ids.outside(uid, gid)


@dataclass
class Owners:
    """The user namespaces by which mounts of this process are mapped, each made once; threads may share one."""

    spawner: Spawner
    _asked: dict[Ids, Sown] = field(default_factory=dict)
    _made: dict[Ids, int] = field(default_factory=dict)
    _settled: dict[tuple[Ids, Path], Footing] = field(default_factory=dict)
    _turn: LockType = field(default_factory=allocate_lock)

    def ask(self, ids: Ids | None) -> None:
        """Have made what `mapping` will give, and do not wait for it. Raises SandboxUnavailable."""
        if ids is None or not ids.moves:
            return
        key = replace(ids, lenient=False)
        with self._turn:
            if key not in self._made and key not in self._asked:
                self._asked[key] = self._ask(key)

    def mapping(self, ids: Ids | None) -> int | None:
        """A namespace for idmapped mounts, if anybody has another number outside. The descriptor stays ours."""
        if ids is None or not ids.moves:
            return None
        key = replace(ids, lenient=False)
        with self._turn:
            if key not in self._made:
                self._made[key] = (self._asked.pop(key, None) or self._ask(key)).namespace()
            return self._made[key]

    def _ask(self, ids: Ids) -> Sown:
        return self.spawner.map(lines(for_mounts(ids.uids)), lines(for_mounts(ids.gids)))

    def presume(self, ids: Ids | None, place: Path) -> Ids | None:
        """The numbers that `settle` will most likely come to, found without waiting."""
        if ids is None or nested() or STANDING in os.environ or (ids, place) in self._settled:
            return self.settle(ids, place).ids
        return ids

    def settle(self, ids: Ids | None, place: Path) -> Footing:
        """What can be had of `ids` for files on the disk of `place`, found once by trying.

        Raises SandboxUnavailable if it is nothing, and not `lenient`; SpawnerLost, SandboxBroken, OSError if somebody
        was killed or there is too little of something, which says nothing of what can be had: walls are not left out
        for that.
        """
        if ids is not None and STANDING in os.environ:
            from runner import remap

            if ids == remap.standing():
                return Footing(remap.inner(ids))
        if ids is None or (nested() and ids.is_auto):  # in one already
            return Footing(why=_single())
        if (ids, place) not in self._settled:
            try:
                self._try(ids, place)
                found = Footing(ids, self.mapping(ids))
            except SandboxUnavailable as problem:
                if not ids.lenient or isinstance(problem, SpawnerLost):
                    raise
                found = Footing(why=f"there is no user namespace: {problem}")
            self._settled[ids, place] = found
        return self._settled[ids, place]

    def _try(self, ids: Ids, place: Path) -> None:
        from runner import mounts  # which asks us

        if nested():
            what = "whoever is not root on the host is in a user namespace of their own already"
            raise SandboxUnavailable(what, "a build cannot have yet other owners there: leave --userns out")
        if hidden := covered(text("/proc/self/mountinfo")):
            what = f"a user namespace can have no /proc of its own, as {hidden} is hidden here"
            raise SandboxUnavailable(what, "--userns host does without")
        try:
            mapping = self.mapping(ids)
        except SandboxBroken as problem:
            if problem.errno in SCARCE:
                raise
            fix = "allow it (sysctl user.max_user_namespaces), or use --userns host"
            raise SandboxUnavailable("this machine makes no user namespaces", fix) from problem
        if mapping is None:
            return
        try:
            mounts.prove(place, mapping)
        except OSError as problem:
            if problem.errno in SCARCE:
                raise
            what = f"the file system of {place} cannot show its files with other owners (idmapped mounts)"
            raise SandboxUnavailable(what, "--userns host does without; or put the store elsewhere") from problem


@cache
def nested() -> bool:
    """Whether this process is in a user namespace; asked after it has entered its own (`runner.rootless`)."""
    return read(text("/proc/self/uid_map")) != ALL


def _single() -> str:
    """What it means to have one number only."""
    if not nested() or not alone():
        return ""
    if promised():
        why = "your containers that run were begun when you had no subordinate ids, and share what they have"
        return f"all files belong to root inside, who is you: {why}; stop them first"
    help = "install uidmap, and add a line such as NAME:100000:65536 to /etc/subuid and /etc/subgid"
    return f"all files belong to root inside, who is you: you have no subordinate ids; {help}"


def covered(mountinfo: str) -> str:
    """What of /proc is hidden by mounts; the kernel then gives user namespaces none (mount_too_revealing)."""
    points = (line.split(" ")[4] for line in mountinfo.splitlines())
    return next((point for point in points if point.startswith("/proc/") and point not in EMPTY), "")
