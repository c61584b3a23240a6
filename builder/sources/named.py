"""`--build-context NAME=…`: what a name means in FROM, COPY --from and RUN --mount from, instead of anything else.

Names are compared as names of images are: `alpine` is also `docker.io/library/alpine:latest`. `NAME::PLATFORM` counts
for one platform only. A stage of that name is replaced, too (docker buildx build, "--build-context").
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from layers import Platform, Reference, ReferenceInvalid
from layers.quick import dataclass

if TYPE_CHECKING:
    from builder.sources.gitref import GitSource
    from builder.sources.web import WebSource

RESERVED = ("", "scratch", "context")


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory of this machine, without what its own .dockerignore leaves out."""

    path: Path


@dataclass(frozen=True, slots=True)
class ImageNamed:
    """An image, by any name that FROM takes."""

    name: str


@dataclass(frozen=True, slots=True)
class LayoutImage:
    """An image of an OCI layout; `name` is a tag, a digest, or "" for the only one."""

    path: Path
    name: str = ""


@dataclass(frozen=True, slots=True)
class StageNamed:
    """The result of a stage of the same Dockerfile."""

    name: str


Place: TypeAlias = "Directory | ImageNamed | LayoutImage | StageNamed | GitSource | WebSource"


def key_of(name: str) -> str:
    """How a name is compared."""
    try:
        return Reference.parse(name).familiar.removesuffix(":latest")
    except ReferenceInvalid:
        return name.lower()


def find(contexts: Mapping[str, Place], name: str, platform: Platform) -> tuple[str, Place] | None:
    """The context (and its key) that a name means for a platform; None if it means none."""
    if not contexts or name.lower() in RESERVED:
        return None
    key = key_of(name)
    for wanted in (f"{key}::{platform}", key):
        if wanted in contexts:
            return wanted, contexts[wanted]
    return None
