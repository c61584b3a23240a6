"""A user namespace for a process that is not root, in which it is: then all else goes on as for root.

Root inside is the user who began it; other numbers are the user's subordinate ids (subuid(5)), given by newuidmap(1)
and newgidmap(1), or there are none. All processes of a user share one namespace, so that they can look after each
other's containers: whoever comes joins a living one, and the kernel takes it away with the last. Who lives is known by
locks (flock(2)) on files in the runtime directory, so nothing has to run in between.
"""

import atexit
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from runner.errors import SandboxUnavailable
from runner.linux import CLONE_NEWUSER, has_threads, setns, unshare

OWNER = "PYBUILD_ROOTLESS_UID"
"""The variable that tells our own further processes that they are inside, and whose."""
GROUP = "PYBUILD_ROOTLESS_GID"
"""The same of the group."""
WANTED = "PYBUILD_ROOTLESS_WANTED"
"""The variable that tells a process of ours by which map it shall stand (`runner.remap`)."""
STANDING = "PYBUILD_ROOTLESS_STANDING"
"""The same, when it does."""
RUNTIME = "/run/user"
"""Where logind makes each user a runtime directory, also for those who are not told of it."""
LAST = "/tmp/pybuild"
"""Where there is none, its number follows."""
NS_GET_PARENT = 0xB702
LARGEST = 1 << 16
"""Bytes of what a process says of itself."""
TOOLS = ("newuidmap", "newgidmap")
PLACES = (Path("/etc/subuid"), Path("/etc/subgid"))
_held: dict[Path, int] = {}
"""The file by which this process is found."""


def enter() -> None:
    """Be root in a user namespace, unless this process is root already; before threads start.

    Raises SandboxUnavailable where that cannot be.
    """
    uid, gid = os.geteuid(), os.getegid()
    inside = uid == 0 and OWNER in os.environ
    if _held or STANDING in os.environ or (uid == 0 and not inside):
        return
    if not inside and has_threads():
        raise SandboxUnavailable("who is not root must enter a user namespace before threads start", "do that first")
    folder = _folder(int(os.environ[OWNER]) if inside else uid)
    turn = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not inside:
            if os.path.isabs(home := os.path.expanduser("~")):  # who we are is looked up by number
                os.environ.setdefault("HOME", home)
            if not _join(folder):
                _make(uid, gid)
            os.environ.update({OWNER: str(uid), GROUP: str(gid)})
        _register(folder)
        if WANTED in os.environ:
            from runner import remap

            remap.descend()
    finally:
        os.close(turn)


def owner() -> int | None:
    """The user outside, if this process is root only in such a namespace."""
    return int(os.environ[OWNER]) if OWNER in os.environ else None


def group() -> int:
    """The group outside of that user."""
    return int(os.environ[GROUP])


def standing() -> bool:
    """Whether this process stands by a map other than the usual one (`runner.remap`)."""
    return STANDING in os.environ


def folder() -> Path:
    """Where the processes of that user find each other."""
    user = owner()
    return next(iter(_held)).parent if _held else _folder(os.geteuid() if user is None else user)


def join(standing: str) -> bool:
    """Say that we stand by a map of our own (`runner.remap`), and enter the namespace of a living process with it."""
    ((path, held),) = _held.items()
    os.write(held, standing.encode())
    return _join(path.parent, standing)


def alone() -> bool:
    """Whether there is no number but the user's own, so that nothing can belong to anybody else."""
    return Path("/proc/self/uid_map").read_text().split()[2:] == ["1"]


def promised() -> bool:
    """Whether a namespace that were made now would have subordinate ids."""
    user = owner()
    return user is not None and bool(_maps(user, group()))


def subordinate(text: str, name: str, number: int) -> list[tuple[int, int]]:
    """The ranges (first, count) of a user in a subuid or subgid file."""
    found = []
    for line in text.splitlines():
        who, _, rest = line.strip().partition(":")
        first, _, count = rest.partition(":")
        if who in (name, str(number)) and first.isdigit() and count.isdigit() and int(count):
            found.append((int(first), int(count)))
    return found


def taken(text: str) -> list[tuple[int, int]]:
    """The ranges (first, end) that such a file gives to anybody."""
    words = (line.strip().split(":") for line in text.splitlines())
    return [(int(one[1]), int(one[1]) + int(one[2])) for one in words if len(one) == 3 and (one[1] + one[2]).isdigit()]


def _folder(uid: int) -> Path:
    """Where processes of a user find each other: ours alone, whoever else may write where it lies."""
    places = (os.environ.get("XDG_RUNTIME_DIR", ""), f"{RUNTIME}/{uid}")  # su, sudo and cron do not tell
    given = next((place for place in places if _is_own(place)), "")
    folder = Path(given, "pybuild") if given else Path(f"{LAST}-{uid}")
    try:
        folder.mkdir(0o700)
    except FileExistsError:
        pass
    except OSError as problem:
        what = f"{folder} cannot be made ({problem.strerror})"
        raise SandboxUnavailable(what, "set XDG_RUNTIME_DIR to a directory of yours") from None
    status = folder.lstat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o777777 != 0o040700:
        raise SandboxUnavailable(
            f"{folder} is not a directory of yours alone", "remove it, or set XDG_RUNTIME_DIR to a directory of yours"
        )
    return folder


def _is_own(place: str) -> bool:
    return os.path.isabs(place) and os.access(place, os.W_OK) and os.stat(place).st_uid == os.geteuid()


def _register(folder: Path) -> None:
    """Be found by others, for as long as this process lives."""
    path = folder / str(os.getpid())
    held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)
    os.ftruncate(held, 0)
    _held[path] = held
    atexit.register(path.unlink, missing_ok=True)


def vouch(pid: int, began: int) -> None:
    """Let others find the namespace through a process that is none of ours, for as long as that lives.

    It is there or in one that was made there, and `began` as `runner.inside` says.
    """
    apart = os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")
    _vouched(pid, began).write_text("apart" if apart else "")


def unvouch(pid: int, began: int) -> None:
    """It has ended: nobody needs to find that out."""
    _vouched(pid, began).unlink(missing_ok=True)


def _vouched(pid: int, began: int) -> Path:
    return folder() / f"{pid}-{began}"


def _join(folder: Path, standing: str = "") -> bool:
    """Enter the namespace of a living process, the usual one or that of a map; the files of dead ones go."""
    for name in os.listdir(folder):
        pid, _, since = name.partition("-")
        if not pid.isdigit() or name == str(os.getpid()):
            continue
        try:
            held = os.open(folder / name, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            if since and _lives(pid, since):
                raise BlockingIOError  # as if it had locked it
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(folder / name)
        except BlockingIOError:
            with suppress(OSError):  # it has just ended, or is in another PID namespace
                where = os.pread(held, LARGEST, 0).decode()
                if standing and where != standing:
                    continue
                theirs = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    if where and not standing:  # theirs lies inside the usual one
                        usual = fcntl.ioctl(theirs, NS_GET_PARENT)
                        os.close(theirs)
                        theirs = usual
                    setns(theirs, CLONE_NEWUSER)
                    return True
                finally:
                    os.close(theirs)
        finally:
            os.close(held)
    return False


def _lives(pid: str, since: str) -> bool:
    from runner.inside import began

    return since == str(began(int(pid)))


def _make(uid: int, gid: int) -> None:
    """Make the namespace; only somebody outside may give it more numbers than our own, so a child waits for it."""
    maps = _maps(uid, gid)
    ready, told = os.pipe()
    said, says = os.pipe()
    child = os.fork() if maps else 0
    if maps and child == 0:
        os.close(told)
        os.dup2(says, 2)
        if os.read(ready, 1) == b"1":
            for words in maps:
                if code := os.spawnv(os.P_WAIT, words[0], words):
                    os._exit(code if code > 0 else 1)
        os._exit(0)
    os.close(says)
    try:
        unshare(CLONE_NEWUSER)
        if maps:
            os.write(told, b"1")
        else:
            for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
                Path(f"/proc/self/{name}").write_text(text)
    except OSError as problem:
        what = f"this machine lets nobody but root make a user namespace ({problem.strerror})"
        fix = "look at the sysctls user.max_user_namespaces, kernel.unprivileged_userns_clone and "
        raise SandboxUnavailable(
            what, fix + "kernel.apparmor_restrict_unprivileged_userns; or run as root"
        ) from problem
    finally:
        for descriptor in (ready, told):
            os.close(descriptor)
        with os.fdopen(said, "rb") as answer:
            why = answer.read().decode(errors="replace").strip()
        failed = maps and os.waitpid(child, 0)[1]
    if failed:
        what = why or "newuidmap or newgidmap failed"
        fix = f"look at {PLACES[0]} and {PLACES[1]}, and whether newuidmap and newgidmap are setuid root"
        raise SandboxUnavailable(what, fix)


def _maps(uid: int, gid: int) -> list[list[str]]:
    """The commands that give us our numbers and the subordinate ones; nothing where there are none."""
    import pwd

    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    commands = []
    for tool, place, own in zip(TOOLS, PLACES, (uid, gid), strict=True):
        program = next((path for path in _candidates(tool) if os.access(path, os.X_OK)), "")
        try:
            ranges = subordinate(place.read_text(errors="replace"), name, uid)
        except OSError:
            ranges = []
        if not program or not ranges:
            return []
        words, inside = [program, str(os.getpid()), "0", str(own), "1"], 1
        for first, count in ranges:
            words += [str(inside), str(first), str(count)]
            inside += count
        commands.append(words)
    return commands


def _candidates(tool: str) -> list[str]:
    return [os.path.join(folder, tool) for folder in (*os.get_exec_path(), "/usr/bin", "/usr/sbin") if folder]
