"""`pybuild parse`: each value between a Dockerfile's bytes and its steps can be looked at."""

import json
from pathlib import Path
from typing import Any

import pytest

from pybuild.cli import run

TEXT = """\
ARG from=a
FROM scratch AS a
COPY x /
LABEL b=c
FROM scratch AS unused
COPY y /
FROM $from
ARG V=1
RUN echo $V
COPY --from=0 /x /z
"""


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    (tmp_path / "Dockerfile").write_text(TEXT)
    monkeypatch.setenv("PYBUILD_ROOT", str(tmp_path / "store"))

    def call(*words: str, code: int = 0) -> tuple[str, str]:
        assert run(["parse", *words, str(tmp_path)]) == code
        return tuple(capsys.readouterr())  # type: ignore[return-value]

    return call


def test_instructions_are_the_default(shown: Any) -> None:
    out, _ = shown()
    assert out.splitlines()[2] == "   3  COPY        sources=['x'] dest='/'"
    assert len(out.splitlines()) == 10


def test_a_tree_names_rules_and_terminals(shown: Any) -> None:
    out, _ = shown("--as", "tree")
    assert out.startswith(
        "line 1\n  KEYWORD 'ARG'\n  declarations\n    pair\n      KEY 'from'\n      VALUE 'a'\nline 2\n"
    )
    assert json.loads(shown("--as", "tree", "--json")[0])[0]["line"] == 1


def test_stages_tell_what_they_need(shown: Any) -> None:
    found = json.loads(shown("--as", "stages", "--json")[0])
    assert [(stage["name"], stage["from"], stage["needs"], stage["built"]) for stage in found] == [
        ("a", "scratch", [], True),
        ("unused", "scratch", [], False),
        (None, "a", ["a"], True),
    ]
    found = json.loads(shown("--as", "stages", "--json", "--build-arg", "from=unused")[0])
    assert [stage["needs"] for stage in found] == [[], [], ["unused", "a"]]


def test_a_graph_has_only_the_steps_of_the_target(shown: Any) -> None:
    steps = json.loads(shown("--as", "graph", "--json", "--build-arg", "V=7")[0])
    assert [(step["op"], step["line"], step["needs"]) for step in steps] == [
        ("base", 2, []),
        ("copy", 3, [1]),
        ("run", 9, [2]),
        ("copy", 10, [3, 2]),
    ]
    assert steps[2]["env"]["V"] == "7"
    assert "RUN echo $V  (needs 2)" in shown("--as", "graph")[0]


def test_a_graph_shows_mounts(shown: Any, tmp_path: Path) -> None:
    text = "FROM scratch AS a\nCOPY x /\nFROM scratch\nRUN --mount=from=a,target=t --mount=type=secret,id=s x\n"
    (tmp_path / "Dockerfile").write_text(text)
    step = json.loads(shown("--as", "graph", "--json")[0])[-1]
    assert step["needs"] == [1, 2]
    bind = {"kind": "bind", "target": "/t", "source": "", "origin": 2, "readonly": True, "context": ""}
    assert step["mounts"][0] == bind
    assert step["mounts"][1]["kind"] == "secret"


def test_a_graph_fetches_nothing(shown: Any, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM registry.invalid/a\n")
    _, err = shown("--as", "graph", code=1)
    assert "Dockerfile:1:6" in err
    assert "'pybuild pull registry.invalid/a:latest' brings the image here" in err


def test_all_errors_are_told(shown: Any, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM a\nRNU b\nCOPY c\n")
    _, err = shown(code=1)
    assert "did you mean RUN?" in err and "COPY requires at least two arguments" in err


def test_a_build_argument_needs_a_value(shown: Any) -> None:
    assert "'V' has no value" in shown("--build-arg", "V", code=2)[1]
