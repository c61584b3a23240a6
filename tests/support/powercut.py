"""What a disk may hold after the power was cut at any moment of what a process really did, as strace(1) saw it.

The model is stricter than any journalling file system. Bytes are on the disk once their file was synced, names once
their directory was; before that each may be there or not, independently, and bytes may be there in part. Only these
hold always: what happens to one name happens in order, and a rename is whole. (fsync(2), "Crash consistency" of POSIX.)
"""

import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

CALLS = (
    "openat write pwrite64 writev pwritev copy_file_range sendfile fsync fdatasync syncfs rename renameat renameat2"
    " link linkat unlink unlinkat rmdir mkdir mkdirat ftruncate truncate fallocate symlink symlinkat mknod mknodat"
).split()
LEFT_OUT = re.compile(r"/(snapshots|scratch)/")
"""What is of one boot only: never believed after a cut."""
IGNORED = re.compile(r"(db\.sqlite-shm\Z|locks/)")
"""Shared memory is no file, and locks are but names."""
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")
_TOKEN = re.compile(r'"((?:\\x[0-9a-f]{2})*)"|(-?\d+|AT_FDCWD)<([^>]*)>(\(deleted\))?|([^\s,()\[\]{}="]+)')


@dataclass(eq=False)
class File:
    """Bytes: those on the disk, those that processes see, and the writes in between, each with its moment."""

    disk: bytes = b""
    seen: bytearray = field(default_factory=bytearray)
    waiting: list[tuple[int, int, bytes | None]] = field(default_factory=list)
    at: int = 0

    def write(self, moment: int, at: int, data: bytes) -> None:
        """Bytes at a place."""
        self.seen = bytearray(put(bytes(self.seen), at, data))
        self.waiting.append((moment, at, data))

    def cut(self, moment: int, size: int) -> None:
        """A new length."""
        self.seen = bytearray(put(bytes(self.seen), size, None))
        self.waiting.append((moment, size, None))

    def sync(self, moment: int) -> None:
        """All that was written before a moment is on the disk."""
        for _, at, data in (one for one in self.waiting if one[0] <= moment):
            self.disk = put(self.disk, at, data)
        self.waiting = [one for one in self.waiting if one[0] > moment]

    def left(self, dice: random.Random | None) -> bytes:
        """What may be found after the cut; without dice: nothing that was not synced."""
        found = self.disk
        if dice is None or not self.waiting:
            return found
        for _, at, data in self.waiting:
            fate = dice.random()
            if fate < 0.4:
                found = put(found, at, data)
            elif fate < 0.6 and data:
                found = put(found, at, data[: dice.randrange(len(data))])
            elif fate < 0.7 and data:
                found = put(found, at, bytes(len(data)))
        return found


def put(content: bytes, at: int, data: bytes | None) -> bytes:
    """Content with `data` written at a place, or cut there."""
    padded = content.ljust(at, b"\0")
    return padded[:at] if data is None else padded[:at] + data + padded[at + len(data) :]


@dataclass(eq=False)
class Folder:
    """Names: those on the disk, and those that processes see."""

    disk: dict[str, "Node"] = field(default_factory=dict)
    seen: dict[str, "Node"] = field(default_factory=dict)


Node = File | Folder


class Change(NamedTuple):
    """What happened to names at one moment, as a whole: (folder, name, what it leads to then)."""

    moment: int
    names: tuple[tuple[Folder, str, Node | None], ...]


class Disk:
    """One store on a disk that forgets."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.above = Folder()
        self.waiting: list[Change] = []
        self.nameless: dict[str, File] = {}
        self.numbers: dict[str, str] = {}
        self.moment = 0
        if root.exists():
            self.above.disk[root.name] = self.above.seen[root.name] = self._load(root)

    def _load(self, path: Path) -> Node:
        if not path.is_dir() or path.is_symlink():
            data = path.read_bytes() if path.is_file() else b""
            return File(data, bytearray(data))
        folder = Folder()
        for entry in path.iterdir():
            if not IGNORED.search(str(entry)) and entry.parent.name != "snapshots":
                folder.disk[entry.name] = folder.seen[entry.name] = self._load(entry)
        return folder

    # -- what processes do -----------------------------------------------------------------------

    def find(self, path: str) -> Node | None:
        """What a path leads to now."""
        if path in self.nameless:
            return self.nameless[path]
        if not Path(path).is_relative_to(self.root.parent):
            return None
        node: Node | None = self.above
        for part in Path(path).relative_to(self.root.parent).parts:
            node = node.seen.get(part) if isinstance(node, Folder) else None
        return node

    def change(self, *names: tuple[str, Node | None]) -> None:
        """Let names lead elsewhere, all at once."""
        done = []
        for path, node in names:
            folder = self.find(str(Path(path).parent))
            if isinstance(folder, Folder):  # else it lies in something that is left out
                done.append((folder, Path(path).name, node))
                if node is None:
                    folder.seen.pop(Path(path).name, None)
                else:
                    folder.seen[Path(path).name] = node
        if done:
            self.waiting.append(Change(self.moment, tuple(done)))

    def sync(self, node: Node | None, moment: int) -> None:
        """fsync(2), begun at a moment."""
        if isinstance(node, File):
            node.sync(moment)
        elif node is not None:
            settled = {
                change
                for change in self.waiting
                if change.moment <= moment and any(one[0] is node for one in change.names)
            }
            self._settle(self._before(settled))

    def _before(self, chosen: set[Change]) -> list[Change]:
        """Changes, and those that came before them to the same names, in order."""
        wanted: set[tuple[int, str]] = set()
        found = []
        for change in reversed(self.waiting):
            names = {(id(folder), name) for folder, name, _ in change.names}
            if change in chosen or names & wanted:
                wanted |= names
                found.append(change)
        return found[::-1]

    def _settle(self, changes: Sequence[Change]) -> None:
        apply(changes, lambda folder: folder.disk)
        self.waiting = [change for change in self.waiting if change not in changes]

    # -- what is left ----------------------------------------------------------------------------

    def leave(self, target: Path, dice: random.Random | None) -> None:
        """Write to `target` what may be found after a cut now; without dice: nothing that was not synced."""
        shutil.rmtree(target, ignore_errors=True)
        names: dict[Folder, dict[str, Node]] = {}
        if dice is not None:
            share = dice.choice([0.1, 0.5, 0.9, 1.0])
            there = self._before({change for change in self.waiting if dice.random() < share})
            apply(there, lambda folder: names.setdefault(folder, dict(folder.disk)))
        found = names.get(self.above, self.above.disk).get(self.root.name)
        if found is not None:
            lay(found, target, names, dice)


def apply(changes: Iterable[Change], names: Callable[[Folder], dict[str, Node]]) -> None:
    """Do changes, in order, to the names that folders have somewhere."""
    for change in changes:
        for folder, name, node in change.names:
            if node is None:
                names(folder).pop(name, None)
            else:
                names(folder)[name] = node


def lay(node: Node, target: Path, names: Mapping[Folder, Mapping[str, Node]], dice: random.Random | None) -> None:
    """Write a tree."""
    if isinstance(node, File):
        target.write_bytes(node.left(dice))
        return
    target.mkdir(mode=0o700)
    for name, inner in names.get(node, node.disk).items():
        lay(inner, target / name, names, dice)


# -- what was seen -------------------------------------------------------------------------------


class Call(NamedTuple):
    """A system call that succeeded: when it began (how many had ended by then), and its words."""

    began: int
    name: str
    texts: tuple[bytes, ...]
    files: tuple[str, ...]
    """Paths of its descriptors, in order."""
    words: tuple[str, ...]
    result: str
    opened: str
    """The path of the descriptor that it gave."""


def record(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> list[Call]:
    """Run a command, which must succeed, and see what it asks of file systems."""
    traced = folder / "trace"
    subprocess.run(
        [
            "strace",
            "-f",
            "-y",
            "-xx",
            "-s",
            "100000000",
            "--seccomp-bpf",
            "-o",
            traced,
            "-e",
            f"trace={','.join(CALLS)}",
            *command,
        ],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=120,
    )
    return list(calls(traced.read_text(encoding="ascii").splitlines()))


def calls(lines: Iterable[str]) -> Iterator[Call]:
    """The calls that succeeded, in the order in which they ended."""
    begun: dict[str, tuple[int, str]] = {}
    ended = 0
    for line in lines:
        met = _LINE.match(line)
        if met is None:
            continue
        process, resumed, name, rest = met.groups()
        began = ended
        if rest.endswith("<unfinished ...>"):
            begun[process] = (ended, rest.removesuffix("<unfinished ...>"))
            continue
        if resumed:
            began, first = begun.pop(process)
            name, rest = resumed, first + rest
        given, _, result = rest.rpartition(" = ")
        if not result or result.startswith(("-", "?")):
            continue
        ended += 1
        tokens = list(_TOKEN.finditer(given))
        yield Call(
            began,
            name,
            tuple(bytes.fromhex(token[1].replace("\\x", "")) for token in tokens if token[1] is not None),
            tuple(plain(token[3]) for token in tokens if token[2] is not None),
            tuple(token[5] for token in tokens if token[5] is not None),
            result.split("<")[0],
            plain(result.partition("<")[2].partition(">")[0]),
        )


def plain(text: str) -> str:
    """A path of a descriptor as text."""
    return re.sub(r"(?:\\x[0-9a-f]{2})+", lambda met: bytes.fromhex(met[0].replace("\\x", "")).decode(), text)


def replay(disk: Disk, seen: Iterable[Call]) -> Iterator[Call]:
    """Let a disk go through what was seen; after each call that touched it, the call."""
    moments = [disk.moment]
    ours = re.compile(rf"{re.escape(str(disk.root))}(/|\Z)|{re.escape(str(disk.root.parent))}\Z")
    for call in seen:
        disk.moment += 1
        moments.append(disk.moment)
        paths = [*call.files, call.opened, *(text.decode("utf-8", "replace") for text in call.texts[:2])]
        if any(ours.match(path) and not IGNORED.search(path) for path in paths):
            step(disk, call, moments[call.began])
            yield call


def step(disk: Disk, call: Call, began: int) -> None:
    """One call."""
    match call.name:
        case "openat" if "O_TMPFILE" in call.words[0]:
            disk.nameless[call.opened] = File()
            disk.numbers[call.result] = call.opened
        case "openat":
            file = disk.find(call.opened)
            if file is None and "O_CREAT" in call.words[0]:
                file = File()
                disk.change((call.opened, file))
            if isinstance(file, File):
                file.at = len(file.seen) if "O_APPEND" in call.words[0] else 0
                if "O_TRUNC" in call.words[0]:
                    file.cut(disk.moment, 0)
        case "write" | "writev":
            if isinstance(file := disk.find(call.files[0]), File):
                data = b"".join(call.texts)[: int(call.result)]
                file.write(disk.moment, file.at, data)
                file.at += len(data)
        case "pwrite64":
            if isinstance(file := disk.find(call.files[0]), File):
                file.write(disk.moment, int(call.words[1]), call.texts[0][: int(call.result)])
        case "ftruncate":
            if isinstance(file := disk.find(call.files[0]), File):
                file.cut(disk.moment, int(call.words[0]))
        case "fallocate":
            if isinstance(file := disk.find(call.files[0]), File):
                file.cut(disk.moment, max(len(file.seen), int(call.words[-1])))
        case "fsync" | "fdatasync":
            disk.sync(disk.find(call.files[0]), began)
        case "mkdir" | "mkdirat":
            disk.change((places(call)[0], Folder()))
        case "rename" | "renameat" | "renameat2":
            source, target = places(call)
            moved = disk.find(source)
            assert moved is not None or LEFT_OUT.search(target), f"{source} was never seen, and is {target} now"
            disk.change((source, None), (target, moved))
        case "link" | "linkat":
            source, target = places(call)
            if source.startswith("/proc/self/fd/"):
                source = disk.numbers[source.rpartition("/")[2]]
            disk.change((target, disk.find(source)))
        case "unlink" | "unlinkat" | "rmdir":
            disk.change((places(call)[0], None))
        case "symlink" | "symlinkat" | "mknod" | "mknodat":
            disk.change((places(call)[-1], File()))
        case "copy_file_range" | "sendfile" if LEFT_OUT.search(call.files[-1]):
            pass  # an index of this boot
        case other:
            raise NotImplementedError(f"{other} in a store: teach the model what it does")


def places(call: Call) -> list[str]:
    """The paths that a call names, whole."""
    at = list(call.files) if call.name.endswith(("at", "at2")) else []
    found = []
    for text in call.texts:
        folder = at.pop(0) if at else ""
        found.append(str(Path(folder, text.decode())))
    return found
