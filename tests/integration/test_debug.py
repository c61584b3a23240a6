"""Looking into builds that failed, and into every step of those that did not."""

import os
from pathlib import Path

import pexpect
import pytest

from builder.exitcodes import explain
from tests.support.command import PROGRAM, Pybuild

pytestmark = pytest.mark.root

DOCKERFILE = """FROM busybox AS base
RUN echo one > /one
FROM base
ENV MOOD=calm
WORKDIR /work
COPY file /copied
RUN --mount=type=cache,target=/cache --mount=type=secret,id=tok echo two > /two; touch /cache/x; FAIL
RUN echo three > /three
"""
CRASH = "echo 1 > /left; sh -c 'kill -SEGV $$'; exit $?"
PROMPT = r"[#$] "


def context(folder: Path, fail: str) -> Path:
    """A build whose second RUN ends as told."""
    folder.mkdir()
    (folder / "file").write_text("copied\n")
    (folder / "token").write_text("secret\n")
    (folder / "Dockerfile").write_text(DOCKERFILE.replace("FAIL", fail))
    return folder


@pytest.fixture(scope="module")
def based(tmp_path_factory: pytest.TempPathFactory) -> Pybuild:
    """A store with a base, for the tests of this module; which build was its last is theirs."""
    pybuild = Pybuild(tmp_path_factory.mktemp("debug") / "store")
    assert "nothing was built" in pybuild("debug", ".", "true", code=2).stderr
    pybuild.base("busybox")
    return pybuild


@pytest.fixture
def failed(based: Pybuild, tmp_path: Path) -> Pybuild:
    """A store whose last build failed in its second RUN."""
    where = context(tmp_path / "c", "exit 9")
    said = based("build", "--secret", f"id=tok,src={where / 'token'}", where, code=9).stderr
    assert "pybuild debug opens a shell in it" in said
    return based


def test_a_failed_step(failed: Pybuild) -> None:
    told = failed("debug", ".", "sh", "-c", "cat /one /two; echo $MOOD $PWD; cat /copied; exit 4", code=4)
    assert told.stdout == "one\ntwo\ncalm /work\ncopied\n"
    assert "exit code 9: the command failed" in told.stderr
    assert failed("debug", "--before", ".", "ls", "/two", code=None).returncode == 1
    assert failed.text("debug", "--before", ".", "cat", "/copied") == "copied"
    listed = [line.split()[:4] for line in failed.text("debug", "--list").splitlines()]
    assert [row[0] for row in listed] == ["STEP", *(str(number) for number in range(1, len(listed)))]
    assert listed[-2][3] == "failed" and listed[-1][3] == "skipped"
    three = listed[-1][0]
    assert "has no result (skipped)" in failed("debug", "--step", three, ".", "true", code=2).stderr


def test_what_is_mended_can_be_kept(failed: Pybuild) -> None:
    failed("debug", ".", "sh", "-c", "echo mended > /mended")
    failed("commit", "--failed", "post-mortem")
    assert failed.text("run", "--rm", "post-mortem", "cat", "/two", "/mended").split() == ["two", "mended"]
    assert "at most the NAME" in failed("commit", "--failed", "a", "b", code=2).stderr
    assert "name the CONTAINER" in failed("commit", code=2).stderr


def test_every_step_of_a_build_that_went_well(based: Pybuild, tmp_path: Path) -> None:
    where = context(tmp_path / "c", "true")
    secret = ("--secret", f"id=tok,src={where / 'token'}")
    based("build", *secret, "-t", "app", where)
    based("build", *secret, "-t", "app", where)  # from the cache, and so is what is looked into
    seen = "cd /; for f in one two three copied; do test -e $f && echo -n ' '$f; done; true"
    assert based.text("debug", ".", "sh", "-c", seen) == " one two three copied"
    assert based.text("debug", "--step", "RUN echo one", ".", "sh", "-c", seen) == " one"
    assert based.text("debug", "--step", "base/1", ".", "sh", "-c", seen) == ""
    assert based.text("debug", "--before", ".", "sh", "-c", seen) == " one two copied"
    assert based.text("debug", "--step", "COPY", ".", "sh", "-c", seen) == " one copied"
    assert "fits several" in based("debug", "--step", "RUN", ".", "true", code=2).stderr
    assert "no step" in based("debug", "--step", "99", ".", "true", code=2).stderr
    based("debug", ".", "touch", "/new")
    assert based.text("debug", ".", "sh", "-c", "ls /new || echo gone") == "gone"


def test_an_image_and_its_history(based: Pybuild, tmp_path: Path) -> None:
    where = context(tmp_path / "c", "true")
    based("build", "--secret", f"id=tok,src={where / 'token'}", "-t", "app", where)
    assert based.text("debug", "app", "sh", "-c", "echo $MOOD $PWD; cat /three") == "calm /work\nthree"
    lines = based.text("history", "--no-trunc", "--format", "{{.CreatedBy}}", "app").splitlines()[::-1]
    three = 1 + next(place for place, line in enumerate(lines) if "three" in line)
    assert based("debug", "--step", str(three), "--before", "app", "cat", "/three", code=1).stdout == ""
    assert based.text("debug", "--step", str(three), "app", "cat", "/three") == "three"
    assert "lines 1 to" in based("debug", "--step", "99", "app", "true", code=2).stderr


def test_a_container_that_crashed(based: Pybuild) -> None:
    based("run", "--name", "crashed", "busybox", "sh", "-c", CRASH, code=139)
    told = based("debug", "crashed", "cat", "/left")
    assert told.stdout == "1\n" and "139: crashed with SIGSEGV" in told.stderr
    based("rm", "crashed")


@pytest.mark.parametrize(
    ("code", "words"),
    [(125, "machinery"), (126, "cannot be executed"), (127, "not found"), (137, "SIGKILL"), (139, "SIGSEGV"),
     (1, "the command failed"), (0, "well"), (128 + 33, "signal 33"), (128 + 10, "SIGUSR1")],
)  # fmt: skip
def test_codes_are_explained(code: int, words: str) -> None:
    assert words in explain(code)
    assert "memory" in explain(code, oom_killed=True)


def test_on_fail_with_a_terminal(based: Pybuild, tmp_path: Path) -> None:
    where = context(tmp_path / "c", "exit 9")
    words = ["build", "--debug-on-fail", "--secret", f"id=tok,src={where / 'token'}", str(where)]
    child = pexpect.spawn(str(PROGRAM), words, env=based.environment, timeout=60, encoding="utf-8")
    child.expect("exit code 9: the command failed")
    child.expect(PROMPT)
    child.sendline("cat /run/secrets/tok /two; ls /cache; echo $MOOD-$PWD; tty")
    child.expect("secret\r\ntwo\r\nx\r\ncalm-/work\r\n/dev/pts/0\r\n")
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 9
    told = based("build", "--debug-on-fail", *words[2:], code=9).stderr
    assert "no terminal here for --debug-on-fail" in told


def test_a_shell_of_its_own(failed: Pybuild) -> None:
    child = pexpect.spawn(str(PROGRAM), ["debug"], env=failed.environment, timeout=60, encoding="utf-8")
    child.expect(PROMPT)
    child.sendline("cat /two; exit 3")
    child.expect("two\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 3


def test_a_shell_ends_with_its_terminal(failed: Pybuild, tmp_path: Path) -> None:
    """Nobody could come back to it, and the first process of a sandbox need not heed a hangup."""
    child = pexpect.spawn(str(PROGRAM), ["debug"], env=failed.environment, timeout=60, encoding="utf-8")
    child.expect(PROMPT)
    os.close(child.child_fd)
    assert os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]) == 137
