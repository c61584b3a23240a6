"""dive's numbers, JSON and verdicts, as dive 0.13 gave them for images that are made anew here."""

import io
import json
import re
from typing import Any

import click
import pytest

from layers import Descriptor, History, Image, ImageConfig, NewLayer, Platform, Toc
from layers.oci.image import describe
from layers.views.efficiency import Efficiency, efficiency
from pybuild.budget import DEFAULTS, judge, read, size
from pybuild.formats import dive
from tests.support.recipes import DIVE_SAYS, SEEDS, recipe, tar_of

SAID = json.loads(DIVE_SAYS.read_text(encoding="utf-8"))


def image(layers: list[bytes]) -> Image:
    """The image that the recipe's archive holds."""
    digests = [Descriptor.of(raw, "").digest for raw in layers]
    config = ImageConfig.build(
        platform=Platform.host(),
        diff_ids=digests,
        history=[History(None, f"layer {number}") for number in range(len(layers))],
        runtime={},
        created=None,
    )
    manifest = describe(config, [NewLayer(digest, 0).descriptor for digest in digests])
    return Image(config.digest, manifest.descriptor, manifest, config, (), 0, None)


def in_order(references: list[dict[str, Any]]) -> list[tuple[int, str, int]]:
    """Go's sort does not keep the order of equals."""
    return sorted((-each["sizeBytes"], each["file"], each["count"]) for each in references)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_json_as_dive(seed: int) -> None:
    layers = [tar_of(members) for members in recipe(seed)]
    tocs = [Toc.scan(io.BytesIO(raw)) for raw in layers]
    ours, theirs = dive.export(image(layers), tocs, efficiency(tocs)), SAID[str(seed)]
    for layer in ours["layer"]:
        assert f"sha256:{layer.pop('id')}" == layer["digestId"]
    assert ours["layer"] == theirs["layer"]
    assert in_order(ours["image"].pop("fileReference")) == in_order(theirs["image"]["fileReference"])
    assert ours["image"] == {key: value for key, value in theirs["image"].items() if key != "fileReference"}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_verdicts_as_dive(seed: int) -> None:
    found = efficiency([Toc.scan(io.BytesIO(tar_of(members))) for members in recipe(seed)])
    ours = dive.report(found, judge(found, DEFAULTS)).splitlines()
    theirs = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in SAID[str(seed)]["ci"]]
    theirs = [line for line in theirs[theirs.index("Analyzing image...") + 1 :] if line]
    table = slice(ours.index("Count  Wasted Space  File Path") + 1, ours.index("Results:"))
    assert sorted(ours[table]) == sorted(theirs[table])
    del ours[table], theirs[table]
    assert ours == theirs


def test_a_file_of_rules() -> None:
    text = """---
# what we can live with
rules:   # all three
    lowestEfficiency: 0.95
    highest-wasted-bytes: "20MB"  # megabytes

    highestuserwastedpercent: disabled
"""
    assert read(text, ".dive-ci") == {
        "lowestEfficiency": "0.95",
        "highestWastedBytes": "20MB",
        "highestUserWastedPercent": "disabled",
    }
    assert read("", ".dive-ci") == read("# nothing\n", ".dive-ci") == read("rules:\n", ".dive-ci") == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("lowestEfficiency: 0.9", "f:1: the file has one key"),
        ("rules: {lowestEfficiency: 0.9}", "f:1: the file has one key"),
        ("rules:\nrules:\n", "f:2: the file has one key"),
        ("  lowestEfficiency: 0.9", "f:1: indented otherwise"),
        ("rules:\n  lowestEfficiency: 0.9\n   highestWastedBytes: 1\n", "f:3: indented otherwise"),
        ("rules:\n  lowestEficiency: 0.9\n", "f:2: there is no rule 'lowestEficiency'"),
        ("rules:\n  lowestEfficiency: 0.9\n  lowest-efficiency: 0.8\n", "f:3: lowest-efficiency is set twice"),
        ("rules:\n  lowestEfficiency:\n", "f:2: lowestEfficiency has no value"),
        ("rules:\n  - lowestEfficiency: 0.9\n", "f:2: '- lowestEfficiency: 0.9' is not KEY: VALUE"),
        ("rules:\n\tlowestEfficiency: 0.9\n", "f:2: "),
        ("rules:\n  lowestEfficiency:0.9\n", "f:2: "),
    ],
)
def test_a_file_that_is_no_rules(text: str, why: str) -> None:
    with pytest.raises(click.UsageError, match=re.escape(why)):
        read(text, "f")


@pytest.mark.parametrize(
    ("text", "bytes"),
    [
        ("0", 0),
        ("42", 42),
        ("20MB", 20_000_000),
        ("20 mb", 20_000_000),
        ("1.5KiB", 1536),
        ("1,024", 1024),
        ("3G", 3 * 10**9),
    ],
)
def test_sizes_of_rules(text: str, bytes: int) -> None:
    assert size("highestWastedBytes", text) == bytes


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("lowestEfficiency", "90"),
        ("lowestEfficiency", "-0.1"),
        ("lowestEfficiency", "nan"),
        ("highestWastedBytes", "much"),
        ("highestWastedBytes", "-1"),
        ("highestUserWastedPercent", "10%"),
        ("highestUserWastedPercent", ""),
    ],
)
def test_values_that_are_none(rule: str, value: str) -> None:
    with pytest.raises(click.UsageError, match=rule):
        judge(efficiency([]), {**DEFAULTS, rule: value})


def test_each_rule_at_its_border() -> None:
    found = efficiency(
        [Toc.scan(io.BytesIO(tar_of([("a", bytes(60))]))), Toc.scan(io.BytesIO(tar_of([("a", bytes(40))])))]
    )
    assert (found.score, found.wasted, found.user_ratio) == (0.4, 100, 2.5)

    def status(rule: str, value: str) -> str:
        return next(each.status for each in judge(found, {**DEFAULTS, rule: value}) if each.rule == rule)

    assert [status("lowestEfficiency", value) for value in ("0.4", "0.41", "disabled")] == ["PASS", "FAIL", "SKIP"]
    assert [status("highestWastedBytes", value) for value in ("100", "99B", "DISABLED")] == ["PASS", "FAIL", "SKIP"]
    assert [status("highestUserWastedPercent", value) for value in ("1", "disabled")] == ["FAIL", "SKIP"]


def test_an_image_of_one_layer_has_nothing_to_waste() -> None:
    for layers in ([], [[("a", b"1")]]):
        found: Efficiency = efficiency([Toc.scan(io.BytesIO(tar_of(members))) for members in layers])
        assert [verdict.status for verdict in judge(found, DEFAULTS)] == ["PASS", "SKIP", "PASS"]
        assert "userWastedPercent: NaN %" in dive.report(found, [])
