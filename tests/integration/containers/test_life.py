"""The life cycle: every transition, those that cannot be, and what is told of them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.containers import Containers, journal
from layers import Store
from tests.integration.containers.conftest import LOOP, Detached
from tests.support.command import Pybuild
from tests.support.registry import RegistryServer
from tests.support.residue import leaked
from tests.support.soon import settled, soon

pytestmark = pytest.mark.root
Inspected = Callable[[str], dict[str, Any]]
COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done"
TRAP = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done"


def lines(command: Pybuild, name: str) -> int:
    """How many records its log has; looked up without a process."""
    with Store.open(command.root) as store:
        return len(journal.read(Containers(store).get(name).log))


def monitor(identity: str) -> int:
    """The process that stays with a detached container."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"--monitor" in words and identity.encode() in words:
                return int(entry.name)
    raise AssertionError("no monitor")


def test_a_paused_one_stands_still_and_goes_on(
    detached: Detached, shared_pybuild: Pybuild, inspected: Inspected
) -> None:
    name = detached(COUNT)
    pid = inspected(name)["State"]["Pid"]
    assert soon(lambda: lines(shared_pybuild, name) > 2)
    assert shared_pybuild.text("pause", name) == name
    state = inspected(name)["State"]
    assert (state["Status"], state["Paused"], state["Running"], state["Pid"]) == ("paused", True, True, pid)
    assert "(Paused)" in shared_pybuild.text("ps", "-f", f"name={name}")
    before = settled(lambda: lines(shared_pybuild, name))
    for words, sentence in [
        (["pause"], "already paused"),
        (["exec"], "paused"),
        (["attach", "--no-stdin"], "unpause it first"),
        (["start"], "unpause"),
        (["rm"], "it is paused"),
    ]:
        assert sentence in shared_pybuild(*words, name, *(["true"] * (words == ["exec"])), code=1).stderr
    shared_pybuild("commit", name, "of-a-paused-one")
    shared_pybuild("rmi", "of-a-paused-one")
    assert inspected(name)["State"]["Paused"] is True
    shared_pybuild("unpause", name)
    assert soon(lambda: lines(shared_pybuild, name) > before)
    assert "is not paused" in shared_pybuild("unpause", name, code=1).stderr


def test_stop_and_kill_reach_a_paused_one(detached: Detached, shared_pybuild: Pybuild, inspected: Inspected) -> None:
    name = detached(TRAP)
    assert soon(lambda: lines(shared_pybuild, name) == 1)
    shared_pybuild("pause", name)
    shared_pybuild("stop", "-t", "30", name)
    assert inspected(name)["State"]["ExitCode"] == 5
    shared_pybuild("start", name)
    shared_pybuild("pause", name)
    shared_pybuild("kill", name)
    state = inspected(name)["State"]
    assert (state["Status"], state["ExitCode"], state["Paused"]) == ("exited", 137, False)


def test_what_cannot_be_is_an_error_and_what_is_so_already_is_none(
    detached: Detached, shared_pybuild: Pybuild, inspected: Inspected
) -> None:
    name = detached()
    pid = inspected(name)["State"]["Pid"]
    assert shared_pybuild.text("start", name) == name
    assert inspected(name)["State"]["Pid"] == pid
    assert "it is running" in shared_pybuild("rm", name, code=1).stderr
    shared_pybuild("kill", name)
    assert shared_pybuild.text("stop", name) == name
    for word in ("kill", "pause", "unpause", "top", "attach"):
        assert "not running" in shared_pybuild(word, name, code=1).stderr, word
    assert "not running (exited)" in shared_pybuild("exec", name, "true", code=1).stderr
    both = shared_pybuild("stop", "nobody-here", name, code=1)
    assert (both.stdout, "no such container" in both.stderr) == (f"{name}\n", True)
    made = shared_pybuild.text("create", "busybox", "true")
    assert inspected(made)["State"]["Status"] == "created"
    assert "not running" in shared_pybuild("kill", made, code=1).stderr
    shared_pybuild("rm", made)


def test_restart_begins_anew(detached: Detached, shared_pybuild: Pybuild, inspected: Inspected) -> None:
    name = detached(TRAP, "--rm")  # restarting is no end: it does not remove itself
    first = inspected(name)["State"]
    assert soon(lambda: lines(shared_pybuild, name) == 1)
    assert shared_pybuild.text("restart", "-t", "20", name) == name
    again = inspected(name)["State"]
    assert again["Running"]
    assert (first["Pid"], first["StartedAt"]) != (again["Pid"], again["StartedAt"])
    assert soon(lambda: shared_pybuild.text("logs", name) == "ready\nbye\nready")
    ended = shared_pybuild.text("create", "busybox", "sh", "-c", LOOP)
    shared_pybuild("restart", ended)
    assert inspected(ended)["State"]["Running"]
    shared_pybuild("rm", "-f", ended)


def test_one_takes_the_place_of_another(detached: Detached, shared_pybuild: Pybuild, inspected: Inspected) -> None:
    name = detached()
    first = inspected(name)["Id"]
    flags = ("--replace", "--name", name, "--network", "none")
    assert shared_pybuild.text("run", *flags, "busybox", "echo", "2") == "2"  # one that runs is replaced, too
    second = inspected(name)["Id"]
    third = shared_pybuild.text("create", *flags, "busybox", "true")
    assert len({first, second, third}) == 3
    assert inspected(name)["Id"] == third
    for identity in (first, second):
        assert shared_pybuild("container", "exists", identity, code=1).stderr == ""
    shared_pybuild("run", "--pull", "never", *flags, "no-such-image", code=125)
    assert inspected(name)["Id"] == third  # there has to be something to replace it with
    assert "--name" in shared_pybuild("create", "--replace", "busybox", code=125).stderr


def test_all_of_them_and_whether_there_are_any(pybuild: Pybuild) -> None:
    pybuild.base()
    start = ("--network", "none", "busybox", "sh", "-c", LOOP)
    for name in ("one", "two"):
        pybuild("run", "-d", "--name", name, *start)
    pybuild("create", "--name", "idle", *start)

    def states() -> dict[str, str]:
        shown = pybuild.text("ps", "-a", "--format", "{{.Names}} {{.State}}")
        return dict(line.split() for line in shown.splitlines())

    try:
        for command, after in (("pause", "paused"), ("unpause", "running"), ("kill", "exited")):
            assert sorted(pybuild.text(command, "--all").split()) == ["one", "two"]
            assert states() == {"one": after, "two": after, "idle": "created"}
        assert sorted(pybuild.text("restart", "-a").split()) == ["idle", "one", "two"]
        assert sorted(pybuild.text("stop", "-a", "-t", "0").split()) == ["idle", "one", "two"]
        assert pybuild.text("stop", "-a") == ""
        pybuild("start", "one")
        assert "running" in pybuild("rm", "-a", code=1).stderr
        assert states() == {"one": "running"}
        for command in ("stop", "rm"):
            assert "--all" in pybuild(command, code=2).stderr
            assert "no names" in pybuild(command, "-a", "one", code=2).stderr
        found = (("container", "one"), ("image", "busybox"), ("network", "bridge"))
        for kind, there in found:
            assert pybuild.text(kind, "exists", there) == ""
            assert pybuild(kind, "exists", "nobody-here", code=1).stderr == ""
        pybuild("volume", "exists", "one", code=1)
    finally:
        pybuild("rm", "-af")
    assert states() == {}


def test_renamed_while_it_runs(detached: Detached, shared_pybuild: Pybuild, inspected: Inspected) -> None:
    name = detached()
    new = f"{name}-new"
    shared_pybuild("rename", name, new)
    assert inspected(new)["Name"] == f"/{new}"
    assert "no such container" in shared_pybuild("stop", name, code=1).stderr
    assert "in use" in shared_pybuild("rename", new, new, code=1).stderr
    assert "invalid container name" in shared_pybuild("rename", new, "a b", code=1).stderr
    shared_pybuild("kill", new)
    told = shared_pybuild.text("events", "--since", "1m", "--until", "0s", "-f", f"container={new}")
    assert [line.split()[2] for line in told.splitlines()] == ["rename", "kill", "die"]
    shared_pybuild("rename", f"/{new}", f"/{name}")  # as inspect shows them
    assert inspected(name)["Name"] == f"/{name}"


def test_events_tell_a_life_in_order(detached: Detached, shared_pybuild: Pybuild, inspected: Inspected) -> None:
    since = f"{time.time():.3f}"
    name = detached(TRAP, "-l", "team=red")
    assert soon(lambda: lines(shared_pybuild, name) == 1)
    shared_pybuild("pause", name)
    shared_pybuild("unpause", name)
    shared_pybuild("exec", name, "sh", "-c", "exit 3", code=3)
    shared_pybuild("restart", name)
    assert soon(lambda: lines(shared_pybuild, name) == 3)
    shared_pybuild("stop", name)
    identity = inspected(name)["Id"]
    shared_pybuild("restart", name)
    shared_pybuild("kill", name)
    shared_pybuild("rm", name)
    words = ("events", "--since", since, "--until", "0s", "-f", f"container={identity[:12]}")
    told = [json.loads(line) for line in shared_pybuild.text(*words, "--format", "json").splitlines()]
    assert [event["Action"].partition(":")[0] for event in told] == [
        *("create", "start", "pause", "unpause", "exec_create", "exec_start", "exec_die"),
        *("kill", "die", "stop", "start", "restart", "kill", "die", "stop"),
        *("start", "restart", "kill", "die", "destroy"),
    ]
    assert all(event["Actor"]["Attributes"]["team"] == "red" and event["id"] == identity for event in told)
    by_action = {event["Action"]: event["Actor"]["Attributes"] for event in told}
    assert [event["Actor"]["Attributes"]["signal"] for event in told if event["Action"] == "kill"] == ["15", "15", "9"]
    assert [event["Actor"]["Attributes"]["exitCode"] for event in told if event["Action"] == "die"] == ["5", "5", "137"]
    assert by_action["exec_die"]["exitCode"] == "3"
    assert shared_pybuild.text(*words, "-f", "event=exec_start", "--format", "{{.Action}}") == (
        "exec_start: sh -c exit 3"
    )
    assert shared_pybuild.text(*words, "-f", "label=team=blue") == ""
    fields = "{{.Type}} {{.Status}} {{.ID}} {{.From}} {{.Scope}} {{.Actor.Attributes.exitCode}}"
    assert shared_pybuild.text(*words, "-f", "event=rename", "-f", "event=create", "--format", fields) == (
        f"container create {identity} busybox local <no value>"
    )


@pytest.mark.parametrize(("words", "code"), [(["no-such-program"], 127), (["/etc/passwd"], 126)])
def test_a_program_that_cannot_be_executed(
    words: list[str], code: int, shared_pybuild: Pybuild, inspected: Inspected
) -> None:
    name = f"refused-{os.urandom(4).hex()}"
    done = shared_pybuild("run", "-d", "--name", name, "busybox", *words, code=code)
    assert words[0] in done.stderr
    state = inspected(name)["State"]
    assert (state["Status"], state["ExitCode"]) == ("created", code)
    assert words[0] in state["Error"]
    shared_pybuild("rm", name)
    for flags in (["-d"], []):
        done = shared_pybuild("run", "--rm", "--init", "--name", name, *flags, "busybox", *words, code=code)
        assert done.stderr.count(words[0]) == 1
    assert "no such container" in shared_pybuild("rm", name, code=1).stderr


def test_restart_on_failure_counts_and_gives_up(
    detached: Detached, shared_pybuild: Pybuild, inspected: Inspected
) -> None:
    name = detached("echo run; exit 3", "--restart", "on-failure:2")
    assert soon(lambda: inspected(name)["State"]["Status"] == "exited")
    found = inspected(name)
    assert (found["RestartCount"], found["State"]["ExitCode"]) == (2, 3)
    assert found["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
    assert shared_pybuild.text("logs", name) == "run\n" * 2 + "run"
    well = detached("exit 0", "--restart", "on-failure")
    assert soon(lambda: inspected(well)["State"]["Status"] == "exited")
    assert inspected(well)["RestartCount"] == 0


def test_restart_always_until_it_is_stopped(detached: Detached, shared_pybuild: Pybuild, inspected: Inspected) -> None:
    name = detached("echo run; exit 0", "--restart", "always")
    assert soon(lambda: inspected(name)["RestartCount"] >= 2)
    assert shared_pybuild.text("wait", name) == "0"
    assert soon(lambda: inspected(name)["State"]["Restarting"])
    assert " (0) " in shared_pybuild.text("ps", "-f", f"name={name}", "-f", "status=restarting") or "Up" in (
        shared_pybuild.text("ps", "-f", f"name={name}")
    )
    assert "stop it first" in shared_pybuild("rm", name, code=1).stderr
    shared_pybuild("stop", name)
    state = inspected(name)["State"]
    assert (state["Status"], state["Restarting"], state["Running"]) == ("exited", False, False)
    steady = detached(LOOP, "--restart", "unless-stopped")
    os.kill(inspected(steady)["State"]["Pid"], signal.SIGKILL)
    assert soon(lambda: inspected(steady)["RestartCount"] == 1 and inspected(steady)["State"]["Running"])
    shared_pybuild("kill", steady)
    assert inspected(steady)["State"]["Status"] == "exited"
    assert inspected(steady)["RestartCount"] == 1
    updated = detached()
    shared_pybuild("update", "--restart", "on-failure:1", updated)
    os.kill(inspected(updated)["State"]["Pid"], signal.SIGKILL)
    assert soon(lambda: inspected(updated)["RestartCount"] == 1)


def test_flags_that_do_not_go_together(shared_pybuild: Pybuild) -> None:
    for words, sentence in [
        (["--rm", "--restart", "always"], "--rm conflict"),
        (["--restart", "sometimes"], "unknown restart policy"),
        (["--restart", "always:3"], "only on-failure"),
        (["-d", "-a", "stdout"], "conflict"),
        (["--detach-keys", "ctrl-"], "is no key"),
        (["--no-healthcheck", "--health-cmd", "true"], "conflicts"),
        (["--health-cmd", "true", "--health-interval", "1us"], "less than 1ms"),
        (["--attach", "stdlog"], "choose stdin"),
    ]:
        assert sentence in shared_pybuild("run", *words, "busybox", "true", code=125).stderr, words


def test_the_one_in_the_foreground_is_left_to_itself_when_it_is_restarted(
    shared_pybuild: Pybuild, inspected: Inspected
) -> None:
    name = f"left-{os.urandom(4).hex()}"
    done = shared_pybuild(
        "run", "--name", name, "--restart", "on-failure:2", "busybox", "sh", "-c", "echo x; exit 4", code=4
    )
    assert done.stdout == "x\n"
    assert soon(lambda: inspected(name)["RestartCount"] == 2 and inspected(name)["State"]["Status"] == "exited")
    assert shared_pybuild.text("logs", name) == "x\nx\nx"
    shared_pybuild("rm", name)


def test_a_killed_monitor_loses_nothing(detached: Detached, shared_pybuild: Pybuild, inspected: Inspected) -> None:
    with leaked(shared_pybuild.root) as left:
        paused, plain = detached(COUNT), detached(COUNT, "--restart", "always")
        brief = detached(COUNT, "--rm")
        shared_pybuild("pause", paused)
        for name in (paused, plain, brief):
            os.kill(monitor(inspected(name)["Id"]), signal.SIGKILL)
        for name in (paused, plain):
            assert soon(lambda name=name: not inspected(name)["State"]["Running"])  # type: ignore[misc]
            state = inspected(name)["State"]
            assert (state["Status"], state["ExitCode"]) == ("exited", 137)
            assert "supervisor was killed" in state["Error"]
            assert lines(shared_pybuild, name) > 0
        shared_pybuild("start", plain)  # it is as good as any other one that has ended; this sweeps, too
        assert inspected(plain)["State"]["Running"]
        shared_pybuild("rm", "-f", paused, plain)
        shared_pybuild("run", "--rm", "busybox", "true")  # removes what was to remove itself
        assert "no such container" in shared_pybuild("logs", brief, code=1).stderr
    assert not left


def test_limits_change_while_it_runs(detached: Detached, shared_pybuild: Pybuild, inspected: Inspected) -> None:
    name = detached(LOOP, "-m", "32m")
    shared_pybuild("update", "-m", "96m", "--memory-swap", "128m", "--cpus", "0.5", "--pids-limit", "50", name)
    # of either version of control groups
    limits = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max pids/pids.max pids.max 2>&- || true"
    assert shared_pybuild.text("exec", name, "sh", "-c", limits).split() == [str(96 << 20), "50"]
    shared_pybuild("update", "-m", "48m", "--memory-swap", "48m", name)
    config = inspected(name)["HostConfig"]
    assert (config["Memory"], config["MemorySwap"], config["NanoCpus"]) == (48 << 20, 48 << 20, 500_000_000)
    assert "cpuset" in shared_pybuild("update", "--cpuset-cpus", "4000", name, code=1).stderr
    assert inspected(name)["HostConfig"]["CpusetCpus"] == ""
    shared_pybuild("restart", "-t", "0", name)
    assert shared_pybuild.text("exec", name, "sh", "-c", limits).split() == [str(48 << 20), "50"]
    assert "nothing to update" in shared_pybuild("update", name, code=2).stderr


AT_ITS_END = """
import pybuild.__main__ as program
from builder.containers.book import Containers
from layers.disk.locks import is_locked

def look(self, container):
    print(container.said().status, is_locked(container.folder / "lock"), flush=True)
    drop(self, container)

drop, Containers.drop = Containers.drop, look
program.main()
"""


def test_one_that_removes_itself_is_nobody_elses_before_it_has_gone(shared_pybuild: Pybuild) -> None:
    """Else a reader of its state could take it for one whose supervisor was killed."""
    name = f"gone-{os.urandom(4).hex()}"
    words = ("run", "--rm", "--name", name, "--network", "none", "busybox", "sh", "-c", "exit 3")
    done = subprocess.run(
        [sys.executable, "-c", AT_ITS_END, *words], env=shared_pybuild.environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.split()) == (3, ["running", "True"]), done.stderr
    told = shared_pybuild.text("events", "--since", "1m", "--until", "0s", "-f", f"container={name}").splitlines()
    assert [line.split()[2] for line in told] == ["create", "start", "die", "destroy"]
    assert "exitCode=3" in told[2]


def test_what_runs_in_it_and_what_it_uses(detached: Detached, shared_pybuild: Pybuild, inspected: Inspected) -> None:
    name = detached("sleep 1000 & exec sleep 2000", "-m", "32m")
    head, *rows = shared_pybuild.text("top", name).splitlines()
    assert head.split() == "UID PID PPID C STIME TTY TIME CMD".split()
    assert sorted(row.split(None, 7)[7] for row in rows) == ["sleep 1000", "sleep 2000"]
    assert str(inspected(name)["State"]["Pid"]) in {row.split()[1] for row in rows}
    assert "sleep 1000" in shared_pybuild.text("top", name, "-eo", "pid,args")
    assert "sleep 1000" in shared_pybuild.text("top", name, "-o", "pid,args")
    assert "PID" in shared_pybuild("top", name, "-eo", "args", code=1).stderr
    row = json.loads(shared_pybuild.text("stats", "--no-stream", "--format", "json", name))
    assert row["Name"] == name
    assert row["MemUsage"].endswith("/ 32MiB")
    assert row["PIDs"] == "2"
    assert shared_pybuild.text("stats", "--no-stream", name).split("\n")[0].split()[:3] == ["CONTAINER", "ID", "NAME"]
    assert shared_pybuild.text("port", name) == ""
    assert "no public port '80/tcp'" in shared_pybuild("port", name, "80", code=1).stderr
    merged = Path(inspected(name)["GraphDriver"]["Data"]["MergedDir"])
    assert (merged / "bin/busybox").is_file()
    shared_pybuild("kill", name)
    shape = "{{.CPUPerc}} {{.MemUsage}} {{.MemPerc}} {{.NetIO}} {{.BlockIO}} {{.PIDs}}"
    ended = shared_pybuild.text("stats", "--no-stream", "--format", shape, name)
    assert ended == "0.00% 0B / 0B 0.00% 0B / 0B 0B / 0B 0"
    assert "MergedDir" not in inspected(name)["GraphDriver"]["Data"]


def test_logs_within_two_moments(detached: Detached, shared_pybuild: Pybuild) -> None:
    name = detached("echo early; sleep 0.6; echo late; sleep 100")
    assert soon(lambda: lines(shared_pybuild, name) == 2)
    moment = shared_pybuild.text("logs", "-t", "-n", "1", name).split()[0]
    assert shared_pybuild.text("logs", "--since", moment, name) == "late"
    assert shared_pybuild.text("logs", "--since", "10m", name) == "early\nlate"
    assert shared_pybuild.text("logs", "--until", "10m", name) == ""
    assert shared_pybuild.text("logs", "-f", "--until", "0s", name) == "early\nlate"
    assert "no moment" in shared_pybuild("logs", "--since", "yesterday", name, code=2).stderr


def test_all_those_of_a_policy_are_started_and_prune_takes_what_does_not_run(pybuild: Pybuild) -> None:
    pybuild.base()
    always = pybuild.text("create", "--restart", "always", "--name", "always", "busybox", "sh", "-c", LOOP)
    pybuild("create", "--name", "never", "busybox", "true")
    assert pybuild.text("start", "--all", "--filter", "restart-policy=always") == "always"
    assert pybuild.text("ps", "-q", "--no-trunc") == always
    assert "--all" in pybuild("start", code=2).stderr
    pybuild("rm", "-f", "always", "never")
    runs = pybuild.text("run", "-d", "busybox", "sh", "-c", LOOP)
    gone = {pybuild.text("create", "busybox", "true"), pybuild.text("create", "busybox", "true")}
    kept = pybuild.text("create", "-l", "keep=yes", "busybox", "true")
    assert "--force" in pybuild("container", "prune", code=2).stderr
    told = pybuild.text("container", "prune", "-f", "--filter", "label!=keep").splitlines()
    assert (told[0], set(told[1:3])) == ("Deleted Containers:", gone)
    assert set(pybuild.text("container", "ls", "-aq", "--no-trunc").splitlines()) == {runs, kept}
    pybuild("rm", "-f", runs, kept)


def test_init_reaps_five_thousand_and_passes_signals_on(
    detached: Detached, shared_pybuild: Pybuild, inspected: Inspected
) -> None:
    orphans = "i=0; while [ $i -lt 5000 ]; do i=$((i+1)); (true &) ; done"
    name = detached(f"{orphans}; touch /done; trap 'exit 8' TERM; {LOOP}", "--init", "--pids-limit", "100")
    assert soon(lambda: shared_pybuild("exec", name, "test", "-e", "/done", code=None).returncode == 0, seconds=60)
    zombies = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l"
    assert soon(lambda: shared_pybuild.text("exec", name, "sh", "-c", zombies) == "0")
    shared_pybuild("stop", name)
    assert inspected(name)["State"]["ExitCode"] == 8


def test_how_long_and_with_what_a_stop_is_tried(
    detached: Detached, shared_pybuild: Pybuild, inspected: Inspected
) -> None:
    name = detached(
        "trap 'echo hup' HUP; trap '' TERM; echo ready; while :; do sleep 0.05; done",
        *("--stop-signal", "HUP", "--stop-timeout", "1"),
    )
    assert soon(lambda: lines(shared_pybuild, name) == 1)
    began = time.monotonic()
    shared_pybuild("stop", name)
    assert time.monotonic() - began >= 1
    assert inspected(name)["State"]["ExitCode"] == 137
    assert shared_pybuild.text("logs", name) == "ready\nhup"
    config = inspected(name)["Config"]
    assert (config["StopSignal"], config["StopTimeout"]) == ("SIGHUP", 1)


def test_labels_and_variables_of_files(shared_pybuild: Pybuild, inspected: Inspected, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("# a comment\na=b\n\nc\n")
    (tmp_path / "env").write_text("X=1\n# no\nY=2\n")
    words = ("--label-file", tmp_path / "labels", "--label", "c=d", "--env-file", tmp_path / "env", "-e", "Y=3")
    made = shared_pybuild.text("create", *words, "busybox", "sh", "-c", "echo $X$Y")
    assert inspected(made)["Config"]["Labels"] == {"a": "b", "c": "d"}
    assert shared_pybuild.text("start", "-a", made) == "13"
    shared_pybuild("rm", made)


def test_images_have_events_too(shared_pybuild: Pybuild, own_registry: RegistryServer, tmp_path: Path) -> None:
    name = own_registry.reference(f"told-{os.urandom(3).hex()}:1")
    since = f"{time.time():.3f}"
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nLABEL is={name}\n")
    shared_pybuild("tag", shared_pybuild.build(tmp_path), name)
    shared_pybuild("push", "-q", name)
    shared_pybuild("rmi", name)
    shared_pybuild("pull", "-q", name)
    shared_pybuild("rmi", name)
    words = ("events", "--since", since, "--until", "0s", "-f", f"image={name}", "--format", "{{.Type}} {{.Action}}")
    told = shared_pybuild.text(*words).splitlines()
    assert told == [f"image {word}" for word in ("tag", "push", "untag", "pull", "untag")]


def test_a_monitor_holds_nothing_of_whoever_started_it(shared_pybuild: Pybuild, tmp_path: Path) -> None:
    """Nor does it believe what lies where that was."""
    (tmp_path / "pybuild").mkdir()
    (tmp_path / "pybuild/__main__.py").write_text("raise SystemExit(9)")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    os.set_blocking(reader, False)
    words = shared_pybuild.command("run", "-d", "--rm", "--network", "none", "busybox", "sleep", "1000")
    done = subprocess.run(
        words, env=shared_pybuild.environment, cwd=tmp_path, pass_fds=[writer], capture_output=True, text=True
    )
    os.close(writer)
    assert done.returncode == 0, done.stderr
    try:
        assert os.read(reader, 1) == b"", "closed by everybody"
        assert os.readlink(f"/proc/{monitor(done.stdout.strip())}/cwd") == "/"
    finally:
        os.close(reader)
        shared_pybuild("rm", "-f", done.stdout.strip())
