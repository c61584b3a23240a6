"""`.hadolint.yaml`: which rules are ignored, and what makes a check fail.

Read without a YAML library, so only what such files are made of is understood: `ignored` as a list, and
`failure-threshold`. The rest of hadolint's settings is about rules that are not ours, and is passed over; what is no
plain mapping is refused.
"""

from __future__ import annotations

import re
from pathlib import Path

import click

from layers.quick import dataclass

NAMES = (".hadolint.yaml", ".hadolint.yml")
THRESHOLDS = {
    "error": "error",
    "warning": "warning",
    "info": "info",
    "style": "info",
    "ignore": "info",
    "none": "never",
}
_KEY = re.compile(r"([A-Za-z][A-Za-z-]*)\s*:\s*(.*)")


@dataclass(frozen=True, slots=True)
class Hadolint:
    """What such a file says. `threshold` is a severity or "never"; None if it says nothing of it."""

    ignored: tuple[str, ...] = ()
    threshold: str | None = None


def load(directory: Path) -> Hadolint:
    """The settings beside a Dockerfile, or none. Raises UsageError."""
    for name in NAMES:
        path = directory / name
        if path.is_file():
            return parse(path.read_text(encoding="utf-8"), str(path))
    return Hadolint()


def parse(text: str, name: str) -> Hadolint:
    """Read one file, called `name` in messages. Raises UsageError."""
    ignored: list[str] = []
    threshold, section = None, ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*", "", raw).rstrip()
        if not line.strip() or line.strip() == "---":
            continue
        if not line[0].isspace() and not line.startswith("-"):
            found = _KEY.fullmatch(line)
            if found is None:
                raise click.UsageError(f"{name}:{number}: {raw.strip()!r} is no KEY: VALUE")
            section, value = found[1], found[2].strip("\"'")
            if section == "ignored" and value:
                ignored += [word.strip(" \"'") for word in value.strip("[]").split(",") if word.strip()]
            elif section == "failure-threshold":
                if value not in THRESHOLDS:
                    raise click.UsageError(f"{name}:{number}: failure-threshold is one of {', '.join(THRESHOLDS)}")
                threshold = THRESHOLDS[value]
        elif section == "ignored":
            item = line.strip().removeprefix("-").strip(" \"'")
            if not line.strip().startswith("-") or not item:
                raise click.UsageError(f"{name}:{number}: {raw.strip()!r} is no item of a list")
            ignored.append(item)
    return Hadolint(tuple(ignored), threshold)
