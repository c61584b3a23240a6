"""What leads from one file system to another, and why each path counts as different; nothing is unpacked.

Layers that both begin with are not looked at: only paths that the others mention can differ. The bytes of two files are
compared only where all else leaves the question open, and never when both are the same bytes of the same layer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from layers.disk.paths import encode
from layers.quick import dataclass
from layers.tar.entry import Entry, EntryType, same_time
from layers.views.changes import ChangeKind
from layers.views.tree import Tree

if TYPE_CHECKING:
    from layers.tar.toc import Toc
    from layers.views.files import Files

PIECE = 1 << 20


class Reason(StrEnum):
    """In what two things at one path differ."""

    TYPE = "type"
    CONTENT = "content"
    LINK = "link"
    MODE = "mode"
    OWNER = "owner"
    XATTR = "xattr"
    MTIME = "mtime"


@dataclass(frozen=True, slots=True)
class Difference:
    """One path. `old` and `new` are None where nothing is there; `reasons` those of a MODIFIED that were looked for."""

    kind: ChangeKind
    path: str
    old: Entry | None
    new: Entry | None
    reasons: tuple[Reason, ...] = ()

    @property
    def repeated(self) -> int:
        """Bytes that a layer holds once more only to change mode, owner or attributes of a file; 0 if it is not that.

        Without reasons that say whether the content is the same, an equal size and time are taken as a yes.
        """
        old, new = self.old, self.new
        if old is None or new is None or not old.type is new.type is EntryType.FILE or old.size != new.size:
            return 0
        why = set(self.reasons) or set(attributes(old, new))
        if Reason.CONTENT in why or not why & {Reason.MODE, Reason.OWNER, Reason.XATTR}:
            return 0
        return new.size if self.reasons or Reason.MTIME not in why else 0


def diff(
    before: Files, after: Files, *, ignore: Collection[Reason] = (), reasons: bool = False
) -> Iterator[Difference]:
    """Added, modified and removed paths in canonical order; what is in a removed directory is not listed.

    `reasons` asks for all of them, which may mean to read files; otherwise the first one found is enough. What
    differs only for reasons in `ignore` is equal. The root itself is not compared.
    """
    apart = before.apart(after) if isinstance(before, Tree) and isinstance(after, Tree) else None
    waiting = [("", apart is None)]
    while waiting:
        path, whole = waiting.pop()
        old, new = before.get(path), after.get(path)
        if new is None:
            if old is not None:
                yield Difference(ChangeKind.REMOVED, path, old, None)
            continue
        if old is None:
            yield Difference(ChangeKind.ADDED, path, None, new)
        elif path and (why := compare(before, after, old, new, ignore=ignore, every=reasons)):
            yield Difference(ChangeKind.MODIFIED, path, old, new, why if reasons else ())
        if new.type is not EntryType.DIR:
            continue
        inner = f"{path}/" if path else ""
        if apart is None or whole or old is None or any(toc.is_opaque(path) for toc in apart):
            names = {*before.children(path), *after.children(path)}
            waiting += [(inner + name, True) for name in sorted(names, key=encode, reverse=True)]
        else:
            names = {name for toc in apart for name in toc.mentions(path)}
            waiting += [
                (inner + name, replaces(apart, inner + name)) for name in sorted(names, key=encode, reverse=True)
            ]


def replaces(layers: Sequence[Toc], path: str) -> bool:
    """True if one of the layers hides all that lower ones have below a path."""
    return any(toc.deletes(path) or toc.is_opaque(path) or (toc.holds(path) and not toc.is_dir(path)) for toc in layers)


def compare(
    before: Files, after: Files, old: Entry, new: Entry, *, ignore: Collection[Reason] = (), every: bool = True
) -> tuple[Reason, ...]:
    """Why two things at one path differ, () if they do not; unless `every`, one reason is enough."""
    found = tuple(reason for reason in attributes(old, new) if reason not in ignore)
    if found and (not every or Reason.TYPE in found or Reason.CONTENT in found):
        return found
    if new.type is not EntryType.FILE or old.type is not EntryType.FILE or old.size != new.size:
        return found
    if Reason.CONTENT in ignore or not new.size or is_same_file(before, after, new.path):
        return found
    return found if same_bytes(before, after, new.path) else (Reason.CONTENT, *found)


def attributes(old: Entry, new: Entry) -> Iterator[Reason]:
    """What differs without reading anything; files of two sizes have two contents."""
    if old.type is not new.type or (old.major, old.minor) != (new.major, new.minor):
        yield Reason.TYPE
        return
    if old.size != new.size:
        yield Reason.CONTENT
    if old.linkname != new.linkname:
        yield Reason.LINK
    if old.mode != new.mode and new.type is not EntryType.SYMLINK:  # a link's own mode means nothing (symlink(7))
        yield Reason.MODE
    if (old.uid, old.gid) != (new.uid, new.gid):
        yield Reason.OWNER
    if dict(old.xattrs) != dict(new.xattrs):
        yield Reason.XATTR
    if not same_time(old.mtime_ns, new.mtime_ns):
        yield Reason.MTIME


def is_same_file(before: Files, after: Files, path: str) -> bool:
    """True if both sides show the very same file."""
    there = before.inode(path)
    return there is not None and there == after.inode(path)


def same_bytes(before: Files, after: Files, path: str) -> bool:
    """True if the files at a path hold the same."""
    with before.open(path) as one, after.open(path) as two:
        while True:
            left, right = one.read(PIECE), two.read(PIECE)
            if left != right:
                return False
            if not left:
                return True


def subtree(files: Files, path: str, visit: Callable[[Entry], object]) -> None:
    """Call `visit` for a path and all that is below it, directories before what is in them."""
    waiting = [path]
    while waiting:
        path = waiting.pop()
        entry = files.get(path)
        if entry is None:
            continue
        visit(entry)
        if entry.type is EntryType.DIR:
            waiting += [f"{path}/{name}" if path else name for name in reversed(files.children(path))]
