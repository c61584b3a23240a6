"""RUN for other processors than this machine's: who executes its programs, known before the first step is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from builder.errors import StepFailed
from builder.graph import BuildGraph, Run, Step
from layers import Platform

if TYPE_CHECKING:
    from builder.request import BuildRequest
    from builder.workbench import Workbench
    from runner import Emulator

INSTALL = "install an emulator (apt-get install qemu-user-static), or let the stage run here: --platform=$BUILDPLATFORM"


def emulators(
    request: BuildRequest, bench: Workbench, graphs: Sequence[BuildGraph], missing: Callable[[], Iterable[Step]]
) -> dict[Platform, Emulator]:
    """What to lend to the RUNs of each foreign platform. Raises StepFailed for one that nothing here can execute.

    `missing`: the steps that will be done, because no cache has them; asked for only if some cannot be.
    """
    here, found = Platform.host(), dict[Platform, "Emulator"]()
    lame: dict[Platform, tuple[str, str]] = {}
    for platform in {step.platform for graph in graphs for step in graph.steps if isinstance(step.op, Run)}:
        if (platform.os, platform.architecture) == (here.os, here.architecture):
            continue
        emulator, why = chosen(platform, request, bench)
        if emulator is not None:
            found[platform] = emulator
        elif why:
            lame[platform] = (why, here.architecture)
    if lame:
        for step in missing():
            if isinstance(step.op, Run) and step.platform in lame:
                why, own = lame[step.platform]
                what = f"RUN for {step.platform} cannot be executed on linux/{own}: {why}"
                raise StepFailed(step.title, what, span=step.span, help=INSTALL)
    return found


def chosen(platform: Platform, request: BuildRequest, bench: Workbench) -> tuple[Emulator | None, str]:
    """An emulator to lend, or None and why there is none; None and nothing if none is needed."""
    from runner.emulators import executed, lent, sandboxed
    from runner.programs import MACHINES

    name = "linux/arm/v7" if platform.architecture == "arm" else f"linux/{platform.architecture}"
    if platform.os != "linux" or name not in MACHINES:
        return None, "no emulator for it is known"
    if executed(name):
        return None, ""
    emulator = lent(name)
    if emulator is None:
        return None, "no emulator for it is registered (binfmt_misc with the F flag), and none is installed"
    if not sandboxed():
        return None, f"{emulator.path} has to be registered (systemctl restart systemd-binfmt): Linux is older than 6.7"
    if bench.runtime().settle(request.userns, bench.store.root).ids is None:
        return None, f"{emulator.path} has to be registered (systemctl restart systemd-binfmt) for --userns host"
    return emulator, ""
