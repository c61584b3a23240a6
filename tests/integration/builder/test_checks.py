"""Checks in builds: what is told, what stops one, and that a base image for another platform is told of."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from builder.build import BuildResult, build
from builder.checks import CheckFailed
from builder.errors import DockerfileErrors
from builder.events import Event, StepStarted, Warned, to_json
from builder.request import BuildRequest
from builder.workbench import Workbench
from layers import Platform, Store
from layers.moving.local import LocalRepository
from tests.support.command import Pybuild
from tests.support.stored import new_image, new_layer

Build = Callable[..., BuildResult]


def no_runtime() -> NoReturn:
    raise AssertionError("this build needs no sandbox")


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def make(tmp_path: Path, events: list[Event]) -> Build:
    store = Store.open(tmp_path / "store")
    context = tmp_path / "context"
    context.mkdir()
    for name, text in (("a", "a"), ("ignored", "x"), (".dockerignore", "ignored\n")):
        (context / name).write_text(text)

    def make(text: str, **request: Any) -> BuildResult:
        wanted = BuildRequest(context=context, text=text.encode(), **request)
        return build(wanted, Workbench(store, no_runtime), events.append, threading.Event())

    return make


def told(events: list[Event]) -> list[str]:
    return [f"{event.rule}:{event.span.line}" for event in events if isinstance(event, Warned)]


def test_a_build_tells_what_it_needs_and_goes_on(make: Build, events: list[Event]) -> None:
    make("FROM scratch as base\nCMD x\nFROM scratch AS other\nCMD y\nFROM base\nCOPY a $X/\n")
    assert told(events) == ["FromAsCasing:1", "JSONArgsRecommended:2", "UndefinedVar:6"]
    warned = next(event for event in events if isinstance(event, Warned))
    assert to_json(warned)["url"].endswith("/from-as-casing/")


def test_directive_and_build_argument_decide(make: Build, events: list[Event]) -> None:
    make("# check=skip=FromAsCasing\nFROM scratch as base\nCMD x\n")
    assert told(events) == ["JSONArgsRecommended:3"]
    events.clear()
    argument = {"BUILDKIT_DOCKERFILE_CHECK": "skip=all"}
    make("# check=error=true\nFROM scratch as base\nCMD x\n", build_args=argument)
    assert told(events) == []
    events.clear()
    with pytest.raises(CheckFailed, match="lint violation found for rules: FromAsCasing, JSONArgsRecommended"):
        make("# check=error=true\nFROM scratch as base\nCOPY a /fresh\nCMD x\n")
    assert told(events) == ["FromAsCasing:2", "JSONArgsRecommended:4"]
    assert not any(isinstance(event, StepStarted) for event in events)
    make("# check=error=true\nFROM scratch\nCOPY a /fresh\n")


def test_experimental_checks_read_the_ignore_file(make: Build, events: list[Event]) -> None:
    make("# check=experimental=all\nFROM scratch\nCOPY a ignore* /x/\n")
    assert told(events) == []
    with pytest.raises(CheckFailed, match="CopyIgnoredFile"):
        make("# check=experimental=all;error=true\nFROM scratch\nCOPY ignored /x\n")


def test_a_strict_build_stops_before_its_first_step(make: Build, events: list[Event]) -> None:
    text = "FROM scratch as x\nCOPY a nothing* /fresh/\n"
    with pytest.raises(DockerfileErrors, match=r"No file of the context matches nothing\*") as caught:
        make(text, strict=True, build_args={"UNUSED": "1"})
    assert [error.span.line for error in caught.value.errors] == [1, 2]
    assert "FromAsCasing:1" in told(events)
    assert not any(isinstance(event, StepStarted) for event in events)
    make(text)
    make("FROM scratch\nCOPY a* /fresh/\n", strict=True)


def test_a_base_for_another_platform_is_taken_and_told_of(tmp_path: Path, events: list[Event]) -> None:
    theirs, ours = Store.open(tmp_path / "theirs"), Store.open(tmp_path / "ours")
    image = new_image(theirs, [new_layer(theirs, {"f": b"f"})], platform=Platform.parse("linux/s390x"))
    wanted = BuildRequest(context=None, text=b"FROM example.org/strange:1\nWORKDIR /x\n")

    class Registry(LocalRepository):
        def resolve(self, name: str) -> Any:
            return image.manifest.descriptor

    bench = Workbench(ours, no_runtime, lambda _: Registry(theirs))
    result = build(wanted, bench, events.append, threading.Event())
    assert told(events) == ["InvalidBaseImagePlatform:1"]
    assert 'pulled with platform "linux/s390x", expected' in next(
        one.message for one in events if isinstance(one, Warned)
    )
    assert ours.images.get(str(result.image_id)).config.platform == Platform.parse("linux/s390x")


def test_the_summary_stands_behind_all_steps(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch as x\nCMD b\n")
    done = shared_pybuild("build", "--progress", "plain", tmp_path)
    *_, head, first, second, last = done.stderr.splitlines()
    assert head == " 2 warnings found (use 'pybuild check' to expand):"
    assert first == " - FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)"
    assert second.startswith(" - JSONArgsRecommended: JSON arguments recommended for CMD")
    assert last.startswith("built sha256:")
    (tmp_path / "Dockerfile").write_text("# check=error=true\nFROM scratch as x\n")
    done = shared_pybuild("build", "-q", tmp_path, code=1)
    assert done.stderr == "error: lint violation found for rules: FromAsCasing\n"
    (tmp_path / "Dockerfile").write_text("FROM scratch\nARG X\nCOPY $X Dockerfile /\n")
    done = shared_pybuild("build", "--strict", tmp_path, code=1)
    assert "--> " in done.stderr
    assert "EmptyValue; without --strict this is passed over" in done.stderr
