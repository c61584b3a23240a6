"""The command line as text: routes, suggestions, Go's booleans, errors and their codes; nothing is built."""

import errno
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

import pybuild
from builder.errors import BuildError, Cancelled, StepFailed
from layers import Digest
from pybuild.absent import COMMANDS as ABSENT
from pybuild.catalogue import COMMANDS, HIDDEN, NOUNS, chosen, route
from pybuild.cli import LazyGroup, from_go, roof, run
from pybuild.exits import code, conclude, explain
from pybuild.settings import Settings
from runner import Exit
from tests.support.command import Pybuild


def command(name: str) -> click.Command:
    found = roof.get_command(click.Context(roof), name)
    assert isinstance(found, click.Command)
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    help = capsys.readouterr().out
    assert f"Usage: pybuild {name}" in help
    assert "Example" in help or name == "version"
    assert COMMANDS[name].summary.endswith(".")


def test_dockers_nouns_lead_to_commands() -> None:
    for noun, verbs in NOUNS.items():
        group = command(noun)
        assert isinstance(group, LazyGroup)
        assert all(chosen([noun, verb]) is {**COMMANDS, **HIDDEN}[name] for verb, name in verbs.items())


@pytest.mark.parametrize(
    ("words", "routed"),
    [
        (["-t", "app", "."], ["build", "-t", "app", "."]),
        (["--root", "/r", "-D", "."], ["--root", "/r", "-D", "build", "."]),
        (["--root=/r", "images"], ["--root=/r", "images"]),
        (["-"], ["build", "-"]),
        (["https://example.org/x.git"], ["build", "https://example.org/x.git"]),
        (["info"], ["system", "info"]),
        (["help"], ["--help"]),
        (["help", "run"], ["run", "--help"]),
        (["-D", "help", "image", "ls"], ["-D", "image", "ls", "--help"]),
        (["-v"], ["--version"]),
        (["-v", "x:/y", "."], ["build", "-v", "x:/y", "."]),
        (["manifest-digest", "m.json"], ["digest", "--file", "m.json"]),
        (["biuld"], ["biuld"]),
        ([], []),
        (["--root"], ["--root"]),
    ],
)
def test_what_is_no_command_is_a_build(words: list[str], routed: list[str]) -> None:
    assert route(words) == routed


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("build", ["--quiet=true", "--pull=false", "-t", "x", "."], ["--quiet", "-t", "x", "."]),
        ("build", ["--rm=false", "."], ["--no-rm", "."]),
        ("build", [".", "--quiet=1"], [".", "--quiet"]),
        ("build", ["--squash", "--quiet=true"], ["--squash", "--quiet"]),
        ("build", ["--label", "quiet=true", "--", "--quiet=true"], ["--label", "quiet=true", "--", "--quiet=true"]),
        ("run", ["--rm=true", "app", "tool", "--rm=true"], ["--rm", "app", "tool", "--rm=true"]),
        ("run", ["-e", "A=b", "--rm=true", "app"], ["-e", "A=b", "--rm", "app"]),
        ("run", ["--name", "one", "--rm=false", "app"], ["--name", "one", "app"]),
        ("run", ["--name=one", "app", "--rm=true"], ["--name=one", "app", "--rm=true"]),
        ("run", ["-ite", "A=b", "app", "--tty=true"], ["-ite", "A=b", "app", "--tty=true"]),
        ("run", ["-eA=b", "app", "--tty=true"], ["-eA=b", "app", "--tty=true"]),
        ("run", ["-e", "--rm=true", "--rm=true", "app"], ["-e", "--rm=true", "--rm", "app"]),
        ("run", ["-p=80:80", "-ite=A=b", "app", "-e=C"], ["-p", "80:80", "-ite", "A=b", "app", "-e=C"]),
        ("run", ["-e=", "-e", "-e=x", "-eA=b", "app"], ["-e", "", "-e", "-e=x", "-eA=b", "app"]),
        ("run", ["-t=true", "-i=false", "app"], ["-t", "app"]),
        ("logs", ["-n=1", "web"], ["-n", "1", "web"]),
        ("build", ["-t=app", "--", "-t=x"], ["-t", "app", "--", "-t=x"]),
    ],
)
def test_options_as_go_writes_them_are_understood_and_the_containers_words_left_alone(
    name: str, words: list[str], told: list[str]
) -> None:
    assert from_go(command(name), words) == told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hisotry"], "Did you mean history"),
        (["build", "--tga", "x", "."], "--tag"),
        (["rmi"], "pybuild rmi --help"),
        (["image", "lss"], "Did you mean ls"),
        (["build", "--secret", "id=nowhere", "."], "not there"),
        (["build", "--ssh", "a=nowhere", "."], "No such file"),
        (["build", "--memory", "many", "."], "for example 512m"),
        (["build", "-o", "type=pigeon", "."], "oci, docker, tar, local"),
        (["build", "https://example.org/x.git#--upload-pack=x"], "begins with a dash"),
        (["build", "nowhere"], "is not there"),
        (["build", "-f", "-", "-"], "both build context and dockerfile"),
        (["build", "--build-context", "x", "."], "NAME=DIRECTORY"),
        (["build", "--build-context", "scratch=.", "."], "cannot be given away"),
        (["build", "--build-context", "x=nowhere", "."], "is not there"),
        (["build", "--build-context", "x=oci-layout://nowhere:1", "."], "no directory 'nowhere'"),
        (["build", "--build-context", "x=https://h/x.git?what=1", "."], "unexpected query"),
        (["build", "/no/such/folder"], "is not there"),
        (["build", "--push", "."], "-t HOST/NAME"),
    ],
)
def test_wrong_use_is_two_and_says_what_is_right(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYBUILD_ROOT", str(tmp_path / "store"))
    assert run(words) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""
    assert not (tmp_path / "store").exists()


def test_codes() -> None:
    assert code(StepFailed("RUN x", "failed", exit=Exit(7)), 1) == 7
    assert code(StepFailed("COPY x /", "no file"), 1) == 1
    assert code(Cancelled("stopped"), 1) == 130
    assert code(OSError(), 125) == 125


@pytest.mark.parametrize(
    ("raised", "ended", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.UsageError("bad words"), 2, "error: bad words"),
        (BuildError("it is broken"), 1, "error: it is broken"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 1, "pybuild prune"),
        (ValueError("surprise"), 1, "a defect of pybuild"),
    ],
)
def test_errors_become_words_and_a_code(
    raised: BaseException, ended: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise raised

    assert conclude(fail, failure=1, debug=False) == ended
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


def test_interrupted_while_it_tells_an_error_or_after_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A ctrl-c is told where there is something to undo, never shown as a place in the code."""

    def press(*_: object, **__: object) -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return ""

    def fail() -> None:
        raise ValueError("no")

    monkeypatch.setattr("pybuild.exits.explain", press)
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        assert conclude(fail, failure=1, debug=False) == 130
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "interrupted\n"


def test_causes_and_notes_are_told_once() -> None:
    error = BuildError("cannot read the file")
    error.__cause__ = OSError(errno.EIO, "Input/output error", "/disk")
    error.add_note("it was there before")
    assert explain(error).split("\n") == [
        "error: cannot read the file",
        "why: Input/output error: /disk",
        "note: it was there before",
    ]


def test_who_is_root_only_in_a_namespace_is_told_what_takes_root(monkeypatch: pytest.MonkeyPatch) -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "/store/snapshots/x")
    monkeypatch.delenv("PYBUILD_ROOTLESS_UID", raising=False)
    assert explain(error).split("\n") == ["error: Permission denied: /store/snapshots/x"]
    monkeypatch.setenv("PYBUILD_ROOTLESS_UID", "1000")
    assert "help: this may need root" in explain(error)
    caused = BuildError("it says itself what to do")
    caused.__cause__ = error
    assert "help:" not in explain(caused)


@pytest.mark.parametrize(
    ("flags", "variable", "traced"),
    [([], "", False), (["-D"], "", True), ([], "1", True), ([], "0", False)],
)
def test_a_traceback_for_who_asks(flags: list[str], variable: str, traced: bool, tmp_path: Path) -> None:
    done = Pybuild(tmp_path, {"PYBUILD_DEBUG": variable})(*flags, "history", "absent", code=1)
    assert ("Traceback" in done.stderr) is traced
    assert "error: image absent is not in the store" in done.stderr


def test_settings_flags_win_over_the_environment() -> None:
    assert Settings.gather({"PYBUILD_ROOT": "/env"}, root="/flag").root == Path("/flag")
    assert Settings.gather({"PYBUILD_ROOT": "/env"}).root == Path("/env")
    assert Settings.gather({"PYBUILD_ROOT": "here"}).root == Path.cwd() / "here"
    homes = {"": "/nonexistent", "~": "/nonexistent", "/home/x": "/home/x"}  # nothing of nobody's where we happen to be
    for given, home in homes.items():
        root = Settings.gather({"HOME": given, "PYBUILD_ROOTLESS_UID": "5"}).root
        assert root == Path(home, ".local/share/pybuild")
    assert Settings.gather({"NO_COLOR": "1", "FORCE_COLOR": "1"}).color is False
    assert Settings.gather({"FORCE_COLOR": "1"}).color is True
    assert Settings.gather({"FORCE_COLOR": "1"}, color=False).color is False


def test_the_facade_gives_the_rooms_own_things() -> None:
    assert pybuild.Digest is Digest
    assert set(pybuild.__all__) <= set(dir(pybuild))
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert pybuild.__version__ == project["version"]
    with pytest.raises(AttributeError, match="Nonsense"):
        _ = pybuild.Nonsense


def test_help_imports_nothing_heavy() -> None:
    heavy = {"lark", "requests", "oras", "rich", "zstandard", "isal", "sqlite3", "layers.oci", "builder", "registry"}
    heavy |= {"dataclasses", "layers.errors"}
    script = (
        "import sys; from pybuild.cli import run; run(['--help']); "
        f"print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "Build, run, store and move OCI images" in done.stdout


def test_settings_know_the_variables_of_those_without_root() -> None:
    """By name, so as not to load what sets them."""
    from pybuild import settings
    from runner import rootless

    assert (settings.OWNER, settings.STANDING) == (rootless.OWNER, rootless.STANDING)


@pytest.mark.parametrize(
    "words", [["swarm", "init"], ["buildx", "create", "--use"], ["compose", "up"], ["search", "x"]]
)
def test_commands_of_docker_that_are_not_here_say_why(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    told = capsys.readouterr().err
    assert "is not done here: " in told and told.startswith(f"error: {words[0]}")


@pytest.mark.parametrize(
    ("option", "instead"),
    [
        ("--aux-address", "--ip-range"),
        ("--config-from", "--subnet"),
        ("--config-only", "--subnet"),
        ("--ingress", "--publish"),
        ("--ipam-opt", "--ip-range"),
    ],
)
def test_options_of_docker_networks_that_are_not_here_say_why(
    option: str, instead: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["network", "create", option, "x", "back"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {option} is not done here: ") and instead in told


def test_an_option_of_another_command_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["network", "create", "--gpus", "all", "back"]) == 2
    assert "No such option" in capsys.readouterr().err


def test_no_command_is_both_here_and_absent() -> None:
    here = {*COMMANDS, *(f"{noun} {verb}" for noun, verbs in NOUNS.items() for verb in verbs)}
    assert here.isdisjoint(ABSENT)


def test_interrupted_where_nothing_can_be_raised() -> None:
    script = """
import os, signal
from pybuild.exits import conclude
signal.signal(signal.SIGINT, signal.SIG_DFL)
class Last:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
conclude(lambda: Last() and None, failure=1, debug=False)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


@pytest.mark.parametrize(
    ("error", "help"),
    [
        (OSError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u, pids.max"),
        (RuntimeError("can't start new thread"), "ulimit -u, pids.max"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (OSError(errno.ENOSPC, "No space left on device"), "standard output"),
    ],
)
def test_what_is_scarce_is_named(error: Exception, help: str) -> None:
    assert help in explain(error).partition("help: ")[2]
