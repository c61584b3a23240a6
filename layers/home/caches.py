"""Directories that commands keep for themselves from one build to the next: no part of any image.

`caches/<key>.<number>` has the directory (`data`) and what it is for (`about`); the key is a digest, so whatever a
stranger calls his cache names no path. Who uses one holds a lock (flock(2)) on it, which the kernel drops with the
process: shared by many, or exclusive. A directory is made whole in scratch and renamed, so each that is here is usable;
what commands write in it is theirs, and is never synced. Number 0 is the one that all find; more exist only because
several wanted one for themselves at the same time.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from layers.oci.digest import Digest
from layers.quick import dataclass

if TYPE_CHECKING:
    from layers.home.store import Store

Sharing = Literal["shared", "private", "locked"]


@dataclass(frozen=True, slots=True)
class Kept:
    """One of them: the name its users gave it, where it is, when it was last used (seconds since the epoch)."""

    name: str
    path: Path
    used: float

    @property
    def id(self) -> str:
        """A short name of its own: digits of its key, and its number unless that is 0."""
        key, _, number = self.path.name.partition(".")
        return key[:12] if number == "0" else f"{key[:12]}.{number}"

    @contextmanager
    def shared(self) -> Iterator[Path]:
        """What is in it, while nobody removes it; commands may go on using it. Raises FileNotFoundError."""
        held = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(held, fcntl.LOCK_SH)
            yield self.path / "data"
        finally:
            os.close(held)

    def in_use(self) -> bool:
        """True if a command uses it now."""
        with suppress(FileNotFoundError), _locked(self.path) as held:
            return not held
        return False


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Whether nobody uses it, so that it is ours alone while inside. Raises FileNotFoundError."""
    held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(held)


class Caches:
    """Those of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = store.root / "caches"

    def key(self, of: Digest) -> Digest:
        """The name of a directory here: who knows owners by other numbers has directories of their own."""
        owners = self._store.owners
        return Digest.of(f"{of} as {owners}".encode()) if owners else of

    @contextmanager
    def use(
        self, key: Digest, name: str, sharing: Sharing, make: Callable[[Path], None], pause: Callable[[], None]
    ) -> Iterator[Path]:
        """The directory of a key, locked while inside: `shared` with others, `locked` for us alone, or `private`.

        The last takes another one while one is in use. `make` makes the directory it is given if there is none;
        `pause` is called again and again while others have to be waited for, and may raise to give up.
        """
        key = self.key(key)
        for number in count():
            held = self._take(self._folder / f"{key.hex}.{number}", name, sharing, make, pause)
            if held >= 0:
                break
        try:
            os.utime(held)
            yield self._folder / f"{key.hex}.{number}" / "data"
        finally:
            os.close(held)

    def all(self) -> list[Kept]:
        """All of them, by name."""
        found = []
        with suppress(FileNotFoundError):
            for entry in os.scandir(self._folder):
                with suppress(OSError):
                    path = Path(entry.path)
                    try:
                        name = str(json.loads((path / "about").read_bytes())["name"])
                    except (OSError, ValueError, KeyError, TypeError):  # torn by a power cut
                        name = ""
                    found.append(Kept(name, path, entry.stat().st_mtime))
        return sorted(found, key=lambda kept: (kept.name, kept.path))

    def renew(self, key: Digest) -> None:
        """Let the directories of a key begin anew, but for those that somebody uses now."""
        mine = self.key(key).hex
        with self._store.scratch() as trash:
            self.move([kept for kept in self.all() if kept.path.stem == mine], trash)

    def drop(self, trash: Path, until: float | None) -> int:
        """Move those that nobody uses, and nobody has used since `until`, to `trash`; how many."""
        return self.move([kept for kept in self.all() if until is None or kept.used <= until], trash)

    def move(self, unwanted: Iterable[Kept], trash: Path) -> int:
        """Move these to `trash`, but for those that somebody uses now; how many."""
        moved = 0
        for kept in unwanted:
            with suppress(FileNotFoundError), _locked(kept.path) as ours:
                if ours:
                    os.rename(kept.path, trash / f"caches.{kept.path.name}")
                    moved += 1
        return moved

    def _take(
        self, path: Path, name: str, sharing: Sharing, make: Callable[[Path], None], pause: Callable[[], None]
    ) -> int:
        """A descriptor that holds the lock of one; -1 if it is to be had by others only."""
        kind = fcntl.LOCK_SH if sharing == "shared" else fcntl.LOCK_EX
        while True:
            try:
                held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                self._make(path, name, make)
                continue
            taken = False
            try:
                fcntl.flock(held, kind | fcntl.LOCK_NB)
                taken = os.path.samestat(os.fstat(held), os.stat(path))
            except FileNotFoundError:
                pass  # a prune was quicker: there will be a new one
            except BlockingIOError:
                if sharing == "private":
                    return -1
                pause()
            finally:
                if not taken:
                    os.close(held)
            if taken:
                return held

    def _make(self, path: Path, name: str, make: Callable[[Path], None]) -> None:
        """Make one, unless another process just did."""
        self._folder.mkdir(exist_ok=True)
        with self._store.scratch() as scratch:
            part = scratch / "cache"
            part.mkdir()
            make(part / "data")
            (part / "about").write_text(json.dumps({"name": name}))
            try:
                os.rename(part, path)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise


class Renewal:
    """What one build begins anew: each cache once, however many of its steps use it. Threads may share it."""

    def __init__(self) -> None:
        self._done: set[Digest] = set()
        self._turn = threading.Lock()

    def begin(self, caches: Caches, key: Digest) -> None:
        """Let a cache begin anew, unless this build has done so."""
        with self._turn:
            if key not in self._done:
                self._done.add(key)
                caches.renew(key)
