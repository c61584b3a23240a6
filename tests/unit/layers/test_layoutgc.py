"""Blobs of a layout that nothing leads to: those go, and nothing else, and not while somebody writes."""

import io
import json
from pathlib import Path

import pytest

from layers import Descriptor, Digest, Index, Manifest
from layers.errors import LayoutBusy
from layers.moving.layout import Layout
from layers.moving.layoutgc import collect
from layers.oci import mediatypes


def put(layout: Layout, data: bytes, kind: str) -> Descriptor:
    wanted = Descriptor.of(data, kind)
    layout.put(wanted, io.BytesIO(data))
    return wanted


def image(layout: Layout, word: str) -> tuple[Descriptor, set[Digest]]:
    """A manifest, and it with all that it names."""
    config = put(layout, json.dumps({"word": word}).encode(), mediatypes.OCI_CONFIG)
    layer = put(layout, f"layer {word}".encode(), mediatypes.OCI_LAYER)
    made = Manifest.build(config, [layer])
    target = put(layout, made.raw, mediatypes.OCI_MANIFEST)
    return target, {config.digest, layer.digest, target.digest}


def there(root: Path) -> set[str]:
    return {f"{path.parent.name}:{path.name}" for path in root.glob("blobs/*/*")}


def filled(root: Path) -> tuple[set[Digest], set[Digest]]:
    """A layout of an index of one image, an image, a document of an unknown kind, and what has lost its name."""
    layout = Layout.create(root)
    first, kept = image(layout, "first")
    second, more = image(layout, "second")
    third, gone = image(layout, "third")
    index = Index.build([first])
    layout.tag("many", put(layout, index.raw, mediatypes.OCI_INDEX))
    layout.tag("one", second)
    layout.tag("lost", third)
    layout.delete("lost")
    inner = put(layout, b"inner", "application/x-inner")
    odd = put(layout, json.dumps({"parts": [{"deep": inner.to_json()}]}).encode(), "application/x-odd")
    layout.tag("odd", odd)
    return kept | more | {index.descriptor.digest, inner.digest, odd.digest}, gone


def test_what_nothing_leads_to(tmp_path: Path) -> None:
    kept, gone = filled(tmp_path / "l")
    (tmp_path / "l/blobs/blake9").mkdir()
    (tmp_path / "l/blobs/blake9/0123").write_text("of tomorrow")
    (tmp_path / "l/blobs/sha256/no-digest").write_text("of somebody")
    before = there(tmp_path / "l")
    layout = Layout.at(tmp_path / "l")
    looked = collect(layout, dry=True)
    assert {digest for digest, _ in looked} == gone
    assert there(tmp_path / "l") == before
    assert collect(layout) == looked and all(size > 0 for _, size in looked)
    assert there(tmp_path / "l") == {*map(str, kept), "blake9:0123", "sha256:no-digest"}
    assert collect(layout) == []


def test_not_while_somebody_writes(tmp_path: Path) -> None:
    filled(tmp_path / "l")
    writing = Layout.create(tmp_path / "l")
    blob = put(writing, b"nothing names it yet", mediatypes.OCI_LAYER)
    with pytest.raises(LayoutBusy, match="being written to"):
        collect(Layout.at(tmp_path / "l"))
    assert writing.has(blob)
    del writing
    assert blob.digest in {digest for digest, _ in collect(Layout.at(tmp_path / "l"))}
