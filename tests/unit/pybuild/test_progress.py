"""What a build shows: lines that stay, a screen that is redrawn, JSON; a terminal gets nothing raw of a container."""

import io
import json
from collections.abc import Callable

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder import BuildResult
from builder.build import StepReport
from builder.events import (
    Event,
    Exported,
    Planned,
    PlannedStep,
    StepCached,
    StepFailed,
    StepFinished,
    StepOutput,
    StepStarted,
    StepWaiting,
    Warned,
    to_json,
)
from builder.span import NOWHERE
from layers import Descriptor, Digest, Platform
from pybuild.progress import renderer
from pybuild.progress.jsonl import JsonLines
from pybuild.progress.plain import Plain
from pybuild.progress.tty import Line, Terminal
from pybuild.progress.words import LONGEST, harmless

STEPS = (
    PlannedStep(1, "FROM scratch", "builder", 1, 3),
    PlannedStep(2, "RUN make\nmake install", "builder", 2, 3, (1,)),
    PlannedStep(3, "RUN false", "builder", 3, 3, (2,)),
)
GOOD: list[Event] = [
    Planned(STEPS),
    StepCached(1),
    StepStarted(2),
    StepOutput(2, 1, "gr\u00fc".encode()[:-1]),
    StepOutput(2, 1, "\u00fc".encode()[-1:] + b"n\nlast"),
    StepFinished(2, 1.25),
    Warned("look here", "SomeRule"),
    Warned("look there"),
    Exported("store", "app:latest"),
    Exported("oci", "app.tar"),
]
DIGEST = Digest.parse("sha256:" + "a" * 64)


def result() -> BuildResult:
    reports = (
        StepReport(1, "FROM scratch", "builder", NOWHERE, "cached"),
        StepReport(2, "RUN make", "builder", NOWHERE, "ran"),
        StepReport(3, "RUN false", "builder", NOWHERE, "skipped"),
    )
    target = Descriptor("application/vnd.oci.image.manifest.v1+json", DIGEST, 2)
    return BuildResult(target, (DIGEST,), (Platform.host(),), reports, 1500, 2.0)


def plain(events: list[Event]) -> list[str]:
    out = io.StringIO()
    show = Plain(out, color=False)
    for event in events:
        show(event)
    show.close()
    return out.getvalue().splitlines()


def test_plain_lines_stay_and_name_their_step() -> None:
    lines = plain(GOOD)
    assert lines[:3] == [
        "#1 [builder 1/3] FROM scratch",
        "#1 CACHED",
        "#2 [builder 2/3] RUN make ⏎ make install",
    ]
    assert [line.split(" ", 2)[::2] for line in lines[3:5]] == [["#2", "grün"], ["#2", "last"]]
    assert lines[5:] == [
        *("#2 DONE 1.2s", "warning: look there", "exported oci app.tar", ""),
        *(" 1 warning found (use 'pybuild check' to expand):", " - SomeRule: look here (line 1)"),
    ]


@pytest.mark.parametrize(
    ("failed", "words"),
    [
        (StepFailed(3, "", exit_code=7), "FAILED (7)"),
        (StepFailed(3, "", exit_code=137, oom_killed=True), "OUT OF MEMORY"),
        (StepFailed(3, "", exit_code=137, timed_out=True), "TIMED OUT"),
        (StepFailed(3, "no such file"), "FAILED"),
    ],
)
def test_a_failure_says_how(failed: StepFailed, words: str) -> None:
    assert plain([Planned(STEPS), failed]) == ["#3 [builder 3/3] RUN false", f"#3 {words}"]


def test_who_waits_says_for_whom() -> None:
    waits: list[Event] = [Planned(STEPS), StepWaiting(2, 4711)]
    words = "waiting for the same step in another build (pid 4711)"
    assert plain(waits) == ["#2 [builder 2/3] RUN make ⏎ make install", f"#2 {words}"]
    assert to_json(waits[1]) == {"event": "step_waiting", "step": 2, "process": 4711}


def test_a_line_without_end_is_not_kept_forever() -> None:
    out = io.StringIO()
    show = Plain(out, color=False)
    line = Line(STEPS[1])
    show(Planned(STEPS))
    show(StepStarted(2))
    for _ in range(5):
        show(StepOutput(2, 1, b"x" * LONGEST))
        line.take(b"x" * LONGEST)
    assert out.getvalue().count("x") >= 4 * LONGEST
    line.state = "running"
    assert sum(len(text) for text in line.shown(80)) <= 160


def test_the_summary_counts() -> None:
    out = io.StringIO()
    Plain(out, color=False).finish(result(), ["app:1"])
    assert out.getvalue() == f"built {DIGEST} (app:1): 1.5kB, 1 step run, 1 cached, 2.0s\n"


def test_json_is_an_object_a_line() -> None:
    out = io.StringIO()
    show = JsonLines(out)
    for event in GOOD:
        show(event)
    show.finish(result(), ["app:1"])
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [one["event"] for one in told[:4]] == ["planned", "step_cached", "step_started", "step_output"]
    assert told[-1] | {"time": 0} == {
        "event": "finished",
        "image": str(DIGEST),
        "digest": str(DIGEST),
        "names": ["app:1"],
        "size": 1500,
        "seconds": 2.0,
        "ran": 1,
        "cached": 1,
        "time": 0,
    }
    assert all(one["time"] > 1e9 for one in told)


class Tty(io.StringIO):
    """A terminal of 60 columns and 12 lines that remembers what was drawn."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        screen = pyte.Screen(60, 12)
        pyte.Stream(screen).feed(self.getvalue().replace("\n", "\r\n"))
        return [line.rstrip() for line in screen.display if line.strip()]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Event]], list[str]]:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "12")
    monkeypatch.setenv("TERM", "xterm")

    def draw(events: list[Event]) -> list[str]:
        out = Tty()
        show = Terminal(out, color=True)
        for event in events:
            show(event)
        show.close()
        return out.screen()

    return draw


def test_the_screen_ends_with_a_line_a_step(drawn: Callable[[list[Event]], list[str]]) -> None:
    lines = drawn(GOOD)
    assert "warning: look there" in lines
    assert lines[-1] == " - SomeRule: look here (line 1)"
    assert "exported oci app.tar" in lines
    steps = [line for line in lines if line.startswith("✓")]
    assert steps[0].startswith("✓ [builder 1/3] FROM scratch")
    assert steps[0].endswith("CACHED")
    assert steps[1].startswith("✓ [builder 2/3] RUN make ⏎ make install")
    assert len(steps) == 2
    assert not any("grün" in line for line in lines)


def test_a_running_step_shows_the_last_it_wrote(drawn: Callable[[list[Event]], list[str]]) -> None:
    lines = drawn([*GOOD[:5], StepOutput(2, 2, b"\n 10%\r 20%\r\n\x1b[2Jnaughty")])
    assert lines[1].startswith("▸ [builder 2/3]")
    assert lines[2:] == ["  │ grün", "  │ last", "  │  20%", "  │ naughty"]


def test_a_step_that_waits_says_so_until_it_is_there(drawn: Callable[[list[Event]], list[str]]) -> None:
    waits: list[Event] = [Planned(STEPS), StepWaiting(2, 4711)]
    lines = drawn(waits)
    assert lines[0].startswith("▸ [builder 2/3] RUN make")
    assert lines[1] == "  waiting for the same step in another build (pid 4711)"
    (line,) = drawn([*waits, StepCached(2)])
    assert line.startswith("✓") and line.endswith("CACHED")


def test_a_failed_step_keeps_its_tail(drawn: Callable[[list[Event]], list[str]]) -> None:
    written = b"".join(b"line %d\n" % number for number in range(7))
    lines = drawn([Planned(STEPS), StepStarted(3), StepOutput(3, 1, written), StepFailed(3, "", exit_code=1)])
    assert lines[0].startswith("✗ [builder 3/3] RUN false")
    assert lines[0].endswith("FAILED (1)")
    assert lines[1:] == [f"  │ line {number}" for number in range(7)]


@given(st.text())
def test_nothing_a_terminal_obeys_is_left(text: str) -> None:
    left = harmless(text)
    assert not any((ord(one) < 32 and one not in "\t\n") or 127 <= ord(one) < 160 for one in left)
    assert harmless(left) == left


@pytest.mark.parametrize(
    ("kind", "name"),
    [("auto", "Plain"), ("plain", "Plain"), ("tty", "Terminal"), ("json", "JsonLines"), ("quiet", "Quiet")],
)
def test_each_word_has_its_renderer(kind: str, name: str) -> None:
    with renderer(kind, color=False) as show:
        assert type(show).__name__ == name
