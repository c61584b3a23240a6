"""Why a step is not in the cache, down to the file, the argument, the base; what a build would do, without doing it."""

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from builder.build import build, forecast
from builder.caching.forecast import Expected
from builder.caching.policy import Lifetime
from builder.events import Event, StepStarted
from builder.request import BuildRequest
from builder.workbench import Workbench
from layers import Digest, Record, Records, Store
from tests.support.command import Pybuild
from tests.support.stored import new_image, new_layer

FILES = ("a", "b.txt", "d/one", "d/two.txt", "d/e/deep")
TEXT = "FROM scratch\nCOPY d /d\nWORKDIR /w\nCOPY a b.txt ./\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    for name in FILES:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(name)
    return directory


@pytest.fixture
def make(store: Store, context: Path) -> Callable[..., dict[str, tuple[str, ...]]]:
    """Build; what ran, with all that had changed, the reason first."""

    def make(text: str, **request: Any) -> dict[str, tuple[str, ...]]:
        events: list[Event] = []
        wanted = BuildRequest(context=context, text=text.encode(), explain=True, **request)
        done = build(wanted, Workbench(store, _none), events.append, threading.Event())
        titles = {step.id: step.title for step in done.steps}
        return {
            titles[event.step]: (event.reason, *event.changes[1:]) for event in events if isinstance(event, StepStarted)
        }

    return make


@pytest.fixture
def foresee(store: Store, context: Path) -> Callable[..., dict[str, Expected]]:
    def foresee(text: str, **request: Any) -> dict[str, Expected]:
        wanted = BuildRequest(context=context, text=text.encode(), **request)
        return {one.step.title: one for one in forecast(wanted, Workbench(store, _none), lambda _: None)}

    return foresee


def _none() -> Any:
    raise AssertionError("this build needs no sandbox")


Make = Callable[..., dict[str, tuple[str, ...]]]
Foresee = Callable[..., dict[str, Expected]]


def test_a_first_build_has_nothing_to_compare_with(make: Make) -> None:
    assert set(make(TEXT).values()) == {
        ("it was never built here",),
        ("COPY d /d ran again",),
        ("WORKDIR /w ran again",),
    }
    assert make(TEXT) == {}


def test_every_file_that_differs_is_named_and_how(make: Make, context: Path) -> None:
    make(TEXT)
    (context / "d/one").write_text("longer than before")
    (context / "d/two.txt").chmod(0o600)
    (context / "d/new").write_text("")
    (context / "d/e/deep").unlink()
    (context / "d/e/deep").symlink_to("../one")
    told = make(TEXT)
    assert told["COPY d /d"] == (
        "file d/e/deep: type file -> symlink",
        "file d/new: added",
        "file d/one: content 5 bytes -> 18 bytes",
        "file d/two.txt: mode 0644 -> 0600",
    )
    assert told["WORKDIR /w"] == ("COPY d /d ran again",)


def test_of_equal_sizes_the_content_is_told_by_its_name(make: Make, context: Path) -> None:
    make(TEXT)
    (context / "a").write_text("z")
    (reason,) = make(TEXT)["COPY a b.txt ./"]
    assert reason.startswith("file a: content ") and " -> " in reason and "bytes" not in reason


def test_a_file_that_went_away_is_named(make: Make, context: Path) -> None:
    make(TEXT)
    (context / "d/two.txt").unlink()
    assert make(TEXT)["COPY d /d"] == ("file d/two.txt: removed",)


def test_the_nearest_former_result_counts_not_the_last(make: Make, context: Path) -> None:
    make(TEXT)
    (context / "a").write_text("second")
    make(TEXT)
    (context / "a").write_text("third!!")
    assert make(TEXT)["COPY a b.txt ./"] == ("file a: content 6 bytes -> 7 bytes",)


def test_a_changed_instruction_is_compared_with_what_stood_there(make: Make) -> None:
    make(TEXT)
    assert make(TEXT.replace("WORKDIR /w", "WORKDIR /x"))["WORKDIR /x"] == ("the path: /w -> /x",)
    assert make(TEXT.replace("COPY d /d", "COPY --chmod=700 d /d"))["COPY --chmod=700 d /d"] == (
        "--chmod: none -> 700",
    )


def test_an_inserted_line_does_not_confuse_those_below(make: Make, context: Path) -> None:
    make(TEXT)
    (context / "a").write_text("other")
    told = make(TEXT.replace("WORKDIR /w", "COPY b.txt /b\nWORKDIR /w"))
    assert told["COPY a b.txt ./"] == ("file a: content 1 bytes -> 5 bytes", "WORKDIR /w ran again")


def test_another_base_is_named_with_its_ids(make: Make, store: Store) -> None:
    old = new_image(store, [new_layer(store, {"x": b"1"})], "base")
    text = TEXT.replace("scratch", "base")
    make(text)
    new = new_image(store, [new_layer(store, {"x": b"2"})], "base")
    assert make(text)["COPY d /d"] == (f"the base image base:latest: {old.id} -> {new.id}",)


def test_a_result_that_was_pruned_is_no_change(make: Make, store: Store) -> None:
    make("FROM scratch\nCOPY a /a\n")
    (record,) = (one for one in store.records.list() if one.key.startswith("step:"))
    (layer,) = store.records.layers(record.key)
    store.blobs.path(layer).unlink()
    assert make("FROM scratch\nCOPY a /a\n")["COPY a /a"] == ("its result is no longer in the store",)


def test_what_a_prune_takes_at_the_last_moment_is_made_again(
    make: Make, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    make("FROM scratch\nWORKDIR /a\nWORKDIR /b\n")
    hold = Records.hold
    taken: list[Digest] = []

    def late(records: Records, found: Sequence[Record]) -> bool:
        if len(found) > 1 and not taken:
            taken.append(found[-1].layers[0])
            store.blobs.path(taken[0]).unlink()
        return hold(records, found)

    monkeypatch.setattr(Records, "hold", late)
    assert make("FROM scratch\nWORKDIR /a\nWORKDIR /b\n") == {"WORKDIR /b": ("its result is no longer in the store",)}
    assert taken


def test_a_line_that_moved_stays_cached_and_keeps_its_age(make: Make, store: Store) -> None:
    make("FROM scratch\nWORKDIR /a\n")
    with store.db.write() as db:
        db.execute("UPDATE record SET made = 5")
    assert make("# more\n\nFROM scratch\nWORKDIR /a\n") == {}
    (record,) = (one for one in store.records.list() if one.key.startswith("step:"))
    assert (record.value["line"], record.made) == ("Dockerfile:4", 5)


def test_a_heredoc_is_named(make: Make) -> None:
    make("FROM scratch\nCOPY <<one /f\nfirst\none\n")
    (reason,) = next(iter(make("FROM scratch\nCOPY <<one /f\nsecond\none\n").values()))
    assert reason == "file <<one: content 6 bytes -> 7 bytes"


def test_the_first_change_is_told_without_knowing_the_list(make: Make, store: Store, context: Path) -> None:
    make(TEXT)
    for record in store.records.list():
        if record.key.startswith("inputs:"):
            store.records.forget(record.key)
    (context / "a").write_text("other")
    assert make(TEXT)["COPY a b.txt ./"] == ("the files that it copies: changed",)


# -- without doing it --------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_run_and_keeps_nothing(
    make: Make, foresee: Foresee, store: Store, context: Path
) -> None:
    first = foresee(TEXT)
    assert [one.state for one in first.values()] == ["hit", "miss", "miss", "miss"]
    assert first["COPY d /d"].seconds is None and not store.images.list()
    make(TEXT)
    assert {one.state for one in foresee(TEXT).values()} == {"hit"}
    (context / "a").write_text("other")
    then = foresee(TEXT)
    assert [one.state for one in then.values()] == ["hit", "hit", "hit", "miss"]
    assert then["COPY a b.txt ./"].reason == "file a: content 1 bytes -> 5 bytes"
    assert (then["COPY a b.txt ./"].seconds or 0) > 0
    assert foresee(TEXT) == then


def test_a_dry_run_over_a_change_still_sees_the_changes_above(make: Make, foresee: Foresee, context: Path) -> None:
    make(TEXT)
    (context / "d/one").write_text("other")
    (context / "b.txt").chmod(0o700)
    told = foresee(TEXT)
    assert told["WORKDIR /w"].reason == "COPY d /d runs again"
    assert list(map(str, told["COPY a b.txt ./"].changes)) == [
        "file b.txt: mode 0644 -> 0700",
        "WORKDIR /w runs again",
    ]


def test_a_copy_from_what_would_be_made_anew_is_a_miss(make: Make, foresee: Foresee, context: Path) -> None:
    text = "FROM scratch AS one\nCOPY d /d\nFROM scratch\nCOPY --from=one /d/two.txt /\n"
    make(text)
    (context / "d/one").write_text("other")
    assert foresee(text)["COPY --from=one /d/two.txt /"].reason == "COPY d /d runs again"
    assert list(make(text)) == ["COPY d /d"]  # and a hit after all: the file that it copies is the same


# -- policies ----------------------------------------------------------------------------------------


def test_steps_can_be_made_anew_by_place_and_by_words(make: Make, foresee: Foresee) -> None:
    make(TEXT)
    assert make(TEXT, always=("0/3",)) == {} == make(TEXT, always=("RUN *",))
    stage = next(iter(foresee(TEXT).values())).step.stage
    assert make(TEXT, always=(f"{stage}/3",)) == {"WORKDIR /w": (f"--always {stage}/3",)}
    assert foresee(TEXT, always=("COPY d*",))["COPY d /d"].reason == "--always COPY d*"


def test_results_can_be_too_old_for_all_or_for_some(make: Make, foresee: Foresee, store: Store) -> None:
    make(TEXT)
    with store.db.write() as db:
        db.execute("UPDATE record SET made = made - 100")
    assert {one.state for one in foresee(TEXT, lifetimes=(Lifetime(200),)).values()} == {"hit"}
    old = foresee(TEXT, lifetimes=(Lifetime(50, "WORKDIR*"), Lifetime(200)))
    assert [one.step.title for one in old.values() if one.state == "miss"] == ["WORKDIR /w", "COPY a b.txt ./"]
    assert old["WORKDIR /w"].reason.startswith("--cache-ttl: it was made 10")
    assert list(make(TEXT, lifetimes=(Lifetime(50),))) == ["COPY d /d", "WORKDIR /w", "COPY a b.txt ./"]
    assert make(TEXT, lifetimes=(Lifetime(50),)) == {}


# -- the command -------------------------------------------------------------------------------------


@pytest.mark.root
def test_a_command_that_makes_the_same_again_leaves_the_rest_cached(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox AS one\nRUN echo same > /f && mkdir /dir && ln -s f /dir/l\nRUN cat /f > /g\n"
    )
    first = shared_pybuild.build(tmp_path)
    again = shared_pybuild("build", "--progress=json", "--no-cache-filter", "one", tmp_path)
    events = [json.loads(line) for line in again.stderr.splitlines()]
    assert [event["reason"] for event in events if event["event"] == "step_started"] == ["--no-cache-filter one"] * 2
    assert events[-1]["image"] == first
    always = shared_pybuild("build", "--progress=json", "--always", "RUN echo *", tmp_path)
    events = [json.loads(line) for line in always.stderr.splitlines()]
    assert (events[-1]["ran"], events[-1]["image"]) == (1, first)


@pytest.mark.root
@pytest.mark.parametrize(
    "differing", ["echo $n > /f", "touch /f$n", "chmod 70$n /bin", "if [ $n = 1 ]; then ln /n /f; fi"]
)
def test_a_command_that_makes_something_else_does_not(shared_pybuild: Pybuild, tmp_path: Path, differing: str) -> None:
    count = "n=$(($(cat /c/n || echo 0) + 1)); echo $n > /c/n"
    line = f"RUN --mount=type=cache,target=/c,id={tmp_path.name} {count}; {differing}"
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN echo > /n\n{line}\nRUN true\n")
    first = shared_pybuild.build(tmp_path)
    assert shared_pybuild.build(tmp_path, "--always", "RUN --mount*") != first


@pytest.mark.root
def test_the_command_explains_and_foretells(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nARG V=1\nENV E=x\nRUN echo $V\nCOPY f /\n")
    (tmp_path / "f").write_text("1")
    assert shared_pybuild("build", "--dry-run", "--exit-code", tmp_path, code=1).stdout.endswith("how long.\n")
    shared_pybuild.build(tmp_path)
    assert "All 3 steps are cached" in shared_pybuild("build", "--dry-run", "--exit-code", tmp_path).stdout
    flags = ("--build-arg", "V=2", tmp_path)
    rows = [
        json.loads(line) for line in shared_pybuild.text("build", "--dry-run", "--format", "json", *flags).splitlines()
    ]
    assert [row["State"] for row in rows] == ["hit", "miss", "miss"]
    assert rows[1]["Changes"] == [{"Kind": "argument", "Name": "V", "What": "changed", "Old": "1", "New": "2"}]
    assert rows[2]["Reason"] == "RUN echo $V runs again"
    told = shared_pybuild("build", "--progress=plain", "--explain", *flags).stderr
    assert "because argument V: 1 -> 2" in told
    (tmp_path / "Dockerfile").write_text("FROM busybox\nARG V=1\nENV E=y\nRUN echo $V\nCOPY f /\n")
    told = shared_pybuild("build", "--progress=plain", "--explain", *flags).stderr
    assert "because variable E: x -> y" in told
    shared_pybuild("build", "--exit-code", tmp_path, code=2)
    assert "--cache-ttl 'x'" in shared_pybuild("build", "--cache-ttl", "x", tmp_path, code=2).stderr
