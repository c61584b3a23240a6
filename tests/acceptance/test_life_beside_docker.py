"""The life cycle beside docker: the same words, the same exit codes, states and policies."""

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.support.command import Pybuild
from tests.support.dockerd import Dockerd
from tests.support.registry import RegistryServer
from tests.support.soon import soon

pytestmark = pytest.mark.root
Tool = Callable[..., CompletedProcess[str]]
LOOP = "while :; do sleep 0.05; done"
KEYS = ("Status", "Running", "Paused", "Restarting", "Dead", "ExitCode")


@pytest.fixture(scope="module")
def image(
    shared_pybuild: Pybuild, registry: RegistryServer, docker: Dockerd, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A reference that both stores know."""
    context = tmp_path_factory.mktemp("life")
    (context / "Dockerfile").write_text("FROM busybox\nHEALTHCHECK --interval=70ms --retries=3 CMD test ! -e /sick\n")
    reference = registry.reference("life-beside-docker:1")
    shared_pybuild.build(context, "-t", reference)
    shared_pybuild("push", reference)
    docker.docker("pull", "-q", reference)
    return reference


@pytest.fixture
def both(shared_pybuild: Pybuild, docker: Dockerd) -> list[Tool]:
    """docker and us, callable alike; nothing is checked."""

    def theirs(*words: str) -> CompletedProcess[str]:
        return docker.docker(*words, check=False)

    def ours(*words: str) -> CompletedProcess[str]:
        return shared_pybuild(*words, code=None)

    return [theirs, ours]


def inspected(tool: Tool, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tool("inspect", "--type", "container", name).stdout)[0]
    return found


INSPECT = (
    "{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}",
    "{{with .State.Health}}{{.Status}}{{end}}|{{if .Config.Healthcheck}}checked{{end}}|{{.Config.Labels.nobody}}",
    "{{.State.Health.Status}}",
    "{{.State.Helth}}",
    "{{range $key, $value := .Config.Labels}}{{$key}}={{$value}} {{end}}{{len .Mounts}}",
    '{{index .Config.Labels "a"}} {{json .Config.Cmd}} {{.Path}} {{.Args}} {{.Name | printf "%.3s"}}',
)
PS = (
    "{{.Names | upper}} {{.Image}} {{.Command}} {{.State}} {{.Networks}} {{.LocalVolumes}}",
    "table {{.Image}}\t{{.State}}",
    '{{.Label "b"}} {{join (split .Image "/") "|"}} {{truncate .Image 4}}{{pad .State 1 2}}{{title .State}}',
    "{{.Nobody}}",
    "{{.Names",
)


def test_templates(image: str, both: list[Tool]) -> None:
    name = f"life-{os.urandom(3).hex()}"
    flags = ("--network", "none", "--no-healthcheck", "--label", "b=2", "--label", "a=1", "-v", "/data")

    def told_by(tool: Tool) -> list[tuple[str, str, bool]]:
        tool("create", "--name", name, *flags, image, "sh", "-c", LOOP)
        done = {one: tool("inspect", "-f", one, name) for one in INSPECT}
        done |= {one: tool("ps", "-a", "-f", f"name={name}", "--format", one) for one in PS}
        tool("rm", "-v", name)
        # docker ends a line for an object that its template has failed for, too
        return [(one, said.stdout.rstrip(), said.returncode != 0) for one, said in done.items()]

    theirs, ours = map(told_by, both)
    assert [one for one in zip(ours, theirs, strict=True) if one[0] != one[1]] == []


CP = """
cp {host}/file {name}:/d/link
cp {host}/file {name}:/d/dangling
cp {host}/file {name}:/d/lost
cp {host}/file {name}:/d
cp {host}/file {name}:/d/none/
cp {host}/file/ {name}:/d
cp {host}/tree {name}:/t1
cp {host}/tree {name}:/t1
cp {host}/tree/. {name}:/t2
cp {host}/tree/ {name}:/t3
cp {host}/tree/link {name}:/t4
cp -L {host}/tree/link {name}:/t5
cp {host}/tree {name}:/d/file
cp {host}/none {name}:/
cp {name}:/d {host}/out
cp {name}:/d/. {host}/out2
cp {name}:/d/link {host}/out3
cp -L {name}:/d/link {host}/out4
cp {name}:/d/file {host}/out
cp {name}:/d/file/ {host}/out5
cp {name}:/none {host}/out
cp {name}:/d {host}/file
"""


def test_cp(image: str, both: list[Tool], tmp_path: Path) -> None:
    name = f"life-{os.urandom(3).hex()}"
    script = "mkdir /d; echo f >/d/file; ln -s file /d/link; ln -s new /d/dangling; ln -s /none/x /d/lost"
    look = ["sh", "-c", "find /d /t? | sort; grep . -r /d /t? | sort"]

    def told_by(tool: Tool, host: Path) -> list[tuple[str, object]]:
        (host / "tree/sub").mkdir(parents=True)
        (host / "file").write_text("of the host\n")
        (host / "tree/sub/inner").write_text("inner\n")
        (host / "tree/link").symlink_to("sub/inner")
        tool("run", "-d", "--network", "none", "--no-healthcheck", "--name", name, image, "sh", "-c", LOOP)
        tool("exec", name, "sh", "-c", script)
        lines = CP.strip().splitlines()
        told: list[tuple[str, object]] = [
            (line, tool(*line.format(host=host, name=name).split()).returncode) for line in lines
        ]
        told.append(("inside", tool("exec", name, *look).stdout.splitlines()))
        tool("rm", "-f", name)
        found = sorted(host.rglob("*"))
        links = {str(one.relative_to(host)): os.readlink(one) if one.is_symlink() else "" for one in found}
        texts = {str(one.relative_to(host)): one.read_text() for one in found if one.is_file()}
        return [*told, ("links", links), ("texts", texts)]

    theirs, ours = (told_by(tool, tmp_path / str(number)) for number, tool in enumerate(both))
    assert [one for one in zip(ours, theirs, strict=True) if one[0] != one[1]] == []


def test_words_codes_and_states(image: str, both: list[Tool]) -> None:
    name = f"life-{os.urandom(3).hex()}"
    start = ["run", "-d", "--network", "none", "--name"]
    script: list[list[str]] = [
        [*start, name, "--no-healthcheck", image, "sh", "-c", LOOP],
        ["start", name],
        ["rm", name],
        ["unpause", name],
        ["pause", name],
        ["pause", name],
        ["exec", name, "true"],
        ["rm", name],
        ["attach", "--no-stdin", name],
        ["unpause", name],
        ["pause", name],
        ["kill", name],
        ["kill", name],
        ["stop", name],
        ["exec", name, "true"],
        ["wait", name],
        ["top", name],
        ["restart", "-t", "0", name],
        ["rename", name, name],
        ["rename", "nobody-here", "any-body"],
        ["stop", "-t", "0", name],
        ["update", "--restart", "on-failure:2", name],
        ["stop", "nobody-here"],
        ["wait", "nobody-here"],
        ["port", name, "80"],
        ["rm", name],
        ["rm", "-f", name],
        [*start, name, image, "no-such-program"],
        ["start", name],
        ["rm", name],
        [*start, name, image, "/etc/passwd"],
        ["rm", name],
        ["run", "--rm", "--network", "none", image, "/etc"],
        ["run", "--rm", "--restart", "always", image, "true"],
        ["run", "--rm", "--network", "none", "--init", image, "sh", "-c", "kill -9 $$"],
        ["start", "-a", "nobody-here"],
        ["create", "--network", "none", "--name", name, image, "true"],
        ["kill", name],
        ["stop", name],
        ["rm", name],
    ]

    def told_by(tool: Tool) -> list[tuple[str, int, dict[str, Any] | None]]:
        told: list[tuple[str, int, dict[str, Any] | None]] = []
        for words in script:
            code = tool(*words).returncode
            done = tool("inspect", "--type", "container", name)
            state = json.loads(done.stdout)[0]["State"] if done.returncode == 0 else None
            told.append((" ".join(words), code, state and {key: state[key] for key in KEYS}))
        return told

    with ThreadPoolExecutor(2) as pool:
        theirs, ours = pool.map(told_by, both)
    assert [one for one in zip(ours, theirs, strict=True) if one[0] != one[1]] == []


def test_policies_and_counts(image: str, both: list[Tool]) -> None:
    seen = []
    for tool in both:
        name = f"life-{os.urandom(3).hex()}"
        tool("run", "-d", "--network", "none", "--name", name, "--restart", "on-failure:2", image, "sh", "-c", "exit 4")
        assert soon(lambda tool=tool, name=name: inspected(tool, name)["State"]["Status"] == "exited")  # type: ignore[misc]
        found = inspected(tool, name)
        attached = f"{name}-attached"
        words = ["run", "--network", "none", "--name", attached, "--restart", "on-failure:1", image]
        first = tool(*words, "sh", "-c", "echo x; exit 6")
        seen.append((found["RestartCount"], found["State"]["ExitCode"], found["HostConfig"]["RestartPolicy"]))
        tool("rm", "-f", name, attached)
    assert seen[1] == seen[0]
    assert (first.returncode, first.stdout) == (6, "x\n")  # ours; docker says 0 if it is slow enough to see the restart


def test_health_and_its_config(image: str, both: list[Tool]) -> None:
    seen = []
    for tool in both:
        name = f"life-{os.urandom(3).hex()}"
        tool("run", "-d", "--network", "none", "--name", name, "--health-timeout", "5s", image, "sh", "-c", LOOP)

        def status(wanted: str, tool: Tool = tool, name: str = name) -> bool:
            return soon(lambda: inspected(tool, name)["State"]["Health"]["Status"] == wanted)

        assert status("healthy")
        tool("exec", name, "touch", "/sick")
        assert status("unhealthy")
        found = inspected(tool, name)
        log = found["State"]["Health"]["Log"][-1]
        seen.append((found["Config"]["Healthcheck"], log["ExitCode"], log["Output"], sorted(log)))
        tool("rm", "-f", name)
    assert seen[1] == seen[0]


def test_events_come_in_the_same_order(image: str, both: list[Tool]) -> None:
    seen = []
    for tool in both:
        name = f"life-{os.urandom(3).hex()}"
        tool("run", "-d", "--network", "none", "--no-healthcheck", "--name", name, image, "sh", "-c", LOOP)
        for words in (["pause"], ["unpause"], ["restart", "-t", "0"], ["kill"], ["rm"]):
            tool(*words, name)
        until = str(int(time.time()) + 2)  # docker counts whole seconds
        span = ["events", "--since", "5m", "--until", until]
        words = [*span, "--filter", f"container={name}", "--format", "{{.Action}}"]
        told = tool(*words).stdout.splitlines()
        seen.append([one for one in told if one not in ("connect", "disconnect")])
    assert seen[1] == seen[0]


def test_tables_have_the_same_columns(image: str, both: list[Tool]) -> None:
    heads = []
    for tool in both:
        name = f"life-{os.urandom(3).hex()}"
        tool("run", "-d", "--network", "none", "--no-healthcheck", "--name", name, image, "sh", "-c", LOOP)
        shown = [tool(*words).stdout.splitlines()[0].split() for words in (
            ["ps"], ["top", name], ["top", name, "-o", "pid,comm"], ["stats", "--no-stream", name],
        )]  # fmt: skip
        tool("rm", "-f", name)
        heads.append(shown)
    assert heads[1] == heads[0]
