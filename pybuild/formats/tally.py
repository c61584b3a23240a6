"""How much differs, directory by directory, and what is stored twice for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from pybuild import units
from pybuild.formats.names import shown
from pybuild.formats.table import table

if TYPE_CHECKING:
    from layers import Entry
    from layers.views.files import Files
    from layers.views.treediff import Difference

HEADS = ("DIRECTORY", "ADDED", "BYTES", "DELETED", "BYTES", "CHANGED", "BYTES")


class Tally:
    """What has been seen on the way: how many, how much of what, and what is stored twice for nothing."""

    def __init__(self, before: Files, after: Files) -> None:
        self._before = before
        self._after = after
        self._seen: set[object] = set()
        self._tops: dict[str, list[int]] = {}
        self._repeated = 0
        self._twice: set[object] = set()
        self.any = False

    def watch(self, found: Iterable[Difference]) -> Iterator[Difference]:
        """Pass differences on."""
        for each in found:
            self.any = True
            if each.repeated and (inode := self._after.inode(each.path)) not in self._twice:
                self._twice.add(inode)
                self._repeated += each.repeated
            yield each

    def count(self, one: Difference) -> None:
        """Add one to the table; what is in a removed directory too."""
        from layers import EntryType
        from layers.views.treediff import subtree

        head, slash, _ = one.path.partition("/")
        folder = slash or EntryType.DIR in {entry.type for entry in (one.old, one.new) if entry is not None}
        numbers = self._tops.setdefault(f"/{head}/" if folder else "/", [0] * 6)

        def add(column: int, files: Files, entry: Entry) -> None:
            numbers[column] += 1
            inode = (column, files.inode(entry.path)) if entry.size else None
            if inode not in self._seen:
                self._seen.add(inode)
                numbers[column + 1] += entry.size

        replaced = one.old is not None and one.new is not None and one.old.type is not one.new.type
        if one.old is not None and (one.new is None or replaced):
            subtree(self._before, one.path, lambda entry: add(2, self._before, entry))
        if one.new is not None and (one.old is None or replaced):
            add(0, self._after, one.new)
        elif one.new is not None:
            add(4, self._after, one.new)

    def print(self) -> None:
        """The table, one line for each directory of the root and one for all; files in the root itself are `/`."""
        total = [sum(column) for column in zip(*self._tops.values(), strict=True)] or [0] * 6
        lines = [*sorted(self._tops.items()), ("total", total)]
        cells = [
            [units.size(value) if at % 2 else str(value) for at, value in enumerate(numbers)] for _, numbers in lines
        ]
        click.echo(table(HEADS, [[shown(top), *row] for (top, _), row in zip(lines, cells, strict=True)]))

    def warn(self, *, least: int) -> None:
        """Say so if a layer repeats files only to change their mode or owner."""
        if self._repeated < least:
            return
        from pybuild.exits import tell

        files = "1 file is" if len(self._twice) == 1 else f"{len(self._twice)} files are"
        tell(
            f"note: {files} here a second time, {units.size(self._repeated)}, for another mode or owner only\n"
            "help: set them where the files are made: COPY --chown --chmod, or chmod in the RUN that writes them"
        )
