"""The files of the build: a directory without what .dockerignore leaves out, as entries of a layer.

Owners become 0:0, as with docker. Nothing is read to find out whether a file changed: a stat cache vouches for the
digest of what has the same inode, size and times as when it was last read.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

from builder.contexts.ahead import foresee
from builder.contexts.batch import HEX, UNKNOWN, Batch, plain
from builder.contexts.hashing import of_attributes, of_file, of_files
from builder.contexts.ignore import Ignore, State, places
from builder.contexts.listing import Listing
from builder.contexts.statcache import StatCache
from builder.errors import ContextError
from layers import Entry, EntryType, UnsafePath
from layers.disk.paths import Root, encode, resolve
from layers.disk.stats import Stats, Status
from layers.errors import FileChanged
from layers.helper import lent
from layers.tar.entry import KINDS as ENTRIES
from layers.tar.entry import whole_seconds
from layers.tar.xattrs import incoming
from layers.tar.xattrs import read as read_xattrs

if TYPE_CHECKING:
    from layers import Store

FORM = 0o170000
"""The part of a mode that tells kinds apart (S_IFMT, inode(7))."""
KINDS = {**ENTRIES, stat.S_IFSOCK: EntryType.FILE}


class Context:
    """One directory; paths are relative to it, "" is the directory itself. Threads may share it."""

    def __init__(self, directory: Path, ignore: Ignore, known: StatCache | None = None) -> None:
        self.directory = directory
        self.ignore = ignore
        self.root = Root(directory)
        self.listings: dict[str, Listing] = {}
        self.ahead: dict[str, tuple[int, list[str]]] = {}
        """Digests of the files in a directory that were unknown, and when they began to be read."""
        self._shown: dict[str, list[str]] = {}
        """Names in directories that are not ignored."""
        self._alone: dict[str, Status] = {}
        """What lstat(2) says of paths whose directories are not listed."""
        self._states: dict[str, State] = {}
        self._verdicts: dict[str, bool] = {}
        self._folder: tuple[str, int] | None = None
        """The directory that a file was opened in last: most of the next ones are in it, too."""
        self._turn = threading.Lock()
        self._known = known or StatCache()

    @classmethod
    def open(
        cls, directory: Path, dockerfile: Path | None, store: Store | None = None, ignorefile: Path | None = None
    ) -> Context:
        """Read the ignore file (see `ignore.places`; a named one has to be there) and the stat cache.

        Raises ContextError.
        """
        with lent() as helper:
            if helper is not None:
                helper.prepare("builder.contexts.listing")
        ignore = Ignore()
        for name in places(directory, dockerfile, ignorefile):
            try:
                ignore = Ignore.parse(name.read_bytes(), name.name)
                break
            except (FileNotFoundError, NotADirectoryError) as error:
                if name == ignorefile:
                    raise ContextError(f"ignore file {name}: {error.strerror}") from error
        record = None if store is None else store.records.find(cls.key(directory))
        return cls(directory, ignore, StatCache.load(record.value) if record else None)

    @staticmethod
    def key(directory: Path) -> str:
        """Where the stat cache of a directory is kept."""
        return f"context:{directory.resolve()}"

    def remember(self, store: Store) -> None:
        """Keep what was learnt about files, if anything was."""
        if self._known.grown():
            store.records.keep(self.key(self.directory), self._known.dump())

    def close(self) -> None:
        """Give the descriptors back; nothing can be opened any more. Idempotent."""
        with self._turn:
            if self._folder is not None:
                os.close(self._folder[1])
                self._folder = None
        self.root.close()

    # -- what COPY asks --------------------------------------------------------------------------

    def get(self, path: str) -> Entry | None:
        """The entry of a path, None if there is nothing or it is ignored. Symlinks are not followed."""
        status = self._status(path)
        if status is None or (self.ignore and not self._seen(path, status)):
            return None
        mode = status.mode
        if (form := stat.S_IFMT(mode)) == stat.S_IFREG:
            return plain(path, status)
        kind = KINDS[form]
        device = self.root.lstat(path).st_rdev if kind in (EntryType.CHAR, EntryType.BLOCK) else 0
        linkname = self.root.readlink(path) if kind is EntryType.SYMLINK else ""
        return Entry(
            path,
            kind,
            mode & 0o7777,
            mtime_ns=whole_seconds(status.mtime_ns),
            linkname=linkname,
            major=os.major(device),
            minor=os.minor(device),
        )

    def children(self, path: str) -> list[str]:
        """Names in a directory, by their bytes, without those that are ignored."""
        if not self.ignore:
            return self.listing(path).names
        if path not in self._shown:
            self._shown[path] = self._visible(path, self.listing(path))
        return self._shown[path]

    def parts(self, path: str) -> Iterator[str | Batch]:
        """The same, plain files next to each other as one batch."""
        if path not in self.listings:
            foresee(self, path)
        names, stats, batched = self._looked(path)
        contents = self._contents(path)
        batched.append(False)
        at = done = 0
        while at < len(names):
            if not batched[at]:
                yield names[at]
                at += 1
                continue
            end = batched.index(False, at)
            count = end - at
            yield Batch(path, names[at:end], stats.part(at, end), contents[HEX * done : HEX * (done + count)])
            at, done = end, done + count

    def resolve(self, path: str) -> str:
        """The path without symlinks, inside the context. Raises UnsafePath for a circle of links."""
        return resolve(path, self._link)

    def inode(self, path: str) -> object | None:
        """What names of one file have in common; None for a file with one name."""
        status = self._status(path)
        return None if status is None or status.nlink < 2 else (status.dev, status.ino)

    def time(self, path: str) -> int | None:
        """The time of something with its fraction of a second, which entries have not."""
        status = self._status(path)
        return None if status is None else status.mtime_ns

    def open_file(self, path: str) -> int:
        """A descriptor of a file that is still as it was when it was looked at. Raises ContextError, OSError.

        Another name made or taken away changes st_ctime alone, and nothing that counts.
        """
        head, _, name = path.rpartition("/")
        with self._turn:
            if self._folder is None or self._folder[0] != head:
                folder = self.root.open(head or ".", os.O_PATH | os.O_DIRECTORY, follow=False)
                if self._folder is not None:
                    os.close(self._folder[1])
                self._folder = head, folder
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(encode(name), flags, dir_fd=self._folder[1])
        status = self._status(path)
        if status is None or not status.same(Status.of(os.fstat(descriptor))):
            os.close(descriptor)
            raise changed(path)
        return descriptor

    def attributes(self, path: str) -> Mapping[str, bytes]:
        """The extended attributes of anything but a symlink."""
        return incoming(read_xattrs(f"{self.directory}/{path}"))

    def digest(self, path: str, entry: Entry) -> str:
        """Of a file's bytes and attributes; of anything else the attributes. Read only if the stat cache is silent."""
        if entry.type is EntryType.SYMLINK:
            return ""
        status = self._status(path)
        assert status is not None
        if (known := self._known.find(path, status)) is not None:
            return known
        began = time.time_ns()
        found = self._read(path, status)
        self._known.note(path, status, began, found)
        return found

    def ignored(self, path: str) -> str:
        """Why something that is there cannot be seen: the line of the ignore file; "" if it is not that."""
        if self._status(path) is None or (pattern := self.ignore.why(path)) is None or pattern.keeps:
            return ""
        return f"{self.ignore.name}:{pattern.line} ignores it ({pattern.text})"

    # -- inside ----------------------------------------------------------------------------------

    def _link(self, path: str) -> str | None:
        status = self._status(path)
        return self.root.readlink(path) if status is not None and stat.S_ISLNK(status.mode) else None

    def listing(self, path: str) -> Listing:
        if (known := self.listings.get(path)) is not None:
            return known
        listing = Listing.read(self.root, path)
        self.listings[path] = listing
        return listing

    def inner(self, path: str) -> list[str]:
        """The directories in a directory that are not ignored."""
        prefix, listing = f"{path}/" if path else "", self.listing(path)
        modes = listing.stats.column("mode")
        found = [(prefix + name, at) for at, name in enumerate(listing.names) if modes[at] & FORM == stat.S_IFDIR]
        return [place for place, at in found if not self.ignore or self._seen(place, listing.stats[at])]

    def unknown(self, path: str) -> tuple[list[str], Stats]:
        """The plain files in a directory that have to be read."""
        names, stats = self._plain(path)
        contents = self._known.find_all(path, names, stats)
        if UNKNOWN not in contents:
            return [], stats.part(0, 0)
        which = [at for at in range(len(names)) if contents.startswith(UNKNOWN, HEX * at)]
        return [names[at] for at in which], stats.chosen(which)

    def _status(self, path: str) -> Status | None:
        head, _, name = path.rpartition("/")
        if (listing := self.listings.get(head)) is not None and (found := listing.find(name)) is not None:
            return found
        if path not in self._alone:
            try:
                self._alone[path] = Status.of(self.root.lstat(path or "."))
            except (FileNotFoundError, NotADirectoryError, UnsafePath):
                return None
        return self._alone[path]

    def _looked(self, path: str) -> tuple[list[str], Stats, list[bool]]:
        """What is in a directory and not ignored, and which of that are plain files."""
        names, listing = self.children(path), self.listing(path)
        stats = listing.stats if names is listing.names else listing.stats.chosen(map(listing.at.__getitem__, names))
        return names, stats, [mode & FORM == stat.S_IFREG for mode in stats.column("mode")]

    def _plain(self, path: str) -> tuple[list[str], Stats]:
        names, stats, batched = self._looked(path)
        if all(batched):
            return names, stats
        return list(compress(names, batched)), stats.chosen(compress(range(len(names)), batched))

    def _contents(self, path: str) -> str:
        """The digests of plain files in a directory, one behind the other."""
        names, stats = self._plain(path)
        found = self._known.find_all(path, names, stats)
        if UNKNOWN not in found:
            return found
        began, read = self.ahead.pop(path, (time.time_ns(), None))
        if read is None:
            try:
                read = of_files(self.root, path, *self.unknown(path))
            except FileChanged as error:
                raise changed(error.path) from error
        new = iter(read)
        digests = (found[at : at + HEX] for at in range(0, len(found), HEX))
        found = "".join(next(new) if one == UNKNOWN else one for one in digests)
        self._known.note_all(path, names, stats, began, found, self.listing(path).at)
        return found

    def _read(self, path: str, status: Status) -> str:
        """The digest of what is at a path: of a file's bytes and attributes, of anything else the attributes."""
        if not stat.S_ISREG(status.mode):
            return of_attributes(self.attributes(path)).hexdigest()
        descriptor = self.open_file(path)
        try:
            return of_file(descriptor, status.size)
        finally:
            os.close(descriptor)

    def _visible(self, path: str, listing: Listing) -> list[str]:
        """The names in a directory that are not ignored; of most only this is ever asked."""
        above = self._state(path) if path else self.ignore.top
        prefix, verdicts, hides = f"{path}/" if path else "", self._verdicts, self.ignore.hides
        found = []
        for at, (name, mode) in enumerate(zip(listing.names, listing.stats.column("mode"), strict=True)):
            place = prefix + name
            if stat.S_ISDIR(mode):
                seen = self._seen(place, listing.stats[at])
            else:
                seen = verdicts[place] = not hides(place, above)
            if seen:
                found.append(name)
        return found

    def _seen(self, path: str, status: Status) -> bool:
        """Not ignored, or a directory with something below it that is not."""
        if not self.ignore or not path:
            return True
        if (known := self._verdicts.get(path)) is not None:
            return known
        if not stat.S_ISDIR(status.mode):
            head = path.rpartition("/")[0]
            found = not self.ignore.hides(path, self._state(head) if head else self.ignore.top)
        else:
            found = not self._state(path).ignored or (self.ignore.may_keep_below(path) and bool(self.children(path)))
        self._verdicts[path] = found
        return found

    def _state(self, path: str) -> State:
        if path not in self._states:
            head = path.rpartition("/")[0]
            above = self._state(head) if head else self.ignore.top
            self._states[path] = self.ignore.state(path, above)
        return self._states[path]


def changed(path: str) -> ContextError:
    """Somebody works in the context."""
    return ContextError(f"{path} changed while the build read it", help="build again when nothing writes there")
