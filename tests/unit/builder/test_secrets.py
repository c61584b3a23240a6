"""Secrets are read when they are asked for, as they are, and are shown to nobody else."""

from pathlib import Path

import pytest

from builder import BuildRequest, Secret
from builder.secrets import LARGEST, SecretUnreadable
from layers.quick import replace

VALUE = b"sesame\n\xff"


def test_the_three_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(VALUE)
    monkeypatch.setenv("PLACE", VALUE.decode("utf-8", "surrogateescape"))
    for secret in (Secret(tmp_path / "file"), Secret(variable="PLACE"), Secret(value=VALUE)):
        assert secret.read("a") == VALUE


def test_one_place_it_must_be() -> None:
    for wrong in ({}, {"variable": "A", "value": b""}):
        with pytest.raises(ValueError, match="one of the three"):
            Secret(**wrong)  # type: ignore[arg-type]


def test_a_value_is_not_shown() -> None:
    request = BuildRequest(context=Path(), secrets={"a": Secret(value=VALUE)})
    assert "sesame" not in repr(request)
    assert "sesame" not in repr(replace(request, jobs=1))


def test_what_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLACE", raising=False)
    (tmp_path / "large").write_bytes(b"x" * (LARGEST + 1))
    (tmp_path / "full").write_bytes(b"x" * LARGEST)
    for secret, why in (
        (Secret(tmp_path / "none"), "No such file"),
        (Secret(tmp_path), "Is a directory"),
        (Secret(tmp_path / "large"), "larger than 500 KB"),
        (Secret(variable="PLACE"), "the environment has no PLACE"),
    ):
        with pytest.raises(SecretUnreadable, match=why):
            secret.read("a")
    assert len(Secret(tmp_path / "full").read("a")) == LARGEST
