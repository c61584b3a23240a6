"""Signals by number and name."""

from __future__ import annotations

import signal

import pytest

from builder.containers.signals import number_of


def test_names_with_and_without_sig() -> None:
    for one in signal.Signals:
        assert number_of(one.name) == number_of(one.name[3:]) == number_of(one.name.lower()) == one
    assert (number_of("9"), number_of("64")) == (9, 64)


@pytest.mark.parametrize(
    "text", ["", "SIG", "0", "65", "-1", "_DFL", "SIG_IGN", "SIG_BLOCK", "NAL", "default_int_handler"]
)
def test_what_is_no_signal(text: str) -> None:
    with pytest.raises(ValueError, match="is no signal"):
        number_of(text)
