"""`--output`: where an image goes besides the local store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from builder.errors import BuildError
from builder.events import Event, Exported
from builder.request import BuildRequest, Output
from builder.times import Times
from layers import Chain, Descriptor, Image

if TYPE_CHECKING:
    from builder.workbench import Workbench
    from layers import Store

STREAMS = (Path("/dev/stdout"), Path("/dev/fd/1"), Path("/proc/self/fd/1"))


def export(
    bench: Workbench,
    request: BuildRequest,
    output: Output,
    images: Sequence[Image],
    *,
    target: Descriptor,
    emit: Callable[[Event], None],
) -> None:
    """Write or send it, whole or not at all. Raises BuildError, OSError and the errors of a registry."""
    times = None if request.epoch is None else Times(request.epoch, every=True)  # of tar and local, as with BuildKit
    match output.kind:
        case "registry":
            _push(bench, request, output, emit)
            return
        case "oci" | "docker":
            from layers.moving.archive import save

            assert output.dest is not None
            with replacing(output.dest) as sink:
                named = [(target, request.tags)] if output.kind == "oci" or len(images) == 1 else []
                if not named:
                    raise BuildError("type=docker holds one platform; use type=oci for several")
                save(bench.store, named, sink, kind=output.kind, codec=output.codec, level=output.level)
        case "tar":
            assert output.dest is not None
            if len(images) > 1:
                raise BuildError("type=tar holds one platform; build each of them alone")
            from layers.making.merge import flat

            with replacing(output.dest) as sink:
                flat(bench.store.tree(images[0].chain), sink, None if times is None else times.of)
        case "local":
            assert output.dest is not None
            _local(bench.store, images, output.dest, times)
    emit(Exported(output.kind, str(output.dest), target.digest))


def _push(bench: Workbench, request: BuildRequest, output: Output, emit: Callable[[Event], None]) -> None:
    from layers.moving.places import Places
    from layers.moving.rewrite import Packed
    from layers.moving.transfer import copy

    if bench.remote is None:
        raise BuildError("this build may not use the network, so nothing can be pushed")
    packed, places = Packed(bench.store, output.codec, output.level), Places(bench.store)
    for tag in request.tags:
        found = copy(packed, str(tag), bench.remote(tag), tag.tag or "latest", every=True, places=places)
        emit(Exported("registry", tag.familiar, found.digest))


def _local(store: Store, images: Sequence[Image], dest: Path, times: Times | None) -> None:
    """Unpack into a directory; with several platforms into one below it for each."""
    from layers.disk.paths import encode
    from layers.snapshot.unpack import unpack

    for image in images:
        place = dest if len(images) == 1 else dest / str(image.config.platform).replace("/", "_")
        place.mkdir(parents=True, exist_ok=True)
        for depth, diff_id in enumerate(image.chain.diff_ids):
            below = store.tree(Chain(image.chain.diff_ids[:depth]))
            with store.blobs.open(diff_id) as raw:
                unpack(store.toc(diff_id), raw, place, overlay=False, below=below)
        if times is not None:
            for entry in store.tree(image.chain).walk():
                path = os.path.join(encode(str(place)), encode(entry.path))
                os.utime(path, (times.epoch, times.epoch), follow_symlinks=False)


@contextmanager
def replacing(dest: Path) -> Iterator[BinaryIO]:
    """A file that takes its name when it is complete; standard output is written as it is."""
    if dest in STREAMS or (dest.exists() and not dest.is_file()):
        with dest.open("wb") as stream:
            yield stream
        return
    part = dest.with_name(f".{dest.name}.{os.getpid()}")
    with ExitStack() as undo:
        undo.callback(part.unlink, missing_ok=True)
        with part.open("w+b") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(dest)
