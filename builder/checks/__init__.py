"""Checks: what a Dockerfile says that is allowed and yet probably not meant.

The rules of BuildKit, under their names and with their messages, are told by every build; `check` knows more of them
(`builder.checks.more`). Nothing here is imported before a Dockerfile is checked.
"""

from typing import TYPE_CHECKING

from layers.faces import lazily

if TYPE_CHECKING:
    from builder.checks.check import Report, check
    from builder.checks.options import CheckFailed, Options
    from builder.checks.rule import Edit, Finding, Rule
    from builder.checks.rules import BUILDKIT, every, find

__getattr__ = lazily(
    __name__,
    {
        "check": ("Report", "check"),
        "options": ("CheckFailed", "Options"),
        "rule": ("Edit", "Finding", "Rule"),
        "rules": ("BUILDKIT", "every", "find"),
    },
)

__all__ = ["BUILDKIT", "CheckFailed", "Edit", "Finding", "Options", "Report", "Rule", "check", "every", "find"]
