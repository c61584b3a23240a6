"""Where shared caches are: `type=local` is an OCI layout, `type=registry` a reference, `inline` the image itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.errors import BuildError
from layers import Reference

if TYPE_CHECKING:
    from builder.request import CacheSource, CacheTarget
    from builder.workbench import Workbench
    from layers import Repository


def opened(bench: Workbench, wanted: CacheSource | CacheTarget, *, write: bool) -> tuple[Repository, str]:
    """The repository of a cache and its name there. Raises BuildError, and what the place raises."""
    if wanted.kind == "local":
        from pathlib import Path

        from layers.moving.layout import Layout

        path = Path(wanted.where)
        return (Layout.create(path) if write else Layout.at(path)), wanted.name
    if bench.remote is None:
        raise BuildError("this build may not use the network")
    reference = Reference.parse(wanted.where)
    return bench.remote(reference), str(reference.digest or reference.tag or "latest")
