"""RUN --device: devices of this host by their names, for those who may have them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from builder.errors import BuildError, DockerfileError
from builder.request import DEVICES, BuildRequest
from builder.span import Span
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.dockerfile import Device
    from runner.cdi import Described, Registry


@dataclass(frozen=True, slots=True)
class Grants:
    """What `--allow device[=NAME[,alias=OTHER]]` lets a build have: all, some by name, some by other names."""

    everything: bool
    names: tuple[str, ...]
    aliases: dict[str, str]

    @classmethod
    def of(cls, allow: Iterable[str]) -> Grants:
        """Those of some entitlements. Raises ValueError for what is none."""
        everything, names, aliases = False, [], {}
        for text in sorted(allow):
            key, _, value = text.partition("=")
            if key != DEVICES:
                continue
            if not value:
                everything = True
                continue
            name, *fields = next(csv.reader([value]))
            for field in fields:
                if not field.startswith("alias="):
                    raise ValueError(f"--allow {text}: {field!r} is not alias=NAME")
                aliases[field.removeprefix("alias=")] = name
            if not fields:
                names.append(name)
        return cls(everything, tuple(names), aliases)

    def named(self, registry: Registry) -> set[str]:
        """The devices that some names are of. Raises BuildError if there are none of one."""
        found = set()
        for name in self.names:
            if not (here := registry.find(name)):
                raise BuildError(f"--allow {DEVICES}={name}: {registry.missing(name)}")
            found |= {one.full for one in here}
        return found


def granted(
    wanted: Iterable[Device], request: BuildRequest, absent: Callable[[str, Span], None]
) -> tuple[Described, ...]:
    """What is there of the devices that a RUN names; `absent` is told of those that it can do without.

    Raises DockerfileError for one that is required and not there, that was not allowed, or that no sandbox can have;
    BuildError if what was allowed is not there.
    """
    from runner.cdi import Registry

    registry, grants, found = Registry(request.cdi), Grants.of(request.allow), {}
    for device in wanted:
        name = grants.aliases.get(device.name, device.name)
        here = registry.find(name)
        allowed = grants.everything or name != device.name
        for one in here:
            try:
                one.edits()
            except ValueError as error:
                raise DockerfileError(device.span, f"RUN --device={device.name}: {error}") from error
        names = set() if allowed or not here else grants.named(registry)
        for one in here:
            if not (allowed or one.automatic or one.full in names):
                help = f"build with --allow {DEVICES}={one.full} if you trust this Dockerfile"
                what = f"RUN --device={device.name}: {DEVICES} {one.full} is not allowed"
                raise DockerfileError(device.span, what, help=help)
            found[one.full] = one
        if not here and device.required:
            help = "describe it there, name other directories by --cdi-spec-dir, or take ,required away"
            raise DockerfileError(device.span, f"RUN --device={device.name}: {registry.missing(name)}", help=help)
        if not here:
            absent(f"RUN --device={device.name}: {registry.missing(name)}; it runs without", device.span)
    return tuple(found.values())
