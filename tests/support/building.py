"""Builds of what needs no command, in this process, and what came of them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from builder.build import BuildResult, build, forecast
from builder.events import Event
from builder.request import BuildRequest
from builder.workbench import Workbench
from layers import Entry, Store
from pybuild.fetching import Fetching
from registry.retry import Retry
from registry.transport import RequestsTransport
from registry.trust import Trust
from registry.web import Web


def no_runtime() -> NoReturn:
    raise AssertionError("this build needs no sandbox")


@dataclass
class Builds:
    """A store, and builds in it of which `events` tells what happened last."""

    store: Store
    retry: Retry = field(default_factory=lambda: Retry(first=0.01))
    events: list[Event] = field(default_factory=list)

    def __call__(self, text: str | None = None, **request: Any) -> BuildResult:
        self.events.clear()
        stop = request.pop("stop", None) or threading.Event()
        return build(self._wanted(text, request), self._bench, self.events.append, stop)

    def foreseen(self, text: str | None = None, **request: Any) -> list[str]:
        """What a dry run says would become of each step."""
        return [one.state for one in forecast(self._wanted(text, request), self._bench, self.events.append)]

    def _wanted(self, text: str | None, request: dict[str, Any]) -> BuildRequest:
        request.setdefault("context", None)
        return BuildRequest(text=None if text is None else text.encode(), **request)

    @property
    def _bench(self) -> Workbench:
        web = Fetching(Web(RequestsTransport(Trust()), self.retry))
        return Workbench(self.store, no_runtime, web=lambda: web)

    def entries(self, result: BuildResult) -> dict[str, Entry]:
        """What is in an image, without the root."""
        tree = self.store.tree(self.store.images.get(str(result.image_id)).chain)
        return {entry.path: entry for entry in tree.walk() if entry.path}

    def files(self, result: BuildResult) -> dict[str, str]:
        """Path → content of the regular files of an image."""
        tree = self.store.tree(self.store.images.get(str(result.image_id)).chain)
        return {
            path: (tree.read(path, 1 << 20) or b"").decode("latin-1")
            for path, entry in self.entries(result).items()
            if entry.type.value == "file"
        }

    def history(self, result: BuildResult) -> list[str]:
        """What made each layer."""
        return [line.created_by or "" for line in self.store.images.get(str(result.image_id)).config.history]

    def statuses(self, result: BuildResult) -> list[str]:
        """What became of each step, in order."""
        return [step.status for step in result.steps]


def tree(folder: Path, files: dict[str, str]) -> Path:
    """Write files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder
