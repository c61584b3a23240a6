"""Other numbers for who is not root: containers that know users otherwise than the usual user namespace does.

Nothing shows the files of a disk with other owners than they have to who is not root. So whoever looks after such a
container stands in a further user namespace, inside the usual one (`runner.rootless`), with the container's own map:
there owners are what the container knows, in its layers too, which are unpacked once more for it. Numbers of ours that
the map leaves out lie beyond its own, so that the store can be reached; the container's processes do not have them.
"""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from runner import rootless
from runner.errors import SandboxUnavailable
from runner.ids import MOST, Ids, Range, Ranges, lines, read, through, turned
from runner.linux import CLONE_NEWUSER, call, unshare
from runner.rootless import STANDING, WANTED

CAPABILITY = "security.capability"
SUBORDINATE = "install uidmap, and add a line such as NAME:100000:65536 to /etc/subuid and /etc/subgid"


def needed(ids: Ids | None) -> bool:
    """Whether this process should stand elsewhere to look after a container of this map."""
    return ids is not None and not ids.is_auto and rootless.owner() is not None and standing() != ids


def environment(ids: Ids) -> dict[str, str]:
    """What a process of ours is begun with, to stand by a map."""
    return {**os.environ, WANTED: _text(ids)}


def standing() -> Ids | None:
    """The map that this process stands by, if it is not the usual one."""
    return Ids.from_json(json.loads(os.environ[STANDING])) if STANDING in os.environ else None


def inner(ids: Ids) -> Ids | None:
    """The numbers that a container may have of those that this process stands by; None for all of them."""
    whole = sum(one.size for one in _map("uid")), sum(one.size for one in _map("gid"))
    if whole == (sum(one.size for one in ids.uids), sum(one.size for one in ids.gids)):
        return None
    uids, gids = (tuple(Range(one.inside, one.inside, one.size) for one in kind) for kind in (ids.uids, ids.gids))
    return Ids(uids, gids)


def own() -> tuple[int, int]:
    """The numbers here of who began it, to whom files outside of the store shall belong."""
    ids = standing()
    if ids is None:
        return 0, 0
    user, group = rootless.owner(), rootless.group()
    assert user is not None
    return _beside(_map("uid"), ids.uids, user), _beside(_map("gid"), ids.gids, group)


def hand_over(path: Path) -> None:
    """Let a file, or all in a directory, that belongs to root here belong to who began us; no link is followed."""
    _give(path.name, os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), own())
    if path.is_dir() and not path.is_symlink():
        for _, folders, files, held in os.fwalk(path):
            for name in (*folders, *files):
                _give(name, os.dup(held), own())


def _give(name: str, folder: int, to: tuple[int, int]) -> None:
    """One entry of a folder, whose descriptor is closed; what a change of owner takes from a file it gets back."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        uid, gid = (new if old == 0 else -1 for new, old in zip(to, (status.st_uid, status.st_gid), strict=True))
        if (uid, gid) == (-1, -1):
            return
        if not stat.S_ISREG(status.st_mode):
            os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)
            return
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            rights = os.getxattr(file, CAPABILITY) if CAPABILITY in os.listxattr(file) else None
            os.fchown(file, uid, gid)
            os.fchmod(file, stat.S_IMODE(status.st_mode))
            if rights is not None:
                os.setxattr(file, CAPABILITY, rights)
        finally:
            os.close(file)
    finally:
        os.close(folder)


@contextmanager
def oneself() -> Iterator[None]:
    """While inside, this thread alone is who began it, as those outside see it whom it speaks to (SO_PEERCRED)."""
    if standing() is None:
        yield
        return
    user, _ = own()
    call("setresuid", -1, user, -1)
    try:
        yield
    finally:
        call("setresuid", -1, 0, -1)


def keep_id() -> Ids:
    """The map by which who is not root keeps their number, and everybody else has one of the subordinate ids.

    Raises SandboxUnavailable without such.
    """
    if (ids := standing()) is not None:  # it was found where it can be
        return ids
    if rootless.alone():
        raise SandboxUnavailable("--userns keep-id needs numbers beside your own", SUBORDINATE)
    user = rootless.owner()
    assert user is not None
    return Ids(_keeping(_map("uid"), user), _keeping(_map("gid"), rootless.group()))


def check(ids: Ids) -> Ids:
    """See that all numbers on the host are ours to give. Raises SandboxUnavailable."""
    if standing() is None:
        for kind, ranges in (("uid", ids.uids), ("gid", ids.gids)):
            _ours(kind, ranges)
    return ids


def descend() -> None:
    """Stand by the map that is wanted; in the usual namespace, before threads. Raises SandboxUnavailable."""
    from runner import envoy

    text = os.environ.pop(WANTED)
    envoy.leave_behind()
    ids = Ids.from_json(json.loads(text))
    maps = {f"{kind}_map": lines(_whole(kind, ranges)) for kind, ranges in (("uid", ids.uids), ("gid", ids.gids))}
    os.environ[STANDING] = text
    if not rootless.join(text):
        _make(maps)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _make(maps: Mapping[str, bytes]) -> None:
    """A new namespace; whoever is outside of it, in ours, writes its map."""
    ready, told = os.pipe()
    place = f"/proc/{os.getpid()}"
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(told)
            if os.read(ready, 1) == b"1":
                for name, text in maps.items():
                    Path(place, name).write_bytes(text)
                code = 0
        finally:
            os._exit(code)
    try:
        unshare(CLONE_NEWUSER)
        os.write(told, b"1")
    except OSError as problem:
        what = f"a user namespace for these numbers cannot be made ({problem.strerror})"
        raise SandboxUnavailable(what, "look at the sysctl user.max_user_namespaces") from problem
    finally:
        os.close(ready)
        os.close(told)
        failed = os.waitpid(child, 0)[1]
    if failed:
        raise SandboxUnavailable("the kernel takes no such map of users", "give it fewer or longer ranges")


def _text(ids: Ids) -> str:
    return json.dumps({"uids": ids.uids, "gids": ids.gids, "lenient": False})


def _map(kind: str) -> Ranges:
    """Of this process: from its numbers to those around its namespace."""
    return read(Path(f"/proc/self/{kind}_map").read_text())


def _keeping(ours: Ranges, number: int) -> Ranges:
    """As podman maps them: all numbers of ours in order, but one's own at its own place."""
    others = sum(one.size for one in ours) - 1
    below = min(number, others)
    moved = [Range(0, 1, below)] if below else []
    moved.append(Range(number, 0, 1))
    if others > number:
        moved.append(Range(number + 1, number + 1, others - number))
    return through(tuple(moved), ours)


def _ours(kind: str, ranges: Ranges) -> Ranges:
    """The ranges with our own numbers instead of the host's. Raises SandboxUnavailable."""
    ours = _map(kind)
    try:
        return through(ranges, turned(ours))
    except KeyError as problem:
        have = ", ".join(
            f"{one.outside}" + (f" to {one.outside + one.size - 1}" if one.size > 1 else "") for one in ours
        )
        what = f"number {problem.args[0]} of the host is not yours: as {kind} you have {have}"
        raise SandboxUnavailable(what, SUBORDINATE if len(ours) == 1 else "map these only") from None


def _whole(kind: str, ranges: Ranges) -> Ranges:
    """The map of the further namespace: what was asked for, then what is left of ours."""
    asked = _ours(kind, ranges)
    after = max(one.inside + one.size for one in asked)
    left: list[Range] = []
    at, end = 0, sum(one.size for one in _map(kind))
    for one in sorted((*asked, Range(0, end, 1)), key=lambda one: one.outside):
        if one.outside > at:
            left.append(Range(after, at, one.outside - at))
            after += one.outside - at
        at = one.outside + one.size
    if after > MOST:
        raise SandboxUnavailable("the map leaves no numbers for the store's files", "map smaller numbers")
    lines = tuple(Range(one.inside, one.inside, one.size) for one in _map(kind))
    return through((*asked, *left), lines)  # the kernel wants each line within one of the map around


def _beside(here: Ranges, ids: Ranges, number: int) -> int:
    """The number here of one of the host: in the container's map, or beyond it."""
    for one in ids:
        if 0 <= number - one.outside < one.size:
            return one.inside + number - one.outside
    return next(one.inside - one.outside for one in here if one.outside == 0)  # 0 around us is who began it
