"""The event log keeps whole lines in order, forgets the oldest, and never stands in anybody's way."""

import threading
import time
from pathlib import Path

import pytest

from layers.home import eventlog
from layers.home.eventlog import Event, EventLog, fields


def test_what_is_noted_is_read_between_moments(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    assert list(log.read()) == []
    log.append("container", "start", "c1", {"name": "web", "image": "app"})
    middle = time.time_ns()
    log.append("image", "tag", "sha256:1")
    assert [event.action for event in log.read()] == ["start", "tag"]
    assert [event.action for event in log.read(since=middle)] == ["tag"]
    assert [event.action for event in log.read(until=middle)] == ["start"]
    first = fields(next(log.read()))
    assert (first["status"], first["from"], first["Actor"]["Attributes"]["name"]) == ("start", "app", "web")
    assert first["time"] == first["timeNano"] // 10**9


def test_it_is_bounded_and_followed_across_the_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventlog, "LARGEST", 2000)
    monkeypatch.setattr(eventlog, "LOOK", 0.001)
    log, done = EventLog(tmp_path), threading.Event()
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.extend(event.id for event in log.follow(done.is_set, since=0)))
    reader.start()
    for number in range(60):
        log.append("container", "start", str(number), {"filler": "x" * 50})
        time.sleep(0.003)
    done.set()
    reader.join()
    assert seen == [str(number) for number in range(60)]
    assert sum(path.stat().st_size for path in (tmp_path / "events").iterdir()) < 5000
    kept = [int(event.id) for event in log.read()]
    assert kept == list(range(kept[0], 60))


def test_torn_lines_and_read_only_places_harm_nobody(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.append("container", "start", "c1")
    with log.path.open("ab") as file:
        file.write(b'[1,"torn\n{"strange":1}\n[1,2\n')
    log.append("container", "die", "c1")
    assert [event.action for event in log.read()] == ["start", "die"]
    EventLog(tmp_path / "events/log/no/directory").append("container", "start", "c1")
    assert Event.parse(b"") is None
