"""COPY and ADD: selected files straight into a layer; nothing is mounted or unpacked.

Where things land follows BuildKit: links on the way to the destination are followed inside the image, a directory's
contents go below the destination, new parents are 0755 and belong to root or to `--chown`. The same inputs give the
same bytes (`builder.times`): later steps, though, see the times that files have in the context.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from builder import modes
from builder.contexts.batch import Batch
from builder.contexts.context import Context, changed
from builder.errors import ContextError, StepFailed
from builder.graph import Copy, Step
from builder.ops.last import Last, Part
from builder.ops.select import Item, Origin, Selection, Source
from builder.times import Times, dated
from layers import Entry, EntryType
from layers.errors import FileChanged, FileUnreadable
from layers.quick import dataclass, field, replace
from layers.tar.entry import whole_seconds
from layers.tar.plain import PlainFiles
from layers.tar.xattrs import incoming
from layers.tar.xattrs import read as read_xattrs

if TYPE_CHECKING:
    from layers import NewLayer, Store, Tree
    from layers.making.compose import Piece, Taken
    from layers.making.gathering import Lent
    from layers.making.packing import Form

HEREDOC_MODE = 0o644
DIRECTORY_MODE = 0o755

Reader = Callable[[str], BinaryIO | bytes | int]
"""Opens what a path of the origin holds; whoever calls it closes that."""


@dataclass(slots=True)
class Placed:
    """An entry of the layer, how to `read` the data that are at `source`, and which other entries are the same file.

    `content` is the digest of data and attributes, where it is known. `local`: it is of the build's own files. `time`:
    what later steps are to see, None for the entry's.
    """

    entry: Entry
    read: Reader | None = None
    source: str = ""
    group: object | None = None
    content: str = ""
    local: bool = False
    time: int | None = None


@dataclass(slots=True)
class Placing:
    """The layer while it is put together, over a tree."""

    below: Tree
    op: Copy
    step: Step
    owner: tuple[int, int] | None
    chmod: modes.Change | None
    absolute: bool
    times: Times | None
    local: bool = False
    """Of the source at hand: it is of the build's own files."""
    placed: dict[str, Placed] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)
    """Directories that are not there below, so neither is anything in them."""
    batched: dict[str, list[tuple[Context, Batch]]] = field(default_factory=dict)
    """Plain files in directories that nothing else was put into since."""
    original: dict[str, int] = field(default_factory=dict)
    """Times by path as later steps are to see them."""

    def at(self, path: str) -> Entry | None:
        """What is at a path now."""
        head = path.rpartition("/")[0]
        if head in self.batched:
            self.single(head)
        if (found := self.placed.get(path)) is not None:
            return found.entry
        if path and (self.op.link or head in self.fresh):
            return None
        return self.below.get(path)

    def single(self, head: str) -> None:
        """Let the plain files of a directory be placed one by one: something else may take the place of one."""
        for origin, batch in self.batched.pop(head):
            for name, (source, entry, content, group) in zip(batch.names, batch.entries(), strict=True):
                path = f"{head}/{name}"
                self.placed[path] = Placed(self.shaped(path, entry), origin.open_file, source, group, content, True)

    def files(self, head: str, origin: Context, batch: Batch) -> PlainFiles:
        """A batch at its place, with the owner, the modes and the times that were asked for."""
        uid, gid = self.owner or (0, 0)
        modes = batch.modes()
        if self.chmod is not None:
            changed = {mode: self.chmod(mode, False) for mode in set(modes)}
            modes = [changed[mode] for mode in modes]
        exact = batch.stats.column("mtime_ns")
        mtimes_ns = [whole_seconds(mtime_ns) for mtime_ns in exact]
        if self.times is not None:  # with fractions: what was edited just after a build has to be younger than that
            self.original.update(zip(map(f"{head}/".__add__, batch.names), exact, strict=True))
            mtimes_ns = self.times.all_copied(mtimes_ns, map(batch.content, range(len(batch))))
        return PlainFiles(
            f"{head}/",
            batch.names,
            batch.stats,
            modes,
            mtimes_ns,
            uid,
            gid,
            origin.root,
            batch.folder,
        )

    def dated(self, entry: Entry, placed: Placed) -> Entry:
        """With the time that it gets; the one that it has is noted."""
        if self.times is None:
            return entry
        if placed.time is not None or placed.local:
            self.original[entry.path] = entry.mtime_ns if placed.time is None else placed.time
        if not placed.local:
            return dated(entry, self.times.kept(entry.mtime_ns))
        return dated(entry, self.times.copied(entry.mtime_ns, placed.content if entry.type is EntryType.FILE else ""))

    def source(self, path: str) -> str:
        """Where in the context a plain file comes from."""
        head, _, name = path.rpartition("/")
        folder = next((batch.folder for _, batch in self.batched.get(head, ()) if name in batch.names), "")
        return f"{folder}/{name}" if folder else name

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

    def directory(self, path: str, entry: Entry, *, new: bool = False) -> None:
        """Put a directory at a path where nothing is (that is known if `new`), or another one. Raises StepFailed."""
        there = None if new else self.at(path)
        if there is None:
            self.fresh.add(path)
        elif there.type is not EntryType.DIR:
            raise self.error(f"cannot copy a directory over /{path}, which is a {there.type.value}")
        self.placed[path] = Placed(entry, local=self.local)

    def parents(self, path: str, mtime_ns: int) -> None:
        """See that the directory above a path is there. Raises StepFailed."""
        head = path.rpartition("/")[0]
        while head and ((found := self.at(head)) is None or found.type is not EntryType.DIR):
            if found is not None:
                raise self.error(f"/{head} is a {found.type.value}, not a directory")
            self.directory(head, self.made(head, mtime_ns))
            head = head.rpartition("/")[0]

    def put(self, path: str, placed: Placed) -> None:
        """Put something that is no directory at its path. Raises StepFailed."""
        there = self.at(path)
        if there is not None and there.type is EntryType.DIR:
            raise self.error(f"cannot copy a {placed.entry.type.value} over the directory /{path}")
        self.parents(path, placed.entry.mtime_ns)
        self.placed[path] = placed

    def target(self) -> tuple[str, bool]:
        """Where the destination leads, and whether it has to be a directory."""
        wanted = self.op.dest.strip("/")
        where = wanted if self.op.link else self.below.resolve(wanted)
        return where, self.op.dest.endswith("/") or not wanted


def copy(
    store: Store,
    below: Tree,
    step: Step,
    selection: Selection,
    *,
    anew: bool,
    form: Form | None,
    times: Times | None = None,
) -> NewLayer:
    """Make the layer, compressed meanwhile in `form`; `anew`: without a look at earlier ones; `times`: of its files.

    Raises StepFailed, ContextError, AccountMissing, ArchiveInvalid.
    """
    from layers.making.compose import compose
    from layers.making.gathering import shared, warm

    op = step.op
    assert isinstance(op, Copy)
    warm()
    try:
        change, absolute = modes.parse(op.chmod) if op.chmod else (None, False)
    except ValueError as error:
        raise StepFailed(step.title, str(error), span=step.span) from error
    owner = below.accounts().owner(op.chown) if op.chown else None
    placing = Placing(below, op, step, owner, change, absolute, times)
    with ExitStack() as opened:
        for source in selection.sources:
            placing.local = source.local
            if source.unpack and _unpacked(store, placing, source, opened):
                continue
            if source.is_dir:
                _directory(placing, source)
            else:
                _file(placing, source.top.relative, _placed(source.top, source.top.entry, source))
        placing.local = False
        for name, text in selection.files:
            data = text.encode("utf-8", "surrogateescape")
            name = posixpath.normpath(f"/{name}").lstrip("/")
            if not name:
                raise placing.error("a here-document's name is the file's: it cannot be a directory")
            mtime_ns = 0 if times is None else times.copied(0, hashlib.sha256(data).hexdigest())
            entry = Entry(name, EntryType.FILE, HEREDOC_MODE, size=len(data), mtime_ns=mtime_ns)
            _file(placing, name, Placed(entry, _bytes(data)))
        _complete(placing)
        place = _place(selection)
        last = Last.find(store, place, op) if place is not None and not anew else None
        if last is not None:
            opened.enter_context(last)
        several = selection.several()
        for head, batches in list(placing.batched.items()):
            if several and not several.isdisjoint(group for _, batch in batches for _, group in batch.linked()):
                placing.single(head)
        parts = _parts(placing)
        whole = (what for what, _ in parts) if last is None else last.spare(parts)
        try:
            with shared(whole) as pieces:
                layer = compose(store, _pieces(placing, pieces), form, placing.original)
        except FileChanged as error:
            raise changed(placing.source(error.path)) from error
        except FileUnreadable as error:
            raise ContextError(str(error), span=step.span) from error
        if place is not None:
            Last.keep(store, place, op, layer, [content for _, content in parts])
        return layer


def _place(selection: Selection) -> Path | None:
    """The directory that all sources are of; None if there is no such."""
    found = {source.origin for source in selection.sources}
    origin = found.pop() if len(found) == 1 else None
    return origin.directory if isinstance(origin, Context) else None


def _placed(item: Item, entry: Entry, source: Source) -> Placed:
    origin = source.origin
    if entry.type is not EntryType.FILE:
        entry = _whole(origin, item.path, entry)
    time = origin.time(item.path)
    return Placed(entry, origin.open_file, item.path, item.group, item.content, source.local, time)


def _file(placing: Placing, name: str, placed: Placed) -> None:
    target, directory = placing.target()
    there = placing.at(target)
    if there is not None and there.type is EntryType.DIR:
        target = f"{target}/{name}" if target else name
    elif directory:
        if there is not None:
            raise placing.error(f"/{target} is a {there.type.value}, not a directory")
        target = f"{target}/{name}"
    placed.entry = placing.shaped(target, placed.entry)
    placing.put(target, placed)


def _directory(placing: Placing, source: Source) -> None:
    origin = source.origin
    target, _ = placing.target()
    there = placing.at(target)
    mtime_ns = source.top.entry.mtime_ns
    if there is None or there.type is not EntryType.DIR:
        if there is None:
            placing.parents(target, mtime_ns)
        placing.directory(target, placing.made(target, mtime_ns))
    elif target:
        placing.placed[target] = Placed(replace(there, mtime_ns=mtime_ns), local=source.local)
    prefix = f"{target}/" if target else ""
    made = {target} if target and there is None else set()  # directories with nothing in them but what this source has
    for item in source.items:
        path = prefix + item.relative
        if isinstance(item, Batch):
            assert isinstance(origin, Context)
            head = path.rstrip("/")
            if head in made:
                placing.batched.setdefault(head, []).append((origin, item))
                continue
            for name, (place, entry, content, group) in zip(item.names, item.entries(), strict=True):
                path = f"{head}/{name}" if head else name
                placing.put(path, Placed(placing.shaped(path, entry), origin.open_file, place, group, content, True))
            continue
        if item.passed and (on := placing.at(path)) is not None and on.type is EntryType.DIR:
            placing.directory(path, replace(on, mode=item.entry.mode))
            continue
        entry = placing.shaped(path, item.entry)
        alone = path.rpartition("/")[0] in made
        if entry.type is EntryType.DIR:
            if alone or placing.at(path) is None:
                made.add(path)
            placing.directory(path, _whole(origin, item.path, entry), new=alone)
        elif alone:
            placing.placed[path] = _placed(item, entry, source)
        else:
            placing.put(path, _placed(item, entry, source))


def _whole(origin: Origin, path: str, entry: Entry) -> Entry:
    """The entry of something that is never opened, with its extended attributes."""
    found = origin.attributes(path) if isinstance(origin, Context) and entry.type is not EntryType.SYMLINK else {}
    return replace(entry, xattrs=found) if found else entry


def _bytes(data: bytes) -> Reader:
    return lambda _: data


def _complete(placing: Placing) -> None:
    """The directories above what was placed, as they are: a layer must say what its parents look like."""
    for head in {path.rpartition("/")[0] for path in placing.placed}:
        while head and head not in placing.placed:
            found = placing.below.get(head) if not placing.op.link else None
            if found is not None and found.type is EntryType.DIR:
                placing.placed[head] = Placed(found)
            head = head.rpartition("/")[0]


def _parts(placing: Placing) -> list[Part]:
    """What was placed, in canonical order, with content and time; of names for one file the first carries it."""
    from layers.tar.normal import hard_link
    from layers.tar.tarball import order

    found: list[tuple[bytes, Part]] = [
        (order(placed.entry), (placed.entry, placed.content)) for placed in placing.placed.values()
    ]
    for head, batches in placing.batched.items():
        for origin, batch in batches:
            files = placing.files(head, origin, batch)
            found.append((order(files.entry(0, {})), (files, batch.contents)))
    found.sort(key=itemgetter(0))
    parts = [part for _, part in found]
    first: dict[object, str] = {}
    for at, (what, content) in enumerate(parts):
        if isinstance(what, Entry):
            placed = placing.placed[what.path]
            what = placing.dated(what, placed)
            if placed.group is not None and (head := first.setdefault(placed.group, what.path)) != what.path:
                what = hard_link(what, what.path, head)
            parts[at] = what, content
    return parts


def _pieces(placing: Placing, pieces: Iterable[Entry | PlainFiles | Taken | Lent]) -> Iterator[Piece]:
    """The same with the data of entries."""
    for entry in pieces:
        if not isinstance(entry, Entry):
            yield entry
            continue
        placed = placing.placed[entry.path]
        if entry.type is not EntryType.FILE or placed.read is None:
            yield entry, None
            continue
        try:
            data = placed.read(placed.source)
        except OSError as error:
            raise ContextError(f"cannot read {entry.path}: {error.strerror}", span=placing.step.span) from error
        try:
            if isinstance(data, int) and (found := incoming(read_xattrs(data))):
                entry = replace(entry, xattrs=found)
            yield entry, data
        finally:
            if isinstance(data, int):
                os.close(data)
            elif not isinstance(data, bytes):
                data.close()


def _unpacked(store: Store, placing: Placing, source: Source, stack: ExitStack) -> bool:
    """Place the members of an archive; False if the source is none."""
    from builder.sources.archive import opened

    top = source.top
    if top.entry.type is not EntryType.FILE or not top.entry.size:
        return False
    data = source.origin.open_file(top.path)
    with os.fdopen(data, "rb") if isinstance(data, int) else data as file:
        tree = opened(store, file, stack)
    if tree is None:
        return False
    target, _ = placing.target()
    there = placing.at(target)
    if there is not None and there.type is not EntryType.DIR:
        raise placing.error(f"cannot unpack an archive into /{target}, which is a {there.type.value}")
    if there is None:
        placing.parents(target, top.entry.mtime_ns)
        placing.directory(target, Placing.made(replace(placing, chmod=None), target, top.entry.mtime_ns))
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
    placing.placed[path] = Placed(replace(placing.owned(entry), path=path), tree.open, entry.path, inode)
