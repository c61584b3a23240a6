"""RUN --mount in real sandboxes: what commands see, what is left of it, who has to wait, what must not leak."""

import fcntl
import io
import os
import re
import signal
import socket
import subprocess
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.command import Pybuild
from tests.support.images import read_image
from tests.support.soon import soon

pytestmark = pytest.mark.root
BASE = "FROM busybox\n"
Build = Callable[..., str]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    for name in ("a", "b.txt", "d/one", "d/two", "hidden/key", "docs/note"):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(f"{name}\n")
    (directory / ".dockerignore").write_text("hidden\ndocs/*\nDockerfile\n")
    return directory


@pytest.fixture
def build(shared_pybuild: Pybuild, context: Path) -> Build:
    """Build these lines over busybox; what was told, which has the output of the commands."""

    def run(text: str, *flags: str | Path, code: int = 0) -> str:
        (context / "Dockerfile").write_text(text if text.startswith("FROM") else BASE + text)
        done = shared_pybuild("build", "--progress", "plain", *flags, context, code=code)
        return re.sub(r"^#\d+ \d+\.\d+ ", "", done.stderr, flags=re.MULTILINE)

    return run


def last_layer(shared_pybuild: Pybuild, build: Build, tmp_path: Path, text: str, *flags: str) -> dict[str, float]:
    """The names in the last layer of a build, with their times."""
    build(text, "-o", f"type=oci,dest={tmp_path}/out.tar", *flags)
    with tarfile.open(fileobj=io.BytesIO(read_image(tmp_path / "out.tar").layers[-1])) as tar:
        return {member.name: member.mtime for member in tar}


def lines_of(told: str, mark: str) -> list[str]:
    """What commands said behind a mark."""
    return [line.removeprefix(mark) for line in told.splitlines() if line.startswith(mark)]


# -- bind --------------------------------------------------------------------------------------------


def test_only_what_is_sent_can_be_seen(build: Build) -> None:
    told = build("RUN --mount=target=/ctx cd /ctx && find . | sort | sed 's/^/- /'")
    assert lines_of(told, "- ") == [".", "./.dockerignore", "./a", "./b.txt", "./d", "./d/one", "./d/two", "./docs"]
    assert "ignores it" in build("RUN --mount=target=/k,source=hidden/key cat /k", code=1)
    told = build("RUN --mount=target=/k,source=d/ome cat /k", code=1)
    assert "did you mean d/one?" in told
    assert "Dockerfile:2:1" in told


def test_writes_are_thrown_away(build: Build, context: Path) -> None:
    stage = "FROM busybox AS s\nRUN mkdir /s && echo stage > /s/f\nFROM busybox\n"
    told = build(
        f"{stage}RUN --mount=target=/c,rw --mount=from=s,target=/s,rw echo x >> /c/a; rm -r /c/d; echo x >> /s/s/f\n"
        "RUN --mount=target=/c --mount=from=s,target=/s cat /c/a /c/d/one /s/s/f | sed 's/^/- /'; "
        "echo x >> /c/a || touch /s/x || echo - kept"
    )
    assert lines_of(told, "- ") == ["a", "d/one", "stage", "kept"]
    assert (context / "a").read_text() == "a\n"


def test_links_lead_nowhere_but_inside(build: Build, context: Path) -> None:
    """A stage's `door -> /` shows that stage, and a target through a link lands in the image, not on the host."""
    (context / "up").symlink_to("../../../../etc")
    assert '"/up": not found' in build("RUN --mount=target=/t,source=up ls /t", code=1)
    stage = "FROM busybox AS s\nRUN ln -s / /door && ln -s ../../../.. /up && echo stage > /mark\nFROM busybox\n"
    host = Path(f"/pybuild-test-{os.getpid()}")
    told = build(
        f"{stage}RUN ln -s ../../../../.. /out && ln -s / /abs\n"
        f"RUN --mount=from=s,source=door,target=/out{host} --mount=from=s,source=up/mark,target=/abs/m "
        f"cat {host}/mark /m | sed 's/^/- /'"
    )
    assert lines_of(told, "- ") == ["stage", "stage"]
    assert not host.exists()


def test_a_step_runs_again_if_what_it_sees_has_changed(build: Build, context: Path) -> None:
    text = "ARG N=1\nRUN --mount=target=/d,source=d cat /d/one | sed 's/^/- /'"
    flags = ("--build-arg", f"N={context}")
    assert lines_of(build(text, *flags), "- ") == ["d/one"]
    (context / "a").write_text("not seen\n")
    os.utime(context / "d/two", (1, 1))
    assert "CACHED" in build(text, *flags).split("RUN")[1]
    (context / "d/one").write_text("other\n")
    assert lines_of(build(text, *flags), "- ") == ["other"]


def test_stages_that_are_only_mounted_are_built_and_looked_into(build: Build) -> None:
    text = (
        "FROM scratch AS unused\nCOPY nothing /\nFROM busybox AS s\nARG V=1\n"
        "RUN echo $V > /v; echo same > /w; echo - stage $V\n"
        "FROM busybox\nRUN --mount=from=s,source=/w,target=/w cat /w | sed 's/^/- /'"
    )
    assert lines_of(build(text), "- ") == ["stage 1", "same"]
    told = build(text, "--build-arg", "V=2")
    assert lines_of(told, "- ") == ["stage 2"], "the stage ran again; what is mounted of it is the same"
    assert "not found" in build(text.replace("/w,", "/W,"), code=1)


def test_a_trigger_mounts_from_where_it_fires(build: Build, shared_pybuild: Pybuild) -> None:
    build(
        "ONBUILD RUN --mount=from=later,source=/t,target=/t --mount=source=a,target=/a cat /t /a | sed 's/^/- /'",
        "-t",
        "on",
    )
    told = build("FROM on AS first\nFROM busybox AS later\nRUN echo later > /t\nFROM first\n")
    assert lines_of(told, "- ") == ["later", "a"]


# -- what is left ------------------------------------------------------------------------------------

MOUNTS = (
    "--mount=target=/new/deep/ctx --mount=type=cache,target=/old/sub/cache --mount=type=tmpfs,target=/old/there "
    "--mount=type=secret,id=s --mount=type=secret,id=s,target=/old/s --mount=target=/old/a,source=a"
)


def test_a_run_that_only_mounts_leaves_an_empty_layer(
    shared_pybuild: Pybuild, build: Build, context: Path, tmp_path: Path
) -> None:
    before = "RUN mkdir -p /old/sub /old/there /old/other && touch -d @1000000000 /old/* /old\n"
    secret = f"--secret=id=s,src={context}/a"
    text = f"{before}RUN {MOUNTS} touch /old/there/x /old/sub/cache/x && cat /run/secrets/s /old/s /old/a"
    assert last_layer(shared_pybuild, build, tmp_path, text, secret) == {}
    text = f"{before}RUN {MOUNTS} rm -rf /old/sub /old/there /new /run; true"
    assert last_layer(shared_pybuild, build, tmp_path, text, secret) == {}
    text = f"{before}RUN {MOUNTS} chmod 0700 /old/other"
    assert last_layer(shared_pybuild, build, tmp_path, text, secret) == {"old": 1e9, "old/other": 1e9}


# -- cache -------------------------------------------------------------------------------------------


def test_a_cache_lasts_and_is_no_part_of_the_image(build: Build, tmp_path: Path) -> None:
    id = f"../../../../..{tmp_path}/escape"
    text = f"ARG N\nRUN --mount=type=cache,target=/c,id={id} echo x >> /c/log; wc -l < /c/log | sed 's/^/- /'"
    for number, expected in (("1", ["1"]), ("1", []), ("2", ["2"])):  # the second time the step is known
        assert lines_of(build(text, "--build-arg", f"N={number}"), "- ") == expected
    other = f"RUN --mount=type=cache,target=/other,id={id},sharing=locked cat /other/log | sed 's/^/- /'"
    assert lines_of(build(other), "- ") == ["x", "x"]
    assert lines_of(build(other.replace(",sharing", ",uid=7,sharing") + "; ls -nd /other"), "- ") == []
    assert not (tmp_path / "escape").exists()


def test_a_build_without_cache_begins_caches_anew_once(build: Build, tmp_path: Path) -> None:
    """As with BuildKit; but what the build itself has kept is there for its later steps."""
    step = f"RUN --mount=type=cache,target=/c,id={tmp_path} echo x >> /c/log; wc -l < /c/log | sed 's/^/- /'\n"
    for _ in range(2):
        assert lines_of(build(f"{step}{step}", "--no-cache"), "- ") == ["1", "2"]


def test_a_cache_can_begin_with_what_a_stage_has(build: Build, tmp_path: Path) -> None:
    stage = f"FROM busybox AS s\nRUN mkdir -m 0750 /s && echo {tmp_path} > /s/f && chown -R 3:4 /s\nFROM busybox\n"
    text = f"{stage}RUN --mount=type=cache,target=/c,from=s,source=s stat -c '- %a %u:%g' /c /c/f; echo more >> /c/f"
    assert lines_of(build(text), "- ") == ["750 3:4", "644 3:4"]
    assert lines_of(build(f"{text}; sed 's/^/- /' /c/f"), "- ")[2:] == [str(tmp_path), "more", "more"]
    assert "no directory" in build(text.replace("source=s", "source=s/f"), code=1)


PAIR = """FROM busybox AS one
RUN --mount=type=cache,target=/c,id={id},sharing={how} {script}
FROM busybox AS two
RUN --mount=type=cache,target=/c,id={id},sharing={how} : two; {script}
FROM busybox
RUN --mount=from=one,target=/1 --mount=from=two,target=/2 cat /1/met /2/met | sed 's/^/- /'
"""


@pytest.mark.parametrize(
    ("sharing", "patience", "met"), [("shared", 200, "2"), ("private", 6, "1"), ("locked", 6, "1")]
)
def test_two_steps_at_the_same_time(build: Build, tmp_path: Path, sharing: str, patience: int, met: str) -> None:
    """Each leaves a mark in the cache while it runs, and waits for another's, so many tenths of a second."""
    script = (
        f"n=$(mktemp /c/in.XXXXXX); for i in $(seq {patience}); do set -- /c/in.*; [ $# = 2 ] && break; sleep 0.1; "
        "done; sleep 0.5; echo $# > /met; rm $n"
    )
    told = build(PAIR.format(id=f"{tmp_path}/{sharing}", how=sharing, script=script), "--no-cache")
    assert lines_of(told, "- ") == [met, met]


def test_another_process_is_waited_for_and_that_is_said(shared_pybuild: Pybuild, build: Build, context: Path) -> None:
    mount = f"RUN --mount=type=cache,target=/c,id={context},sharing=locked"
    build(f"{mount} touch /c/mark")
    (cache,) = (path.parent.parent for path in shared_pybuild.root.glob("caches/*/data/mark"))
    (context / "Dockerfile").write_text(f"{BASE}{mount} rm /c/mark")
    command = shared_pybuild.command("build", "--progress", "plain", context)
    held = os.open(cache, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_SH)
        with subprocess.Popen(command, env=shared_pybuild.environment, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert any(f"waiting for the cache {context}" in line for line in process.stderr)
            assert (cache / "data/mark").exists()
            fcntl.flock(held, fcntl.LOCK_UN)
            process.stderr.read()
        assert process.returncode == 0
    finally:
        os.close(held)
    assert not (cache / "data/mark").exists()


def test_a_killed_build_leaves_its_cache_usable_and_no_secret(
    shared_pybuild: Pybuild, context: Path, tmp_path: Path
) -> None:
    mount = f"RUN --mount=type=cache,target=/c,id={tmp_path},sharing=locked "
    secret = "--mount=type=secret,id=word,env=WORD,target=/w --mount=target=/ctx,rw "
    (context / "Dockerfile").write_text(
        f"{BASE}{mount}{secret} cp /w /ctx/ && cat /w > /dev/null && touch /c/begun; sleep 100"
    )
    word = f"sesame-{os.urandom(8).hex()}"
    (tmp_path / "word").write_text(word)
    command = shared_pybuild.command("build", "-q", "--secret", f"id=word,src={tmp_path}/word", context)
    with subprocess.Popen(command, env=shared_pybuild.environment, stderr=subprocess.DEVNULL) as process:
        assert soon(lambda: list(shared_pybuild.root.glob("caches/*/data/begun")))
        process.send_signal(signal.SIGKILL)
    shared_pybuild("prune", "--force")  # what a command has copied elsewhere goes with all that was unfinished
    assert found(shared_pybuild.root, word) == []
    (context / "Dockerfile").write_text(f"{BASE}{mount} test -e /c/begun && touch /c/done")
    shared_pybuild("build", "-q", context, timeout=30)
    assert list(shared_pybuild.root.glob("caches/*/data/done"))


def test_caches_are_counted_and_pruned(pybuild: Pybuild, tmp_path: Path) -> None:
    pybuild.base("busybox")
    (tmp_path / "Dockerfile").write_text(
        f"{BASE}RUN --mount=type=cache,target=/c dd if=/dev/zero of=/c/x bs=1M count=3"
    )
    pybuild("build", "-q", "-t", "a", tmp_path)
    row = "{{.Type}} {{.TotalCount}} {{.Size}}"
    assert "Cache Mounts 1 3.1" in pybuild.text("system", "df", "--format", row)
    pybuild("prune", "--force")
    assert "Cache Mounts 1 3.1" in pybuild.text("system", "df", "--format", row)
    pybuild("prune", "--force", "--all")
    assert "Cache Mounts 0 0B" in pybuild.text("system", "df", "--format", row)


# -- secrets -----------------------------------------------------------------------------------------


def test_a_secret_is_nowhere_but_where_it_was_asked_for(pybuild: Pybuild, tmp_path: Path) -> None:
    pybuild.base("busybox")
    word = f"sesame-{os.urandom(8).hex()}"
    (tmp_path / "secret").write_text(word)
    (tmp_path / "Dockerfile").write_text(
        f"{BASE}RUN --mount=type=secret,id=a,required --mount=type=secret,id=a,target=/w/a,mode=0640,uid=5,gid=6 "
        "--mount=type=secret,id=b,env=B "
        "stat -c '- %a %u:%g %s' /run/secrets/a /w/a; df /w/a | grep -c tmpfs; test $(cat /w/a) = $B && echo - equal; "
        "(echo x > /w/a) 2> /dev/null || echo - readonly; sleep 0.3\n"
        "RUN ls /w /run/secrets; cat /proc/*/environ | tr '\\0' '\\n' | grep sesame; test -z $B && echo - gone\n"
        "RUN --mount=type=secret,id=a false\n"
    )
    (tmp_path / "context").mkdir()
    flags = ("--progress", "plain", "--secret", f"id=a,src={tmp_path}/secret", "--secret", "id=b,env=OPEN")
    hidden = replace(pybuild, env={**pybuild.env, "OPEN": word})
    with subprocess.Popen(
        hidden.command("build", *flags, "-f", tmp_path / "Dockerfile", tmp_path / "context"),
        env=hidden.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(re.sub(r"^#\d+ \d+\.\d+ ", "", line.strip()))
            if lines[-1] == "- equal":  # the command sleeps, and the secret is mounted
                assert found(pybuild.root, word) == []
        told = "\n".join(lines)
    assert process.returncode == 1, "the last step fails, so its file system is kept"
    assert lines_of(told, "- ") == [f"400 0:0 {len(word)}", f"640 5:6 {len(word)}", "equal", "readonly", "gone"]
    assert word not in told
    assert found(pybuild.root, word) == []
    assert "failed-" in pybuild.text("ps", "-a")


def found(folder: Path, word: str) -> list[Path]:
    """Files below a folder that hold a word, in any form that this program writes without compressing it."""
    holding = []
    for path in folder.rglob("*"):
        with suppress(OSError):  # a build makes and removes files meanwhile
            if path.is_file() and word.encode() in path.read_bytes():
                holding.append(path)
    return holding


def test_secrets_that_are_missing(build: Build) -> None:
    text = 'RUN --mount=type=secret,id=a --mount=type=secret,id=a,env=A ls /run/secrets 2>&1; echo "- $A."'
    assert lines_of(build(text), "- ") == ["."]
    told = build("RUN --mount=type=secret,id=a,required true", code=1)
    assert "--secret id=a,src=FILE" in told
    assert "Dockerfile:2:1" in told


def test_secrets_do_not_count_for_the_cache(build: Build, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("one")
    text = f"RUN --mount=type=secret,id=a,target=/s{tmp_path} cat /s{tmp_path} | sed 's/^/- /'"
    assert lines_of(build(text, "--secret", f"id=a,src={tmp_path}/s"), "- ") == ["one"]
    (tmp_path / "s").write_text("two")
    assert lines_of(build(text, "--secret", f"id=a,src={tmp_path}/s"), "- ") == []
    assert lines_of(build(text, "--no-cache", "--secret", f"id=a,src={tmp_path}/s"), "- ") == ["two"]
    (tmp_path / "s").write_bytes(b"x" * 600_000)
    assert "larger than 500 KB" in build(text, "--no-cache", "--secret", f"id=a,src={tmp_path}/s", code=1)


# -- the others --------------------------------------------------------------------------------------


def test_a_socket_of_an_agent(build: Build, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "sock"))
        agent.listen()
        told = build(
            "RUN --mount=type=ssh,id=x,mode=0640,uid=5,gid=6,required stat -c '- %F %a %u:%g %n' $SSH_AUTH_SOCK",
            f"--ssh=x={tmp_path}/sock",
        )
    assert lines_of(told, "- ") == ["socket 640 5:6 /run/buildkit/ssh_agent.0"]
    assert lines_of(build("RUN --mount=type=ssh,id=x echo - $SSH_AUTH_SOCK; ! ls $SSH_AUTH_SOCK"), "- ") == [
        "/run/buildkit/ssh_agent.0"
    ]
    assert "--ssh default" in build("RUN --mount=type=ssh,required true", code=1)


def test_a_file_system_in_memory_has_an_end(build: Build) -> None:
    told = build("RUN --mount=type=tmpfs,target=/t,size=64k dd if=/dev/zero of=/t/x 2>&1 | grep -o 'No space'; df /t")
    assert "No space" in told
    assert " 64 " in told


@pytest.mark.parametrize(
    ("flag", "what"),
    [
        ("type=bind,target=/t,bind-propagation=shared", "unexpected key 'bind-propagation'"),
        ("type=cache,target=/", "cover the whole root"),
        ("type=tmpfs,target=/proc", "must stay as they are"),
        ("type=tmpfs,target=/sys/fs", "must stay as they are"),
        ("type=tmpfs,target=/../..", "cover the whole root"),
        ("source=a,target=/tmp", "Is a directory"),
        ("source=d,target=/bin/busybox", "Not a directory"),
        ("target=/c --mount=type=tmpfs,target=/c/not-there", "Read-only file system"),
    ],
)
def test_what_is_refused(build: Build, flag: str, what: str) -> None:
    told = build(f"RUN --mount={flag} true", code=1)
    assert what in told
    assert "--> Dockerfile:2:" in told


def test_a_build_without_files_has_none_to_mount(shared_pybuild: Pybuild) -> None:
    done = shared_pybuild("build", "-", stdin=f"{BASE}RUN --mount=target=/c true", code=1)
    assert "no files to mount" in done.stderr
    shared_pybuild("build", "-q", "-", stdin=f"{BASE}RUN --mount=from=busybox,target=/c test -e /c/bin/busybox")


def test_a_mount_within_a_mount(build: Build) -> None:
    told = build(
        "RUN --mount=target=/c/d/e,source=a --mount=type=cache,target=/c/d/f --mount=type=tmpfs,target=/c "
        "find /c | sort | sed 's/^/- /'"
    )
    assert lines_of(told, "- ") == ["/c", "/c/d", "/c/d/e", "/c/d/f"]
