"""Differences as a patch that `git apply` and patch(1) read (git-diff(1), "Generating patch text with -p").

Text is shown line by line; of what is binary or large only the fact. Of owners, times and attributes a patch knows
nothing; of a mode, whether the owner may execute.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from difflib import unified_diff
from typing import TYPE_CHECKING

from pybuild.formats.names import quoted, shown

if TYPE_CHECKING:
    from layers import Entry
    from layers.views.files import Files
    from layers.views.treediff import Difference

LARGEST = 256 << 10
"""Bytes of a file whose lines are compared: the comparison takes the square of that at worst."""


def patch(one: Difference, before: Files, after: Files) -> Iterator[bytes]:
    """The patch of one difference whose reasons are known, in pieces; of a removed directory, of all that was in it."""
    from layers.views.treediff import Reason, subtree

    olds: list[Entry] = []
    if one.old is not None and (one.new is None or one.new.type is not one.old.type):
        subtree(before, one.path, olds.append)
        for old in olds:
            yield from _one(old, None, before, after)
        if one.new is not None:
            yield from _one(None, one.new, before, after)
    else:
        same = one.old is not None and not {Reason.CONTENT, Reason.LINK}.intersection(one.reasons)
        yield from _one(one.old, one.new, before, after, same=same)


def _one(old: Entry | None, new: Entry | None, before: Files, after: Files, *, same: bool = False) -> Iterator[bytes]:
    """The patch of one path; `same` if there is nothing to tell but a mode."""
    modes = [_mode(entry) for entry in (old, new)]
    if not any(modes) or (same and modes[0] == modes[1]):
        return  # git knows no directories and devices, no owners and times
    here = new or old
    assert here is not None
    left, right = (_name(side, here.path) for side in "ab")
    yield f"diff --git {left} {right}\n".encode("utf-8", "surrogateescape")
    if modes[0] is None:
        yield f"new file mode {modes[1]}\n".encode()
    elif modes[1] is None:
        yield f"deleted file mode {modes[0]}\n".encode()
    elif modes[0] != modes[1]:
        yield f"old mode {modes[0]}\nnew mode {modes[1]}\n".encode()
    if same:
        return
    contents = [_content(files, entry) for files, entry in ((before, old), (after, new))]
    names = [name if mode else "/dev/null" for name, mode in zip((left, right), modes, strict=True)]
    if not all(content is not None and _is_text(content) for content in contents):
        large = any(content is None for content in contents)
        yield f"{'Large' if large else 'Binary'} files {names[0]} and {names[1]} differ\n".encode(
            "utf-8", "surrogateescape"
        )
        return
    first, second = ((content or b"").decode("latin-1").split("\n") for content in contents)
    lines = unified_diff(_ended(first), _ended(second), names[0], names[1])
    for number, line in enumerate(lines):
        if number < 2:  # the names; git ends one that has a blank in it by a tab
            end = "\t\n" if " " in line[4:-1] and not line[4:].startswith('"') else "\n"
            yield (line[:-1] + end).encode("utf-8", "surrogateescape")
        elif line.endswith("\n"):
            yield line.encode("latin-1")
        else:
            yield line.encode("latin-1") + b"\n\\ No newline at end of file\n"


def _ended(lines: list[str]) -> list[str]:
    """Lines with their ends; the last one has none if the text does not end with one."""
    return [f"{line}\n" for line in lines[:-1]] + lines[-1:] * bool(lines[-1])


def _mode(entry: Entry | None) -> str | None:
    """The mode as git writes it; None for nothing, and for what git cannot hold."""
    if entry is None or entry.type.value not in ("file", "symlink"):
        return None
    if entry.type.value == "symlink":
        return "120000"
    return "100755" if entry.mode & stat.S_IXUSR else "100644"


def _content(files: Files, entry: Entry | None) -> bytes | None:
    """What a file holds or a link says; nothing for what is not there, None for what is too large."""
    if entry is None:
        return b""
    if entry.type.value == "symlink":
        return entry.linkname.encode("utf-8", "surrogateescape")
    if entry.size > LARGEST:
        return None
    with files.open(entry.path) as file:
        data = file.read(LARGEST + 1)
    return data if len(data) <= LARGEST else None


def _is_text(data: bytes) -> bool:
    """git's own test looks for a NUL; what is no UTF-8 would spoil a terminal too."""
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def _name(side: str, path: str) -> str:
    name = f"{side}/{path}"
    return quoted(name) if '"' in name or "\\" in name else shown(name)
