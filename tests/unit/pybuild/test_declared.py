"""Commands read without click: whatever is read so, click would have read the same way."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybuild.catalogue import COMMANDS
from pybuild.cli import from_go, run
from pybuild.declared import Declared, Unsure
from pybuild.exits import conclude
from pybuild.usual import placed, run_usual

NAMES = sorted(name for name, listed in COMMANDS.items() if listed.declared)


@contextmanager
def without_click() -> Iterator[None]:
    """As in a process that has not loaded click, nor any module of ours that could speak to it."""
    away = {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] in ("click", "pybuild")}
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("click", "pybuild")]:
            del sys.modules[name]
        sys.modules.update(away)


def declared(name: str) -> Any:
    """The command as it is where click is not loaded."""
    with without_click():
        module, _, attribute = COMMANDS[name].target.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        assert "click" not in sys.modules
        assert type(found).__name__ == Declared.__name__
        return found


COMMAND = {name: declared(name) for name in NAMES}
MADE: dict[str, click.Command] = {name: command.made() for name, command in COMMAND.items()}
WORDS = st.sampled_from(
    ["app", "true", "", "-", "--", "1", "-1", "0.5", "512m", "A=b", "none", "kill", "never", "ctrl-a", "é", "--rm"]
)


@st.composite
def lines(draw: st.DrawFn, name: str) -> list[str]:
    """Words for a command: its own options in several spellings, values that fit and others, anything in any place."""
    options = [one for one in MADE[name].params if isinstance(one, click.Option)]
    spelt = st.sampled_from([(one, word) for one in options for word in (*one.opts, *one.secondary_opts)])
    line: list[str] = []
    for _ in range(draw(st.integers(0, 5))):
        option, word = draw(spelt)
        value = draw(WORDS if not isinstance(option.type, click.Choice) else st.sampled_from([*option.type.choices]))
        short = len(word) == 2
        forms = [[word], [word, value], [f"{word}={value}"], *([[word + value], [f"{word}i", value]] if short else [])]
        likely = [word] if option.is_flag else [word, value]
        line += draw(st.sampled_from([likely, likely, likely, *forms]))
    return line + draw(st.lists(WORDS, max_size=3))


def by_click(name: str, words: list[str]) -> dict[str, Any]:
    """What click hands over."""
    command = MADE[name]
    return command.make_context(name, from_go(command, words)).params


@pytest.mark.parametrize("name", NAMES)
@given(st.data())
def test_what_is_read_is_what_click_reads(name: str, data: st.DataObject) -> None:
    words = data.draw(lines(name))
    try:
        ours = COMMAND[name].read(words)
    except Exception as problem:
        assert type(problem).__name__ == Unsure.__name__
        return
    theirs = by_click(name, words)
    assert ours == theirs
    assert {key: type(value) for key, value in ours.items()} == {key: type(value) for key, value in theirs.items()}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("run", "app"),
        ("run", "--rm --network none app true"),
        ("run", "-d --name web -p 8080:80 -e A=b -e C --memory 256m --cpus 0.5 app"),
        ("run", "--rm -i -t --entrypoint sh --pull=never app -c exit"),
        ("run", "--pids-limit 10 --oom-policy freeze --userns host app -- --rm"),
        ("exec", "-u nobody -e DEBUG=1 -w / web id -u"),
        ("exec", "web true"),
        ("start", "web"),
        ("start", "--monitor 7 --lock 8 web"),
        ("start", "-a web other"),
    ],
)
def test_usual_lines_need_no_click(name: str, line: str) -> None:
    assert COMMAND[name].read(line.split()) == by_click(name, line.split())


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("run", "--help"),
        ("run", ""),
        ("run", "--rm"),
        ("run", "--unknown app"),
        ("run", "--name"),
        ("run", "--name --rm app"),
        ("run", "--rm=false app"),
        ("run", "--no-sig-proxy app"),
        ("run", "-ite A=b app"),
        ("run", "--memory lots app"),
        ("run", "--pids-limit many app"),
        ("run", "--userns nobody app"),
        ("run", "--cdi-spec-dir /etc app"),
        ("run", "--detach-keys ctrl-? app"),
        ("exec", "web"),
        ("start", "web -a"),
        ("start", "--monitor x web"),
    ],
)
def test_the_rest_is_left_to_click(name: str, line: str) -> None:
    with pytest.raises(Exception) as problem:
        COMMAND[name].read(line.split())
    assert type(problem.value).__name__ == Unsure.__name__


def test_an_option_that_a_variable_speaks_for_is_left_to_click(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYBUILD_CDI_SPEC_DIRS", "/etc")
    with pytest.raises(Exception) as problem:
        COMMAND["run"].read(["app"])
    assert type(problem.value).__name__ == Unsure.__name__


@pytest.mark.parametrize("name", NAMES)
def test_click_makes_the_same_command_of_what_was_noted(name: str) -> None:
    module, _, attribute = COMMANDS[name].target.partition(":")
    direct = getattr(importlib.import_module(module), attribute)
    if isinstance(direct, Declared):
        direct = direct.made()

    def told(command: click.Command) -> Any:
        options = [one.to_info_dict() for one in command.params]
        return options, command.name, command.help, command.epilog, command.context_settings

    assert told(MADE[name]) == told(direct)


def test_nothing_is_done_that_click_must_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_usual(["run", "--rm"], COMMANDS["run"]) is None
    assert run_usual(["-D", "run", "app"], COMMANDS["run"]) is None
    assert run_usual(["container", "run", "app"], COMMANDS["run"]) is None
    assert run(["run", "--rm"]) == 125
    assert "Missing argument 'IMAGE'" in capsys.readouterr().err


def test_a_mistake_tells_where_help_is(capsys: pytest.CaptureFixture[str]) -> None:
    def act() -> None:
        with placed("run"):
            raise click.UsageError("not so")

    assert conclude(act, failure=125, debug=False) == 125
    assert capsys.readouterr().err == "error: not so\nhelp: pybuild run --help\n"
