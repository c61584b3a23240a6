"""What a target may say, in which form it is kept, and how two targets become one (buildx, `bake.Target`).

A target is a dictionary in the order in which buildx prints it. Entries of secrets, outputs, caches and their like are
dictionaries of words, whether they were written as `a=b,c=d` or as objects.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pybuild.bake.expressions import text

Target = dict[str, Any]
ORDER = (
    "description annotations attest context contexts dockerfile dockerfile-inline args labels tags cache-from cache-to "
    "target secret ssh platforms output pull no-cache network no-cache-filter shm-size ulimits call entitlements "
    "extra-hosts"
).split()
TEXTS = ("context", "dockerfile", "dockerfile-inline", "target", "network", "call", "description", "shm-size")
SWITCHES = ("pull", "no-cache")
MAPS = ("contexts", "args", "labels", "extra-hosts")
LISTS = ("annotations", "tags", "platforms", "no-cache-filter", "entitlements", "ulimits")
ENTRIES = ("attest", "secret", "ssh", "cache-from", "cache-to", "output")
APPENDED = ("annotations", "no-cache-filter", "entitlements", "ulimits", "attest", "secret", "ssh", "cache-from")
"""Lists to which inheritors add; they replace the others."""
SORTED = ("ulimits",)
FIELDS = frozenset((*ORDER, "inherits", "name", "matrix", "policy", "resources"))
REFUSED = ("policy", "resources")


def formed(field: str, value: Any) -> Any:
    """A value as it is kept. Raises ValueError."""
    if value is None:
        return None
    if field in REFUSED:
        raise ValueError(f"{field} cannot be had here; leave it out, or write limits on the command line")
    if field in TEXTS:
        return text(value)
    if field in SWITCHES:
        if value in ("true", "false"):
            return bool(value == "true")
        if not isinstance(value, bool):
            raise ValueError(f"{field} is true or false")
        return value
    if field in MAPS:
        if not isinstance(value, dict):
            raise ValueError(f"{field} is an object: {{ NAME = VALUE }}")
        return {key: text(one) for key, one in value.items() if one is not None}
    if not isinstance(value, list):
        raise ValueError(f"{field} is a list")
    if field in ENTRIES:
        return [entry(field, one) for one in value if one not in (None, "")]
    return [text(one) for one in value if one not in (None, "")]


def entry(field: str, value: Any) -> dict[str, Any]:
    """`type=registry,ref=a/b` and its like as words. Raises ValueError."""
    if isinstance(value, dict):
        return {key: one if isinstance(one, list) else text(one) for key, one in value.items() if one is not None}
    return ENTRY[field](text(value))


def words_of(field: str, line: str) -> dict[str, str]:
    """`a=b,c=d`, quoted as CSV. Raises ValueError."""
    found = {}
    for item in next(csv.reader([line]), []):
        key, equals, value = item.partition("=")
        if not equals:
            raise ValueError(f"{field} {line!r}: {item!r} is not KEY=VALUE")
        found[key.strip().lower()] = value
    return found


def _attest(line: str) -> dict[str, Any]:
    return words_of("attest", line)


def _secret(line: str) -> dict[str, Any]:
    found = words_of("secret", line)
    if (source := found.pop("source", None)) is not None:
        found["src"] = source
    kind = found.pop("type", "")
    if kind == "env" and "src" in found:
        found["env"] = found.pop("src")
    return found


def _ssh(line: str) -> dict[str, Any]:
    id, equals, rest = line.partition("=")
    return {"id": id, **({"paths": rest.split(",")} if equals else {})}


def _cache(line: str) -> dict[str, Any]:
    if "=" not in line:
        return {"type": "registry", "ref": line}
    return words_of("cache", line)


def _output(line: str) -> dict[str, Any]:
    if line == "-":
        return {"type": "tar", "dest": "-"}
    if "=" not in line:
        return {"type": "local", "dest": line}
    return words_of("output", line)


ENTRY: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "attest": _attest,
    "secret": _secret,
    "ssh": _ssh,
    "cache-from": _cache,
    "cache-to": _cache,
    "output": _output,
}


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Target:
    """What both say, `above` having the last word."""
    found = dict(below)
    for field, value in above.items():
        if value is None:
            continue
        if field in MAPS:
            found[field] = {**found.get(field, {}), **value}
        elif field in APPENDED:
            found[field] = [*found.get(field, []), *value]
        else:
            found[field] = value
    return found


def normal(target: Mapping[str, Any]) -> Target:
    """In order, without what is said twice or says nothing."""
    found: Target = {}
    if target.get("network") == "host":
        target = {**target, "entitlements": [*target.get("entitlements", ()), "network.host"]}
    for field in ORDER:
        value = target.get(field)
        if field in LISTS or field in ENTRIES:
            value = distinct(field, value or ())
        if value or (field in TEXTS and value is not None) or (field in SWITCHES and value is not None):
            found[field] = value
    return found


def distinct(field: str, values: Sequence[Any]) -> list[Any]:
    """Each once; of secrets, agents and attestations the last of a name."""
    if field in ("secret", "ssh", "attest"):
        key = "type" if field == "attest" else "id"
        last = {one.get(key): one for one in values}
        return [last[name] for name in sorted(last, key=str)]
    once = [one for at, one in enumerate(values) if one not in values[:at]]
    if field in SORTED:
        return sorted(once)
    if field in ("cache-from", "cache-to"):
        return sorted(once, key=line)
    return once


def line(words: Mapping[str, Any]) -> str:
    """An entry as options of a command write it."""
    import io

    out = io.StringIO()
    first = [("type", words["type"])] if "type" in words else []
    rest = [(key, one) for key, one in sorted(words.items()) if key != "type"]
    csv.writer(out, lineterminator="").writerow([f"{key}={one}" for key, one in (*first, *rest)])
    return out.getvalue()


NAME = re.compile(r"[a-zA-Z0-9_-]+")


def named(name: str) -> str:
    """A name of a target or group, checked. Raises ValueError."""
    if not NAME.fullmatch(name):
        raise ValueError(f"invalid name {name!r}: only letters, digits, _ and - are allowed")
    return name


def pushed(target: Mapping[str, Any]) -> Target:
    """The outputs of a target that is pushed: with --push images go to registries, too."""
    outputs = list(target.get("output", ()))
    changed = [{**one, "push": "true"} if one.get("type") == "image" else one for one in outputs]
    if not changed:
        changed.append({"type": "image", "push": "true"})
    return {"output": changed}
