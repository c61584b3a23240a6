"""Programs for other processors than this machine's: who executes them, known before the first step is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from builder.errors import StepFailed
from layers import Platform

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from typing import Any

    from builder.graph import BuildGraph, Step
    from builder.request import BuildRequest
    from builder.workbench import Workbench
    from runner import Emulator, Ids

INSTALL = "install an emulator (apt-get install qemu-user-static), or let the stage run here: --platform=$BUILDPLATFORM"


def emulators(
    request: BuildRequest, bench: Workbench, graphs: Sequence[BuildGraph], missing: Callable[[], Iterable[Step]]
) -> dict[Platform, Emulator]:
    """What to lend to the RUNs of each foreign platform. Raises StepFailed for one that nothing here can execute.

    `missing`: the steps that will be done, because no cache has them; asked for only if some cannot be.
    """
    from builder.graph import Run

    found, lame = dict[Platform, "Emulator"](), dict[Platform, str]()

    def ids() -> Ids | None:
        return bench.runtime().settle(request.userns, bench.store.root).ids

    for platform in {step.platform for graph in graphs for step in graph.steps if isinstance(step.op, Run)}:
        if not is_foreign(platform):
            continue
        emulator, why = chosen(platform, ids)
        if emulator is not None:
            found[platform] = emulator
        elif why:
            lame[platform] = why
    if lame:
        for step in missing():
            if isinstance(step.op, Run) and step.platform in lame:
                what = f"RUN for {step.platform} cannot be executed on {Platform.host()}: {lame[step.platform]}"
                raise StepFailed(step.title, what, span=step.span, help=INSTALL)
    return found


def chosen(platform: Platform, ids: Callable[[], Ids | None]) -> tuple[Emulator | None, str]:
    """An emulator to lend, or None and why there is none; None and nothing if none is needed.

    `ids`: of the user namespace that the programs would have, asked for only where an emulator has to be lent.
    """
    from runner.emulators import executed, lent, sandboxed
    from runner.owners import nested
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
    if ids() is None and not nested():
        return None, f"{emulator.path} has to be registered (systemctl restart systemd-binfmt) for --userns host"
    return emulator, ""


def is_foreign(platform: Platform) -> bool:
    """Whether it is for another kind of processor than this machine's, or for another system, and says so."""
    here = Platform.host()
    return platform.os not in ("", here.os) or platform.architecture not in ("", here.architecture)


def lending(platform: str, ids: Ids | None) -> dict[str, Any]:
    """What a sandbox needs for programs of a platform ("" for this one's), as its fields. Raises SandboxUnavailable."""
    if not platform:
        return {}
    emulator, why = chosen(Platform.parse(platform), lambda: ids)
    if why:
        from runner import SandboxUnavailable

        what = f"programs for {platform} cannot be executed on {Platform.host()}: {why}"
        raise SandboxUnavailable(what, "install an emulator (apt-get install qemu-user-static)")
    return {"emulator": emulator, "i386": is_i386(Platform.parse(platform), emulator)}


def is_i386(platform: Platform, emulator: Emulator | None) -> bool:
    """Whether a processor of 64 bits executes its programs of 32."""
    return emulator is None and platform.architecture == "386" and Platform.host().architecture == "amd64"
