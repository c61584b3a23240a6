"""Why a step is not in the cache: what differs between its key and the nearest one that was.

Nothing here decides anything: a build is the same without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from builder.caching import inputs
from builder.caching.cache import Key, Where, shortened, where_of
from builder.times import INPUTS
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.caching.former import Former
    from builder.caching.inputs import Listing
    from layers import Record, Store

MOST_FILES = 100
"""Files that are named."""
LONGEST = 200
"""Characters of a value that are shown."""
WORDS = {
    "platform": "the platform",
    "args": "the command",
    "script": "the here-document",
    "cwd": "the working directory",
    "user": "the user",
    "network": "the network",
    "security": "--security",
    "users": "whether root is the host's (--userns)",
    "devices": "the devices",
    "hosts": "the names of --add-host",
    "path": "the path",
    "dest": "the destination",
    "chown": "--chown",
    "chmod": "--chmod",
    "unpack": "whether archives are unpacked",
    "parents": "--parents",
    "link": "--link",
    "time": "the time that files get",
}
MOUNTS = {"bind": "what it shows", "cache": "what it begins with"}


@dataclass(frozen=True, slots=True)
class Change:
    """One input that differs.

    `kind`: file, argument, variable, mount, base, below, or the part of the key. `what`: content, mode, owner, type,
    link, added, removed, changed. `before` and `after` are "" where there is nothing to show.
    """

    kind: str
    name: str
    what: str
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        """In words: `file src/a.py: mode 0644 -> 0755`."""
        if self.kind == "below":
            return self.name
        what = "" if self.what == "changed" and self.before else f" {self.what}"
        pair = f" {_cut(self.before)} -> {_cut(self.after)}" if self.before or self.after else ""
        return f"{f'{self.kind} {self.name}' if self.kind in NAMED else self.name}:{what}{pair}"


NAMED = frozenset({"file", "argument", "variable", "mount"})


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a step is made anew, in one line; all that differs; and the seconds that it took last time, if it ran."""

    reason: str
    changes: tuple[Change, ...] = ()
    seconds: float | None = None


NEVER = "it was never built here"


def explain(
    former: Former,
    where: Where,
    key: Key,
    lists: Mapping[str, Listing],
    *,
    below: str = "",
    before: float | None = None,
) -> Explanation:
    """What differs from the nearest record of `former`.

    `lists` are the files that the step reads now, by the digest in its key. `below` says, if that is so, that what the
    step stands on or reads was made anew, or is not known: then the key has nothing but its kind. `before`: only
    records made earlier, in seconds since the epoch.
    """
    store = former.store
    if (same := store.records.known(key.text)) is not None and before is None and not below:
        gone = "its result is no longer in the store"
        return Explanation(gone, seconds=float(same.value["seconds"]))
    near = former.nearest(where, key, before)
    if near is None:
        return Explanation(below or NEVER)
    if "below" not in key.parts:
        return Explanation(below, seconds=float(near.value["seconds"]))
    changes = tuple(differences(store, where, key, near, lists, below=below))
    reason = str(changes[0]) if changes else below or "nothing that it reads has changed"
    return Explanation(reason, changes, float(near.value["seconds"]))


def differences(
    store: Store, where: Where, key: Key, near: Record, lists: Mapping[str, Listing], *, below: str
) -> Iterator[Change]:
    """Every input that differs: the step's own first, then what it stands on."""
    old, new = near.value["parts"], shortened(key.parts)
    there = where_of(near)
    own = {"kind", "below", "content", "env", "mounts"}
    if derived := all(parts.get("time", "").startswith(INPUTS) for parts in (old, new)):
        own.add("time")
    for name in sorted((old.keys() | new.keys()) - own):
        if old.get(name) != new.get(name):
            yield Change(name, WORDS.get(name, name), "changed", _words(old.get(name)), _words(new.get(name)))
    yield from _variables(old.get("env") or {}, new.get("env") or {}, {*where.arguments, *there.arguments})
    if old.get("content") != new.get("content"):
        known = inputs.find(store, there, old.get("content", ""))
        yield from _files(known, lists.get(new.get("content", "")), "the files that it copies")
    yield from _mounts(store, there, old.get("mounts") or [], new.get("mounts") or [], lists)
    if where.base != there.base and where.base:
        name, _, digest = where.base.rpartition("@")
        before = there.base.rpartition("@")
        same = before[0] == name
        yield Change(
            "base", f"the base image {name}", "changed", before[2] if same else before[0], digest if same else name
        )
    elif old["below"] != new["below"]:
        yield Change("below", below or "what it stands on has changed", "changed")
    elif derived and old["time"] != new["time"]:
        yield Change("below", "the time of what it stands on has changed", "changed")


def _variables(old: Mapping[str, str], new: Mapping[str, str], arguments: set[str]) -> Iterator[Change]:
    for name in sorted(old.keys() | new.keys(), key=lambda name: (name not in arguments, name)):
        if old.get(name) != new.get(name):
            kind = "argument" if name in arguments else "variable"
            what = "added" if name not in old else "removed" if name not in new else "changed"
            yield Change(kind, name, what, *((old[name], new[name]) if what == "changed" else ("", "")))


def _mounts(
    store: Store, there: Where, old: list[list[Any]], new: list[list[Any]], lists: Mapping[str, Listing]
) -> Iterator[Change]:
    before, after = ({one[1]: one for one in mounts} for mounts in (old, new))
    for target in sorted(before.keys() | after.keys()):
        one, two = before.get(target), after.get(target)
        if one is None or two is None:
            yield Change("mount", target, "added" if one is None else "removed")
        elif one[:3] != two[:3] or (one != two and one[0] not in MOUNTS):
            yield Change("mount", target, "changed", _words(one), _words(two))
        elif one != two:
            yield from _files(inputs.find(store, there, one[3]), lists.get(two[3]), f"mount {target}: {MOUNTS[one[0]]}")


def _files(old: Listing | None, new: Listing | None, what: str) -> Iterator[Change]:
    """Which files of a list differ, and in what; if a list is not known, only that they do."""
    if old is None or new is None:
        yield Change("files", what, "changed")
        return
    told = 0
    for path in sorted(old.keys() | new.keys()):
        one, two = old.get(path), new.get(path)
        if one == two:
            continue
        if told == MOST_FILES:
            yield Change("files", "more files", "changed")
            return
        told += 1
        if one is None or two is None:
            yield Change("file", path, "added" if one is None else "removed")
            continue
        yield from _attributes(path, one, two)
    if not told:
        yield Change("files", what, "changed")  # their order, or which of them are names of one file


def _attributes(path: str, one: list[Any], two: list[Any]) -> Iterator[Change]:
    if one[0] != two[0]:
        yield Change("file", path, "type", one[0], two[0])
        return
    if one[4] != two[4]:
        yield Change("file", path, "content", f"{one[4]} bytes", f"{two[4]} bytes")
    elif one[6] != two[6]:
        yield Change("file", path, "content", one[6][:12], two[6][:12])
    if one[5] != two[5]:
        yield Change("file", path, "link", one[5], two[5])
    if one[1] != two[1]:
        yield Change("file", path, "mode", f"{one[1]:04o}", f"{two[1]:04o}")
    if one[2:4] != two[2:4]:
        yield Change("file", path, "owner", f"{one[2]}:{one[3]}", f"{two[2]}:{two[3]}")


def _words(value: Any) -> str:
    """A value of a key for people."""
    if isinstance(value, list):
        return " ".join(map(_words, value)) or "none"
    return "none" if value is None or value == "" else str(value)


def _cut(text: str) -> str:
    text = text.replace("\n", " ⏎ ")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
