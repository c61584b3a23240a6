"""All that steps may use of the world, handed in by the roof."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from layers import Reference
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.graph import Step
    from builder.sources.web import Web
    from layers import Repository, Store
    from runner import Exit, Runtime, Sandbox
    from runner.sandbox import Wire


@dataclass(frozen=True, slots=True)
class Workbench:
    """The tools of one build.

    store: where layers, images and cache records are. runtime: gives the way to run commands; called when the
    first one runs, so a cached build never starts it. remote: opens the repository that a reference lives
    in; None works offline. named: the reference that a name means on this machine. web: opens the web; None works
    offline. debugger: shows a command that failed to somebody, on the thread that builds, while everything of it is
    still there, in a network like its own.
    """

    store: Store
    runtime: Callable[[], Runtime]
    remote: Callable[[Reference], Repository] | None = None
    named: Callable[[str], Reference] = Reference.parse
    web: Callable[[], Web] | None = None
    debugger: Callable[[Step, Sandbox, Exit, Wire | None], None] | None = None
