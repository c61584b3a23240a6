"""Databases and statements that others wrote: read, or refused, and nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.attest.packages import Package, is_module, stanzas
from builder.attest.rpmdb import header, headers
from layers import Digest
from layers.oci.attested import about


@given(st.binary(max_size=200))
def test_any_header(blob: bytes) -> None:
    try:
        header(blob)
    except ValueError:
        pass


@given(st.binary(max_size=200))
def test_any_database(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        list(headers(b"SQLite format 3\0" + raw))


@given(st.text(max_size=200))
def test_any_stanzas(text: str) -> None:
    assert all(block for block in stanzas(text))


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["subject", "digest", "x"]), inner),
)


@given(st.binary(max_size=50) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_statement(raw: bytes) -> None:
    assert about(raw, {Digest("sha256", "0" * 64): Digest("sha256", "1" * 64)}) == raw


def test_a_statement_follows_its_image() -> None:
    raw = json.dumps({"subject": [{"digest": {"sha256": "0" * 64, "sha512": "x"}}, {"digest": {"sha256": "2" * 64}}]})
    found = json.loads(about(raw.encode(), {Digest("sha256", "0" * 64): Digest("sha256", "1" * 64)}))
    assert [one["digest"]["sha256"][0] for one in found["subject"]] == ["1", "2"]


@pytest.mark.parametrize(
    ("folder", "module"),
    [
        ("app/node_modules/a", True),
        ("node_modules/@s/a", True),
        ("node_modules/a/lib", False),
        ("app", False),
        ("a/node_modules/b/node_modules/c", True),
    ],
)
def test_modules(folder: str, module: bool) -> None:
    assert is_module(folder) is module


def test_package_urls() -> None:
    assert Package("npm", "a b", "1+2", namespace="@s").purl == "pkg:npm/%40s/a%20b@1%2B2"
