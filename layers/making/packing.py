"""The compressed form of a layer, made in a thread while the layer itself is being written.

For layers that will leave the store anyway: reading, hashing, compressing, hashing again and writing overlap.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from layers.tar.pipeline import Pipe, Stopped

if TYPE_CHECKING:
    from layers.home.store import Store
    from layers.oci.digest import DiffID, Digest

Form = tuple[str, int | None]
"""A codec that layers are written with, and a level of it, or None for the usual one."""


class Packing:
    """One layer being compressed; leaving without `finish` keeps nothing."""

    def __init__(self, store: Store, form: Form) -> None:
        from layers.tar.codec import LEVELS

        self._store = store
        self._codec, level = form
        self._level = LEVELS[self._codec] if level is None else level
        self._pipe = Pipe()
        self._made: tuple[Digest, int] | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="pybuild-pack", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def feed(self, chunk: bytes) -> None:
        """The next bytes of the raw tar."""
        self._pipe.feed(chunk)

    def finish(self, diff_id: DiffID) -> None:
        """That was all, and the layer is this one: remember its form. Raises what went wrong."""
        self._pipe.finish()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        assert self._made is not None
        digest, size = self._made
        self._store.variants.learn(digest, diff_id, self._codec, level=self._level, size=size)

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._pipe.finish(cut=True)
            self._thread.join()

    def _run(self) -> None:
        from layers.tar.codec import compress

        try:
            with self._store.blobs.writer() as writer:
                for piece in compress(self._codec, self._level, cast(BinaryIO, self._pipe)):
                    writer.write(piece)
                self._made = writer.commit()
        except Stopped:
            pass
        except BaseException as failure:  # raised by `finish` in the thread that waits
            self._failure = failure
        finally:
            self._pipe.close()
