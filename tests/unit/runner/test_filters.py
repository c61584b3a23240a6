"""The filters that were computed ahead are those that would be computed."""

from __future__ import annotations

from runner import filtering, seccomp
from runner.filters import USUAL
from runner.sandbox import DEFAULT_CAPABILITIES


def test_they_are_as_they_would_be_computed_now() -> None:
    assert filtering.PLACE.read_text() == filtering.text(), "run python -m runner.filtering"
    assert USUAL.keys() == set(filtering.MACHINES)
    for machine, program in USUAL.items():
        assert program == seccomp.program(DEFAULT_CAPABILITIES, machine)
        assert len(program) % 8 == 0
