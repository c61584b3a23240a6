"""Which layer a digest, or its beginning, means."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from layers import Digest, NameAmbiguous, Store
from layers.home.lookup import choose, home, layer
from tests.support.stored import new_image, new_layer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as found:
        yield found


def test_a_layer_by_its_digests_and_their_beginnings(store: Store) -> None:
    one, two = new_layer(store, {"a": b"1"}), new_layer(store, {"a": b"2"})
    image = new_image(store, [one, two], "app:1")
    packed = store.variants.compress(two.diff_id, "gzip").digest
    for diff_id, texts in (
        (one.diff_id, (str(one.diff_id), one.diff_id.hex, one.diff_id.hex[:12], str(one.diff_id)[:25])),
        (two.diff_id, (str(packed), packed.hex, packed.hex[:12])),
    ):
        assert {layer(store, text) for text in texts} == {diff_id}
        assert home(store, diff_id) == image


def test_what_is_no_layer(store: Store) -> None:
    image = new_image(store, [new_layer(store, {"a": b"1"})], "app:1")
    texts = [
        str(image.id),
        str(image.target.digest),
        image.id.hex[:12],
        "app",
        "0" * 12,
        f"sha256:{'0' * 64}",
        "0" * 64,
    ]
    assert [layer(store, text) for text in texts] == [None] * len(texts)
    assert layer(store, image.config.diff_ids[0].hex[:11]) is None, "eleven digits are too few"
    assert home(store, Digest("sha256", "0" * 64)) is None


def test_a_layer_of_a_step_that_no_image_has(store: Store) -> None:
    lone = new_layer(store, {"a": b"1"}).diff_id
    assert layer(store, str(lone)) == lone
    assert layer(store, lone.hex[:12]) is None, "only what images name is found by its beginning"
    assert home(store, lone) is None


def test_a_beginning_of_several_layers() -> None:
    one, two, three = (Digest("sha256", f"abcdefabcde{end}" + "0" * 52) for end in "0f1")
    names = {one: [one], two: [two, three]}
    assert choose("abcdefabcde0", names) == one
    assert choose("sha256:abcdefabcdef", names) == choose("abcdefabcde1", names) == two
    with pytest.raises(NameAmbiguous) as met:
        choose("abcdefabcde", names)
    assert met.value.candidates == (str(one), str(two))
