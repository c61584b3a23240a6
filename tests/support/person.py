"""A person who is not root, with an account of the test's own: it is written into files that only its processes see.

`python -m tests.support.person UID SUBORDINATES COMMAND…` becomes that person, in a mount namespace where /etc/passwd
knows them, /etc/subuid and /etc/subgid give them so many subordinate ids, /dev/net/tun can be opened, and the
interpreter and this tree can be reached wherever they lie. Nothing of the host is changed, and nothing is left.
"""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner.linux import (
    AT_FDCWD,
    CLONE_NEWNS,
    MS_PRIVATE,
    MS_REC,
    attach,
    copy_mount,
    mount,
    new_mount,
    unshare,
)
from tests.support.bases import DOCKERFILES, rootfs
from tests.support.command import PROGRAM, Pybuild

NAME = "person"
FIRST = 700_000
"""Their first subordinate id."""
TUN = "/dev/net/tun"
TREE = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Person(Pybuild):
    """`pybuild` as they would call it; `root` is the store in their home."""

    home: Path = field(kw_only=True)
    uid: int = 4321
    subordinates: int = 65536

    @classmethod
    def settle(cls, home: Path, *, uid: int = 4321, subordinates: int = 65536) -> "Person":
        """Give them a home: a new directory below one that everybody may pass."""
        home.mkdir(0o700)
        (home / "run").mkdir(0o700)
        for path in (home, home / "run"):
            os.chown(path, uid, uid)
        return cls(home / ".local/share/pybuild", home=home, uid=uid, subordinates=subordinates)

    def command(self, *args: str | Path) -> list[str]:
        return self.words(PROGRAM, *args)

    def words(self, *command: str | Path) -> list[str]:
        """The argument list that runs any program as this person; `prefix` runs all of it."""
        numbers = (str(self.uid), str(self.subordinates))
        return [*self.prefix, sys.executable, "-m", "tests.support.person", *numbers, *map(str, command)]

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        own = {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.home / "run"), "NO_COLOR": "1"}
        return {**kept, **own, "PYTHONPATH": str(TREE), "PYTHONDONTWRITEBYTECODE": "1", **self.env}

    def base(self, name: str = "busybox") -> None:
        """Build one of the examples' base images in this store, from a copy that they may read."""
        context = self.home / "bases" / name
        context.mkdir(parents=True, exist_ok=True)
        shutil.copy(rootfs(name), context / "rootfs.tar")
        tag = "latest" if name == "busybox" else "bookworm"
        self("build", "-q", "-t", f"{name}:{tag}", "-f", DOCKERFILES / name / "Dockerfile", context)

    def says(self, *command: str | Path, stdin: str = "") -> str:
        """What a program says that they run."""
        return subprocess.run(
            self.words(*command), env=self.environment, input=stdin, stdout=subprocess.PIPE, text=True, check=True
        ).stdout


def become(uid: int, subordinates: int) -> None:
    """Be that person, in this process."""
    unshare(CLONE_NEWNS)
    mount(None, b"/", None, MS_REC | MS_PRIVATE)
    lines = {
        "passwd": f"{NAME}:x:{uid}:{uid}::{os.environ['HOME']}:/bin/sh\n",
        "group": f"{NAME}:x:{uid}:\n",
        "subuid": f"{NAME}:{FIRST}:{subordinates}\n" if subordinates else "",
        "subgid": f"{NAME}:{FIRST}:{subordinates}\n" if subordinates else "",
    }
    made = new_mount(b"tmpfs", {b"mode": b"755"})
    attach(made, AT_FDCWD, b"/mnt")  # only what is attached can be copied by Linux before 6.15
    for name, line in lines.items():
        place = Path("/etc", name)
        text = place.read_text() if place.exists() and not name.startswith("sub") else ""
        with open(os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=made), "w") as file:
            file.write(text + line)
        attach(copy_mount(made, name.encode()), AT_FDCWD, bytes(place))
    if os.path.exists(TUN) and os.stat(TUN).st_mode & 0o006 != 0o006:  # on most machines everybody may open it
        os.mknod("tun", 0o666 | stat.S_IFCHR, os.stat(TUN).st_rdev, dir_fd=made)
        os.chmod("tun", 0o666, dir_fd=made)
        attach(copy_mount(made, b"tun"), AT_FDCWD, os.fsencode(TUN))
    open_ways([Path(sys.base_prefix), Path(sys.prefix), TREE])
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.chdir(os.environ["HOME"] if not passable(Path.cwd()) else ".")


def open_ways(paths: Sequence[Path]) -> None:
    """Let everybody reach some directories: what closes a way is covered with one that has nothing but the way on."""
    ways = {path: copy_mount(AT_FDCWD, bytes(path), recursive=True) for path in {path.resolve() for path in paths}}
    shut = {above for path in ways for above in path.parents if not passable(above)}
    for above in sorted(shut):
        if not shut.intersection(above.parents):
            attach(new_mount(b"tmpfs", {b"mode": b"755"}), AT_FDCWD, bytes(above))
    for path, mounted in ways.items():
        if shut.intersection(path.parents):
            path.mkdir(parents=True, exist_ok=True)
            attach(mounted, AT_FDCWD, bytes(path))


def passable(folder: Path) -> bool:
    """Whether everybody may go through it."""
    return folder.stat().st_mode & 0o001 != 0


if __name__ == "__main__":
    os.umask(0o022)
    become(int(sys.argv[1]), int(sys.argv[2]))
    os.execvp(sys.argv[3], sys.argv[3:])
