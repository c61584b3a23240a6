"""COPY and ADD: selected files straight into a layer; nothing is mounted or unpacked.

Where things land follows BuildKit: links on the way to the destination are followed inside the image, a directory's
contents go below the destination, new parents are 0755 and belong to root or to `--chown`. The same inputs give the
same bytes: parents that are made get the time of what is copied, here-documents the epoch.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO

from builder import modes
from builder.context import Context
from builder.errors import ContextError, StepFailed
from builder.graph import Copy, Step
from builder.ops.select import Item, Selection, Source
from layers import Entry, EntryType

if TYPE_CHECKING:
    from layers import NewLayer, Store, Tree

HEREDOC_MODE = 0o644
DIRECTORY_MODE = 0o755
MAGIC = 512
"""Bytes that tell whether a file is a tar."""

Data = BinaryIO | bytes | int | None
Reader = Callable[[ExitStack], Data]
"""Opens the data of one entry; what it opens is closed with the stack."""


class TreeOrigin:
    """Another step's result as an origin."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    def get(self, path: str) -> Entry | None:
        """The entry of a path."""
        return self.tree.get(path)

    def children(self, path: str) -> list[str]:
        """Names in a directory."""
        return self.tree.children(path)

    def resolve(self, path: str) -> str:
        """The path without symlinks."""
        return self.tree.resolve(path)

    def inode(self, path: str) -> object | None:
        """The layer and first name of a file."""
        return self.tree.inode(path)

    def digest(self, path: str, entry: Entry) -> str:
        """Of a file's bytes and attributes."""
        import hashlib

        hasher = hashlib.sha256()
        for key, value in sorted(entry.xattrs.items()):
            hasher.update(key.encode() + b"\0" + value + b"\0")
        if entry.type is EntryType.FILE and entry.size:
            with self.tree.open(path) as file:
                while chunk := file.read(1 << 20):
                    hasher.update(chunk)
        return hasher.hexdigest()

    def ignored(self, path: str) -> str:
        """Nothing is ignored here."""
        return ""


@dataclass(slots=True)
class Placed:
    """An entry of the layer, how to get its data, and which other entries are the same file."""

    entry: Entry
    read: Reader | None = None
    group: object | None = None


@dataclass(slots=True)
class Placing:
    """The layer while it is put together, over a tree."""

    below: Tree
    op: Copy
    step: Step
    owner: tuple[int, int] | None
    chmod: modes.Change | None
    absolute: bool
    placed: dict[str, Placed] = field(default_factory=dict)

    def at(self, path: str) -> Entry | None:
        """What is at a path now."""
        if (found := self.placed.get(path)) is not None:
            return found.entry
        return None if self.op.link and path else self.below.get(path)

    def error(self, what: str) -> StepFailed:
        """A refusal at this instruction."""
        return StepFailed(self.step.title, what, span=self.step.span)

    def owned(self, entry: Entry) -> Entry:
        """With the owner that was asked for."""
        return entry if self.owner is None else replace(entry, uid=self.owner[0], gid=self.owner[1])

    def shaped(self, path: str, entry: Entry) -> Entry:
        """At its place, with the owner and mode that were asked for; one new value, not three, as there may be many."""
        uid, gid = (entry.uid, entry.gid) if self.owner is None else self.owner
        mode = entry.mode
        if self.chmod is not None and entry.type is not EntryType.SYMLINK:
            mode = self.chmod(mode, entry.type is EntryType.DIR)
        return Entry(
            path, entry.type, mode, uid, gid, entry.size, entry.mtime_ns, entry.linkname, entry.major, entry.minor,
            entry.xattrs, entry.offset, entry.sparse,
        )  # fmt: skip

    def made(self, path: str, mtime_ns: int) -> Entry:
        """A directory that nobody asked for by name."""
        entry = Entry(path, EntryType.DIR, DIRECTORY_MODE, mtime_ns=mtime_ns)
        return self.shaped(path, entry) if self.absolute else self.owned(entry)

    def parents(self, path: str, mtime_ns: int) -> None:
        """See that the directory above a path is there. Raises StepFailed."""
        head = posixpath.dirname(path)
        missing = []
        while head:
            found = self.at(head)
            if found is not None and found.type is EntryType.DIR:
                break
            if found is not None:
                raise self.error(f"/{head} is a {found.type.value}, not a directory")
            missing.append(head)
            head = posixpath.dirname(head)
        for each in missing:
            self.placed[each] = Placed(self.made(each, mtime_ns))

    def put(self, path: str, entry: Entry, read: Reader | None, group: object | None = None) -> None:
        """Put something that is no directory at a path. Raises StepFailed."""
        there = self.at(path)
        if there is not None and there.type is EntryType.DIR:
            raise self.error(f"cannot copy a {entry.type.value} over the directory /{path}")
        self.parents(path, entry.mtime_ns)
        self.placed[path] = Placed(entry if entry.path == path else replace(entry, path=path), read, group)

    def target(self) -> tuple[str, bool]:
        """Where the destination leads, and whether it has to be a directory."""
        wanted = self.op.dest.strip("/")
        where = wanted if self.op.link else self.below.resolve(wanted)
        return where, self.op.dest.endswith("/") or not wanted


def copy(store: Store, below: Tree, step: Step, selection: Selection, origin: Context | TreeOrigin | None) -> NewLayer:
    """Make the layer. Raises StepFailed, ContextError, AccountMissing, ArchiveInvalid."""
    from layers.compose import compose
    from layers.tarball import ordered

    op = step.op
    assert isinstance(op, Copy)
    try:
        change, absolute = modes.parse(op.chmod) if op.chmod else (None, False)
    except ValueError as error:
        raise StepFailed(step.title, str(error), span=step.span) from error
    owner = below.accounts().owner(op.chown) if op.chown else None
    placing = Placing(below, op, step, owner, change, absolute)
    with ExitStack() as archives:
        for source in selection.sources:
            assert origin is not None
            if op.unpack and not source.is_dir and _unpacked(store, placing, source, origin, archives):
                continue
            if source.is_dir:
                _directory(placing, source, origin)
            else:
                _file(
                    placing, source.name, _look(origin, source.path, source.entry), _reader(origin, source.path), None
                )
        for name, text in selection.files:
            data = text.encode("utf-8", "surrogateescape")
            entry = Entry(name, EntryType.FILE, HEREDOC_MODE, size=len(data))
            _file(placing, name, entry, _bytes(data), None)
        _complete(placing)
        entries = ordered([placed.entry for placed in placing.placed.values()])
        return compose(store, _items(placing, entries))


def _file(placing: Placing, name: str, entry: Entry, read: Reader | None, group: object | None) -> None:
    target, directory = placing.target()
    there = placing.at(target)
    if there is not None and there.type is EntryType.DIR:
        target = f"{target}/{name}" if target else name
    elif directory:
        if there is not None:
            raise placing.error(f"/{target} is a {there.type.value}, not a directory")
        target = f"{target}/{name}"
    placing.put(target, placing.shaped(target, entry), read, group)


def _directory(placing: Placing, source: Source, origin: Context | TreeOrigin) -> None:
    target, _ = placing.target()
    there = placing.at(target)
    if there is not None and there.type is not EntryType.DIR:
        raise placing.error(f"cannot copy a directory over /{target}, which is a {there.type.value}")
    if there is not None:
        if target:
            placing.placed[target] = Placed(replace(there, mtime_ns=source.entry.mtime_ns))
    else:
        placing.parents(target, source.entry.mtime_ns)
        placing.placed[target] = Placed(placing.made(target, source.entry.mtime_ns))
    for item in source.items:
        _below(placing, target, item, origin)


def _below(placing: Placing, target: str, item: Item, origin: Context | TreeOrigin) -> None:
    path = f"{target}/{item.relative}" if target else item.relative
    entry = placing.shaped(path, _look(origin, item.path, item.entry))
    if item.entry.type is not EntryType.DIR:
        group = origin.inode(item.path) if item.entry.type is EntryType.FILE else None
        placing.put(path, entry, _reader(origin, item.path), group)
        return
    there = placing.at(path)
    if there is not None and there.type is not EntryType.DIR:
        raise placing.error(f"cannot copy a directory over /{path}, which is a {there.type.value}")
    placing.placed[path] = Placed(entry)


def _look(origin: Context | TreeOrigin, path: str, entry: Entry) -> Entry:
    return origin.whole(path, entry) if isinstance(origin, Context) else entry


def _reader(origin: Context | TreeOrigin, path: str) -> Reader:
    def from_context(stack: ExitStack) -> Data:
        assert isinstance(origin, Context)
        descriptor = origin.open_file(path, Entry(path, EntryType.FILE))
        stack.callback(os.close, descriptor)
        return descriptor

    def from_tree(stack: ExitStack) -> Data:
        assert isinstance(origin, TreeOrigin)
        return stack.enter_context(origin.tree.open(path))

    return from_context if isinstance(origin, Context) else from_tree


def _bytes(data: bytes) -> Reader:
    return lambda _: data


def _complete(placing: Placing) -> None:
    """The directories above what was placed, as they are: a layer must say what its parents look like."""
    for path in list(placing.placed):
        head = posixpath.dirname(path)
        while head and head not in placing.placed:
            found = placing.below.get(head) if not placing.op.link else None
            if found is not None and found.type is EntryType.DIR:
                placing.placed[head] = Placed(found)
            head = posixpath.dirname(head)


def _items(placing: Placing, entries: list[Entry]) -> Iterator[tuple[Entry, Data]]:
    """Entries with their data; of names for one file the first carries it."""
    from layers.normal import hard_link

    first: dict[object, str] = {}
    for entry in entries:
        placed = placing.placed[entry.path]
        if placed.group is not None:
            head = first.setdefault(placed.group, entry.path)
            if head != entry.path:
                yield hard_link(entry, entry.path, head), None
                continue
        if entry.type is not EntryType.FILE or not entry.size or placed.read is None:
            yield entry, None
            continue
        with ExitStack() as stack:
            try:
                data = placed.read(stack)
            except OSError as error:
                raise ContextError(f"cannot read {entry.path}: {error.strerror}", span=placing.step.span) from error
            yield entry, data


def _unpacked(store: Store, placing: Placing, source: Source, origin: Context | TreeOrigin, stack: ExitStack) -> bool:
    """Place the members of an archive; False if the source is none."""
    from layers.tarread import is_tar

    if source.entry.type is not EntryType.FILE or not source.entry.size:
        return False
    from layers.codec import decompress
    from layers.errors import ArchiveInvalid
    from layers.toc import Toc
    from layers.tree import Tree

    with ExitStack() as opened:
        data = _reader(origin, source.path)(opened)
        file = os.fdopen(os.dup(data), "rb") if isinstance(data, int) else data
        assert file is not None and not isinstance(file, bytes)
        if isinstance(data, int):
            opened.enter_context(file)
        try:
            stream = decompress(file)
            head = stream.read(MAGIC)
        except ArchiveInvalid:
            return False
        if not is_tar(head):
            return False
        scratch = stack.enter_context(store.scratch())
        raw = stack.enter_context((scratch / "tar").open("w+b"))
        while head:
            raw.write(head)
            head = stream.read(1 << 20)
        raw.flush()
    toc = Toc.scan(raw, layer=False)
    tree = Tree([(toc, lambda: (scratch / "tar").open("rb"))])
    target, _ = placing.target()
    there = placing.at(target)
    if there is not None and there.type is not EntryType.DIR:
        raise placing.error(f"cannot unpack an archive into /{target}, which is a {there.type.value}")
    if there is None:
        placing.parents(target, source.entry.mtime_ns)
        placing.placed[target] = Placed(Placing.made(replace(placing, chmod=None), target, source.entry.mtime_ns))
    for entry in tree.walk():
        if entry.path:
            _member(placing, target, entry, tree)
    return True


def _member(placing: Placing, target: str, entry: Entry, tree: Tree) -> None:
    """One member of an archive: it replaces what is there, but a directory merges with a directory."""
    path = f"{target}/{entry.path}" if target else entry.path
    listed = tree.lists(entry.path)
    there = placing.at(path)
    if entry.type is EntryType.DIR:
        if there is not None and there.type is EntryType.DIR and not listed:
            return
        placing.placed[path] = Placed(replace(placing.owned(entry) if listed else entry, path=path))
        return
    inode = tree.inode(entry.path) if entry.type is EntryType.FILE else None

    def read(stack: ExitStack) -> Data:
        return stack.enter_context(tree.open(entry.path))

    placing.placed[path] = Placed(replace(placing.owned(entry), path=path), read, inode)
