"""What a container changed, and images made of that."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from builder.containers.container import Container
from builder.containers.errors import ContainerError
from layers import BlobMissing, Chain, History, ImageConfig, Manifest, Platform, Reference
from layers.oci.documents import timestamp
from layers.oci.image import append, describe

if TYPE_CHECKING:
    from layers import Image, Store, Tree

ALLOWED = frozenset(
    "CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL MAINTAINER ONBUILD SHELL STOPSIGNAL USER VOLUME WORKDIR".split()
)
OURS = ("/proc", "/sys", "/dev", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
"""What every container has mounted."""


def tree(store: Store, container: Container) -> Tree:
    """Its file system as it is now; nothing is copied."""
    from layers.views.lifted import Lifted

    below = store.tree(container.settings.chain)
    if not container.upper.is_dir():
        return below
    return Lifted(below, container.upper, places(container, below))


def places(container: Container, below: Tree) -> frozenset[str]:
    """Where something is mounted while it runs, and the way there: made if missing, and no change of the command's."""
    settings = container.settings
    found: set[str] = set()
    own = (*(one.target for one in settings.tmpfs), *(one.target for one in settings.volumes))
    for target in (*OURS, *own):
        path = below.resolve(target.strip("/"))
        while path:
            found.add(path)
            path = path.rpartition("/")[0]
    return frozenset(found)


def change(runtime: Mapping[str, Any], instructions: Sequence[str]) -> dict[str, Any]:
    """A config after Dockerfile instructions that need no file system (`commit -c`). Raises DockerfileErrors."""
    if not instructions:
        return dict(runtime)
    from builder.dockerfile import parse
    from builder.planning.config import configure
    from builder.planning.state import State

    for line in instructions:
        word = line.split(maxsplit=1)[0].upper() if line.strip() else ""
        if word not in ALLOWED:
            raise ContainerError(
                f"--change {line!r}: {word or 'nothing'} cannot be changed; {', '.join(sorted(ALLOWED))} can"
            )
    text = "FROM scratch\n" + "\n".join(instructions) + "\n"
    state = State(0, Platform.host(), runtime)
    state.cmd_set = True
    for instruction in parse(text.encode(), "--change").instructions[1:]:
        configure(instruction, state)
    found = dict(state.config)
    if state.triggers:
        found["OnBuild"] = [*(found.get("OnBuild") or ()), *state.triggers]
    return found


def commit(
    store: Store,
    container: Container,
    name: Reference | None,
    *,
    author: str = "",
    message: str = "",
    instructions: Sequence[str] = (),
    squash: bool = False,
) -> Image:
    """An image of a container: its image's layers and one of what it changed. Raises BlobMissing, DockerfileErrors."""
    from layers.making.capture import capture

    settings = container.settings
    below = settings.chain
    with store.lease(*below.diff_ids):
        under = store.tree(below)
        layer = None
        if container.upper.is_dir():
            layer = capture(store, container.upper, under, places(container, under))
        created = timestamp(datetime.now(UTC))
        line = History(
            created, " ".join(settings.cmd or settings.command), author or None, message or None, layer is None
        )
        image = _image(store, settings.image)
        runtime = dict(image.config.runtime) if image is not None else {}
        runtime.pop("OnBuild", None)
        own = {
            "Env": [f"{key}={value}" for key, value in settings.env.items()],
            "Cmd": list(settings.cmd) or None,
            "Entrypoint": list(settings.entrypoint) or None,
            "User": settings.user,
            "WorkingDir": settings.cwd,
            "Labels": dict(settings.labels) or None,
        }
        runtime = {key: value for key, value in {**runtime, **own}.items() if value}
        runtime = change(runtime, instructions)
        if image is not None:
            manifest, config = append(image, layer, line, runtime=runtime, author=author or None)
        else:
            manifest, config = _without_image(store, below, layer, line, runtime, author)
        if squash:
            from builder.squash import squash as flatten

            manifest, config = flatten(store, manifest, config, 0)
        return store.images.add(manifest, config, [name] if name else [])


def _image(store: Store, text: str) -> Image | None:
    if not text:
        return None
    try:
        return store.images.get(text)
    except BlobMissing:
        return None


def _without_image(  # noqa: PLR0917 what the documents are made of
    store: Store, below: Chain, layer: Any, line: History, runtime: Mapping[str, Any], author: str
) -> tuple[Manifest, ImageConfig]:
    """The documents where no image knows the layers below: a step that failed, an image that was removed."""
    from layers import NewLayer

    lines = [History(line.created, "a layer below a container", empty_layer=False) for _ in below.diff_ids]
    layers = [NewLayer(diff_id, store.blobs.size(diff_id)) for diff_id in below.diff_ids]
    if layer is not None:
        layers.append(layer)
    config = ImageConfig.build(
        platform=Platform.host(),
        diff_ids=[one.diff_id for one in layers],
        history=[*lines, line],
        runtime=runtime,
        created=line.created,
        author=author or None,
    )
    return describe(config, [one.descriptor for one in layers]), config


def size(container: Container) -> int:
    """Bytes of the files that it has written."""
    total = 0
    pending = [container.upper]
    while pending:
        folder = pending.pop()
        if not folder.is_dir():
            continue
        with os.scandir(folder) as listing:
            for entry in listing:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(folder / entry.name)
                elif entry.is_file(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
    return total
