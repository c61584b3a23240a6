"""What rules are about, with examples: `explain.txt`, a section a rule."""

from __future__ import annotations

import re
from pathlib import Path

from builder.checks.rule import Rule

TEXT = Path(__file__).with_name("explain.txt")


def explanations() -> dict[str, str]:
    """The text of each rule that has one."""
    parts = re.split(r"^==== (\S+)\n", TEXT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def explain(rule: Rule) -> str:
    """All that is known of a rule."""
    also = f" ({', '.join(rule.aliases)})" if rule.aliases else ""
    told = [f"{rule.name}{also}: {rule.severity}", "", rule.description]
    if rule.experimental:
        told[0] += ", experimental"
    if text := explanations().get(rule.name):
        told += ["", text]
    if rule.url:
        told += ["", rule.url]
    return "\n".join(told)
