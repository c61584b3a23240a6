"""From a program: what `pybuild build` and `pybuild registry serve` do, as functions."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pybuild.settings import Settings
from pybuild.wiring import Context, prepare_sandbox

if TYPE_CHECKING:
    from builder import BuildRequest, BuildResult
    from builder.events import Event


def build(
    request: BuildRequest,
    *,
    root: Path | None = None,
    emit: Callable[[Event], None] = lambda event: None,
    stop: threading.Event | None = None,
) -> BuildResult:
    """Build an image into the store at `root` (PYBUILD_ROOT, or the usual place), telling `emit` what happens.

    The first call gives this process a mount namespace of its own, so it must come before threads are started. Raises
    BuildError, LayerError, RunnerError and RegistryError; setting `stop` ends it with Cancelled.
    """
    from builder.build import build as run

    prepare_sandbox()
    context = Context(Settings.gather(os.environ, root=str(root) if root else None))
    if stop is not None:
        context.stop = stop
    with context.store:
        return run(request, context.bench, emit, context.stop)


@contextmanager
def serve(root: Path | None = None, *, read_only: bool = False) -> Iterator[str]:
    """A registry of the store at `root` (as in `build`) while inside, in threads of this process; its `host:port`.

    It listens on a free port of 127.0.0.1. Raises LayerError and RegistryError.
    """
    from registry.server import Address, RegistryServer

    context = Context(Settings.gather(os.environ, root=str(root) if root else None))
    with context.store, RegistryServer(context.store, Address("127.0.0.1", 0), writable=not read_only) as server:
        yield str(server.address)
