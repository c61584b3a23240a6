"""How old images are, for people: when they were built here, else what they say themselves.

The time in an image that was built follows from its inputs (`builder.times`), and may be years before that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybuild import units

if TYPE_CHECKING:
    from datetime import datetime

    from layers import Image, Store


class Ages:
    """Of the images of one store."""

    def __init__(self, store: Store) -> None:
        built = {key.partition(":")[2] for (key,) in store.records.fields("build:")}
        self._added = {digest: at for digest, at in store.images.added().items() if digest.hex in built}

    def of(self, image: Image) -> datetime | None:
        """When it came to be, None if nobody knows."""
        from datetime import UTC, datetime

        at = self._added.get(image.manifest.descriptor.digest)
        return units.moment(image.created) if at is None else datetime.fromtimestamp(at, UTC)
