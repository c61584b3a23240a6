"""Who may have which device."""

from pathlib import Path

import pytest

from builder.devices import allowed
from runner.cdi import Described

FOO = Described("vendor.example/device", "foo", Path("x.json"), False, "", ())


@pytest.mark.parametrize("word", ["device", "device=vendor.example/device", "device=vendor.example/device=*"])
def test_all_of_them_or_all_of_a_kind(word: str) -> None:
    assert allowed(FOO, {word, "network.host"})


def test_one_by_its_name() -> None:
    assert allowed(FOO, {"device=vendor.example/device=foo"})
    others = ("device=vendor.example/device=bar", "device=other.example/device", "security.insecure", "device=foo")
    assert not allowed(FOO, others)
