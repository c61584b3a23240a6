"""Which implementation stands behind which face: the only file that picks.

A `Context` is made before every command and makes its parts when they are first asked for, so a command pays for what
it uses. What has to happen before the first thread (`pybuild.first`) is called by `pybuild.__main__`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from layers.quick import dataclass
from pybuild.first import begin, begun
from pybuild.later import Later
from pybuild.settings import STANDING, Settings

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import signal
    import threading
    from pathlib import Path
    from typing import Any

    from builder.workbench import Workbench
    from layers import Reference, Store
    from layers.moving.places import Places
    from pybuild.fetching import Fetching
    from registry.remote import RemoteRepository
    from registry.session import Client
    from registry.sources import Sources
    from runner.native import Native
    from runner.spawner import Spawner
else:
    import _signal as signal  # the same without enumerations

_spawner: Spawner | None = None


def prepare_sandbox() -> None:
    """Have a spawner, from the beginning of this process (`pybuild.first`) or from now on, while there are no threads.

    Raises SandboxUnavailable and what else `begin` raises.
    """
    global _spawner  # noqa: PLW0603 (the one thing that must exist before everything else)
    if _spawner is None:
        from runner.spawner import Spawner

        begin()
        _spawner = Spawner(launched=begun())


def bequeath(folder: Path, name: str, lock: int) -> bool:
    """Leave a directory and the mounts of this process to the spawner, which ends after it; False if it cannot be."""
    from runner.mounts import held

    prepare_sandbox()
    return _spawner is not None and _spawner.bequeath(folder, name, [lock, *held()])


@dataclass
class Context:
    """What a command may use (click's `ctx.obj`)."""

    settings: Settings
    mirrors: tuple[str, ...] = ()
    """Mirrors of docker.io that flags named."""
    ends: bool = False
    """Whether this process ends with the command, and others may take away what it leaves."""

    @cached_property
    def stop(self) -> threading.Event:
        """Set when the user wants everything to end."""
        from threading import Event

        return Event()

    @cached_property
    def store(self) -> Store:
        """The local store, made on first use. Raises StoreFormat."""
        from layers import Store

        mounter: Any = Later("runner.mounts")  # most commands mount nothing
        store = Store.open(self.settings.root, mounter=mounter, owners=os.environ.get(STANDING, ""))
        if self.ends and begun() is not None:
            store.session.heir = bequeath
        return store

    @cached_property
    def runtime(self) -> Native:
        """The way commands are run behind walls."""
        from runner.native import Native

        if _spawner is None:
            prepare_sandbox()
        assert _spawner is not None
        return Native(_spawner)

    def sweep(self) -> None:
        """Remove what killed processes left behind: scratch directories, leases, cgroups, addresses."""
        self.tidy()
        self.release()

    def tidy(self) -> None:
        """Of that, what is in nobody's way: scratch directories, leases, cgroups."""
        from runner.sweep import sweep

        self.store.sweep()
        sweep()

    def release(self) -> None:
        """Of that, what others may need: addresses."""
        from builder import networks

        if networks.forsaken(self.store.root) and STANDING not in os.environ:  # else they are not ours
            from builder.networks import leases
            from builder.networks.book import Networks
            from builder.networks.home import at_home

            at_home(lambda: leases.sweep(Networks(self.store)))

    def note(self, action: str, identity: str, name: str = "") -> None:
        """Note an event of an image for `events`."""
        from layers.home.eventlog import EventLog

        EventLog(self.settings.root).append("image", action, identity, {"name": name or identity})

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """While inside, the first Ctrl-C or SIGTERM asks everything to end; a second one ends this process at once."""

        def ask(number: int, _: object) -> None:
            if self.stop.is_set():
                raise KeyboardInterrupt
            self.stop.set()

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @cached_property
    def client(self) -> Client:
        """What talks to registries, for the whole run; made anew by commands whose flags say otherwise."""
        from pybuild.transfers import client

        return client(self)

    @cached_property
    def sources(self) -> Sources:
        """Where this machine's registries.conf says that repositories are. Raises RegistriesInvalid."""
        from registry.registries import Registries
        from registry.sources import Sources

        registries = Registries.load()
        for mirror in reversed(self.mirrors):
            registries = registries.with_mirror(mirror)
        return Sources(self.client, registries)

    def registry(self, reference: Reference) -> RemoteRepository:
        """The repository that a reference lives in, over HTTP, through mirrors if there are. Raises Blocked."""
        return self.sources.repository(reference)

    @cached_property
    def places(self) -> Places:
        """What is known of where blobs are, by all copies of this command."""
        from layers.moving.places import Places

        return Places(self.store)

    def named(self, text: str) -> Reference:
        """The reference that a name means: the usual one if that is here, else by aliases and search registries."""
        from layers import Reference

        usual = Reference.parse(text)
        return usual if self.store.images.target(usual) else self.sources.named(text)

    @cached_property
    def bench(self) -> Workbench:
        """The tools of a build."""
        from builder.workbench import Workbench

        return Workbench(self.store, lambda: self.runtime, self.registry, self.named, lambda: self.web)

    @cached_property
    def web(self) -> Fetching:
        """What fetches files from the web."""
        from pybuild.fetching import Fetching
        from registry.retry import Retry
        from registry.transport import RequestsTransport
        from registry.trust import Trust
        from registry.web import Web

        return Fetching(Web(RequestsTransport(Trust()), Retry(stop=self.stop)))
