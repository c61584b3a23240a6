"""-v, --mount and --tmpfs: volumes, directories of the host, and of memory, inside a container."""

from __future__ import annotations

import os
from collections.abc import Iterable

from pybuild import units
from pybuild.limiting import ValueRefused

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

    from builder.containers import Memory, Volume

HARMLESS = {"rw", "z", "Z", "private", "rprivate", "consistent", "cached", "delegated"}
"""Modes that ask for what is so anyway, or for what this kind of host has not."""
SHARED = {"shared", "rshared", "slave", "rslave"}


def volume(text: str) -> Volume:
    """`HOST:PATH[:ro]`, `NAME:PATH[:ro]` or `PATH` alone, a volume without a name. Raises ValueError.

    A directory of the host that is not there is made, as docker makes it; --mount does not.
    """
    flag = f"--volume {text!r}"
    parts = text.split(":")
    source, target = parts[:2] if len(parts) > 1 else ("", parts[0])
    modes = parts[2:]
    if len(modes) > 1 or not target.startswith("/"):
        raise ValueRefused(flag, "write HOST:PATH[:ro], NAME:PATH[:ro] or PATH, where PATH is absolute")
    words = modes[0].split(",") if modes else []
    if source.startswith(("/", ".")):
        return bind(flag, source, target, words, missing=True)
    return kept(flag, source, target, words, named=len(parts) > 1)


def kept(flag: str, name: str, target: str, modes: Iterable[str], *, named: bool = False, **more: Any) -> Volume:
    """A volume; without a name it gets one when the container is made. Raises ValueError."""
    from builder.containers import Volume
    from builder.containers.names import is_name

    if (name or named) and not is_name(name):
        raise ValueRefused(
            flag, f"{name!r} is no volume name: only [a-zA-Z0-9][a-zA-Z0-9_.-]+ is allowed; paths begin with / or ."
        )
    if {"ro", "rw"} <= set(modes := [*modes]):
        raise ValueRefused(flag, "ro and rw: choose one")
    words = {mode for mode in modes if mode not in HARMLESS}
    if unknown := words - {"ro", "nocopy"}:
        raise ValueRefused(flag, f"unknown mode {min(unknown)!r}; ro, rw and nocopy are known")
    return Volume(name, destination(flag, target), "ro" in words, kept=True, empty="nocopy" in words, **more)


def destination(flag: str, target: str) -> str:
    """Where it is seen inside. Raises ValueError."""
    path = os.path.normpath(target)
    if path.strip("/") == "":
        raise ValueRefused(flag, "the target cannot be the root directory")
    return path


def bind(flag: str, source: str, target: str, modes: Iterable[str], *, missing: bool = False) -> Volume:
    """A file or directory of the host; with `missing` a directory is made if there is nothing. Raises ValueError."""
    from builder.containers import Volume

    if {"ro", "rw"} <= set(modes := [*modes]):
        raise ValueRefused(flag, "ro and rw: choose one")
    for mode in modes:
        if mode in SHARED:
            raise ValueRefused(flag, f"{mode}: mounts never travel between a container and the host; leave it out")
        if mode not in HARMLESS and mode != "ro":
            raise ValueRefused(flag, f"unknown mode {mode!r}; ro and rw are known")
    path = os.path.abspath(source)
    if missing and not os.path.lexists(path):
        made(flag, path)
    if not os.path.exists(path):
        raise ValueRefused(flag, f"{path} is not there")
    return Volume(path, destination(flag, target), "ro" in modes)


def made(flag: str, path: str) -> None:
    """Make a directory of the host, of whoever began us. Raises ValueError."""
    from pathlib import Path

    from pybuild.userns import hand_over

    new = [one for one in (Path(path), *Path(path).parents) if not one.exists()]
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise ValueRefused(flag, f"{path} is not there and cannot be made: {error.strerror}") from None
    if new:
        hand_over(new[-1])


def memory(text: str) -> Memory:
    """`PATH[:OPTIONS]`, docker's: rw, ro, exec, noexec, nosuid, nodev, size=, mode=, uid=, gid=, nr_inodes=.

    Raises ValueError.
    """
    flag = f"--tmpfs {text!r}"
    path, _, rest = text.partition(":")
    return in_memory(flag, path, rest.split(",") if rest else [])


def in_memory(flag: str, path: str, options: Iterable[str]) -> Memory:
    """An empty file system. Raises ValueError."""
    from builder.containers import Memory

    size = mode = None
    numbers: dict[str, int] = {}
    words = set()
    for option in options:
        key, _, value = option.partition("=")
        if key == "size":
            size = units.parse_size(value)
        elif key == "mode":
            mode = octal(flag, value)
        elif key in ("uid", "gid", "nr_inodes"):
            if not value.isdecimal() or int(value) >= 2**32 - 1:
                raise ValueRefused(flag, f"{key} {value!r} is no number that can be")
            numbers[key.removeprefix("nr_")] = int(value)
        elif option in ("rw", "ro", "exec", "noexec", "nosuid", "nodev"):
            words.add(option)
        elif option in ("suid", "dev"):
            raise ValueRefused(flag, f"{option} is never granted")
        else:
            raise ValueRefused(
                flag, f"unknown option {option!r}; size=, mode=, uid=, gid=, nr_inodes=, ro, rw, exec, noexec are known"
            )
    if not path.startswith("/"):
        raise ValueRefused(flag, "the path must be absolute")
    return Memory(destination(flag, path), size, mode, "ro" in words, "exec" not in words, **numbers)


def octal(flag: str, text: str) -> int:
    """Permission bits. Raises ValueError."""
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise ValueRefused(flag, f"mode {text!r} is no octal number such as 1777")
    return mode


def mount(text: str) -> Volume | Memory:
    """`type=volume|bind,source=…,target=…[,readonly]` or `type=tmpfs,target=…`, as docker's --mount.

    Raises ValueError.
    """
    import csv

    flag = f"--mount {text!r}"
    words: dict[str, str] = {}
    pairs: dict[str, dict[str, str]] = {"volume-label": {}, "volume-opt": {}}
    try:
        items = next(csv.reader([text]), [])
    except csv.Error as error:
        raise ValueRefused(flag, str(error)) from None
    for item in items:
        key, equals, value = item.partition("=")
        if not equals and key not in ALONE:
            raise ValueRefused(flag, f"{item!r} is no KEY=VALUE, nor one of {', '.join(sorted(ALONE))}")
        if key in pairs:
            pairs[key].update([value.partition("=")[::2]])
            continue
        words[ALIASES.get(key.lower(), key.lower())] = value
    kind = words.pop("type", "volume").lower()
    target, source = words.pop("target", ""), words.pop("source", "")
    readonly = said(flag, words, "readonly")
    if kind not in ("bind", "tmpfs", "volume"):
        raise ValueRefused(flag, ABSENT.get(kind) or f"unknown type {kind!r}; volume, bind and tmpfs are known")
    if not target.startswith("/"):
        raise ValueRefused(flag, "target is an absolute path inside")
    modes = ["ro"] if readonly else []
    if kind == "volume":
        modes += ["nocopy"] if said(flag, words, "volume-nocopy") else []
        if (driver := words.pop("volume-driver", "local")) != "local":
            raise ValueRefused(flag, f"no volume driver {driver!r}; local is what there is")
        _nothing_left(flag, words)
        return kept(flag, source, target, modes, labels=pairs["volume-label"], options=pairs["volume-opt"])
    if kind == "bind":
        modes.append(words.pop("bind-propagation", "rprivate"))
        words.pop("consistency", None)
        if words.get("bind-recursive", "enabled") in ("enabled", "readonly" if readonly else "enabled"):
            words.pop("bind-recursive", None)  # what is mounted below is seen, and as much written to, in any case
        _nothing_left(flag, words)
        if not source:
            raise ValueRefused(flag, "source is missing")
        return bind(flag, source, target, modes)
    modes += [f"{key}={words.pop(f'tmpfs-{key}')}" for key in ("size", "mode") if f"tmpfs-{key}" in words]
    _nothing_left(flag, words)
    if source:
        raise ValueRefused(flag, "a tmpfs has no source")
    return in_memory(flag, target, modes)


ALONE = {"readonly", "ro", "volume-nocopy", "bind-nonrecursive"}
ALIASES = {"dst": "target", "destination": "target", "src": "source", "ro": "readonly"}


ABSENT = {
    "bind-nonrecursive": "bind-nonrecursive: what is mounted below the source is seen, too; name the directories apart",
    "bind-recursive": "bind-recursive: what is mounted below the source is seen, and writable only if the source is",
    "image": "images are not mounted; 'pybuild export IMAGE' writes their files, and a directory of these can be bound",
    "npipe": "type npipe is for Windows",
    "volume-subpath": "volume-subpath: a volume is seen whole; make one of its own for that directory",
}
"""Types and keys of docker's that are not here, each with the reason."""


def said(flag: str, words: dict[str, str], key: str) -> bool:
    """Whether a key that may stand alone says yes; it is taken out of the words. Raises ValueError."""
    text = words.pop(key, "false")
    if (value := units.truth(text or "true")) is None:
        raise ValueRefused(flag, f"{key}={text}: true and false are known")
    return value


def _nothing_left(flag: str, words: dict[str, str]) -> None:
    if words:
        key = min(words)
        raise ValueRefused(flag, ABSENT.get(key) or f"unknown key {key!r}")
