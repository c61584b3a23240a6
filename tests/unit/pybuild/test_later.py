"""Modules that are loaded when they are used after all."""

from __future__ import annotations

import datetime
import inspect
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybuild.later import Later, cleandoc, plural

SPARED = "inspect uuid datetime gettext urllib.parse dataclasses"


def test_click_comes_without_what_it_does_not_need_and_has_it_after_all() -> None:
    script = """
import sys
from pybuild.later import lean
lean("pathlib")
lean("click")
import click, pathlib
loaded = set(sys.argv[1].split()) & set(sys.modules)
assert not loaded, loaded
import datetime, uuid
assert click.DateTime().convert("2026-01-02", None, None) == datetime.datetime(2026, 1, 2)
assert click.DateTime().convert(datetime.datetime(2026, 1, 2), None, None) == datetime.datetime(2026, 1, 2)
assert click.UUID.convert("0" * 31 + "1", None, None) == uuid.UUID(int=1)
assert pathlib.Path("/a b").as_uri() == "file:///a%20b"
"""
    done = subprocess.run([sys.executable, "-c", script, SPARED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_every_command_needs_comes_without_collections() -> None:
    script = """
import sys
from pybuild.later import FIRST, lean
before = set(sys.modules)
for module in FIRST:
    lean(module)
loaded = {"collections", "reprlib", "keyword"} & (set(sys.modules) - before)
assert not loaded, loaded
import contextlib, functools, pathlib
twice = functools.lru_cache(maxsize=8)(lambda number: 2 * number)
assert [twice(1), twice(1), twice(2)] == [2, 2, 4]
assert twice.cache_info() == (1, 2, 8, 2) and twice.cache_info().hits == 1
assert repr(functools.partial(print, 1)).startswith("functools.partial(<built-in function print>, 1")
with contextlib.ExitStack() as stack:
    stack.callback(lambda: None)
assert pathlib.Path("/a/b").drive == ""
import collections
assert collections.Counter("aab").most_common(1) == [("a", 2)]
assert functools.singledispatch(len)([1]) == 1
"""
    done = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pathlib has other needs")
def test_paths_come_without_patterns_and_have_them_after_all() -> None:
    script = """
import sys
from pybuild.later import lean
before = set(sys.modules)
lean("pathlib")
import pathlib
loaded = {"re", "enum", "fnmatch", "ntpath", "warnings", "urllib.parse"} & (set(sys.modules) - before)
assert not loaded, loaded
assert pathlib.Path("/usr/bin/env").match("*/e?v")
assert [path.name for path in pathlib.Path("/usr").glob("b[hi]n")] == ["bin"]
assert pathlib.PureWindowsPath("C:/A/b").match("c:/a/*")
import fnmatch, re
assert re.match(fnmatch.translate("*.PY"), "a.py", re.IGNORECASE)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_module_is_itself_again_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "datetime")
    with Later("datetime", answer=42) as nothing:
        from datetime import answer, date  # type: ignore[attr-defined]
    assert (nothing, answer) == (None, 42)
    assert "datetime" not in sys.modules
    monkeypatch.setitem(sys.modules, "datetime", datetime)
    assert date(2026, 1, 2).isoformat() == "2026-01-02"
    assert date.fromisoformat("2026-01-02") == datetime.date(2026, 1, 2)
    assert isinstance(datetime.date(2026, 1, 2), date)
    assert not isinstance("2026-01-02", date)
    with pytest.raises(AttributeError):
        date.__wrapped__  # type: ignore[attr-defined] # noqa: B018


def test_what_is_loaded_already_stays() -> None:
    with Later("datetime"):
        assert sys.modules["datetime"] is datetime
    assert sys.modules["datetime"] is datetime


@given(st.text(alphabet="ab \t\n\u00a0"))
def test_docstrings_lose_their_margin_as_ever(text: str) -> None:
    assert cleandoc(text) == inspect.cleandoc(text)


def test_one_and_many() -> None:
    assert [plural("file", "files", count) for count in range(3)] == ["files", "file", "files"]
