"""What an image may waste at most: dive's three rules, from options or from a `.dive-ci` file.

The file is the part of YAML that its documentation shows: a `rules:` with the three keys below it, each a number, a
size or "disabled", and comments. Anything else is an error, never a rule that is silently not there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from layers.quick import dataclass
from pybuild.formats.dive import number

if TYPE_CHECKING:
    from layers.views.efficiency import Efficiency

DEFAULTS: Mapping[str, str] = {
    "highestUserWastedPercent": "0.1",
    "highestWastedBytes": "disabled",
    "lowestEfficiency": "0.9",
}
DISABLED = "disabled"
LINE = re.compile(r"(?P<key>[A-Za-z-]+)\s*:(?:\s+(?P<value>\S.*?))?\s*\Z")
COMMENT = re.compile(r"(^|\s)#.*")
RATIO = re.compile(r"[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?\Z")
SIZE = re.compile(r"([0-9][0-9,]*(?:\.[0-9]+)?)\s*(|b|([kmgtpe])(i?)b?)\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a rule: PASS, FAIL or SKIP, and why."""

    rule: str
    status: str
    why: str = ""


def judge(found: Efficiency, rules: Mapping[str, str]) -> list[Verdict]:
    """Every rule, by name. Raises click.UsageError for a value that is none."""
    checks = {
        "highestUserWastedPercent": highest_percent,
        "highestWastedBytes": highest_bytes,
        "lowestEfficiency": lowest,
    }
    verdicts = []
    for rule in sorted(checks):
        if rules[rule].lower() == DISABLED:
            verdicts.append(Verdict(rule, "SKIP", "rule disabled"))
            continue
        why = checks[rule](found, rules[rule])
        verdicts.append(Verdict(rule, "FAIL" if why else "PASS", why))
    return verdicts


def lowest(found: Efficiency, text: str) -> str:
    """Why an image is not efficient enough, or ""."""
    least = ratio("lowestEfficiency", text)
    if least <= found.score:
        return ""
    return f"image efficiency is too low (efficiency={number(found.score)} < threshold={number(least)})"


def highest_bytes(found: Efficiency, text: str) -> str:
    """Why an image wastes too many bytes, or ""."""
    most = size("highestWastedBytes", text)
    return "" if found.wasted <= most else f"too many bytes wasted (wasted-bytes={found.wasted} > threshold={most})"


def highest_percent(found: Efficiency, text: str) -> str:
    """Why an image wastes too much of what is above its first layer, or ""."""
    most = ratio("highestUserWastedPercent", text)
    if math.isnan(found.user_ratio) or found.user_ratio <= most:
        return ""
    told = f"%-user-wasted-bytes={number(found.user_ratio)} > threshold={number(most)}"
    return f"too many bytes wasted, relative to the user bytes added ({told})"


def ratio(rule: str, text: str) -> float:
    """A number from 0 to 1. Raises click.UsageError."""
    if not RATIO.match(text) or not 0 <= float(text) <= 1:
        raise click.UsageError(f"{rule}: {text!r} is no number from 0 to 1, nor {DISABLED}")
    return float(text)


def size(rule: str, text: str) -> int:
    """Bytes: 20MB is 20 million, 20MiB is 20 times 2^20. Raises click.UsageError."""
    if not (found := SIZE.match(text)):
        raise click.UsageError(f"{rule}: {text!r} is no size such as 20MB or 512KiB, nor {DISABLED}")
    power = "kmgtpe".find(found[3].lower()) + 1 if found[3] else 0
    return int(float(found[1].replace(",", "")) * (1024 if found[4] else 1000) ** power)


def read(text: str, name: str) -> dict[str, str]:
    """The rules that a file sets. Raises click.UsageError with the line that cannot be read."""
    rules: dict[str, str] = {}
    depth = 0
    for at, line in enumerate(text.splitlines(), 1):
        words = COMMENT.sub("", line).rstrip()
        if not words or words in ("---", "..."):
            continue
        indent = len(words) - len(words.lstrip(" "))
        found = LINE.match(words[indent:])
        if found is None:
            why = f"{words.strip()!r} is not KEY: VALUE"
        elif not indent:
            why = (
                ""
                if found["key"] == "rules" and not found["value"] and not depth
                else "the file has one key, rules: with nothing behind it"
            )
            depth = depth or -1  # the next line says how far the rules are indented
        elif not depth or depth not in (-1, indent):
            why = "indented otherwise than the other rules"
        else:
            depth = indent
            why = enter(rules, found["key"], found["value"])
        if why:
            raise click.UsageError(f"{name}:{at}: {why}")
    return rules


def enter(rules: dict[str, str], key: str, value: str | None) -> str:
    """Set a rule; what is wrong with it, or ""."""
    rule = known(key)
    if rule is None:
        return f"there is no rule {key!r}; there are {', '.join(DEFAULTS)}"
    if rule in rules:
        return f"{key} is set twice"
    if value is None:
        return f"{key} has no value; {DISABLED} turns it off"
    rules[rule] = unquoted(value)
    return ""


def known(key: str) -> str | None:
    """The rule of a key: `lowestEfficiency`, in whatever case, or `lowest-efficiency`."""
    return next((rule for rule in DEFAULTS if rule.lower() == key.replace("-", "").lower()), None)


def unquoted(value: str) -> str:
    """A YAML scalar without its quotes."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
