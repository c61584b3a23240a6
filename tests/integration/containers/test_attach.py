"""Streams of containers that run elsewhere: attached to, detached from, fed, flooded, and left by those who die."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pexpect
import pytest

from builder.containers import Containers, line
from layers import Store
from tests.integration.containers.conftest import Detached
from tests.support.command import Pybuild
from tests.support.soon import catches, soon

pytestmark = pytest.mark.root
Inspected = Callable[[str], dict[str, Any]]
Told = Callable[[str], list[str]]


def terminal(command: Pybuild, *words: str) -> pexpect.spawn:
    argv = command.command(*words)
    return pexpect.spawn(argv[0], argv[1:], env=command.environment, dimensions=(31, 99), timeout=90)


def started(command: Pybuild, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command.command(*words), env=command.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def test_input_reaches_it_and_output_and_code_come_back(detached: Detached, shared_pybuild: Pybuild) -> None:
    name = detached("while read line; do echo got $line; echo err $line >&2; test $line = end && exit 6; done", "-i")
    client = started(shared_pybuild, "attach", name)
    assert client.stdin is not None
    for word in (b"one\n", b"two\n", b"end\n"):
        client.stdin.write(word)
        client.stdin.flush()
    out, err = client.communicate(timeout=90)
    assert (client.returncode, out, err) == (6, b"got one\ngot two\ngot end\n", b"err one\nerr two\nerr end\n")


def test_the_end_of_ones_input_is_not_that_of_a_detached_one(
    detached: Detached, shared_pybuild: Pybuild, told: Told
) -> None:
    name = detached("cat; echo over", "-i")
    first = started(shared_pybuild, "attach", name)
    assert first.stdin is not None
    first.stdin.write(b"hello\n")
    first.stdin.close()
    assert first.stdout is not None
    assert first.stdout.readline() == b"hello\n"
    second = started(shared_pybuild, "attach", "--no-stdin", name)
    assert soon(lambda: told(name).count("attach") == 2)
    first.kill()  # nobody minds
    first.wait()
    shared_pybuild("stop", "-t", "0", name)
    assert second.wait(90) == 137
    assert shared_pybuild.text("logs", name) == "hello"
    once = shared_pybuild.text("create", "-i", "busybox", "sh", "-c", "cat; echo over")
    assert shared_pybuild("start", "-ai", once, stdin="x\n").stdout == "x\nover\n"
    shared_pybuild("rm", once)


def test_signals_to_the_one_who_looks_are_for_the_command(
    detached: Detached, shared_pybuild: Pybuild, inspected: Inspected, told: Told
) -> None:
    name = detached("trap 'echo usr; exit 9' USR1; while :; do sleep 0.05; done")
    client = started(shared_pybuild, "attach", "--no-stdin", name)
    assert soon(lambda: "attach" in told(name))
    assert soon(lambda: catches(client.pid, signal.SIGUSR1))
    client.send_signal(signal.SIGUSR1)
    out, _ = client.communicate(timeout=90)
    assert (client.returncode, out) == (9, b"usr\n")
    shared_pybuild("start", name)
    deaf = started(shared_pybuild, "attach", "--no-stdin", "--sig-proxy=false", name)
    time.sleep(0.5)
    deaf.send_signal(signal.SIGTERM)
    deaf.communicate(timeout=90)
    assert inspected(name)["State"]["Running"]


def test_a_terminal_is_left_by_keys_and_come_back_to(shared_pybuild: Pybuild, inspected: Inspected) -> None:
    name = f"tty-{os.urandom(4).hex()}"
    first = terminal(shared_pybuild, "run", "-ti", "--name", name, "busybox", "sh")
    first.expect("#")
    first.sendline("stty size; echo a-$((1+1))")
    first.expect("31 99")
    first.expect("a-2")
    first.send("\x10x\x7f")  # half of the keys, and something else: all goes through
    first.send("\x10\x11")
    first.expect(pexpect.EOF)
    first.close()
    assert first.exitstatus == 0
    pid = inspected(name)["State"]["Pid"]
    assert pid
    again = terminal(shared_pybuild, "attach", "--detach-keys", "ctrl-a,d", name)
    again.sendline("stty size; echo b-$((1+2))")
    again.expect("31 99")
    again.expect("b-3")
    again.setwinsize(20, 60)
    again.sendline("until stty size | grep '20 60'; do sleep 0.1; done")
    again.expect("\n20 60")
    again.send("\x01d")
    again.expect("read escape sequence")
    again.expect(pexpect.EOF)
    again.close()
    assert again.exitstatus == 0
    assert inspected(name)["State"]["Pid"] == pid
    last = terminal(shared_pybuild, "attach", name)
    last.sendline("exit 7")
    last.expect(pexpect.EOF)
    last.close()
    assert last.exitstatus == 7
    assert inspected(name)["State"]["ExitCode"] == 7
    shared_pybuild("rm", name)


def test_exec_is_left_by_keys_too(detached: Detached, shared_pybuild: Pybuild) -> None:
    name = detached()
    go_on = "echo in; sleep 0.5; echo done >> /done; sleep 100"
    several = [terminal(shared_pybuild, "exec", "-ti", name, "sh", "-c", go_on) for _ in range(8)]
    for inside in several:  # each hangs up on whoever still belongs to its terminal, and no command ends by that
        inside.expect("in")
        inside.send("\x10\x11")
        inside.expect(pexpect.EOF)
        inside.close()
        assert inside.exitstatus == 0
    assert soon(lambda: shared_pybuild("exec", name, "cat", "/done", code=None).stdout == "done\n" * 8)
    shared_pybuild("exec", "-d", "-e", "A=b", "-w", "/etc", name, "sh", "-c", "echo $A $PWD > /told")
    assert soon(lambda: shared_pybuild("exec", name, "cat", "/told", code=None).stdout == "b /etc\n")


def test_who_has_lost_its_reader_ends_and_the_command_goes_on(shared_pybuild: Pybuild, inspected: Inspected) -> None:
    name = f"loud-{os.urandom(4).hex()}"
    loud = "while :; do echo out; sleep 0.01; done"
    for words in (
        ("run", "--name", name, "busybox", "sh", "-c", loud),
        ("exec", name, "sh", "-c", f"echo $$ > /pid; {loud}"),
        ("attach", "--no-stdin", name),
    ):
        client = started(shared_pybuild, *words)
        assert client.stdout is not None
        assert client.stdout.readline() == b"out\n"
        client.stdout.close()
        assert client.wait(90) == 1, words
    assert inspected(name)["State"]["Running"]
    shared_pybuild("exec", name, "sh", "-c", "kill -0 $(cat /pid)")
    shared_pybuild("rm", "-f", name)


def test_a_flood_comes_whole_to_everyone_at_his_own_speed(
    detached: Detached, shared_pybuild: Pybuild, told: Told
) -> None:
    name = detached("read go; seq 1 200000; echo over", "-i")
    slow, quick = started(shared_pybuild, "attach", "--no-stdin", name), started(shared_pybuild, "attach", name)
    expected = b"".join(b"%d\n" % number for number in range(1, 200001)) + b"over\n"
    assert soon(lambda: told(name).count("attach") == 2)
    assert quick.stdin is not None
    quick.stdin.write(b"go\n")
    quick.stdin.flush()
    time.sleep(0.5)  # meanwhile nobody reads anything
    with ThreadPoolExecutor(2) as readers:
        got = [reader.result() for reader in [readers.submit(one.communicate, timeout=90) for one in (slow, quick)]]
    assert [out == expected for out, _ in got] == [True, True]
    assert shared_pybuild("logs", name).stdout.encode() == expected


def test_who_reads_long_after_the_end_has_it_all(
    detached: Detached, shared_pybuild: Pybuild, inspected: Inspected, told: Told
) -> None:
    name = detached("read go; seq 1 100000; echo over", "-i")
    late, gone = started(shared_pybuild, "attach", name), started(shared_pybuild, "attach", "--no-stdin", name)
    expected = b"".join(b"%d\n" % number for number in range(1, 100001)) + b"over\n"
    assert soon(lambda: told(name).count("attach") == 2)
    assert late.stdin is not None
    late.stdin.write(b"go\n")
    late.stdin.flush()
    assert soon(lambda: inspected(name)["State"]["Status"] == "exited")
    time.sleep(2)
    gone.kill()
    gone.communicate()
    shared_pybuild("rm", name)  # it holds nobody up
    assert late.communicate(timeout=90) == (expected, b"")
    assert late.returncode == 0


@pytest.mark.parametrize("words", [("run", "--rm", "busybox"), ("exec",)], ids=["run", "exec"])
def test_a_slow_reader_of_our_own_output_has_it_all(
    words: tuple[str, ...], detached: Detached, shared_pybuild: Pybuild
) -> None:
    where = words if words[0] == "run" else (*words, detached())
    # two pipes of 64 KiB are full when it ends: its own, and ours
    client = started(shared_pybuild, *where, "sh", "-c", "seq 1 23000; seq 1 100 >&2")
    time.sleep(2.5)
    assert client.stdout is not None
    head = client.stdout.read(4096)
    time.sleep(1.5)  # it has written some more after the end, and waits again
    out, err = client.communicate(timeout=90)
    assert head + out == b"".join(b"%d\n" % number for number in range(1, 23001))
    assert err == b"".join(b"%d\n" % number for number in range(1, 101))


def test_who_dies_while_attached_takes_nothing_along(
    detached: Detached, shared_pybuild: Pybuild, inspected: Inspected
) -> None:
    name = detached("i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done")
    client = started(shared_pybuild, "attach", name)
    assert client.stdout is not None
    client.stdout.readline()
    client.kill()
    client.communicate()
    before = len(shared_pybuild.text("logs", name).splitlines())
    assert soon(lambda: len(shared_pybuild.text("logs", name).splitlines()) > before)
    assert inspected(name)["State"]["Running"]


def test_only_the_streams_that_were_asked_for(shared_pybuild: Pybuild) -> None:
    words = ("busybox", "sh", "-c", "cat; echo out; echo err >&2")
    only = shared_pybuild("run", "--rm", "-a", "stderr", *words, stdin="in\n")
    assert (only.stdout, only.stderr) == ("", "err\n")
    both = shared_pybuild("run", "--rm", "-i", "-a", "stdin", "-a", "stdout", *words, stdin="in\n")
    assert (both.stdout, both.stderr) == ("in\nout\n", "")


def test_a_foreground_one_outlives_a_signal_that_is_not_for_it(shared_pybuild: Pybuild, inspected: Inspected) -> None:
    name = f"own-{os.urandom(4).hex()}"
    client = started(
        shared_pybuild, "run", "--name", name, "--sig-proxy=false", "busybox", "sh", "-c", "echo up; sleep 100"
    )
    assert client.stdout is not None
    assert client.stdout.readline() == b"up\n"
    client.send_signal(signal.SIGINT)
    client.communicate(timeout=90)
    assert client.returncode == 130
    assert inspected(name)["State"]["Running"]
    shared_pybuild("rm", "-f", name)


def test_a_foreground_one_whose_client_is_killed_is_found_dead(shared_pybuild: Pybuild, inspected: Inspected) -> None:
    name = f"gone-{os.urandom(4).hex()}"
    client = started(shared_pybuild, "run", "--name", name, "busybox", "sh", "-c", "echo up; sleep 100")
    assert client.stdout is not None
    assert client.stdout.readline() == b"up\n"
    pid = inspected(name)["State"]["Pid"]
    client.kill()
    client.communicate()
    assert soon(lambda: not os.path.exists(f"/proc/{pid}"))
    assert soon(lambda: inspected(name)["State"]["Status"] == "exited")
    assert inspected(name)["State"]["ExitCode"] == 137
    assert shared_pybuild.text("logs", name) == "up"
    shared_pybuild("rm", name)


def test_started_by_two_at_once_it_runs_once(shared_pybuild: Pybuild, inspected: Inspected) -> None:
    made = shared_pybuild.text("create", "busybox", "sleep", "100")
    starters = [started(shared_pybuild, "start", made) for _ in range(3)]
    assert [one.wait(60) for one in starters] == [0, 0, 0]
    for one in starters:
        one.communicate()
    assert inspected(made)["State"]["Running"]
    assert len(shared_pybuild.text("top", made).splitlines()) == 2
    shared_pybuild("rm", "-f", made)


@pytest.mark.parametrize(("words", "flags"), [(("attach",), ("-i", "-t")), (("exec", "-ti"), ())])
def test_whose_terminal_is_closed_ends(
    detached: Detached, shared_pybuild: Pybuild, words: tuple[str, ...], flags: tuple[str, ...]
) -> None:
    """The first process of a container need not heed a hangup: it goes on, without whoever looked at it."""
    name = detached("trap '' HUP; while :; do echo here; sleep 0.05; done", *flags)
    script = () if flags else ("sh", "-c", "while :; do echo here; sleep 0.05; done")
    child = terminal(shared_pybuild, *words, name, *script)
    child.expect("here")
    os.close(child.child_fd)
    assert os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]) == 128 + signal.SIGHUP
    shared_pybuild("exec", name, "true")


def test_more_clients_than_files_may_be_open_do_not_end_it(shared_pybuild: Pybuild) -> None:
    name = f"few-{os.urandom(4).hex()}"
    words = shared_pybuild.command("run", "-d", "--name", name, "busybox", "sh", "-c", "while :; do sleep 0.05; done")
    subprocess.run(["sh", "-c", 'ulimit -n 128; exec "$@"', "sh", *words], env=shared_pybuild.environment, check=True)
    with Store.open(shared_pybuild.root) as store:
        container = Containers(store).get(name)
        lines = [line.call(container.folder) for _ in range(130)]
        try:
            for one in lines:
                assert one is not None
                one.send(b'{"do": "attach", "output": true, "gives": false}')
            assert [one.recv(line.LARGEST)[:11] for one in lines[:10] if one is not None] == [b'{"ok": true'] * 10
            time.sleep(0.5)
        finally:
            for one in lines:
                assert one is not None
                one.close()
    shared_pybuild("pause", name)
    shared_pybuild("unpause", name)
    shared_pybuild("rm", "-f", name)
