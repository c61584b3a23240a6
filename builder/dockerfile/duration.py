"""Durations as Go writes them: `1h30m`, `1.5s`, `300ms`."""

import re

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)"


def nanoseconds(text: str) -> int:
    """The duration in nanoseconds; raises ValueError. A bare `0` needs no unit."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if digits == "0":
        return 0
    from fractions import Fraction  # not for the many who have no duration

    total, at, part = Fraction(0), 0, re.compile(_PART)
    while found := part.match(digits, at):
        total += Fraction(f"0{found[1]}" if found[1].startswith(".") else found[1].rstrip(".")) * _UNITS[found[2]]
        at = found.end()
    if not at or at != len(digits) or total >= 1 << 63:
        raise ValueError(f"invalid duration {text!r}")
    return sign * int(total)
