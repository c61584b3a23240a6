"""The layers of an image as a picture: one page without dependencies, a box for each folder and large file.

Boxes are as large as their bytes and nearly square (Bruls, Huizing, van Wijk: Squarified Treemaps); what upper layers
hide is red. Names come from strangers: they reach the page as JSON that no markup can end, and are shown as text.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from layers.quick import dataclass, field
from pybuild import units
from pybuild.formats.names import shown

if TYPE_CHECKING:
    from layers.views.waste import Waste

WIDTH, HEIGHT = 16.0, 9.0
"""The shape of the window that boxes are laid out for."""
LEAST = 1 / 3000
"""Of all bytes: what is smaller is put together, so that a page stays small whatever an image holds."""
WHOLE = 100_000
"""Places are counted in thousandths of a percent of the box around."""
DEEPEST = 30
"""Folders in folders that are told apart; below, the rest of a path is one name."""
Place = tuple[float, float, float, float]
"""Left, top, width, height."""


@dataclass
class Box:
    """A folder, file or layer: bytes, and those of them that do not show."""

    name: str
    size: int = 0
    hidden: int = 0
    inner: dict[str, Box] = field(default_factory=dict)


def page(name: str, found: Waste, labels: Sequence[str]) -> str:
    """The whole page; `labels` name the layers, lowest first."""
    top = boxes(name, found, labels)
    whole = placed(top, (0, 0, WHOLE, WHOLE), WIDTH, HEIGHT, least=top.size * LEAST)
    data = json.dumps(whole, separators=(",", ":"))
    for char in "<>&":
        data = data.replace(char, f"\\u{ord(char):04x}")
    summary = f"{units.size(found.size)} in {units.plural(found.layers, 'layer')}, {units.size(found.wasted)} hidden"
    template = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    return template.substitute(title=html.escape(shown(name)), summary=html.escape(summary), data=data)


def boxes(name: str, found: Waste, labels: Sequence[str]) -> Box:
    """The tree of layers, folders and files."""
    top = Box(name)
    layers = [Box(label) for label in labels]
    top.inner = {str(number): layer for number, layer in enumerate(layers) if found.layers}
    for pieces, lost in ((found.shown, False), (found.lost, True)):
        for piece in pieces:
            box = layers[piece.layer]
            way = [top, box]
            for part in piece.path.split("/", DEEPEST):
                box = box.inner.setdefault(part, Box(part))
                way.append(box)
            for each in way:
                each.size += piece.size
                each.hidden += piece.size if lost else 0
    return top


def placed(box: Box, place: Place, width: float, height: float, *, least: float) -> list[Any]:
    """A box as the page wants it, with all that is inside; `width` and `height` are its sides in the window."""
    inner = gathered(box, least)
    told = []
    for each, (x, y, wide, high) in zip(inner, squares([each.size for each in inner], width, height), strict=True):
        inside = (x / width * WHOLE, y / height * WHOLE, wide / width * WHOLE, high / height * WHOLE)
        told.append(placed(each, inside, wide, high, least=least))
    return [shown(box.name), box.size, box.hidden, units.size(box.size), *map(round, place), told]


def gathered(box: Box, least: float) -> list[Box]:
    """What is in a box, the largest first, what is too small put together; nothing empty."""
    inner = sorted(box.inner.values(), key=lambda each: (-each.size, each.name))
    large = [each for each in inner if each.size > least]
    small = [each for each in inner if 0 < each.size <= least]
    if small:
        rest = Box(f"{units.plural(len(small), 'small one')}", sum(each.size for each in small))
        rest.hidden = sum(each.hidden for each in small)
        large.append(rest)
    return large


def squares(sizes: Sequence[int], width: float, height: float) -> Iterator[Place]:
    """Places that fill a rectangle, each with its share of it; sizes must not grow from one to the next."""
    left = top = 0.0
    at, rest = 0, sum(sizes)
    while at < len(sizes):
        scale = width * height / rest
        short = min(width, height)
        end, row = at + 1, sizes[at] * scale
        while end < len(sizes):
            longer = row + sizes[end] * scale
            if worst(sizes[at] * scale, sizes[end] * scale, longer, short) > worst(
                sizes[at] * scale, sizes[end - 1] * scale, row, short
            ):
                break
            end, row = end + 1, longer
        deep, along = row / short, 0.0
        for size in sizes[at:end]:
            length = size * scale / deep
            if width >= height:
                yield left, top + along, deep, length
            else:
                yield left + along, top, length, deep
            along += length
        rest -= sum(sizes[at:end])
        if width >= height:
            left, width = left + deep, width - deep
        else:
            top, height = top + deep, height - deep
        at = end


def worst(largest: float, smallest: float, row: float, short: float) -> float:
    """The longest shape in a row: the ratio of its sides."""
    return max(short * short * largest / (row * row), row * row / (short * short * smallest))
