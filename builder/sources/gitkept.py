"""What was fetched of git repositories, kept from build to build: a server sends only what is new since then.

A bare repository for each remote and each way to be known there, among the caches of the store, so that what a token
opened is not read without one. Nobody else uses it meanwhile, and `pybuild prune` takes it away as other caches.
"""

from __future__ import annotations

from contextlib import suppress
from shutil import rmtree
from typing import TYPE_CHECKING

from builder.errors import Cancelled, ContextError
from builder.sources.gitworld import LOOK_SECONDS
from layers import Digest
from layers.home.caches import Caches

if TYPE_CHECKING:
    from pathlib import Path

    from builder.sources.git import Repository
    from layers import Store


def fetched(store: Store, repository: Repository, commit: str, name: str) -> None:
    """Have the files of a commit in the repository's tree. Raises ContextError, Cancelled."""
    caches, made = Caches(store), []
    length = len(commit)
    key = Digest.of(repr(("git", repository.source.remote, repository.header, length)).encode())

    def make(path: Path) -> None:
        made.append(path)
        repository.begin(path, length)

    def pause() -> None:
        if repository.stop.wait(LOOK_SECONDS):
            raise Cancelled("the build was stopped")

    try:
        with caches.use(key, f"git {repository.source.shown}", "locked", make, pause) as kept:
            repository.borrow(kept, commit, name)
    except ContextError:
        if made:
            raise
        with suppress(FileNotFoundError):  # perhaps what is kept was torn by a power cut
            rmtree(repository.tree)
        repository.fetch(commit, name)
        caches.renew(key)
