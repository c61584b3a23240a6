"""-v, --mount and --tmpfs: directories of the host, and of memory, inside a container."""

from __future__ import annotations

import os
from collections.abc import Iterable

from pybuild import units
from pybuild.limiting import ValueRefused

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from builder.containers import Memory, Volume

HARMLESS = {"rw", "z", "Z", "private", "rprivate", "consistent", "cached", "delegated", "nocopy"}
"""Modes that ask for what is so anyway, or for what this kind of host has not."""
SHARED = {"shared", "rshared", "slave", "rslave"}


def volume(text: str) -> Volume:
    """`HOST:PATH[:ro]`. The host's directory must be there. Raises ValueError."""
    flag = f"--volume {text!r}"
    parts = text.split(":")
    if len(parts) not in (2, 3) or not parts[1].startswith("/"):
        raise ValueRefused(flag, "write HOST:PATH or HOST:PATH:ro; named volumes are not kept yet")
    modes = parts[2].split(",") if len(parts) == 3 else []
    if not parts[0].startswith(("/", ".")):
        raise ValueRefused(flag, f"named volumes are not kept yet; give a path, such as ./{parts[0]}")
    return bind(flag, parts[0], parts[1], modes)


def bind(flag: str, source: str, target: str, modes: Iterable[str]) -> Volume:
    """A file or directory of the host. Raises ValueError."""
    from builder.containers import Volume

    for mode in modes:
        if mode in SHARED:
            raise ValueRefused(flag, f"{mode}: mounts never travel between a container and the host; leave it out")
        if mode not in HARMLESS and mode != "ro":
            raise ValueRefused(flag, f"unknown mode {mode!r}; ro and rw are known")
    path = os.path.abspath(source)
    if not os.path.exists(path):
        raise ValueRefused(flag, f"{path} is not there")
    return Volume(path, os.path.normpath(target), "ro" in modes)


def memory(text: str) -> Memory:
    """`PATH[:OPTIONS]`, options as docker's: rw, ro, exec, noexec, nosuid, nodev, size=, mode=. Raises ValueError."""
    flag = f"--tmpfs {text!r}"
    path, _, rest = text.partition(":")
    return in_memory(flag, path, rest.split(",") if rest else [])


def in_memory(flag: str, path: str, options: Iterable[str]) -> Memory:
    """An empty file system. Raises ValueError."""
    from builder.containers import Memory

    size = mode = None
    words = set()
    for option in options:
        key, _, value = option.partition("=")
        if key == "size":
            size = units.parse_size(value)
        elif key == "mode":
            mode = octal(flag, value)
        elif option in ("rw", "ro", "exec", "noexec", "nosuid", "nodev"):
            words.add(option)
        elif option in ("suid", "dev"):
            raise ValueRefused(flag, f"{option} is never granted")
        else:
            raise ValueRefused(flag, f"unknown option {option!r}; size=, mode=, ro, rw, exec, noexec are known")
    if not path.startswith("/"):
        raise ValueRefused(flag, "the path must be absolute")
    return Memory(os.path.normpath(path), size, mode, "ro" in words, "exec" not in words)


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
    """`type=bind,source=…,target=…[,readonly]` or `type=tmpfs,target=…`, as docker's --mount. Raises ValueError."""
    import csv

    flag = f"--mount {text!r}"
    words: dict[str, str] = {}
    try:
        items = next(csv.reader([text]), [])
    except csv.Error as error:
        raise ValueRefused(flag, str(error)) from None
    for item in items:
        key, _, value = item.partition("=")
        words[ALIASES.get(key.strip().lower(), key.strip().lower())] = value
    kind = words.pop("type", "volume")
    target, source = words.pop("target", ""), words.pop("source", "")
    readonly = words.pop("readonly", "false").lower() in ("", "1", "true")
    if kind == "volume":
        raise ValueRefused(flag, "named volumes are not kept yet; use type=bind or type=tmpfs")
    if kind not in ("bind", "tmpfs"):
        raise ValueRefused(flag, f"unknown type {kind!r}; bind and tmpfs are known")
    if not target.startswith("/"):
        raise ValueRefused(flag, "target is an absolute path inside")
    if kind == "bind":
        modes = [words.pop("bind-propagation", "rprivate"), *(["ro"] if readonly else [])]
        words.pop("consistency", None)
        _nothing_left(flag, words)
        if not source:
            raise ValueRefused(flag, "source is missing")
        return bind(flag, source, target, modes)
    options = ["exec", *(["ro"] if readonly else [])]
    options += [f"{key}={words.pop(f'tmpfs-{key}')}" for key in ("size", "mode") if f"tmpfs-{key}" in words]
    _nothing_left(flag, words)
    if source:
        raise ValueRefused(flag, "a tmpfs has no source")
    return in_memory(flag, target, options)


ALIASES = {"dst": "target", "destination": "target", "src": "source", "ro": "readonly"}


def _nothing_left(flag: str, words: dict[str, str]) -> None:
    if words:
        raise ValueRefused(flag, f"unknown key {min(words)!r}")
