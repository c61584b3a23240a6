"""What is sent of one tree under a hundred and sixty ignore files: what BuildKit sends."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.contexts.context import Context
from builder.contexts.ignore import Ignore
from builder.contexts.sending import explain, sent
from builder.errors import ContextError
from tests.support.ignores import SEEDS, SENT, grow, listed, text, unpacked


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("tree")
    grow(place)
    yield place


@pytest.fixture(scope="module")
def said(folder: Path) -> dict[str, list[str] | None]:
    whole = listed(folder)
    kept = json.loads(SENT.read_text(encoding="utf-8"))
    return {seed: None if bits is None else unpacked(bits, whole) for seed, bits in kept.items()}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_is_sent(seed: int, folder: Path, said: dict[str, list[str] | None]) -> None:
    expected = said[str(seed)]
    if expected is None:
        with pytest.raises(ContextError):
            Ignore.parse(text(seed).encode())
        return
    context = Context(folder, Ignore.parse(text(seed).encode()))
    try:
        entries = list(sent(context))
        found = {entry.path: "/" if entry.type.value == "dir" else "" for entry in entries}
        assert sorted(path + mark for path, mark in found.items()) == expected
        for path in ("a", "a/b/a.txt", "ab/a/b", "a b/.hidden", "file"):
            verdict = explain(context, path)
            there = path in found
            assert there == (not verdict.ignored) or (there and verdict.below) or found.get(path) == "/"
    finally:
        context.close()
