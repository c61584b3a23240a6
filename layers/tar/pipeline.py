"""Bytes through several threads at once: reading, (de)compressing, hashing and writing overlap.

All of these release the interpreter's lock on large chunks, so two or three threads keep two cores
busy. Queues are short: memory stays at a few chunks, and the slowest stage sets the pace. A stage
that fails is noticed by the one before it at its next chunk; nothing is left running.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

DEPTH = 4
"""Chunks in flight between two threads; a chunk is at most 1 MiB."""


def at_once(work: Callable[[bytes], bytes], chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What `work` makes of each chunk, in order, as many at a time as there are processors.

    Leaving early drops what has not begun.
    """
    jobs = os.cpu_count() or 1
    with ThreadPoolExecutor(jobs, thread_name_prefix="pybuild-pack") as pool:
        ahead: deque[Future[bytes]] = deque()
        try:
            for chunk in chunks:
                ahead.append(pool.submit(work, chunk))
                if len(ahead) > jobs:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for one in ahead:
                one.cancel()


class Stopped(Exception):
    """The other end of a stage has gone; its own error, if any, tells why."""


class Behind:
    """Calls `consume` in a thread of its own with all that is put in, in order; a single chunk is not worth a thread.

    Leaving normally waits until everything was consumed and raises what `consume` raised; leaving
    by an exception drops what is in flight.
    """

    def __init__(self, consume: Callable[[Any], object]) -> None:
        self._consume = consume
        self._chunks: queue.Queue[bytes | memoryview | None] = queue.Queue(DEPTH)
        self._failure: BaseException | None = None
        self._dropped = False
        self._first: bytes | memoryview | None = None
        self._begun = False
        self._thread = threading.Thread(target=self._work, name="pybuild-stage", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __call__(self, chunk: bytes | memoryview) -> None:
        """Hand over a chunk, waiting while too many are in flight. Raises what `consume` raised."""
        if not self._begun:
            if self._first is None:
                self._first = chunk
                return
            self._begun = True
            self._thread.start()
            self._chunks.put(self._first)
        if self._failure is not None:
            raise self._failure
        self._chunks.put(chunk)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._begun:
            if kind is None and self._first is not None:
                self._consume(self._first)
            return
        self._dropped = kind is not None
        self._chunks.put(None)
        self._thread.join()
        if kind is None and self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            if self._failure is None and not self._dropped:
                try:
                    self._consume(chunk)
                except BaseException as failure:  # handed to the thread that waits for us
                    self._failure = failure


class Pipe:
    """A binary stream that one thread fills and another reads."""

    def __init__(self) -> None:
        self._chunks: queue.Queue[bytes | None] = queue.Queue(DEPTH)
        self._rest = memoryview(b"")
        self._ended = False
        self._cut = False
        self._closed = threading.Event()

    def feed(self, chunk: bytes) -> bool:
        """Hand over a chunk, waiting while too many are in flight; False if nobody reads any more."""
        return self._put(chunk)

    def finish(self, *, cut: bool = False) -> None:
        """No more chunks come; `cut` makes the reader fail instead of seeing the end."""
        self._cut = cut
        self._put(None)

    def close(self) -> None:
        """Stop reading; the feeder is let go."""
        self._closed.set()

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes (all that is left if negative), b"" at the end. Raises Stopped if it was cut."""
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        while not self._rest and not self._ended:
            chunk = self._chunks.get()
            self._ended = chunk is None
            self._rest = memoryview(chunk or b"")
        if self._cut and self._ended:
            raise Stopped
        taken = bytes(self._rest[:size])
        self._rest = self._rest[size:]
        return taken

    def _put(self, chunk: bytes | None) -> bool:
        while not self._closed.is_set():
            try:
                self._chunks.put(chunk, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False
