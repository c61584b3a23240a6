"""Where blobs were last seen: a registry that has one in another repository need not be sent it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from layers.moving.repository import Repository
from layers.oci.descriptor import Descriptor

if TYPE_CHECKING:
    from layers.home.store import Store


@runtime_checkable
class Neighbour(Protocol):
    """A repository of a host that may have others; it can take blobs over from them by their path."""

    host: str
    path: str

    def mount_from(self, wanted: Descriptor, path: str) -> bool:
        """True if the blob is here afterwards."""
        ...


class Places:
    """What one store remembers of registries. Memory only: it may be wrong, and is then not believed twice."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def learn(self, repository: Repository, blob: Descriptor) -> None:
        """A repository has a blob."""
        if isinstance(repository, Neighbour):
            self._store.records.keep(self._key(repository, blob), {"path": repository.path})

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
