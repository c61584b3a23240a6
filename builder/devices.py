"""RUN --device: devices of this host by their names, for those who may have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from builder.errors import DockerfileError
from builder.request import DEVICES, BuildRequest
from builder.span import Span

if TYPE_CHECKING:
    from builder.dockerfile import Device
    from runner.cdi import Described


def granted(
    wanted: Iterable[Device], request: BuildRequest, absent: Callable[[str, Span], None]
) -> tuple[Described, ...]:
    """What is there of the devices that a RUN names; `absent` is told of those that it can do without.

    Raises DockerfileError for one that is required and not there, that was not allowed, or that no sandbox can have.
    """
    from runner.cdi import Registry

    registry, found = Registry(request.cdi), {}
    for device in wanted:
        try:
            here = registry.find(device.name)
            for one in here:
                one.edits()
        except ValueError as error:
            raise DockerfileError(device.span, f"RUN --device={device.name}: {error}") from error
        for one in here:
            if not one.automatic and not allowed(one, request.allow):
                help = f"build with --allow {DEVICES}={one.full} if you trust this Dockerfile"
                what = f"RUN --device={device.name}: {DEVICES} {one.full} is not allowed"
                raise DockerfileError(device.span, what, help=help)
            found[one.full] = one
        if not here and device.required:
            help = "describe it there, name other directories by --cdi-spec-dir, or take ,required away"
            raise DockerfileError(
                device.span, f"RUN --device={device.name}: {registry.missing(device.name)}", help=help
            )
        if not here:
            absent(f"RUN --device={device.name}: {registry.missing(device.name)}; it runs without", device.span)
    return tuple(found.values())


def allowed(device: Described, allow: Iterable[str]) -> bool:
    """Whether the command line lets builds have it: `device` is all, else it or its kind is named."""
    return bool(
        {DEVICES, f"{DEVICES}={device.full}", f"{DEVICES}={device.kind}", f"{DEVICES}={device.kind}=*"} & {*allow}
    )
