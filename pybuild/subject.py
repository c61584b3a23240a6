"""What a person means by a name: the one place that turns words of `diff`, `blame`, `explore` into things to look at.

In this order: a path that says so (`./x`, `/x`), an image elsewhere (`docker://REF`, `oci:DIR:NAME` ...), a container,
an image or a step of one (`IMAGE@N`), a layer, and last a directory that is a bundle.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from layers.quick import dataclass
from pybuild.userns import stand

if TYPE_CHECKING:
    from builder.containers.container import Container
    from layers import Chain, DiffID, Image, Store
    from layers.views.files import Files

PATHS = (".", "..")


@dataclass
class Subject:
    """Something with files. Exactly one of the fields below `store` says what it is.

    chain: an image or a step, as its layers. layer: one layer, alone.
    """

    text: str
    store: Store
    chain: Chain | None = None
    container: Container | None = None
    layer: DiffID | None = None
    folder: Path | None = None

    @cached_property
    def below(self) -> Chain | None:
        """What it is an addition to, as `diff` with one argument sees it; None for what stands alone."""
        from layers.home.lookup import home

        if self.container is not None:
            return self.container.settings.chain
        if self.chain is not None:
            return self.chain.parent
        if self.layer is not None and (image := home(self.store, self.layer)) is not None:
            from layers import Chain

            return Chain(image.config.diff_ids[: image.config.diff_ids.index(self.layer)])
        return None

    @cached_property
    def files(self) -> Files:
        """Its files. Raises BlobMissing, OSError."""
        from layers import Chain

        if self.container is not None:
            from builder.containers.changes import tree

            return tree(self.store, self.container)
        if self.folder is not None:
            from layers.views.folder import Folder

            return Folder(self.folder)
        chain = Chain((self.layer,)) if self.layer is not None else self.chain
        assert chain is not None
        return self.store.tree(chain)


def subject(store: Store, text: str) -> Subject:
    """What `text` names. Raises click.UsageError for nothing, NameAmbiguous for several things."""
    if text in PATHS or text.startswith(("./", "../", "/")):
        if not Path(text).is_dir():
            raise click.UsageError(f"{text} is no directory")
        return Subject(text, store, folder=rootfs(Path(text)) or Path(text))
    from builder.containers.book import Containers
    from builder.containers.errors import ContainerMissing

    if not transport(text):
        with suppress(ContainerMissing):
            container = Containers(store).get(text)
            stand(container.settings.userns)
            return Subject(text, store, container=container)
    if (chain := stack(store, text)) is not None:
        return Subject(text, store, chain=chain)
    from layers.home.lookup import layer

    if (diff_id := layer(store, text)) is not None:
        return Subject(text, store, layer=diff_id)
    if Path(text).is_dir() and (folder := rootfs(Path(text))) is not None:
        return Subject(text, store, folder=folder)
    hint = f"; the directory is written ./{text}" if Path(text).is_dir() else hints(store, text)
    raise click.UsageError(f"{text!r} is no container, image, step (IMAGE@N), layer or bundle here{hint}")


def image(store: Store, text: str, platform: str | None = None) -> Image:
    """The image that `text` names, or whose id begins so. Raises what Images.get does, and click.UsageError."""
    from layers import BlobMissing, Platform

    if transport(text):
        return elsewhere(store, text, platform)
    try:
        return store.images.get(text, Platform.parse(platform) if platform else None)
    except BlobMissing as error:
        if hint := hints(store, text):
            raise click.UsageError(f"there is no image {text!r}{hint}") from error
        raise


def stack(store: Store, text: str) -> Chain | None:
    """The layers of an image, or of `IMAGE@N` its first N; None if there is no such image."""
    from layers import BlobMissing, Chain, DigestInvalid, ReferenceInvalid

    head, count = step(text)
    if transport(text):
        whole = elsewhere(store, head).chain
    else:
        try:
            whole = store.images.get(head).chain
        except (BlobMissing, DigestInvalid, ReferenceInvalid):
            return None
    if count is None:
        return whole
    if count > len(whole):
        raise click.UsageError(f"{head} has {len(whole)} layers, there is no layer {count}")
    return Chain(whole.diff_ids[:count])


def step(text: str) -> tuple[str, int | None]:
    """An image's name, and the number of `IMAGE@N`; the `@N` of `oci:DIR:@N` is a place in a list and stays."""
    head, at, count = text.rpartition("@")
    return (head, int(count)) if at and count.isdecimal() and not head.endswith(":") else (text, None)


def transport(text: str) -> bool:
    """True for an image, or a step of one, that is not in the store. Raises ReferenceInvalid."""
    from layers.oci.address import Address, Kind

    return bool(text) and Address.parse(step(text)[0]).kind is not Kind.STORE


def elsewhere(store: Store, text: str, platform: str | None = None) -> Image:
    """An image at a place that `text` names, with its layers here. Raises what the place raises."""
    from layers import Platform
    from layers.moving.visit import visit
    from layers.oci.address import Address
    from pybuild.addressing import resolve, source

    address = Address.parse(text)
    with source(click.get_current_context().obj, address) as there:
        return visit(store, there, resolve(there, address), Platform.parse(platform) if platform else None)


def rootfs(path: Path) -> Path | None:
    """The root file system of a bundle (OCI runtime-spec, bundle.md), as its config.json says, else `rootfs`; or None.

    Raises click.UsageError for one that leads out of the bundle.
    """
    name = "rootfs"
    with suppress(OSError, ValueError, KeyError, TypeError):
        config = json.loads((path / "config.json").read_bytes())
        if config["ociVersion"]:
            name = str(config["root"]["path"])
    if not (path / name).is_dir():
        return None
    if not (path / name).resolve().is_relative_to(path.resolve()):
        raise click.UsageError(f"the root of the bundle {path} lies outside of it: name that directory, {path / name}")
    return path / name


def pattern(text: str) -> re.Pattern[str]:
    """A pattern of paths as in .dockerignore (`*`, `?`, `[a-z]`, `**`). Raises click.UsageError."""
    from builder.contexts.ignore import translate

    try:
        return re.compile(translate(text), re.DOTALL)
    except ValueError as error:
        raise click.UsageError(f"the pattern {text!r} cannot be read: {error}") from error


def hints(store: Store, text: str) -> str:
    """What may have been meant."""
    from difflib import get_close_matches

    near = get_close_matches(text, [reference.familiar for reference, _ in store.images.names()], 1)
    return f"; did you mean {near[0]}?" if near else ""
