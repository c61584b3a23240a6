"""The functions that expressions of a bake file may call (buildx, "Bake standard library functions")."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import ipaddress
import itertools
import json
import math
import os
import re
import time
import urllib.parse
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pybuild.bake.expressions import kind, number, text

Value = Any


def call(name: str, values: Sequence[Value]) -> Value:
    """What a function of the library comes to. Raises ValueError, TypeError, LookupError."""
    if name not in LIBRARY:
        from difflib import get_close_matches

        near = get_close_matches(name, LIBRARY, 1)
        raise ValueError(f"there is no function {name}" + (f"; did you mean {near[0]}?" if near else ""))
    try:
        found = LIBRARY[name](*values)
    except TypeError as error:
        raise ValueError(f"{name}: {error}".replace("<lambda>()", "it")) from error
    except (ValueError, LookupError) as error:
        raise ValueError(f"{name}: {error}") from error
    return number(found) if isinstance(found, float) else list(found) if isinstance(found, tuple) else found


def unique(values: Sequence[Value]) -> list[Value]:
    """Each value once, in order."""
    return [one for at, one in enumerate(values) if one not in values[:at]]


def flat(value: Value) -> list[Value]:
    """Lists in lists as one."""
    return [leaf for one in value for leaf in (flat(one) if isinstance(one, list) else [one])]


def formatted(pattern: str, *values: Value) -> str:
    """Go's verbs %s %d %v %q %f %x %% and widths, as cty's format has them. Raises ValueError."""
    rest = list(values)

    def verb(found: re.Match[str]) -> str:
        flags, letter = found[1], found[2]
        if letter == "%":
            return "%"
        if not rest:
            raise ValueError(f"no value is left for {found[0]}")
        value = rest.pop(0)
        if letter == "v":
            value = value if isinstance(value, str) else encoded(value)
            letter = "s"
        if letter == "q":
            value, letter = json.dumps(text(value), ensure_ascii=False), "s"
        if letter == "t":
            value, letter = text(bool(value)), "s"
        if letter == "s":
            return f"%{flags}s" % text(value)
        if letter == "b":
            return format(int(value), f"{flags}b")
        as_number = float(value) if letter in "eEfgG" else int(value)
        return f"%{flags}{letter}" % as_number

    out = re.sub(r"%([-+ 0#]*\d*(?:\.\d+)?)([a-zA-Z%])", verb, pattern)
    if rest:
        raise ValueError(f"{len(rest)} values are too many")
    return out


def encoded(value: Value) -> str:
    """Compact JSON with sorted keys, as cty writes it."""
    done = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return done.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def matched(pattern: str, subject: str) -> Value:
    """cty's regex: the whole match, or its groups, by name if they have names. Raises ValueError."""
    found = re.search(pattern, subject)
    if found is None:
        raise ValueError("the pattern did not match any part of the given string")
    return groups(found)


def groups(found: re.Match[str]) -> Value:
    """What a match has caught."""
    return found.groupdict() or list(found.groups()) or found[0]


def replaced(pattern: str, subject: str, by: str) -> str:
    """regex_replace, `$1` and `${name}` in Go's way."""
    return re.sub(pattern, re.sub(r"\$\{?(\w+)\}?", r"\\g<\1>", by.replace("\\", "\\\\")), subject)


def substring(subject: str, offset: int, length: int) -> str:
    """A part of a text; a negative offset counts from its end, a negative length means all."""
    begin = max(0, len(subject) + offset) if offset < 0 else offset
    return subject[begin:] if length < 0 else subject[begin : begin + length]


def ranged(*numbers: float) -> list[Value]:
    """range(limit), range(start, limit[, step]). Raises ValueError."""
    start, limit, step, *_ = (0, *numbers, None) if len(numbers) == 1 else (*numbers, None)
    assert start is not None and limit is not None
    step = step or (1 if start <= limit else -1)
    if (limit - start) * step < 0:
        raise ValueError("the step goes away from the limit")
    count = math.ceil((limit - start) / step)
    if count > 1024:
        raise ValueError("more than 1024 values were generated")
    return [number(start + at * step) for at in range(count)]


def chosen(*values: Value) -> Value:
    """The first that is neither null nor empty. Raises ValueError."""
    for one in values:
        if one is not None:
            return one
    raise ValueError("all are null")


def first_list(*values: list[Value]) -> list[Value]:
    """The first list with elements. Raises ValueError."""
    for one in values:
        if one:
            return one
    raise ValueError("all lists are empty")


def at_index(values: Value, wanted: Value) -> Value:
    """The place of a value in a list. Raises ValueError."""
    if wanted not in values:
        raise ValueError("item not found")
    return values.index(wanted)


def moment(given: str) -> datetime:
    """A time of RFC 3339. Raises ValueError."""
    return datetime.fromisoformat(given)


def dated(pattern: str, given: str) -> str:
    """cty's formatdate: YYYY YY MMMM MMM MM M DD D EEEE EEE hh h HH H AA aa mm m ss s Z ZZZZ ZZZZZ, 'text'."""
    when = moment(given)
    zone = when.strftime("%z") or "+0000"
    hour = when.hour % 12 or 12
    words = {
        "YYYY": f"{when.year:04}", "YY": f"{when.year % 100:02}", "MMMM": when.strftime("%B"),
        "MMM": when.strftime("%b"), "MM": f"{when.month:02}", "M": f"{when.month}", "DD": f"{when.day:02}",
        "D": f"{when.day}", "EEEE": when.strftime("%A"), "EEE": when.strftime("%a"), "hh": f"{when.hour:02}",
        "h": f"{when.hour}", "HH": f"{hour:02}", "H": f"{hour}", "AA": when.strftime("%p"),
        "aa": when.strftime("%p").lower(), "mm": f"{when.minute:02}", "m": f"{when.minute}",
        "ss": f"{when.second:02}", "s": f"{when.second}", "ZZZZZ": f"{zone[:3]}:{zone[3:]}", "ZZZZ": zone,
        "ZZZ": "UTC" if zone == "+0000" else zone, "Z": "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}",
    }  # fmt: skip

    def one(found: re.Match[str]) -> str:
        word = found[0]
        if word[0] == "'":
            return word[1:-1].replace("''", "'") or "'"
        if word not in words:
            raise ValueError(f"{word} is no part of a date")
        return words[word]

    return re.sub(r"'(?:[^']|'')*'|([A-Za-z])\1*", one, pattern)


def later(given: str, period: str) -> str:
    """timeadd: Go's durations. Raises ValueError."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
    found = re.fullmatch(r"([+-]?)((?:[\d.]+(?:h|ms|us|µs|ns|m|s))+)", period)
    if found is None:
        raise ValueError(f"{period!r} is no duration")
    pairs = re.findall(r"([\d.]+)(h|ms|us|µs|ns|m|s)", found[2])
    seconds = sum(float(count) * units[unit] for count, unit in pairs) * (-1 if found[1] == "-" else 1)
    return stamp(moment(given) + timedelta(seconds=seconds))


def stamp(when: datetime) -> str:
    """RFC 3339, to the second."""
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


def instant(seconds: int) -> dict[str, Value]:
    """unixtimestampparse: the parts of a moment."""
    when = datetime.fromtimestamp(seconds, UTC)
    parts = {"year": when.year, "month": when.month, "day": when.day, "hour": when.hour, "minute": when.minute}
    calendar = {
        "year_day": when.timetuple().tm_yday,
        "week_day": when.isoweekday() % 7,
        "iso_year": when.isocalendar()[0],
    }
    return {**parts, "second": when.second, "rfc3339": stamp(when), **calendar, "iso_week": when.isocalendar()[1],
            "month_name": when.strftime("%B"), "weekday_name": when.strftime("%A")}  # fmt: skip


def rows(content: str) -> list[dict[str, str]]:
    """csvdecode."""
    return [dict(row) for row in csv.DictReader(io.StringIO(content))]


def converted(value: Value, wanted: Value) -> Value:
    """convert, to a type by its name. Raises ValueError."""
    if wanted == "number":
        return number(float(value))
    if wanted == "bool":
        return text(value) == "true"
    return text(value)


def subnet(prefix: str, bits: int, which: int) -> str:
    """cidrsubnet. Raises ValueError."""
    return str(next(itertools.islice(ipaddress.ip_network(prefix).subnets(bits), which, None)))


def versions(one: str, other: str) -> int:
    """semvercmp."""

    def parts(version: str) -> tuple[Any, ...]:
        main, _, pre = version.lstrip("v").partition("+")[0].partition("-")
        numbers = [int(word) for word in main.split(".")]
        words = tuple((0, int(word), "") if word.isdigit() else (1, 0, word) for word in pre.split(".")) if pre else ()
        return (*numbers, *[0] * (3 - len(numbers)), not pre, words)

    left, right = parts(one), parts(other)
    return (left > right) - (left < right)


def digest(algorithm: str) -> Callable[[str], str]:
    """A function that hashes a text."""
    return lambda value: hashlib.new(algorithm, value.encode(), usedforsecurity=False).hexdigest()


def sized(value: Value) -> int:
    """length. Raises ValueError."""
    if not isinstance(value, list | dict | str):
        raise ValueError(f"a {kind(value)} has no length")
    return len(value)


def measured(value: str, spaces: int) -> str:
    """indent: all lines but the first."""
    return value.replace("\n", "\n" + " " * spaces)


LIBRARY: Mapping[str, Callable[..., Value]] = {
    "absolute": abs,
    "add": lambda a, b: a + b,
    "and": lambda a, b: bool(a and b),
    "base64decode": lambda s: base64.b64decode(s, validate=True).decode(),
    "base64encode": lambda s: base64.b64encode(s.encode()).decode(),
    "basename": lambda s: os.path.basename(s.rstrip("/")) or "/",
    "byteslen": lambda s: len(s.encode()),
    "bytesslice": lambda s, offset, length: s.encode()[offset : offset + length].decode(),
    "ceil": math.ceil,
    "chomp": lambda s: s.rstrip("\r\n"),
    "chunklist": lambda v, n: [v[at : at + n] for at in range(0, len(v), n or max(len(v), 1))],
    "cidrhost": lambda prefix, which: str(ipaddress.ip_network(prefix)[which]),
    "cidrnetmask": lambda prefix: str(ipaddress.ip_network(prefix).netmask),
    "cidrsubnet": subnet,
    "coalesce": chosen,
    "coalescelist": first_list,
    "compact": lambda v: [one for one in v if one],
    "concat": lambda *v: [one for part in v for one in part],
    "contains": lambda v, one: one in v,
    "convert": converted,
    "csvdecode": rows,
    "dirname": lambda s: os.path.dirname(s) or ".",
    "distinct": unique,
    "divide": lambda a, b: a / b,
    "element": lambda v, at: v[at % len(v)],
    "equal": lambda a, b: a == b,
    "flatten": flat,
    "floor": math.floor,
    "format": formatted,
    "formatdate": dated,
    "formatlist": lambda p, *v: [
        formatted(p, *[one[at] if isinstance(one, list) else one for one in v])
        for at in range(max((len(one) for one in v if isinstance(one, list)), default=1))
    ],
    "formattimestamp": dated,
    "greaterthan": lambda a, b: a > b,
    "greaterthanorequalto": lambda a, b: a >= b,
    "hasindex": lambda v, at: at in v if isinstance(v, dict) else 0 <= at < len(v),
    "homedir": lambda: os.path.expanduser("~"),
    "indent": lambda n, s: measured(s, n),
    "index": lambda v, at: v[at],
    "indexof": at_index,
    "int": math.trunc,
    "join": lambda by, *v: by.join(text(one) for part in v for one in part),
    "jsondecode": json.loads,
    "jsonencode": encoded,
    "keys": sorted,
    "length": sized,
    "lessthan": lambda a, b: a < b,
    "lessthanorequalto": lambda a, b: a <= b,
    "log": math.log,
    "lookup": lambda v, key, default=None: v.get(key, default),
    "lower": lambda s: text(s).lower(),
    "max": max,
    "md5": digest("md5"),
    "merge": lambda *v: {key: one for part in v for key, one in (part or {}).items()},
    "min": min,
    "modulo": math.fmod,
    "multiply": lambda a, b: a * b,
    "negate": lambda a: -a,
    "not": lambda a: not a,
    "notequal": lambda a, b: a != b,
    "or": lambda a, b: bool(a or b),
    "parseint": int,
    "pow": pow,
    "range": ranged,
    "regex": matched,
    "regex_replace": lambda s, pattern, by: replaced(pattern, s, by),
    "regexall": lambda pattern, s: [groups(one) for one in re.finditer(pattern, s)],
    "replace": lambda s, old, new: text(s).replace(old, new),
    "reverse": lambda s: s[::-1],
    "reverselist": lambda v: v[::-1],
    "sanitize": lambda s: re.sub(r"[^a-zA-Z0-9_-]", "_", s),
    "semvercmp": versions,
    "sethaselement": lambda v, one: one in v,
    "setintersection": lambda *v: sorted(one for one in unique(v[0]) if all(one in other for other in v)),
    "setproduct": lambda *v: [list(one) for one in itertools.product(*v)],
    "setsubtract": lambda a, b: sorted(one for one in unique(a) if one not in b),
    "setsymmetricdifference": lambda a, b: sorted(one for one in unique([*a, *b]) if (one in a) != (one in b)),
    "setunion": lambda *v: sorted(unique([one for part in v for one in part])),
    "sha1": digest("sha1"),
    "sha256": digest("sha256"),
    "sha512": digest("sha512"),
    "signum": lambda a: (a > 0) - (a < 0),
    "slice": lambda v, start, end=None: v[start:end],
    "sort": sorted,
    "split": lambda by, s: s.split(by),
    "strlen": len,
    "substr": substring,
    "subtract": lambda a, b: a - b,
    "timeadd": later,
    "timestamp": lambda: stamp(datetime.fromtimestamp(time.time(), UTC)),
    "title": lambda s: re.sub(r"(^|\s)(\w)", lambda found: found[1] + found[2].upper(), s),
    "trim": lambda s, cut: s.strip(cut),
    "trimprefix": lambda s, cut: s.removeprefix(cut),
    "trimspace": lambda s: s.strip(),
    "trimsuffix": lambda s, cut: s.removesuffix(cut),
    "unixtimestampparse": instant,
    "upper": lambda s: text(s).upper(),
    "urlencode": urllib.parse.quote_plus,
    "uuidv4": lambda: str(uuid.uuid4()),
    "uuidv5": lambda space, name: str(uuid.uuid5(getattr(uuid, f"NAMESPACE_{space.upper()}"), name)),
    "values": lambda v: [one for _, one in sorted(v.items())],
    "zipmap": lambda keys, v: dict(zip(keys, v, strict=True)),
}
