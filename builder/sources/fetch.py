"""The step that brings files from elsewhere: a layer of a git commit, of a URL, of what the archive at a URL holds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from builder.errors import Cancelled, ContextError
from builder.sources import web
from builder.sources.gitref import GitSource
from builder.sources.web import WebSource
from layers import Chain, Digest
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.graph import Fetch
    from builder.secrets import Secret
    from builder.workbench import Workbench


@dataclass(frozen=True, slots=True)
class Fetcher:
    """What fetching needs of a build. `began` is called when something has to be fetched, `progress` with its bytes."""

    bench: Workbench
    secrets: Mapping[str, Secret]
    agents: Mapping[str, Path]
    stop: threading.Event
    began: Callable[[], object] = lambda: None
    progress: Callable[[int], object] = lambda _: None

    def layer(self, op: Fetch) -> Digest:
        """The layer of a source. Raises ContextError, SecretUnreadable, Cancelled, StoreFull, errors of the network."""
        match op.source:
            case GitSource():
                return self._commit(op.source)
            case WebSource():
                found = self._file(op.source)
                return self._held(found, op.source.name) if op.unpack else found

    def kept(self, op: Fetch) -> Digest | None:
        """The layer that was fetched last, if it is here; nobody is asked whether it is still the same."""
        match op.source:
            case GitSource():
                from builder.sources import git

                key = git.key_of(op.source, op.source.ref)
            case WebSource():
                key = web.key_of(op.source, self.secrets)
        if (record := self.bench.store.records.find(key)) is None:
            return None
        found = Digest.parse(record.value["diff_id"])
        if isinstance(op.source, GitSource):
            return found
        if op.source.checksum is not None and str(op.source.checksum) not in record.value["digests"]:
            return None
        return self._held(found, op.source.name) if op.unpack else found

    def _file(self, source: WebSource) -> Digest:
        if self.bench.web is None:
            raise ContextError(f"{source.shown}: this build may ask nobody")

        def progress(count: int) -> None:
            if self.stop.is_set():
                raise Cancelled("the build was stopped")
            if not came:
                self.began()
                came.append(count)
            self.progress(count)

        came: list[int] = []
        return web.fetched(self.bench.store, self.bench.web(), source, self.secrets, progress)

    def _commit(self, source: GitSource) -> Digest:
        from builder.sources import git

        store, pinned = self.bench.store, git.COMMIT.fullmatch(source.ref) is not None
        if pinned and source.ref.startswith(source.commit) and (kept := self._record(git.key_of(source, source.ref))):
            return kept
        with store.scratch() as folder, git.opened(folder, source, self.secrets, self.agents, self.stop) as repository:
            commit, name = repository.resolve()
            key = git.key_of(source, commit)
            found = self._record(key)
            if found is None:
                self.began()
                found = git.checked_out(store, repository, commit, name).diff_id
        value = {"diff_id": str(found), "url": source.shown, "commit": commit, "size": store.blobs.size(found)}
        for one in {key, git.key_of(source, source.ref)}:
            store.records.keep(one, value, [found])
        return found

    def _record(self, key: str) -> Digest | None:
        """The layer that is kept under a key."""
        record = self.bench.store.records.find(key)
        return None if record is None else Digest.parse(record.value["diff_id"])

    def _held(self, file: Digest, name: str) -> Digest:
        """The layer of what an archive holds; the file itself if it is none."""
        from builder.sources.archive import opened
        from builder.sources.walked import layer_of

        store = self.bench.store
        key = f"held:{file.hex}"
        if (kept := self._record(key)) is not None:
            return kept
        with ExitStack() as stack:
            tree = opened(store, stack.enter_context(store.tree(Chain((file,))).open(name)), stack)
            if tree is None:
                return file
            self.began()
            layer = layer_of(store, tree, lambda entry: entry)
        store.records.keep(key, {"diff_id": str(layer.diff_id), "size": layer.size}, [layer.diff_id])
        return layer.diff_id
