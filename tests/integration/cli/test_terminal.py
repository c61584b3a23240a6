"""A whole build as a person at a terminal sees it, and ends it."""

import json
import signal
import time
from pathlib import Path

import pexpect
import pyte
import pytest

from tests.support.command import Pybuild

pytestmark = pytest.mark.root
COLUMNS, LINES = 160, 24


def folder(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "Dockerfile").write_text(text)
    (path / "file").write_text("content\n")
    return path


def at_terminal(pybuild: Pybuild, *words: str | Path) -> "pexpect.spawn[str]":
    command, *rest = pybuild.command(*words)
    environment = {**pybuild.environment, "TERM": "xterm"}
    environment.pop("NO_COLOR")
    return pexpect.spawn(
        command, rest, env=environment, dimensions=(LINES, COLUMNS), encoding="utf-8", timeout=60
    )  # fmt: skip


def screen(text: str) -> list[str]:
    shown = pyte.Screen(COLUMNS, LINES)
    pyte.Stream(shown).feed(text)
    return [line.rstrip() for line in shown.display if line.strip()]


def test_a_build_leaves_a_line_a_step_and_the_summary(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    here = folder(tmp_path / "c", f"FROM busybox\nCOPY file /{tmp_path.name}\nRUN printf '%s%s' chat ter; sleep 0.3\n")
    child = at_terminal(shared_pybuild, "-t", "seen", here)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    lines = screen(child.before or "")
    end = next(at for at, line in enumerate(lines) if line.startswith("built sha256:"))
    steps = lines[:end]  # the summary may need two lines
    assert len(steps) == 3, lines
    assert steps[0].endswith("CACHED")
    assert [line.startswith("✓ [stage-0 ") for line in steps] == [True] * 3
    assert not any("│" in line for line in steps)


def test_control_c_ends_the_build_and_what_it_ran(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    here = folder(tmp_path / "c", f"FROM busybox\nRUN echo {tmp_path.name}; sleep 12345\n")
    child = at_terminal(shared_pybuild, "-t", "never", here)
    child.expect(f"│ {tmp_path.name}")
    since = time.monotonic()
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert time.monotonic() - since < 20
    assert child.exitstatus == 130
    assert child.signalstatus is None
    assert not running("sleep\x0012345")
    shared_pybuild("history", "never", code=1)


def test_a_killed_build_leaves_nothing_that_the_next_command_does_not_sweep(
    shared_pybuild: Pybuild, tmp_path: Path
) -> None:
    here = folder(tmp_path / "c", f"FROM busybox\nRUN echo {tmp_path.name}; sleep 23456\n")
    child = at_terminal(shared_pybuild, here)
    child.expect(f"│ {tmp_path.name}")
    child.kill(signal.SIGKILL)
    child.wait()
    assert shared_pybuild.build(folder(tmp_path / "d", "FROM busybox\nRUN true\n"))
    assert not running("sleep\x0023456")
    assert shared_pybuild.text("system", "check").endswith("no damage")


def test_a_failed_step_gives_its_code_its_tail_and_its_place(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    here = folder(tmp_path / "c", "FROM busybox\n\nRUN echo last words; exit 7\n")
    done = shared_pybuild("build", "--progress", "plain", here, code=7)
    assert "FAILED (7)" in done.stderr
    assert "last words" in done.stderr
    assert "Dockerfile:3:1" in done.stderr
    assert done.stdout == ""


def test_what_a_build_writes_for_programs(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    here = folder(tmp_path / "c", "FROM busybox\nLABEL a=b\n")
    files = ("--iidfile", tmp_path / "iid", "--metadata-file", tmp_path / "meta")
    done = shared_pybuild("build", "--progress", "json", *files, "-t", "told", here)
    events = [json.loads(line) for line in done.stderr.splitlines()]
    identity = (tmp_path / "iid").read_text()
    assert events[0]["event"] == "planned"
    assert events[-1]["event"] == "finished"
    assert events[-1]["image"] == identity
    assert events[-1]["names"] == ["told:latest"]
    assert json.loads((tmp_path / "meta").read_text())["containerimage.config.digest"] == identity
    assert shared_pybuild.build(here) == identity
    assert shared_pybuild.text("inspect", "-f", '{{index .Config.Labels "a"}}', "told") == "b"


def test_names_come_and_go_and_the_bytes_go_with_prune(pybuild: Pybuild, tmp_path: Path) -> None:
    here = folder(tmp_path / "c", "FROM scratch AS one\nCOPY file /a\nFROM one\nCOPY file /b\n")
    identity = pybuild.build(here, "-t", "app")
    pybuild("tag", "app", "other:1")
    rows = pybuild.text("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines()
    assert {row.split()[0] for row in rows} == {"app:latest", "other:1"}
    assert all(identity.startswith(f"sha256:{row.split()[1]}") for row in rows)
    assert [json.loads(line)["Size"] for line in pybuild.text("history", "--format", "json", "app").splitlines()] == [
        "8B",
        "8B",
    ]
    assert pybuild.text("diff", "app") == "A /b"
    assert pybuild.text("diff", "app@1", "app@2") == "A /b"
    assert pybuild.text("rmi", "app") == "Untagged: app:latest"
    assert "several" not in pybuild("rmi", "app", code=1).stderr
    refused = pybuild("prune", code=1 + 1)
    assert "--force" in refused.stderr
    assert "--until" in pybuild("prune", "--force", "--until", "soon", code=2).stderr
    assert f"Deleted: {identity}" in pybuild.text("prune", "--all", "--force")
    assert pybuild.text("images", "-q") == ""
    assert not [path for path in (pybuild.root / "blobs").rglob("*") if path.is_file()]


def test_prune_asks_and_takes_no_for_an_answer(pybuild: Pybuild, tmp_path: Path) -> None:
    identity = pybuild.build(folder(tmp_path / "c", "FROM scratch\nCOPY file /\n"), "-t", "kept")
    for answer in ("n", "y"):
        child = at_terminal(pybuild, "prune", "--all")
        child.expect("WARNING! This will remove every image that no container uses")
        child.expect("Are you sure you want to continue")
        child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
        there = pybuild.text("images", "-q", "--no-trunc")
        assert there == (identity if answer == "n" else "")


def running(words: str) -> bool:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words in entry.read_text():
                return True
        except OSError:
            continue
    return False
