"""Several processes look after the containers of a store."""

import os
from pathlib import Path

import pytest

from builder.containers import Containers, control
from builder.containers import container as module
from builder.containers.container import KILLED
from builder.containers.errors import ContainerMissing, ContainerState
from builder.containers.settings import Settings
from builder.containers.state import State, Status
from layers import Store
from layers.errors import StoreReadOnly
from layers.quick import replace

NOTHING = Settings(
    id="", name="", created="", image="", image_name="", diff_ids=(), path="true", args=(), env={}, cwd="/", user="",
    hostname="", remove=True,
)  # fmt: skip


@pytest.fixture
def book(tmp_path: Path) -> Containers:
    return Containers(Store.open(tmp_path / "store"))


def test_what_another_removed_while_one_waited_for_it_is_removed_well(
    book: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container of `run --rm` has ended: its own process and the sweep of another's start come at the same time."""
    ended = book.create(NOTHING)
    ended.record(State(status=Status.EXITED))
    waited = module._locked

    def late(held: int) -> bool:
        monkeypatch.setattr(module, "_locked", waited)
        book.forsaken()
        assert os.listdir(book.folder) == []
        return waited(held)

    monkeypatch.setattr(module, "_locked", late)
    book.remove(ended)
    assert os.listdir(book.folder) == []
    with pytest.raises(ContainerMissing):
        book.get(ended.id)
    with ended.claim() as mine:
        assert not mine


@pytest.mark.parametrize("moment", ["Path.rename", "remove"])
def test_who_is_killed_while_it_removes_leaves_all_or_litter(
    book: Containers, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    ended = book.create(replace(NOTHING, name="ended", remove=False))
    ended.record(State(status=Status.EXITED))
    with monkeypatch.context() as patch:
        patch.setattr(f"builder.containers.book.{moment}", die)
        with pytest.raises(Killed):
            book.remove(ended)
    if moment == "remove":
        assert os.listdir(book.folder) == [] and book.list() == []
        assert book.create(replace(NOTHING, name="ended")).id != ended.id
    else:
        assert [one.state().status for one in book.list()] == [Status.EXITED]
        book.remove(ended)
    book.store.close()
    assert os.listdir(book.store.root / "scratch") == []


def test_nobody_waits_for_who_runs_it(book: Containers, monkeypatch: pytest.MonkeyPatch) -> None:
    container = book.create(NOTHING)
    monkeypatch.setattr("builder.containers.container.LOOK", 0.001)
    with container.held() as lock:
        assert lock is not None
        with container.claim(0.01) as mine:
            assert not mine
        container.record(State(status=Status.RUNNING, started="now"))
        with container.claim(float("inf")) as mine:
            assert not mine
        with pytest.raises(ContainerState, match="is running already"), container.beginning():
            pass


def test_what_has_ended_has_ended_though_somebody_begins_it_anew(book: Containers) -> None:
    container = book.create(NOTHING)
    with container.claim():
        container.record(State(status=Status.RUNNING, started="after that"))
        assert control._awaited(container, float("inf"), "before").started == "after that"
    with container.claim(), pytest.raises(ContainerState, match="does not end"):
        control._awaited(container, 0.0, "after that")


def test_a_proposed_name_is_taken_if_it_is_free(book: Containers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.containers.names.propose", lambda: "other_name")
    assert book.create(NOTHING, "calm_river").name == "calm_river"
    assert book.create(NOTHING, "calm_river").name == "other_name"
    assert book.create(replace(NOTHING, name="mine", id="a" * 64), "calm_river").name == "mine"
    assert book.get("mine").id == "a" * 64


def test_an_end_that_could_not_be_said_is_found_in_the_lock(book: Containers) -> None:
    container = book.create(replace(NOTHING, remove=False))
    for code, error in ((5, ""), (KILLED, "its supervisor was killed, and the container with it")):
        with container.beginning():
            container.record(State(status=Status.RUNNING))
            if not error:
                container.leave_code(code)
        assert (container.state().exit_code, container.state().error) == (code, error)


def test_whoever_may_not_write_is_told_so(book: Containers) -> None:
    container = book.create(NOTHING)
    container.record(State(status=Status.RUNNING))
    book.store.db.barred = StoreReadOnly("here")
    assert container.state().status is Status.RUNNING
    for attempt in (container.beginning, container.claim):
        with pytest.raises(StoreReadOnly), attempt():
            pass
    with pytest.raises(StoreReadOnly):
        book.remove(container)
