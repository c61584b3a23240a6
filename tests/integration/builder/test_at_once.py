"""Builds at the same time, in processes of their own on one store: what several want is made once."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.command import Pybuild
from tests.support.registry import RegistryServer
from tests.support.soon import soon

pytestmark = pytest.mark.root

KEPT = "RUN --mount=type=cache,target=/k "
"""In /k commands note that they run: a file `n`, a line for each."""


@dataclass
class Build:
    """One that is under way."""

    process: "subprocess.Popen[str]"
    log: Path

    @property
    def events(self) -> list[dict[str, object]]:
        """What it has told."""
        *lines, _ = self.log.read_text().split("\n")
        return [json.loads(line) for line in lines if line.startswith("{")]

    def waits_for(self, other: "Build") -> bool:
        """Whether it says so, within a minute."""
        wanted = {"event": "step_waiting", "process": other.process.pid}
        return soon(lambda: any(wanted.items() <= event.items() for event in self.events))

    def code(self) -> int:
        """How it ended."""
        return self.process.wait(120)

    @property
    def end(self) -> dict[str, object]:
        """Its last word, if all went well."""
        assert self.code() == 0, self.log.read_text()
        return self.events[-1]


@dataclass
class Yard:
    """A store on which builds go on at once; no store is used twice, nor what commands keep."""

    pybuild: Pybuild
    folder: Path
    ends: ExitStack

    def dockerfile(self, text: str, name: str = "Dockerfile") -> Path:
        """Write one."""
        (self.folder / "context").mkdir(exist_ok=True)
        (self.folder / "context" / name).write_text(f"FROM busybox\n{text}")
        return self.folder / "context" / name

    def build(self, file: Path, *flags: str) -> Build:
        """Begin to build it."""
        log = self.folder / f"log-{len(list(self.folder.glob('log-*')))}"
        words = self.pybuild.command("build", "--progress=json", *flags, "-f", file, file.parent)
        out = self.ends.enter_context(log.open("w"))
        process = self.ends.enter_context(
            subprocess.Popen(words, env=self.pybuild.environment, stdin=-3, stdout=out, stderr=out, text=True)
        )
        self.ends.callback(process.kill)
        return Build(process, log)

    @property
    def kept(self) -> Path:
        """What commands have in /k; there once the first has begun."""
        assert soon(lambda: list(self.pybuild.root.glob("caches/*/data")))
        (found,) = self.pybuild.root.glob("caches/*/data")
        return found

    def runs(self, at_least: int = 0) -> list[str]:
        """The notes of commands, once there are so many."""
        notes = self.kept / "n"
        assert soon(lambda: at_least == 0 or (notes.exists() and notes.read_text().count("\n") >= at_least))
        return notes.read_text().splitlines()


@pytest.fixture
def yard(pybuild: Pybuild, tmp_path: Path) -> Iterator[Yard]:
    pybuild.base("busybox")
    with ExitStack() as ends:
        yield Yard(pybuild, tmp_path, ends)


def test_eight_build_the_same_and_each_command_runs_once(yard: Yard) -> None:
    (yard.folder / "context/files").mkdir(parents=True)
    for number in range(50):
        (yard.folder / f"context/files/{number}").write_text(str(number))
    file = yard.dockerfile(
        f"{KEPT}sleep 0.2; echo one >>/k/n; head -c 8 /dev/urandom >/one\n"
        "FROM busybox\n"
        f"{KEPT}echo two >>/k/n; head -c 8 /dev/urandom >/two\n"
        "COPY files /files\n"
        f"{KEPT}sleep 0.2; echo three >>/k/n; head -c 8 /dev/urandom >/three\n"
        "COPY --from=0 /one /\n"
        f"{KEPT}echo four >>/k/n; head -c 8 /dev/urandom >/four\n"
    )
    ends = [build.end for build in [yard.build(file) for _ in range(8)]]
    assert sorted(yard.runs()) == ["four", "one", "three", "two"]
    assert len({end["digest"] for end in ends}) == 1
    # Of a FROM that is here, nothing is made; of the other six steps each was made by one.
    assert sum(int(str(end["ran"])) for end in ends) == 6


def test_a_base_of_a_registry_is_fetched_once(yard: Yard, own_registry: RegistryServer) -> None:
    base = own_registry.reference("base:1")
    yard.pybuild("tag", "busybox", base)
    yard.pybuild("push", base)
    yard.pybuild("rmi", base)
    file = yard.dockerfile(f"FROM {base}\nCOPY Dockerfile /\n")
    ends = [build.end for build in [yard.build(file) for _ in range(4)]]
    assert sum(int(str(end["ran"])) for end in ends) == 2
    assert len({end["digest"] for end in ends}) == 1
    assert base in yard.pybuild.text("images", "--format", "{{.Repository}}:{{.Tag}}")


def test_who_waits_for_who_is_killed_goes_on(yard: Yard) -> None:
    file = yard.dockerfile(f"{KEPT}echo x >>/k/n; if mkdir /k/first; then sleep 1000; fi\n")
    first = yard.build(file)
    yard.runs(1)
    others = [yard.build(file) for _ in range(2)]
    assert all(other.waits_for(first) for other in others)
    first.process.send_signal(signal.SIGKILL)
    ends = [other.end for other in others]
    assert yard.runs() == ["x", "x"]
    assert ends[0]["digest"] == ends[1]["digest"]
    assert [end["ran"] for end in ends] in ([0, 1], [1, 0])


def test_who_waits_for_who_fails_fails_by_itself_at_once(yard: Yard) -> None:
    """Those who have waited are in the command at the same time: each of the two waits for the other there."""
    file = yard.dockerfile(
        f"{KEPT}echo x >>/k/n; if mkdir /k/first; then wanted=/k/go; else mkdir /k/second || touch /k/both;"
        " wanted=/k/both; fi; until [ -e $wanted ]; do sleep 0.01; done; echo it failed; exit 3\n"
    )
    first = yard.build(file)
    yard.runs(1)
    others = [yard.build(file) for _ in range(2)]
    assert all(other.waits_for(first) for other in others)
    (yard.kept / "go").touch()
    assert [build.code() for build in (first, *others)] == [3, 3, 3]
    assert yard.runs() == ["x"] * 3
    for build in (first, *others):
        assert any(event["event"] == "step_output" and "it failed" in str(event["data"]) for event in build.events)


def test_who_waits_can_be_stopped(yard: Yard) -> None:
    file = yard.dockerfile(f"{KEPT}echo x >>/k/n; until [ -e /k/go ]; do sleep 0.01; done\n")
    first = yard.build(file)
    yard.runs(1)
    other = yard.build(file)
    assert other.waits_for(first)
    other.process.send_signal(signal.SIGINT)
    assert other.code() == 130
    assert first.process.poll() is None
    (yard.kept / "go").touch()
    assert first.end["ran"] == 1
    assert yard.runs() == ["x"]


def test_stages_in_another_order_do_not_wait_for_each_other_forever(yard: Yard) -> None:
    stages = [f"FROM busybox AS s{number}\n{KEPT}sleep 0.1; echo {number} >>/k/n\n" for number in range(4)]
    end = "FROM busybox\n" + "".join(f"COPY --from=s{number} / /{number}\n" for number in range(4))
    there = yard.dockerfile("".join(stages) + end, "there")
    back = yard.dockerfile("".join(reversed(stages)) + end, "back")
    builds = [yard.build(file, f"--jobs={jobs}") for jobs in (1, 2) for file in (there, back)]
    assert len({build.end["digest"] for build in builds}) == 1
    assert sorted(yard.runs()) == ["0", "1", "2", "3"]


def test_what_shall_be_new_is_not_what_others_had_begun(yard: Yard) -> None:
    """As BuildKit has it. The first command ends when another one has begun."""
    file = yard.dockerfile(
        f"{KEPT}echo x >>/k/n; if mkdir /k/first; then wanted=2; else wanted=3; fi;"
        " until [ $(wc -l </k/n) -ge $wanted ]; do sleep 0.01; done; head -c 8 /dev/urandom >/made\n"
    )
    first = yard.build(file)
    yard.runs(1)
    anew = yard.build(file, "--no-cache")
    yard.runs(2)
    assert first.end["ran"] == 1
    alike = yard.build(file, "--no-cache")
    assert alike.waits_for(anew)
    with (yard.kept / "n").open("a") as notes:
        notes.write("go\n")
    assert anew.end["digest"] == alike.end["digest"] != first.end["digest"]
    assert yard.runs() == ["x", "x", "go"]
