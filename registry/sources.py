"""Repositories as the settings of this machine want them: elsewhere, through mirrors, or not at all.

Mirrors serve pulls only, in their order, before the registry; what a mirror cannot do the next one does, and that is
told once. The credentials that were given for the registry never go to a mirror; each host has its own.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from typing import BinaryIO, TypeVar

from layers import BlobMismatch, Descriptor, DocumentInvalid, Reference
from layers.quick import replace
from registry.errors import Blocked, NotFound, RegistryError
from registry.registries import Place, Registries
from registry.remote import RemoteRepository
from registry.session import Client

Answer = TypeVar("Answer")
FAILURES = (RegistryError, BlobMismatch, DocumentInvalid)
MIRROR_TRIES = 2
"""How often a mirror is tried: there is another place to ask."""


class Sources:
    """Opens repositories; one for a whole run, so that a mirror that failed is not asked again. Thread-safe."""

    def __init__(self, client: Client, registries: Registries) -> None:
        self.client = client
        self.registries = registries
        self._clients: dict[tuple[str, bool, bool], Client] = {}
        self._shunned: set[str] = set()
        self._told: set[str] = set()
        self._turn = threading.Lock()

    def repository(self, reference: Reference) -> RemoteRepository:
        """The repository that a reference lives in. Raises Blocked."""
        rule = self.registries.rule(reference)
        if rule is None:
            return RemoteRepository(reference, self.client)
        if rule.blocked:
            raise Blocked(reference.host, f"{rule.prefix} is blocked by {rule.file}")
        places = list(rule.places(reference))
        ends = [
            RemoteRepository(there, self._client(there.host, place, mirror=number < len(places) - 1))
            for number, (place, there) in enumerate(places)
        ]
        own = self._client(reference.host, replace(rule.own, location=""), mirror=False)
        if len(ends) == 1 and ends[0].name == reference.repository:
            return RemoteRepository(reference, own)
        return MirroredRepository(reference, own, ends, self)

    def named(self, text: str) -> Reference:
        """The reference that a name means, by the aliases and search registries; the first of several that has it.

        Raises NotFound if none of several has it, ReferenceInvalid, RegistriesInvalid.
        """
        meanings = self.registries.meanings(text)
        if len(meanings) == 1:
            return meanings[0]
        failures: list[RegistryError] = []
        for reference in meanings:
            try:
                self.repository(reference).resolve(str(reference.digest or reference.tag))
            except RegistryError as error:
                failures.append(error)
            else:
                return reference
        if all(isinstance(error, NotFound) for error in failures):
            raise NotFound(", ".join(reference.host for reference in meanings), f"none of them has {text}")
        raise next(error for error in failures if not isinstance(error, NotFound))

    def usable(self, end: RemoteRepository) -> bool:
        """False for a mirror that failed before."""
        return end.name not in self._shunned

    def failed(self, end: RemoteRepository, error: Exception) -> None:
        """Tell that a mirror failed, and do not ask it again unless it only lacked something."""
        with self._turn:
            if not isinstance(error, NotFound):
                self._shunned.add(end.name)
            first = end.host not in self._told
            self._told.add(end.host)
        if first:
            self.client.tell(f"the mirror {end.name} was of no use, going on without it: {error}")

    def _client(self, host: str, place: Place, *, mirror: bool) -> Client:
        """The client for a place: without given credentials if it is a mirror, and as insecure as the place may be."""
        insecure = place.insecure and not self.client.trust.is_insecure(host)
        if not mirror and not insecure:
            return self.client
        with self._turn:
            key = (host if insecure else "", mirror, insecure)
            if key not in self._clients:
                self._clients[key] = self.client.variant(
                    given=not mirror, insecure=(host,) if insecure else (), tries=MIRROR_TRIES if mirror else None
                )
            return self._clients[key]


class MirroredRepository(RemoteRepository):
    """The registry's repository for all that is written; what is read comes from the first of its `ends` that can."""

    def __init__(
        self, reference: Reference, client: Client, ends: Sequence[RemoteRepository], sources: Sources
    ) -> None:
        super().__init__(reference, client)
        self._ends = ends
        self._sources = sources

    @property
    def origin(self) -> RemoteRepository:
        """See RemoteRepository."""
        return RemoteRepository(self.reference, self.client)

    def resolve(self, name: str) -> Descriptor:
        """See RemoteRepository."""
        return self.first(lambda end: end.resolve(name))[0]

    def open_from(self, wanted: Descriptor, offset: int) -> BinaryIO:
        """See RemoteRepository; when a mirror fails in the middle, the next one goes on."""
        return io.BufferedReader(Relay(self, wanted, offset), 1 << 20)

    def first(self, ask: Callable[[RemoteRepository], Answer]) -> tuple[Answer, RemoteRepository | None]:
        """The first answer and the mirror it came from; the last end's failure is the one that counts."""
        *mirrors, last = self._ends
        for mirror in filter(self._sources.usable, mirrors):
            try:
                return ask(mirror), mirror
            except FAILURES as error:
                self._sources.failed(mirror, error)
        return ask(last), None

    def failed(self, mirror: RemoteRepository, error: Exception) -> None:
        """A mirror failed in the middle of something."""
        self._sources.failed(mirror, error)


class Relay(io.RawIOBase):
    """Bytes from the first end that has them; another one takes over when a mirror gives up."""

    def __init__(self, repository: MirroredRepository, wanted: Descriptor, offset: int) -> None:
        self._repository = repository
        self._wanted = wanted
        self._position = offset
        self._stream, self._mirror = self._open()

    def _open(self) -> tuple[BinaryIO, RemoteRepository | None]:
        return self._repository.first(lambda end: end.open_from(self._wanted, self._position))

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer. Raises what the registry raises."""
        while True:
            try:
                count = self._stream.readinto(buffer)  # type: ignore[attr-defined]
            except FAILURES as error:
                if self._mirror is None:
                    raise
                self._repository.failed(self._mirror, error)
                self._stream.close()
                self._stream, self._mirror = self._open()
                continue
            self._position += count
            return int(count)

    def close(self) -> None:
        """Give the connection back."""
        self._stream.close()
        super().close()
