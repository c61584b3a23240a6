"""Numbers for people and back: sizes, durations, ages, truths, as docker writes and reads them.

Printing follows docker's go-units (sizes in powers of 1000 with three digits, durations in one rounded unit). Reading
follows docker's flags: memory in powers of 1024 (`512m`), durations in Go's form (`1m30s`).
"""

from __future__ import annotations

import time

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from datetime import datetime

SUFFIXES = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
BINARY_SUFFIXES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
BINARY = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
SIZE = r"(?i)([0-9]+(?:\.[0-9]+)?) ?([bkmgtp]?)(?:i?b)?\Z"
PERIODS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
PERIOD = r"([0-9]+(?:\.[0-9]*)?)(ns|us|µs|ms|s|m|h|d)"
PLAIN = r"[0-9]+(?:\.[0-9]+)?\Z"
FRACTION = r"\.([0-9]+)"
TRUTHS = {"true": True, "1": True, "false": False, "0": False}


def truth(text: str) -> bool | None:
    """What `true`, `false`, `1` or `0` says, in letters of either size; None for anything else."""
    return TRUTHS.get(text.lower())


def size(count: int, *, digits: int = 3) -> str:
    """Bytes as `173MB`: powers of 1000, `digits` significant digits, no needless zeros."""
    value = float(count)
    for suffix in SUFFIXES:
        # 999.6 kB with three digits would read 1e+03kB: it is 1MB.
        if float(f"{value:.{digits}g}") < 1000 or suffix == SUFFIXES[-1]:
            return f"{value:.{digits}g}{suffix}"
        value /= 1000
    raise AssertionError("the last suffix takes every number")


def binary(count: int) -> str:
    """Bytes as `1.5MiB`: powers of 1024, four significant digits, as docker shows memory."""
    value = float(count)
    for suffix in BINARY_SUFFIXES:
        if value < 1024 or suffix == BINARY_SUFFIXES[-1]:
            return f"{value:.4g}{suffix}"
        value /= 1024
    raise AssertionError("the last suffix takes every number")


def parse_size(text: str) -> int:
    """Bytes from `1073741824`, `512m`, `1.5g`, `64MiB`; every unit is a power of 1024. Raises ValueError."""
    import re

    if not (found := re.match(SIZE, text.strip())):
        raise ValueError(f"{text!r} is no size; write a number and b, k, m or g, for example 512m")
    return int(float(found[1]) * BINARY[found[2].lower()])


def period(seconds: float) -> str:
    """A length of time in one unit, as in `About a minute` or `3 weeks`."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return plural(whole, "second")
    if (minutes := whole // 60) < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(seconds / 3600) // 24 // 365} years"


def plural(count: int, word: str) -> str:
    """`1 second`, `2 seconds`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def age(moment: datetime | None, *, now: datetime | None = None) -> str:
    """How long ago something was, as in `2 hours ago`; N/A for times that nobody meant (none, before 1971)."""
    if moment is None or moment.year < 1971:
        return "N/A"
    from datetime import UTC, datetime

    passed = ((now or datetime.now(UTC)) - moment).total_seconds()
    return f"{period(max(passed, 0))} ago"


def stamp(moment: datetime | None) -> str:
    """A time as docker's lists write it: `2026-01-31 12:00:00 +0000 UTC`, in this machine's zone."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %z %Z}" if moment is not None else "N/A"


def moment(text: str | None) -> datetime | None:
    """A time of RFC 3339, as images carry it, or None if it is missing or malformed.

    Nanoseconds are cut to microseconds: datetime has no more.
    """
    if not text:
        return None
    import re
    from datetime import UTC, datetime

    try:
        found = datetime.fromisoformat(re.sub(FRACTION, lambda match: f".{match[1][:6]:0<6}", text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def seconds(value: float) -> str:
    """A measured time as `0.3s`, `12.4s`, `2m05s`, `1h02m`."""
    if value < 59.95:
        return f"{value:.1f}s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def parse_moment(text: str, *, now: datetime | None = None) -> float:
    """Seconds since the epoch from a length of time before now (`24h`), a date and time, or those seconds themselves.

    As docker's `until` reads them. Raises ValueError.
    """
    import re

    if re.match(PLAIN, text) and float(text) >= 1e9:
        return float(text)
    if re.match(PERIOD, text) or re.match(PLAIN, text):
        return (now.timestamp() if now else time.time()) - parse_period(text)
    found = moment(text)
    if found is None:
        raise ValueError(f"{text!r} is no moment; write for example 24h, 2026-01-31 or 2026-01-31T12:00:00Z")
    return found.timestamp()


def parse_period(text: str) -> float:
    """Seconds from `90`, `1m30s`, `1.5h`. Raises ValueError."""
    import re

    if re.match(PLAIN, text):
        return float(text)
    found = re.findall(PERIOD, text)
    if not found or "".join(number + unit for number, unit in found) != text:
        raise ValueError(f"{text!r} is no length of time; write for example 90s, 1m30s or 2h")
    return sum(float(number) * PERIODS[unit] for number, unit in found)
