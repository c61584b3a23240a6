"""Which files a COPY means: its sources looked up in the context or in another step's result.

What is selected is described without looking at what lies below the destination, so the digest of a selection can be a
cache key.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from typing import BinaryIO, Protocol

from builder.caching.inputs import SHORT, Table
from builder.contexts.batch import HEX, Batch
from builder.contexts.ignore import Ignore, character_class
from builder.errors import ContextError
from builder.graph import Copy, Step
from layers import Entry, EntryType, UnsafePath
from layers.quick import dataclass, replace

QUOTING = r"a name with a bracket in it is written \[ or [[]"
MOUNTED = "mounted"
"""The name that the source of a mount has while it is selected."""
WILD = re.compile(r"[*?\[\\]")


class Origin(Protocol):
    """Where files come from: `builder.contexts.context.Context`, or a step's tree."""

    def get(self, path: str) -> Entry | None:
        """The entry of a path, no link followed."""
        ...

    def children(self, path: str) -> list[str]:
        """Names in a directory."""
        ...

    def parts(self, path: str) -> Iterable[str | Batch]:
        """The same; plain files of a context are batches."""
        ...

    def resolve(self, path: str) -> str:
        """The path without symlinks."""
        ...

    def digest(self, path: str, entry: Entry) -> str:
        """Of what a file holds."""
        ...

    def inode(self, path: str) -> object | None:
        """Equal for names of one file."""
        ...

    def ignored(self, path: str) -> str:
        """Why something that exists is not seen, or ""."""
        ...

    def open_file(self, path: str) -> BinaryIO | int:
        """What a file holds, or a descriptor of it."""
        ...

    def time(self, path: str) -> int | None:
        """The time that later steps are to see of something, if that is another than its entry has."""
        ...


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to put down: its place below the source (a file's name, if it is the source), and where it is.

    `content` is the digest of its bytes and attributes; `group` is equal for names of one file, None for a single name.
    `passed`: it is a directory that is only on the way to what is wanted.
    """

    relative: str
    path: str
    entry: Entry
    content: str = ""
    group: object | None = None
    passed: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """One source: a file, or a directory, whose contents (`items`) are copied, not itself; all of it is of `origin`.

    `unpack`: of an archive it is what it holds that is copied. `local`: it is of the build's own files.
    """

    origin: Origin
    top: Item
    items: tuple[Item | Batch, ...] = ()
    unpack: bool = False
    local: bool = False

    @property
    def is_dir(self) -> bool:
        """True for a directory."""
        return self.top.entry.type is EntryType.DIR


@dataclass(frozen=True, slots=True)
class Selection:
    """All that a COPY puts down: files, and here-documents by name."""

    sources: tuple[Source, ...]
    files: tuple[tuple[str, str], ...] = ()

    def digest(self) -> str:
        """Names, kinds, modes, owners, links, attributes and bytes; not times."""
        lines: list[list[object]] = []
        several = self.several()
        numbers: dict[object, int] = {}
        for source in self.sources:
            for item in (source.top, *source.items):
                if isinstance(item, Batch):
                    groups = [
                        (at, numbers.setdefault(group, len(numbers)))
                        for at, group in (item.linked() if several else ())
                        if group in several
                    ]
                    lines.append([item.relative, item.digest(), groups])
                    continue
                entry = item.entry
                number = numbers.setdefault(item.group, len(numbers)) if item.group in several else None
                lines.append([
                    item.relative, entry.type, entry.mode, entry.uid, entry.gid, entry.size, entry.linkname,
                    entry.major, entry.minor, item.content, number, *(["passed"] if item.passed else ()),
                ])  # fmt: skip
        lines += [[name, text] for name, text in self.files]
        return hashlib.sha256(json.dumps(lines).encode()).hexdigest()

    def several(self) -> set[object]:
        """Of which files more than one name is here; other names that they have do not count."""
        once: set[object] = set()
        again: set[object] = set()
        for source in self.sources:
            for item in (source.top, *source.items):
                if isinstance(item, Batch):
                    found: list[object] = [group for _, group in item.linked()]
                elif item.group is not None:
                    found = [item.group]
                else:
                    continue
                groups = set(found)
                again |= once & groups
                once |= groups
                if len(groups) < len(found):
                    again.update(group for group, count in Counter(found).items() if count > 1)
        return again

    def table(self) -> Table:
        """Each path of the origin with what of it counts."""
        found: Table = []
        for source in self.sources:
            for item in (source.top, *source.items):
                if isinstance(item, Batch):
                    contents = "".join(item.contents[at : at + SHORT] for at in range(0, len(item.contents), HEX))
                    found.append([item.folder, item.names, item.modes(), item.sizes(), contents])
                    continue
                entry = item.entry
                found.append([
                    item.path or ".", entry.type, entry.mode, entry.uid, entry.gid, entry.size, entry.linkname,
                    item.content[:SHORT],
                ])  # fmt: skip
        for name, text in self.files:
            data = text.encode("utf-8", "surrogateescape")
            found.append(
                [f"<<{name}", EntryType.FILE, 0, 0, 0, len(data), "", hashlib.sha256(data).hexdigest()[:SHORT]]
            )
        return found


def select(origins: Callable[[int | None], Origin], op: Copy, step: Step) -> Selection:
    """Look the sources up, `origins` telling where each step's are. Raises ContextError for one that is not there."""
    excluded = Ignore.of(op.excludes) if op.excludes else None
    found: list[Source] = []
    for number, text in enumerate(op.sources):
        fetched = op.fetched[number] if op.fetched else None
        origin = origins(op.origin if fetched is None else fetched)
        before = len(found)
        clean = posixpath.normpath("/" + text).lstrip("/")
        if op.parents:
            from builder.ops.parents import with_parents

            found += with_parents(origin, text, excluded, step)
        elif fetched is None:
            found += [source_at(origin, path, excluded, step) for path in named(origin, clean, step)]
        else:
            found.append(source_at(origin, clean, excluded, step))
        if op.origin is None and fetched is None:
            found[before:] = [replace(source, local=True) for source in found[before:]]
        if op.unpack if fetched is None else op.unpack_fetched:
            found[before:] = [replace(source, unpack=not source.is_dir) for source in found[before:]]
    kept = [
        source for source in found if source.is_dir or excluded is None or not excluded.ignores(source.top.relative)
    ]
    return Selection(tuple(kept), op.files)


def named(origin: Origin, clean: str, step: Step) -> list[str]:
    """The paths that one names: itself, or those that fit it. Raises ContextError."""
    if not WILD.search(clean):
        return [clean]
    if head := "/".join(takewhile(lambda part: not WILD.search(part), clean.split("/"))):
        _, entry = found_at(origin, head, step)  # what is no pattern has to be there
        if entry.type is not EntryType.DIR:
            raise ContextError(f'"/{head}" is not a directory', span=step.span)
    return sorted(matches(origin, clean))


def mounted(origin: Origin, path: str, step: Step) -> Source:
    """What a mount of a path shows, under the name MOUNTED in a directory of its own. Raises ContextError."""
    where, entry = found_at(origin, path, step)
    top = item_of(origin, MOUNTED, where, entry)
    inside = below(origin, where, MOUNTED, None) if entry.type is EntryType.DIR else ()
    return Source(origin, Item("", "", Entry("", EntryType.DIR, 0o755)), (top, *inside))


def source_at(origin: Origin, path: str, excluded: Ignore | None, step: Step) -> Source:
    """The source at a path, without what is excluded. Raises ContextError."""
    where, entry = found_at(origin, path, step)
    if entry.type is not EntryType.DIR:
        return Source(origin, replace(item_of(origin, posixpath.basename(path), where, entry), group=None))
    return Source(origin, item_of(origin, "", where, entry), tuple(below(origin, where, "", excluded)))


def found_at(origin: Origin, path: str, step: Step) -> tuple[str, Entry]:
    """Where a path leads, and what is there. Raises ContextError."""
    try:
        where = origin.resolve(path)
    except UnsafePath as error:
        raise ContextError(str(error), span=step.span) from error
    entry = origin.get(where)
    if entry is None:
        reason = origin.ignored(where)
        help = reason or _near(origin, where)
        raise ContextError(f'"/{path}": not found', span=step.span, help=help)
    return where, entry


def item_of(origin: Origin, relative: str, path: str, entry: Entry) -> Item:
    """One thing of an origin."""
    group = origin.inode(path) if entry.type is EntryType.FILE else None
    return Item(relative, path, entry, origin.digest(path, entry), group)


def _near(origin: Origin, path: str) -> str:
    from difflib import get_close_matches

    head, _, name = path.rpartition("/")
    entry = origin.get(head)
    if entry is None or entry.type is not EntryType.DIR:
        return "paths are relative to the context, the directory that is built; nothing above it can be copied"
    near = get_close_matches(name, origin.children(head), 1)
    return f"did you mean {head + '/' if head else ''}{near[0]}?" if near else ""


def below(origin: Origin, path: str, relative: str, excluded: Ignore | None) -> Iterator[Item | Batch]:
    """Everything in a directory, directories before what is in them."""
    above, before = f"{path}/" if path else "", f"{relative}/" if relative else ""
    for part in origin.parts(path) if excluded is None else origin.children(path):
        if isinstance(part, Batch):
            yield replace(part, relative=relative)
            continue
        place, rest = above + part, before + part
        entry = origin.get(place)
        if entry is None:
            continue
        if entry.type is not EntryType.DIR:
            if excluded is None or not excluded.ignores(rest):
                yield item_of(origin, rest, place, entry)
            continue
        inside = below(origin, place, rest, excluded)
        here = item_of(origin, rest, place, entry)
        if excluded is not None and excluded.ignores(rest):
            yield from passed(here, inside)
        else:
            yield here
            yield from inside


def passed(here: Item, inside: Iterator[Item | Batch]) -> Iterator[Item | Batch]:
    """What is inside of a directory that is only passed on the way to it; nothing if nothing is."""
    first = next(inside, None)
    if first is not None:
        yield replace(here, passed=True)
        yield first
        yield from inside


def matches(origin: Origin, pattern: str) -> list[str]:
    """Paths that fit a pattern, component by component (Go's filepath.Match). Raises ContextError."""
    found = [""]
    for part in pattern.split("/"):
        following: list[str] = []
        for path in found:
            entry = origin.get(origin.resolve(path)) if path else origin.get("")
            if entry is None or entry.type is not EntryType.DIR:
                continue
            where = origin.resolve(path)
            if not WILD.search(part):
                if origin.get(f"{where}/{part}" if where else part) is not None:
                    following.append(f"{path}/{part}" if path else part)
                continue
            try:
                fits = re.compile(component(part), re.DOTALL).fullmatch
            except (ValueError, re.error) as error:
                raise ContextError(f"{pattern!r} is not a pattern: check its brackets", help=QUOTING) from error
            following += [f"{path}/{name}" if path else name for name in origin.children(where) if fits(name)]
        found = following
    return found


def component(pattern: str) -> str:
    """One component of a pattern as a regular expression. Raises ValueError for a class that does not end."""
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            out.append(".*")
        elif char == "?":
            out.append(".")
        elif char == "[":
            text, at = character_class(pattern, at)
            out.append(text)
        elif char == "\\" and at < len(pattern):
            out.append(re.escape(pattern[at]))
            at += 1
        else:
            out.append(re.escape(char))
    return "".join(out)
