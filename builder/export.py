"""`--output`: where an image goes besides the local store."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from builder.annotations import of
from builder.errors import BuildError
from builder.events import Event, Exported, Warned
from builder.request import BuildRequest, Output
from builder.times import Times
from layers import Chain, Descriptor, Image
from layers.oci import mediatypes
from layers.quick import replace

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
) -> Descriptor | None:
    """Write or send it, whole or not at all; what lies there then, if that is an image.

    Raises BuildError, OSError and the errors of a registry.
    """
    times = None if request.epoch is None else Times(request.epoch, every=True)  # of tar and local, as with BuildKit
    found: Descriptor | None = None
    match output.kind:
        case "image":
            for name in output.names or request.tags if output.canonical else ():
                bench.store.images.tag(name.pinned(target.digest), target)
            return target
        case "registry":
            return _push(bench, request, output, target, emit)
        case "oci" | "docker":
            if output.kind == "docker":
                target = images[0].target  # it knows no index, and so nothing that is told beside the image
            found = _image(bench.store, request, output, images, target)
        case "tar":
            assert output.dest is not None
            from layers.making.merge import flat

            trees = [(folder(image, images, output), bench.store.tree(image.chain)) for image in images]
            with replacing(output.dest) as sink:
                flat(trees, sink, None if times is None else times.of)
        case "local":
            assert output.dest is not None
            _local(bench.store, images, output, times)
    emit(Exported(output.kind, str(output.dest), target.digest))
    return found


def _image(
    store: Store, request: BuildRequest, output: Output, images: Sequence[Image], target: Descriptor
) -> Descriptor:
    """An archive or a layout; its index.json has what is said of the descriptor."""
    names = output.names or request.tags
    notes = of(request.annotations, "manifest-descriptor", images[0].config.platform)
    if target.media_type in mediatypes.INDEXES:
        notes = of(request.annotations, "index-descriptor")
    assert output.dest is not None
    if output.packed:
        from layers.moving.archive import save

        form = {"kind": output.kind, "codec": output.codec, "level": output.level, "force": output.force}
        with replacing(output.dest) as sink:
            [found] = save(store, [(target, names)], sink, annotations=notes, **form)  # type: ignore[arg-type]
        return found
    from layers.moving.layout import Layout
    from layers.moving.rewrite import Packed
    from layers.moving.transfer import copy

    layout = Layout.create(output.dest)
    packed = Packed(store, output.codec, output.level, force=output.force, kind=output.media)
    found = replace(copy(packed, target, layout, None, every=True), annotations=notes)
    for name in names:
        layout.enter(name.tag or "", found, str(name))
    if not names:
        layout.enter("", found)
    return found


def _push(
    bench: Workbench, request: BuildRequest, output: Output, target: Descriptor, emit: Callable[[Event], None]
) -> Descriptor | None:
    from layers.moving import sent
    from layers.moving.places import Places
    from layers.moving.rewrite import Packed
    from layers.moving.transfer import copy

    if bench.remote is None:
        raise BuildError("this build may not use the network, so nothing can be pushed")
    store, places, found = bench.store, Places(bench.store), None
    packed = Packed(store, output.codec, output.level, force=output.force, kind=output.media)
    for name in output.names or request.tags:
        tag = None if output.by_digest else name.tag or "latest"
        found = copy(packed, target, bench.remote(name), tag, every=True, places=places)
        pinned = name.pinned(found.digest)
        emit(Exported("registry", pinned.familiar if tag is None else name.familiar, found.digest))
        sent.note(store, target.digest, pinned)
        if output.canonical:
            store.images.tag(name.pinned(target.digest), target)
    for note in packed.notes:
        emit(Warned(note))
    return found


def folder(image: Image, images: Sequence[Image], output: Output) -> str:
    """Where one of several platforms lies."""
    return str(image.config.platform).replace("/", "_") if len(images) > 1 and output.split else ""


def _local(store: Store, images: Sequence[Image], output: Output, times: Times | None) -> None:
    """Unpack into a directory; with several platforms into one below it for each, unless all share it."""
    from layers.disk.durable import placed
    from layers.disk.paths import encode
    from layers.snapshot.unpack import unpack

    for image in images:
        assert output.dest is not None
        place = output.dest / folder(image, images, output)
        place.mkdir(parents=True, exist_ok=True)
        for depth, diff_id in enumerate(image.chain.diff_ids):
            below = store.tree(Chain(image.chain.diff_ids[:depth]))
            with store.blobs.open(diff_id) as raw, placed(place):
                unpack(store.toc(diff_id).original, raw, place, overlay=False, below=below)
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
    from layers.moving import outside

    if not dest.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(dest.parent))
    with outside.replacing(dest) as stream:
        yield stream
