"""--device, --cdi-spec-dir and --device-cgroup-rule: devices of the host inside a container."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pybuild.declared import click
from pybuild.limiting import ValueRefused

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

    from runner import Device
    from runner.edits import Edits

NOT_OURS = ("pts", "shm", "mqueue", "fd", "console", "ptmx", "core", "log")
"""What of the host's /dev is not shown to a privileged container: it has its own."""


DIRECTORIES = click.option(
    "--cdi-spec-dir",
    "cdi",
    multiple=True,
    type=click.Path(path_type=Path),
    envvar="PYBUILD_CDI_SPEC_DIRS",
    metavar="DIR",
    help="Where devices with names are described, instead of /etc/cdi and /var/run/cdi.",
)


def described(options: Mapping[str, Any]) -> dict[str, Any]:
    """The directories of descriptions, if others than the usual were given."""
    return {"cdi": options["cdi"]} if options["cdi"] else {}


def is_named(text: str) -> bool:
    """Whether it is a name of a description, as vendor.com/class=name."""
    return "=" in text and not text.startswith("/")


def named(texts: Iterable[str], options: Mapping[str, Any]) -> Edits:
    """What the names of descriptions among `texts` bring. Raises ValueError."""
    from runner.edits import Edits

    found = Edits()
    if wanted := [text for text in texts if is_named(text)]:
        from runner.cdi import DIRECTORIES, Registry

        registry = Registry(options["cdi"] or DIRECTORIES)
        for text in wanted:
            try:
                here = registry.find(text)
                found = sum((one.edits() for one in here), found)
            except ValueError as error:
                raise ValueRefused(f"--device {text}", str(error)) from None
            if not here:
                raise ValueRefused(f"--device {text}", registry.missing(text))
    return found


def unnamed(texts: Iterable[str]) -> tuple[Device, ...]:
    """The devices of a build, which may not have names of descriptions: those are RUN's. Raises ValueError."""
    texts = tuple(texts)
    for text in filter(is_named, texts):
        raise ValueRefused(f"--device {text}", f"write RUN --device={text} in the Dockerfile, and --allow device here")
    return tuple(devices(texts))


def devices(texts: Iterable[str]) -> Iterator[Device]:
    """`HOST[:PATH][:rwm]`; a directory stands for all devices in it. Raises ValueError."""
    for text in texts:
        if is_named(text):
            continue
        source, target, access = _parts(text)
        if os.path.isdir(source):
            found = False
            for path in sorted(Path(source).rglob("*")):
                if _is_device(path):
                    found = True
                    yield device(str(path), target + str(path)[len(source.rstrip("/")) :], access)
            if not found:
                raise ValueRefused(f"--device {text}", "there is no device in that directory")
        else:
            yield device(source, target, access)


def device(source: str, target: str, access: str = "rwm") -> Device:
    """One node like the host's. Raises ValueError if that is none."""
    from runner import Device

    try:
        return Device.like(source, target, access)
    except ValueError as error:
        raise ValueRefused(f"--device {source}", str(error)) from None


def everything() -> Iterator[Device]:
    """All devices of this host; for who is not root those that they may open."""
    from runner.nodes import is_open
    from runner.rootless import owner

    for path in sorted(Path("/dev").rglob("*")):
        if path.parts[2] not in NOT_OURS and not path.is_symlink() and _is_device(path):
            found = device(str(path), str(path))
            if owner() is None or is_open(found):
                yield found


def _parts(text: str) -> tuple[str, str, str]:
    source, *rest = text.split(":")
    access = "rwm"
    if rest and rest[-1] and not set(rest[-1]) - set("rwm"):
        wanted = rest.pop()
        access = "".join(letter for letter in "rwm" if letter in wanted)
    if len(rest) > 1 or not source or (rest and not rest[0].startswith("/")):
        raise ValueRefused(f"--device {text}", "write HOST, HOST:PATH or HOST:PATH:rwm")
    return source, rest[0] if rest else source, access


def _is_device(path: Path) -> bool:
    return path.is_char_device() or path.is_block_device()
