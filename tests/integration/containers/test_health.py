"""Health checks run: from the image or from flags, told by inspect, ps and events."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.containers.conftest import LOOP, Detached
from tests.support.command import Pybuild
from tests.support.soon import settled, soon

pytestmark = pytest.mark.root
Inspected = Callable[[str], dict[str, Any]]
QUICK = ("--health-interval", "50ms", "--health-retries", "2")


def test_well_unwell_and_well_again(detached: Detached, shared_pybuild: Pybuild, inspected: Inspected) -> None:
    name = detached(LOOP, "--health-cmd", "cat /sick && exit 3 || echo well", *QUICK)

    def status(wanted: str) -> bool:
        return soon(lambda: inspected(name)["State"]["Health"]["Status"] == wanted)

    assert "(health: starting)" in shared_pybuild.text("ps", "-f", f"name={name}") or status("healthy")
    assert status("healthy")
    assert "(healthy)" in shared_pybuild.text("ps", "-f", f"name={name}", "-f", "health=healthy")
    shared_pybuild("exec", name, "sh", "-c", "echo a cold > /sick")
    assert status("unhealthy")
    assert "(unhealthy)" in shared_pybuild.text("ps", "-f", f"name={name}")
    health = inspected(name)["State"]["Health"]
    assert len(health["Log"]) <= 5
    assert health["FailingStreak"] >= 2
    assert (health["Log"][-1]["ExitCode"], health["Log"][-1]["Output"]) == (3, "a cold\n")
    shared_pybuild("exec", name, "rm", "/sick")
    assert status("healthy")
    assert inspected(name)["State"]["Health"]["FailingStreak"] == 0
    words = ("events", "--since", "1m", "--until", "0s", "-f", f"container={name}", "-f", "event=health_status")
    told = shared_pybuild.text(*words, "--format", "{{.Action}}").splitlines()
    assert told == ["health_status: healthy", "health_status: unhealthy", "health_status: healthy"]
    shared_pybuild("pause", name)  # a paused one is not asked
    last = settled(lambda: inspected(name)["State"]["Health"])
    shared_pybuild("unpause", name)
    assert soon(lambda: inspected(name)["State"]["Health"] != last)


def test_slow_loud_and_impossible_checks(detached: Detached, inspected: Inspected) -> None:
    slow = detached(LOOP, "--health-cmd", "echo wait; sleep 100", "--health-timeout", "100ms", *QUICK)
    loud = detached(LOOP, "--health-cmd", "yes | head -c 100000; sleep 1000 &", *QUICK)
    for name in (slow, loud):
        assert soon(lambda name=name: inspected(name)["State"]["Health"]["Log"])  # type: ignore[misc]
    result = inspected(slow)["State"]["Health"]["Log"][0]
    assert (result["ExitCode"], result["Output"]) == (-1, "Health check exceeded timeout (100ms): wait\n")
    result = inspected(loud)["State"]["Health"]["Log"][0]
    assert (result["ExitCode"], result["Output"]) == (0, "y\n" * 2048 + "...")


def test_the_images_check_and_what_flags_make_of_it(pybuild: Pybuild, tmp_path: Path) -> None:
    pybuild.base()
    (tmp_path / "Dockerfile").write_text(
        'FROM busybox\nSHELL ["/bin/sh", "-ec"]\nHEALTHCHECK --interval=70ms --retries=9 CMD echo $-; true\n'
        f"CMD {LOOP}\n"
    )
    pybuild.build(tmp_path, "-t", "checked")
    (tmp_path / "Dockerfile").write_text("FROM checked\nHEALTHCHECK --interval=1s NONE\n")
    pybuild.build(tmp_path, "-t", "unchecked")

    def look(name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(pybuild.text("inspect", name))[0]
        return found

    names = {
        word: pybuild.text("run", "-d", *flags, image)
        for word, flags, image in [
            ("plain", [], "checked"),
            ("changed", ["--health-retries", "2"], "checked"),
            ("none", ["--no-healthcheck"], "checked"),
            ("unchecked", [], "unchecked"),
        ]
    }
    test = ["CMD-SHELL", "echo $-; true"]
    assert look(names["plain"])["Config"]["Healthcheck"] == {"Test": test, "Interval": 70_000_000, "Retries": 9}
    assert look(names["changed"])["Config"]["Healthcheck"]["Retries"] == 2
    assert look(names["none"])["Config"]["Healthcheck"] == {"Test": ["NONE"]}
    assert look(names["unchecked"])["Config"]["Healthcheck"] == {"Test": ["NONE"]}
    assert soon(lambda: look(names["plain"])["State"]["Health"]["Status"] == "healthy")
    assert "e" in look(names["plain"])["State"]["Health"]["Log"][-1]["Output"]  # by the image's own SHELL
    for word in ("none", "unchecked"):
        assert "Health" not in look(names[word])["State"]
    pybuild("rm", "-f", *names.values())


def test_pausing_while_a_check_runs(detached: Detached, shared_pybuild: Pybuild, inspected: Inspected) -> None:
    name = detached(LOOP, "--health-cmd", "touch /begun; sleep 100", *QUICK)
    assert soon(lambda: "begun" in shared_pybuild.text("exec", name, "ls", "/"))
    shared_pybuild("pause", name)
    assert inspected(name)["State"]["Status"] == "paused"
    shared_pybuild("unpause", name)
    assert inspected(name)["State"]["Status"] == "running"
