"""COPY --parents: the path of a source, from the root or from `/./`, is kept below the destination.

What stands before `/./` is found as sources of any COPY are; what stands behind it is a pattern as in .dockerignore,
and what fits it is copied with the directories on the way: BuildKit's llb.CopyInfo.IncludePatterns. So no link on the
way is followed, and a pattern that fits nothing copies nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import takewhile
from posixpath import normpath
from typing import TYPE_CHECKING

from builder.contexts.ignore import Ignore, translate
from builder.errors import ContextError
from builder.ops.select import WILD, Item, Origin, Source, below, found_at, item_of, named, passed
from layers import EntryType
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.contexts.batch import Batch
    from builder.graph import Step

PIVOT = "/./"


def with_parents(origin: Origin, text: str, excluded: Ignore | None, step: Step) -> Iterator[Source]:
    """A source for each directory that stands before the pivot. Raises ContextError.

    What has no wildcards has to be there, as newer BuildKits have it.
    """
    start, pivot, rest = text.partition(PIVOT)
    start = normpath(f"/{start}").lstrip("/") if pivot else ""
    pattern = normpath(f"/{rest if pivot else text}").lstrip("/")
    wanted = Wanted(origin, Ignore.of([pattern], "--parents"), excluded, _parts(pattern))
    whole = f"{start}/{pattern}".strip("/")
    if not WILD.search(whole) and origin.get(whole) is None:
        found_at(origin, whole, step)
    if not WILD.search(start):
        _, entry = found_at(origin, start, step)
        if entry.type is not EntryType.DIR:
            raise ContextError(f'"/{start}" is not a directory', span=step.span, help=f"{PIVOT} stands behind one")
    for base in named(origin, start, step):
        where, top = found_at(origin, base, step)
        if top.type is EntryType.DIR:
            yield Source(origin, item_of(origin, "", where, top), tuple(wanted.below(where)))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What fits `included` and not `excluded`; `parts` tells in which directories anything could."""

    origin: Origin
    included: Ignore
    excluded: Ignore | None
    parts: tuple[str | Callable[[str], object] | None, ...]

    def below(self, path: str, relative: str = "", depth: int = 0) -> Iterator[Item | Batch]:
        """What is wanted of a directory, directories before what is in them."""
        for name in self._names(path, depth):
            place, rest = (f"{head}/{name}" if head else name for head in (path, relative))
            if (entry := self.origin.get(place)) is None:
                continue
            fits = self.included.ignores(rest)
            left_out = self.excluded is not None and self.excluded.ignores(rest)
            if entry.type is not EntryType.DIR:
                if fits and not left_out:
                    yield item_of(self.origin, rest, place, entry)
                continue
            here = item_of(self.origin, rest, place, entry)
            inside = below(self.origin, place, rest, self.excluded) if fits else self.below(place, rest, depth + 1)
            if fits and not left_out:
                yield here
                yield from inside
            else:
                yield from passed(here, inside)

    def _names(self, path: str, depth: int) -> list[str]:
        """Names in a directory that may be wanted, or be on the way to what is."""
        if depth >= len(self.parts):
            return self.origin.children(path) if None in self.parts else []
        part = self.parts[depth]
        if part is None or None in self.parts[:depth]:
            return self.origin.children(path)
        if isinstance(part, str):
            return [part]
        return list(filter(part, self.origin.children(path)))


def _parts(pattern: str) -> tuple[str | Callable[[str], object] | None, ...]:
    """For each component its name or what names have to fit; None at the end: from there on anything, at any depth."""
    if pattern.startswith("!"):  # takes away what was wanted, and nothing was
        return ()
    parts = pattern.split("/")
    plain = list(takewhile(lambda part: "**" not in part, parts))
    found: list[str | Callable[[str], object] | None] = []
    for part in plain:
        if not WILD.search(part):
            found.append(part)
            continue
        try:
            found.append(re.compile(translate(part), re.DOTALL).fullmatch)
        except (ValueError, re.error):  # a class with a slash in it
            return (*found, None)
    return (*found, None) if len(plain) < len(parts) else tuple(found)
