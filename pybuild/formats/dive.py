"""What dive 0.13 prints and writes, of the numbers in `layers.views.efficiency`, so that its readers need no change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pybuild.formats.names import shown

if TYPE_CHECKING:
    from layers import Entry, Image, Toc
    from layers.views.efficiency import Efficiency, Node
    from pybuild.budget import Verdict

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_FLAGS = {"file": 48, "hardlink": 49, "symlink": 50, "char": 51, "block": 52, "dir": 53, "fifo": 54, "whiteout": 48}
# Go's os.FileMode: bits of the kind, and where the three upper bits of a mode go
_KINDS = {"dir": 1 << 31, "symlink": 1 << 27, "block": 1 << 26, "char": 1 << 26 | 1 << 21, "fifo": 1 << 25}
_SPECIAL = {0o4000: 1 << 23, 0o2000: 1 << 22, 0o1000: 1 << 20}


def export(image: Image, layers: Sequence[Toc], found: Efficiency) -> dict[str, Any]:
    """What `dive --json` writes."""
    from layers.views.efficiency import nodes

    commands = [line.created_by or "" for line, diff_id in image.lines if diff_id is not None]
    return {
        "layer": [
            {
                "index": at,
                "id": diff_id.hex,
                "digestId": str(diff_id),
                "sizeBytes": size,
                "command": command.removeprefix("/bin/sh -c "),
                "fileList": [file(node) for node in nodes(toc)],
            }
            for at, (diff_id, toc, size, command) in enumerate(
                zip(image.config.diff_ids, layers, found.sizes, commands, strict=True)
            )
        ],
        "image": {
            "sizeBytes": sum(found.sizes),
            "inefficientBytes": found.wasted,
            "efficiencyScore": found.score,
            "fileReference": [
                {"count": copies.count, "sizeBytes": copies.size, "file": f"/{copies.path}"}
                for copies in found.inefficient
            ],
        },
    }


def file(node: Node) -> dict[str, Any]:
    """One name in a layer; all is empty for a directory that the layer only implies."""
    from layers.views.efficiency import written

    entry = node.entry
    return {
        "path": "" if entry is None else written(node),
        "typeFlag": 0 if entry is None else _FLAGS[entry.type.value],
        "linkName": "" if entry is None else entry.linkname,
        "size": node.size,
        "fileMode": 0 if entry is None else mode(entry),
        "uid": 0 if entry is None else entry.uid,
        "gid": 0 if entry is None else entry.gid,
        "isDir": entry is not None and entry.type.value == "dir",
    }


def mode(entry: Entry) -> int:
    """A mode in Go's bits."""
    special = sum(theirs for ours, theirs in _SPECIAL.items() if entry.mode & ours)
    return entry.mode & 0o777 | special | _KINDS.get(entry.type.value, 0)


def report(found: Efficiency, verdicts: Sequence[Verdict]) -> str:
    """What `dive --ci` prints of an image and of the rules."""
    wasted = found.wasted
    lines = [
        f"  efficiency: {found.score * 100:.4f} %",
        f"  wastedBytes: {wasted} bytes ({size(wasted)})",
        f"  userWastedPercent: {decimal(found.user_ratio * 100)} %",
        "Inefficient Files:",
        "Count  Wasted Space  File Path",
        *(f"{each.count:>5}  {size(each.size):>12}  {shown('/' + each.path)}" for each in found.inefficient),
        *([] if found.inefficient else ["None"]),
        "Results:",
        *(f"  {each.status}: {each.rule}{': ' if each.why else ''}{each.why}" for each in verdicts),
    ]
    count = {status: sum(each.status == status for each in verdicts) for status in ("PASS", "FAIL", "SKIP")}
    result = "FAIL" if count["FAIL"] else "PASS"
    lines.append(
        f"Result:{result} [Total:{len(verdicts)}] [Passed:{count['PASS']}] [Failed:{count['FAIL']}] [Warn:0] "
        f"[Skipped:{count['SKIP']}]"
    )
    return "\n".join(lines)


def size(number: int) -> str:
    """Bytes as dive shows them: powers of 1000, one decimal below ten."""
    if number < 10:
        return f"{number} B"
    power = min(int(math.log(number, 1000) + 1e-12), len(_UNITS) - 1)
    value = math.floor(number / 1000**power * 10 + 0.5) / 10
    return f"{value:.1f} {_UNITS[power]}" if value < 10 else f"{value:.0f} {_UNITS[power]}"


def decimal(value: float) -> str:
    """A number as Go's %.4f has it."""
    return number(value) if math.isinf(value) or math.isnan(value) else f"{value:.4f}"


def number(value: float) -> str:
    """A number as Go's %v has it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e21 else repr(value)
