"""Small files of a layer, half of them read by the helper: it makes a tar of them beside ours, in memory.

Segment by segment, every other one is the helper's; when its turn comes its bytes are copied, and the helper has the
next one meanwhile. What it could not do is done here after all.
"""

from __future__ import annotations

import os
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from layers.disk.paths import Root
from layers.disk.ranges import write_all
from layers.disk.stats import Stats
from layers.helper import Helper, lent
from layers.tar.plain import PlainFiles
from layers.tar.tarball import TarWriter

if TYPE_CHECKING:
    from layers.making.compose import Taken
    from layers.tar.entry import Entry

LEAST = 2_000
"""Files that are worth the messages."""
MOST_FILES, MOST_BYTES = 5_000, 12 << 20
"""Of two segments, one of ours and one of the helper's, whose bytes are in memory for a while."""
FEW, LARGE = 250, 1 << 20
"""Files and bytes that are handed over together; the helper reads no file that is larger."""
TARS = 2
"""One is written while the other is read."""
OURS = 0.4
"""The share that is read here, where hashing and writing have to be done as well."""

Offsets = tuple[list[int], Mapping[int, Mapping[str, bytes]]]
"""Where the data of each file are, and the attributes of those that have any."""
Place = tuple[int, int, list[int], Mapping[int, Mapping[str, bytes]]]
"""Where files lie in the helper's tar, from where to where, and their Offsets there."""


class Lent:
    """Files that the helper is to read, or has read."""

    def __init__(self, files: PlainFiles, segment: Segment) -> None:
        self.files = files
        self._segment = segment

    def write(self, tar: TarWriter) -> Offsets:
        """Write them, wherever they were read. Raises what `TarWriter.add_files` raises."""
        if (made := self._segment.made(self)) is None:
            return tar.add_files(self.files)
        source, (start, end, offsets, attributes) = made
        moved = tar.copy(source, start, end) - start
        return [offset + moved for offset in offsets], attributes


class Segment:
    """Some of them that the helper is given at once."""

    def __init__(self, sharing: Sharing) -> None:
        self.lent: list[Lent] = []
        self._sharing = sharing
        self._made: dict[Lent, tuple[int, Place]] | None = None

    def made(self, one: Lent) -> tuple[int, Place] | None:
        """A descriptor of the helper's tar and where these files are in it; None if they are not."""
        if self._made is None:
            tar, places = self._sharing.fetch()
            self._made = {each: (tar, place) for each, place in zip(self.lent, places, strict=False)}
        return self._made.get(one)


class Sharing:
    """Segments in their order, and the helper that has them one after the other."""

    def __init__(self, helper: Helper) -> None:
        self._helper = helper
        self._waiting: deque[Segment] = deque()
        self._tars: deque[int] = deque()

    def over(self, pieces: Iterable[Entry | PlainFiles | Taken]) -> list[Entry | PlainFiles | Taken | Lent]:
        """The same pieces, every other segment lent; the helper begins."""
        pieces = list(_smaller(pieces))
        small = [piece for piece in pieces if isinstance(piece, PlainFiles) and piece.size <= LARGE]
        count, size = sum(map(len, small)), sum(piece.size for piece in small)
        if count < LEAST:
            return [*pieces]
        rounds = max(-(-count // MOST_FILES), -(-size // MOST_BYTES))
        found: list[Entry | PlainFiles | Taken | Lent] = []
        done, theirs = 0, -1.0
        for piece in pieces:
            if not isinstance(piece, PlainFiles) or piece.size > LARGE:
                found.append(piece)
                continue
            at, within = divmod(done * rounds / count, 1)
            done += len(piece)
            if within < OURS:
                found.append(piece)
                continue
            if at != theirs:
                theirs = at
                self._waiting.append(Segment(self))
            one = Lent(piece, self._waiting[-1])
            self._waiting[-1].lent.append(one)
            found.append(one)
        self._give()
        return found

    def fetch(self) -> tuple[int, Sequence[Place]]:
        """What the helper made of the segment whose turn it is, and the tar; nothing if it failed."""
        found = self._helper.answer() or ()
        tar = self._tars[0] if self._tars else -1
        self._give()
        return tar, found

    def close(self) -> None:
        """Give the memory back."""
        for tar in self._tars:
            os.close(tar)

    def _give(self) -> None:
        """Let the helper go on, in the tar whose bytes have been copied."""
        if not self._waiting:
            return
        segment = self._waiting.popleft()
        if len(self._tars) < TARS:
            try:
                self._tars.append(os.memfd_create("pybuild-files", os.MFD_CLOEXEC))
            except OSError:  # it has to be done here then
                return
        self._tars.rotate(1)
        order = [
            (
                files.prefix, files.names, files.stats.numbers.tobytes(), files.modes, files.mtimes_ns, files.uid,
                files.gid, files.folder,
            )
            for files in (one.files for one in segment.lent)
        ]  # fmt: skip
        self._helper.ask(gather, order, [segment.lent[0].files.root.fd, self._tars[0]])


def warm() -> None:
    """Let the helper, if there is one, get ready meanwhile."""
    with lent() as helper:
        if helper is not None:
            helper.prepare(__name__)


def _smaller(pieces: Iterable[Entry | PlainFiles | Taken]) -> Iterator[Entry | PlainFiles | Taken]:
    """The same, so that no piece is a large part of the whole; a large file is alone."""
    for piece in pieces:
        if not isinstance(piece, PlainFiles):
            yield piece
            continue
        start = held = 0
        for at, size in enumerate(piece.sizes()):
            if at > start and (at - start == FEW or held + size > LARGE):
                yield piece.part(start, at)
                start, held = at, 0
            held += size
        yield piece.part(start, len(piece))


@contextmanager
def shared(
    pieces: Iterable[Entry | PlainFiles | Taken],
) -> Iterator[Iterable[Entry | PlainFiles | Taken | Lent]]:
    """Pieces of a layer, some of whose files the helper reads meanwhile, if there is one; all of one directory tree."""
    with lent() as helper:
        if helper is None:
            yield pieces
            return
        sharing = Sharing(helper)
        try:
            yield sharing.over(pieces)
        finally:
            sharing.close()


def gather(order: Sequence[Any], descriptors: Sequence[int]) -> list[Place]:
    """The helper's work: a tar of files below the first descriptor, in the second.

    Raises what `TarWriter.add_files` raises.
    """
    found: list[Place] = []
    done = 0

    def sink(piece: memoryview) -> None:
        nonlocal done
        write_all(descriptors[1], piece, done)
        done += len(piece)

    with Root(f"/proc/self/fd/{descriptors[0]}") as root:
        tar = TarWriter(sink)
        for prefix, names, numbers, modes, mtimes_ns, uid, gid, folder in order:
            files = PlainFiles(prefix, names, Stats(array("q", numbers)), modes, mtimes_ns, uid, gid, root, folder)
            start = tar.position
            offsets, attributes = tar.add_files(files)
            found.append((start, tar.position, offsets, {at: dict(one) for at, one in attributes.items()}))
        tar.flush()
    return found
