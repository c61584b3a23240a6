"""`--filter` of lists: what fits, by labels and by the other keys."""

import pytest

from pybuild.formats.filters import fits, named

LABELS = {"stage": "test", "team": "a"}


@pytest.mark.parametrize(
    ("rules", "there"),
    [
        ({}, True),
        ({"label": ["stage"]}, True),
        ({"label": ["stage=test", "team=a"]}, True),
        ({"label": ["stage=test", "team=b"]}, False),
        ({"label!": ["owner", "team=b"]}, True),
        ({"label!": ["owner", "team"]}, False),
        ({"name": ["x", "one"]}, True),
        ({"name": ["x"]}, False),
        ({"name": ["one"], "label": ["owner"]}, False),
    ],
)
def test_labels_all_and_of_other_keys_one(rules: dict[str, list[str]], there: bool) -> None:
    assert fits(rules, LABELS, lambda key, value: (key, value) == ("name", "one")) == there


@pytest.mark.parametrize(
    ("pattern", "there"),
    [("web", True), ("^web", True), ("^web$", False), ("1$", True), ("w.b", True), ("[", False), ("web[1", False)],
)
def test_names_are_found_as_docker_finds_them(pattern: str, there: bool) -> None:
    assert named("web-1", pattern) == there
