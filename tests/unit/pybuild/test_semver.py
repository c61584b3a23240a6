"""Constraints of versions: the tables that Masterminds/semver documents, and what is none."""

import pytest

from pybuild.semver import Version, constraint

TAGS = (
    *("0.0.3", "0.0.4", "0.2.1", "0.2.5", "0.3", "1", "1.2", "1.2.3-alpha", "1.2.3", "1.2.4", "v1.2.5", "1.3.0"),
    *("2.0.0-rc.1", "2.0.0", "2.1.1", "3.0.0", "latest", "1.2.3.4", "1.2.3_b", "x1"),
)


@pytest.mark.parametrize(
    ("text", "fitting"),
    [
        ("1.2.3", "1.2.3"),
        ("=1.2.3 || 3.x", "1.2.3 3.0.0"),
        ("1.2 - 2.0.0", "1.2 1.2.3 1.2.4 v1.2.5 1.3.0 2.0.0"),
        ("1.2.x", "1.2 1.2.3 1.2.4 v1.2.5"),
        (">= 1.3.x", "1.3.0 2.0.0 2.1.1 3.0.0"),
        ("> 1.2", "1.3.0 2.0.0 2.1.1 3.0.0"),
        ("> 1", "2.0.0 2.1.1 3.0.0"),
        ("<= 0.2", "0.0.3 0.0.4 0.2.1 0.2.5"),
        ("< 0.2.5", "0.0.3 0.0.4 0.2.1"),
        ("*", "0.0.3 0.0.4 0.2.1 0.2.5 0.3 1 1.2 1.2.3 1.2.4 v1.2.5 1.3.0 2.0.0 2.1.1 3.0.0"),
        ("~1.2.4", "1.2.4 v1.2.5"),
        ("~1", "1 1.2 1.2.3 1.2.4 v1.2.5 1.3.0"),
        ("~>1.3", "1.3.0"),
        ("^1.2.4", "1.2.4 v1.2.5 1.3.0"),
        ("^2.x", "2.0.0 2.1.1"),
        ("^0.2.3", "0.2.5"),
        ("^0.2", "0.2.1 0.2.5"),
        ("^0.0.3", "0.0.3"),
        ("^0.0", "0.0.3 0.0.4"),
        ("^0", "0.0.3 0.0.4 0.2.1 0.2.5 0.3"),
        (">=1.2, <2, !=1.2.3", "1.2 1.2.4 v1.2.5 1.3.0"),
        (">= 1.2 < 1.3", "1.2 1.2.3 1.2.4 v1.2.5"),
        ("!= 1.x", "0.0.3 0.0.4 0.2.1 0.2.5 0.3 2.0.0 2.1.1 3.0.0"),
        ("~1.2.3-alpha", "1.2.3-alpha 1.2.3 1.2.4 v1.2.5"),
        (">= 2.0.0-0, < 2.1.0-0", "2.0.0-rc.1 2.0.0"),
    ],
)
def test_which_tags_fit(text: str, fitting: str) -> None:
    fits = constraint(text)
    assert [tag for tag in TAGS if fits(tag)] == fitting.split()


def test_versions_are_in_order() -> None:
    texts = "1.0.0-1 1.0.0-2 1.0.0-10 1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.b 1.0.0-b 1.0.0 1.0.1 1.10.0".split()
    versions = [Version.parse(text) for text in texts]
    assert all(one is not None for one in versions)
    assert sorted(versions, key=lambda one: one.key if one else ()) == versions
    assert Version.parse("1.2.3+a") == Version.parse("v1.2.3+b")


@pytest.mark.parametrize("text", ["", "new", ">> 1", "1.2.3.4", ">= a", "1 ||", "1 - "])
def test_what_is_no_constraint(text: str) -> None:
    with pytest.raises(ValueError, match="no constraint of versions"):
        constraint(text)
