"""An image on another base: documents only, and what is told when the two do not fit."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from layers import History, Image, ImageConfig, NewLayer, Platform, Store
from layers.errors import BaseMismatch
from layers.making.rebase import rebase, upper_lines
from layers.oci.image import BASE_DIGEST, BASE_NAME, append, describe
from tests.unit.layers.test_layer_rules import hard, soft
from tests.unit.layers.test_merge import put


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened


def image(store: Store, *layers: NewLayer, platform: str = "linux/amd64") -> Image:
    config = ImageConfig.build(
        platform=Platform.parse(platform),
        diff_ids=[layer.diff_id for layer in layers],
        history=[History("2020-01-01T00:00:00Z", f"layer {layer.diff_id.hex[:4]}") for layer in layers],
        runtime={"Cmd": ["x"]},
        created="2020-01-01T00:00:00Z",
    )
    return store.images.add(describe(config, [layer.descriptor for layer in layers]), config)


def on(store: Store, base: Image, *layers: NewLayer) -> Image:
    for number, layer in enumerate(layers):
        base = store.images.add(*append(base, layer, History("2021-01-01T00:00:00Z", f"mine {number}")))
    return base


def test_on_the_same_base_it_is_the_same_image(store: Store) -> None:
    base = image(store, put(store, ("a", b"")), put(store, ("b", b"")))
    app = on(store, base, put(store, ("c", b"")))
    result = rebase(store, app, base, base, "base")
    assert result.config is app.config
    assert result.manifest.layers == app.manifest.layers
    assert result.manifest.annotations == {BASE_NAME: "base", BASE_DIGEST: str(base.target.digest)}
    assert not result.warnings
    again = rebase(store, store.images.add(result.manifest, result.config), base, base, "base")
    assert again.manifest is not None and again.manifest.raw == result.manifest.raw


def test_layers_and_history_of_the_new_base_and_ours(store: Store) -> None:
    old = image(store, put(store, ("a", b"1")))
    new = image(store, put(store, ("a", b"2")), put(store, ("b", b"")))
    app = on(store, old, put(store, ("c", b"")), put(store, ("d", b"")))
    result = rebase(store, app, old, new, "new")
    assert result.config.diff_ids == (*new.config.diff_ids, *app.config.diff_ids[1:])
    assert result.config.history == (*new.config.history, *app.config.history[1:])
    assert result.manifest.layers == (*new.manifest.layers, *app.manifest.layers[1:])
    assert result.config.runtime == app.config.runtime
    back = rebase(store, store.images.add(result.manifest, result.config), new, old, "old")
    assert (back.config.diff_ids, back.config.history) == (app.config.diff_ids, app.config.history)


def test_a_base_that_it_does_not_stand_on(store: Store) -> None:
    one, two = put(store, ("a", b"")), put(store, ("b", b""))
    app = image(store, one)
    with pytest.raises(BaseMismatch, match="layer 1 is"):
        rebase(store, app, image(store, two), app, "x")
    with pytest.raises(BaseMismatch, match="there is no layer"):
        rebase(store, app, image(store, one, two), app, "x")
    with pytest.raises(BaseMismatch, match="for linux/arm64"):
        rebase(store, app, app, image(store, two, platform="linux/arm64"), "x")


def test_what_no_longer_fits_is_told(store: Store) -> None:
    old = image(store, put(store, ("gone", b""), ("kept", b""), ("lib/x", b""), ("linked", b""), ("same", b"")))
    new = image(store, put(store, ("kept", b""), ("lib", soft("usr/lib")), ("usr/lib/x", b""), ("same", b"")))
    upper = put(
        store,
        (".wh.gone", b""), (".wh.kept", b""), (".wh.never", b""), ("lib/mine", b""),
        ("l", hard("linked")), ("s", hard("same")),
    )  # fmt: skip
    told = rebase(store, on(store, old, upper, put(store, (".wh.s", b""))), old, new, "new").warnings
    assert [sentence.split(" above the base ")[1].split(",")[0] for sentence in told] == [
        "deletes /gone",
        "has /l as a link to /linked",
        "has a directory /lib",
    ]
    assert not rebase(store, on(store, old, upper), old, old, "old").warnings


def test_history_that_does_not_line_up() -> None:
    base = [History(None, "a"), History(None, "b", empty_layer=True)]
    mine = [History(None, "c")]
    assert upper_lines([*base, *mine], base) == mine
    assert upper_lines([History(None, "A"), *mine], base) == mine
    assert upper_lines([], base) == ()
    assert upper_lines([History(None, "A")], base) == ()
