"""Where blobs were last seen: a registry that has one in another repository need not be sent it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from layers.moving.repository import Repository
from layers.oci.descriptor import Descriptor

if TYPE_CHECKING:
    from layers.home.store import Store
    from layers.oci.digest import Digest


@runtime_checkable
class Neighbour(Protocol):
    """A repository of a host that may have others; it can take blobs over from them by their path."""

    host: str
    path: str

    def mount_from(self, wanted: Descriptor, path: str) -> bool:
        """True if the blob is here afterwards."""
        ...


class Places:
    """What one store remembers of registries. Memory only: it may be wrong, and is then not believed twice.

    What this process has seen itself is not asked for again: many tags of a repository have most blobs in common.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: set[tuple[str, str, Digest]] = set()

    def learn(self, repository: Repository, blob: Descriptor) -> None:
        """A repository has a blob."""
        if not isinstance(repository, Neighbour) or self.seen(repository, blob):
            return
        self._seen.add((repository.host, repository.path, blob.digest))
        self._store.records.keep(self._key(repository, blob), {"path": repository.path})

    def seen(self, repository: Repository, blob: Descriptor) -> bool:
        """True if a repository had the blob a moment ago."""
        return isinstance(repository, Neighbour) and (repository.host, repository.path, blob.digest) in self._seen

    def mount(self, target: Repository, blob: Descriptor) -> bool:
        """Let `target` take a blob over from where its host had it; True if that worked."""
        if not isinstance(target, Neighbour):
            return False
        record = self._store.records.find(self._key(target, blob))
        if record is None or record.value["path"] == target.path:
            return False
        if target.mount_from(blob, record.value["path"]):
            return True
        self._store.records.forget(self._key(target, blob))
        return False

    def _key(self, repository: Neighbour, blob: Descriptor) -> str:
        return f"place:{repository.host}:{blob.digest}"
