"""One layer as a tree with marks: A for what it adds, M for what it modifies, D for what it deletes of those below."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from layers.quick import dataclass, field
from pybuild import units
from pybuild.formats.names import shown

if TYPE_CHECKING:
    from layers import Entry, Toc, Tree

BLANK, BAR, FORK, LAST = "    ", "│   ", "├── ", "└── "


@dataclass
class Branch:
    """A name in the tree; `mark` is " " for a directory that is only the way to something."""

    name: str
    mark: str = " "
    size: int = 0
    note: str = ""
    inner: dict[str, Branch] = field(default_factory=dict)


def lines(toc: Toc, below: Tree) -> Iterator[str]:
    """The tree of a layer over those below it: mark, bytes, name. What a deleted directory held is counted."""
    top = Branch("/")
    for entry in toc:
        if entry.type.value == "opaque":
            kept = toc.children(entry.path)
            for name in below.children(entry.path):
                if name not in kept:
                    delete(top, below, f"{entry.path}/{name}" if entry.path else name)
        elif entry.type.value == "whiteout":
            delete(top, below, entry.path)
        else:
            add(top, below, entry)
    yield f"{top.mark} {'':>9}  /"
    waiting = [(inner, "", last) for inner, last in ends(top)]
    while waiting:
        one, lead, last = waiting.pop()
        size = units.size(one.size) if one.size else ""
        yield f"{one.mark} {size:>9}  {lead}{LAST if last else FORK}{shown(one.name)}{one.note}"
        waiting += [(inner, lead + (BLANK if last else BAR), end) for inner, end in ends(one)]


def ends(one: Branch) -> list[tuple[Branch, bool]]:
    """What is in a branch, backwards, each with whether it is the last."""
    inner = sorted(one.inner.values(), key=lambda each: each.name.encode("utf-8", "surrogateescape"), reverse=True)
    return [(each, number == 0) for number, each in enumerate(inner)]


def place(top: Branch, below: Tree, path: str) -> Branch:
    """The branch of a path, made if need be; directories that the layer only implies are new if none is below."""
    done = ""
    for name in path.split("/") if path else ():
        done = f"{done}/{name}" if done else name
        if name not in top.inner:
            implied = done != path
            new = implied and not below.holds(done)
            top.inner[name] = Branch(name, "A" if new else " ", note="/" if implied else "")
        top = top.inner[name]
    return top


def add(top: Branch, below: Tree, entry: Entry) -> None:
    """Something that the layer has."""
    from layers.views.treediff import Reason, attributes

    old = below.get(entry.path)
    branch = place(top, below, entry.path)
    branch.size = entry.size
    same = old is not None and entry.type.value == "dir" and not {*attributes(old, entry)} - {Reason.MTIME}
    branch.mark = "A" if old is None else " " if same else "M"
    if entry.linkname:
        branch.note = f" {'=' if entry.type.value == 'hardlink' else '->'} {shown(entry.linkname)}"
    elif entry.type.value == "dir":
        branch.note = "/"


def delete(top: Branch, below: Tree, path: str) -> None:
    """Something that the layer hides."""
    from layers.views.treediff import subtree

    count, size = 0, 0

    def visit(entry: Entry) -> None:
        nonlocal count, size
        count += 1
        size += entry.size

    subtree(below, path, visit)
    branch = place(top, below, path)
    branch.mark, branch.size = "D", size
    if count > 1:
        branch.note = f"/ with {units.plural(count - 1, 'path')}"
    elif not count:
        branch.note = " (which is not there)"
