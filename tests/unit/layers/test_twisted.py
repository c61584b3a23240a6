"""Documents of somebody hostile are read, or refused with words."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import given, settings

from layers import ImageConfig, Index, LayerError, Manifest
from layers.oci import mediatypes
from layers.oci.documents import encode
from tests.support.documents import json_values


@settings(deadline=None)
@given(json_values())
def test_whatever_a_document_says_it_is_read_or_refused(value: dict[str, Any]) -> None:
    raw = encode(value)
    readers: tuple[Callable[[], object], ...] = (
        lambda: Manifest.parse(raw, mediatypes.OCI_MANIFEST).descriptor,
        lambda: Index.parse(raw, mediatypes.OCI_INDEX).descriptor,
        lambda: sorted([ImageConfig.parse(raw).created or "", ""]),
    )
    for read in readers:
        with suppress(LayerError):
            read()
