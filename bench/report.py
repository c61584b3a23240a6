"""The table: medians, spread and ratios, for people and for docs/performance.md."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.cases import Case

US = "pybuild"


@dataclass
class Figures:
    """Seconds by case and tool, and what failed."""

    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    """Peak bytes of our largest process, by case."""

    def add(self, case: Case, tool: str, seconds: float) -> None:
        """One measurement."""
        self.seconds.setdefault((case.name, tool), []).append(seconds)

    def median(self, case: Case, tool: str) -> float | None:
        """The middle one, None if there is none."""
        found = self.seconds.get((case.name, tool))
        return statistics.median(found) if found else None


def table(figures: Figures, cases: Sequence[Case], tools: Sequence[str]) -> str:
    """Markdown: a row a case; seconds are medians (lowest–highest), and beside each rival our share of its time."""
    rivals = [tool for tool in tools if tool != US]
    head = ["work", US, *(f"{rival} | ours ÷ {rival}" for rival in rivals), "target", "peak memory"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * (len(head) + len(rivals))]
    for case in cases:
        ours = figures.median(case, US)
        cells = [case.title, _cell(figures, case, US)]
        for rival in rivals:
            theirs = figures.median(case, rival)
            ratio = f"**{ours / theirs:.2f}**" if ours is not None and theirs is not None else "–"
            cells += [_cell(figures, case, rival), ratio]
        cells.append("–" if case.target is None else f"≤ {case.target:.2f}")
        cells.append(f"{figures.memory.get(case.name, 0) >> 20} MiB")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(figures: Figures, case: Case, tool: str) -> str:
    if (case.name, tool) in figures.failures:
        return "failed"
    found = figures.seconds.get((case.name, tool))
    if not found:
        return "–"
    return f"{statistics.median(found):.2f} s ({min(found):.2f}–{max(found):.2f})"


def machine() -> str:
    """One line about where this was measured."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    cores = os.cpu_count()
    return (
        f"{cores} cores, {memory} GiB, Linux {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    )


def versions(tools: Mapping[str, str]) -> str:
    """Which versions were compared."""
    return ", ".join(f"{name} ({version})" for name, version in tools.items())
