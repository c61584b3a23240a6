"""Checks: what a Dockerfile says that is allowed and yet probably not meant.

The rules of BuildKit, under their names and with their messages, are told by every build; `check` knows more of them
(`builder.checks.more`). Nothing here is imported before a Dockerfile is checked.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from builder.checks.check import Report, check
    from builder.checks.options import CheckFailed, Options
    from builder.checks.rule import Edit, Finding, Rule
    from builder.checks.rules import BUILDKIT, every, find

_HOMES = {
    "check": ("Report", "check"),
    "options": ("CheckFailed", "Options"),
    "rule": ("Edit", "Finding", "Rule"),
    "rules": ("BUILDKIT", "every", "find"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["BUILDKIT", "CheckFailed", "Edit", "Finding", "Options", "Report", "Rule", "check", "every", "find"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
