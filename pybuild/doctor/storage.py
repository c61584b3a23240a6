"""Where layers are: the store, the disk, how a layer becomes a directory, and a command run behind walls at last."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pybuild import units
from pybuild.doctor.finding import Finding, Lacking, apart, examine
from pybuild.doctor.kernel import ROOT
from runner.programs import CODE, MACHINES, NATIVE, program
from runner.rootless import owner

if TYPE_CHECKING:
    from pybuild.wiring import Context

LITTLE = 1 << 30
"""Bytes of free disk below which a build of anything is a gamble."""


def findings(context: Context) -> Iterator[Finding]:
    """All of them."""
    root = context.settings.root
    yield examine(
        "store", lambda: _store(context), serves="everything", fix="pybuild system check --repair", needed=True
    )
    yield examine("disk", lambda: _disk(root), serves="everything", fix="pybuild prune --all", needed=True)
    if not root.exists():
        return
    user = owner() is not None
    yield examine("overlayfs", apart(_overlay(root)), serves="RUN, run", fix="modprobe overlay", needed=True)
    yield examine(
        "overlayfs by descriptor",
        apart(_descriptors(root)),
        serves="more than 200 layers in RUN",
        fix="use Linux 6.8 or newer",
    )
    yield examine(
        "erofs from files",
        apart(_erofs(context, loops=False)),
        serves="layers that are mounted, not unpacked",
        fix=ROOT if user else "use Linux 6.12 or newer, with modprobe erofs",
    )
    yield examine(
        "erofs through loop devices",
        apart(_erofs(context, loops=True)),
        serves="the same, on older kernels",
        fix=ROOT if user else "modprobe -a loop erofs",
    )
    yield examine("sandbox", lambda: _sandbox(context), serves="RUN, run", fix=ROOT, needed=True)


def _store(context: Context) -> str:
    from layers import StoreFormat
    from layers.home.check import check

    root = context.settings.root
    try:
        found = check(context.store, quick=True)
    except StoreFormat as error:
        raise Lacking(str(error), "pybuild --root DIR doctor") from error
    if found.damages:
        first = found.damages[0]
        raise Lacking(f"{units.plural(len(found.damages), 'damage')} in {root}: {first.where}: {first.what}")
    return f"{root}, {units.plural(found.blobs, 'blob')}, no damage at a quick look"


def _disk(root: Path) -> str:
    from layers.home import room

    place = root
    while not place.exists():
        place = place.parent
    free = room.free(place)
    if room.lacks_names(place):
        raise Lacking(f"no inodes are left on {room.mounted(place)}")
    if free < LITTLE:
        raise Lacking(f"{units.size(free)} free on {room.mounted(place)}")
    return f"{units.size(free)} free on {room.mounted(place)}"


def _folders(root: Path, names: str) -> list[Path]:
    import tempfile

    top = Path(tempfile.mkdtemp(prefix="doctor-", dir=root))
    for name in names.split():
        (top / name).mkdir()
    return [top, *(top / name for name in names.split())]


def _overlay(root: Path) -> Callable[[], str]:
    def probe() -> str:
        import shutil

        from runner import mounts, private

        private.enter()
        top, one, two, upper, work, target = _folders(root, "one two upper work target")
        try:
            (one / "file").write_text("lower")
            mounts.overlay([one, two], target, upper=upper, work=work, volatile=True)
            (target / "file").unlink()
            gone = os.lstat(upper / "file")
            mounts.unmount(target)
            if gone.st_rdev:
                raise Lacking("a removed file leaves no whiteout")
        finally:
            shutil.rmtree(top, ignore_errors=True)
        return f"mounts, writes and removes in {root}"

    return probe


def _descriptors(root: Path) -> Callable[[], str]:
    def probe() -> str:
        import shutil

        from runner import linux, private

        private.enter()
        top, one, two = _folders(root, "one two")
        try:
            context = linux.call("fsopen", b"overlay", 1)
            for path in (one, two):
                linux.call("fsconfig", context, 1, b"lowerdir+", os.fsencode(path), 0)
            linux.call("fsconfig", context, 6, None, None, 0)
        finally:
            shutil.rmtree(top, ignore_errors=True)
        return "lower directories are named one by one"

    return probe


def _erofs(context: Context, *, loops: bool) -> Callable[[], str]:
    def probe() -> str:
        from layers.snapshot.index import index
        from layers.snapshot.inodes import Inodes
        from layers.views.tree import Tree
        from runner import mounts, private

        private.enter()
        with context.store.scratch() as scratch:
            image, target = scratch / "empty", scratch / "mounted"
            index(Inodes([], 0, Tree([])), 0, []).write(image, context.store.blobs.open)
            target.mkdir()
            mounts.image(image, [], target, loops=loops)
            mounts.unmount(target)
        return "an index was mounted"

    return probe


def _sandbox(context: Context) -> str:
    """The whole way of a RUN, with the smallest program there is."""
    from layers import Chain
    from runner import Sandbox, private

    private.enter()
    with context.store.snapshots.prepare(Chain()) as work:
        (work.root / "program").write_bytes(program(MACHINES[NATIVE[os.uname().machine]]))
        (work.root / "program").chmod(0o755)
        began = time.monotonic()
        said: list[bytes] = []
        sandbox = Sandbox(work.root, ("/program",))
        exit = context.runtime.run(sandbox, lambda _, data: said.append(data), threading.Event())
        spent = 1000 * (time.monotonic() - began)
    if exit.code != CODE:
        raise Lacking(f"the command ended with {exit.code}, not {CODE}: {b''.join(said).decode(errors='replace')}")
    return f"a command ran behind walls in {spent:.0f} ms"
