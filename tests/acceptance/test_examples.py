"""Every example is built and run, pushed to a registry, and run again by other people's tools with the same output."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from runner import DEFAULT_CAPABILITIES
from tests.support.command import Pybuild
from tests.support.dockerd import Dockerd
from tests.support.examples import Example, Run, examples
from tests.support.peers import need
from tests.support.registry import RegistryServer

pytestmark = [pytest.mark.root, pytest.mark.slow]
every_example = pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
Bases = Callable[[Path], Pybuild]


def build(example: Example, bases: Bases, tag: str) -> Pybuild:
    """Build as the acceptance says: in the example's directory, by the short form of the command."""
    pybuild = bases(example.directory / "Dockerfile")
    pybuild(*example.build_flags, "-t", tag, ".", cwd=example.directory)
    return pybuild


@every_example
def test_prints_what_it_promises(example: Example, with_bases: Bases) -> None:
    pybuild = build(example, with_bases, example.name)
    said, code = "", None
    for run in example.runs:
        done = pybuild("run", *run.flags, example.name, *run.args, code=None)
        said, code = said + done.stdout, done.returncode
        if "--name" in run.flags:
            pybuild("rm", run.flags[run.flags.index("--name") + 1])
    assert said == example.expected, done.stderr
    assert code == example.exit_code, done.stderr


@every_example
def test_skopeo_umoci_and_runc_agree(
    example: Example, with_bases: Bases, registry: RegistryServer, tmp_path: Path
) -> None:
    for tool in ("skopeo", "umoci", "runc"):
        need(tool)
    reference = registry.reference(f"{example.name}:1")
    pybuild = build(example, with_bases, reference)
    pybuild("push", reference)

    seen = json.loads(tool_output("skopeo", "inspect", "--tls-verify=false", f"docker://{reference}"))
    assert seen["Os"] == "linux"
    told = json.loads(pybuild.text("inspect", reference))[0]
    assert seen["Layers"], "an image without layers prints nothing"
    assert len(seen["Layers"]) == len(told["RootFS"]["Layers"])

    layout = f"{tmp_path}/layout:1"
    tool_output("skopeo", "copy", "--src-tls-verify=false", f"docker://{reference}", f"oci:{layout}")
    said, code = "", None
    for number, run in enumerate(example.runs):
        bundle = tmp_path / f"bundle-{number}"
        tool_output("umoci", "unpack", "--image", layout, str(bundle))
        configure(bundle / "config.json", run, told["Config"])
        done = subprocess.run(
            ["runc", "--root", tmp_path / "runc", "run", "--bundle", bundle, f"{tmp_path.name}-{number}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        said, code = said + done.stdout, done.returncode
    assert said == example.expected, done.stderr
    assert code == example.exit_code, done.stderr


@every_example
def test_docker_agrees(example: Example, with_bases: Bases, registry: RegistryServer, docker: Dockerd) -> None:
    reference = registry.reference(f"for-docker/{example.name}:1")
    pybuild = build(example, with_bases, reference)
    pybuild("push", reference)
    docker.docker("pull", "--quiet", reference)
    said, code = "", None
    for run in example.runs:
        done = docker.docker("run", "--network", "none", *run.flags, reference, *run.args, check=False)
        said, code = said + done.stdout, done.returncode
    assert said == example.expected, done.stderr
    assert code == example.exit_code, done.stderr


def test_arguments_choose_another_edition(with_bases: Bases) -> None:
    example = next(one for one in examples() if one.name == "arg-variants")
    pybuild = with_bases(example.directory / "Dockerfile")
    arguments = ("--build-arg", "VARIANT=debug", "--build-arg", "VERSION=2.7", "--build-arg", "GREETING=hello")
    pybuild.build(example.directory, "-t", "arg-variants:debug", *arguments)
    said = pybuild.text("run", "--rm", "arg-variants:debug")
    assert said.splitlines() == ["hello, debug edition 2.x", "with symbols", "trace=on"]


def test_owners_set_while_copying_store_each_byte_once(with_bases: Bases) -> None:
    sizes = {}
    for name in ("chown-right", "chown-wrong"):
        example = next(one for one in examples() if one.name == name)
        pybuild = build(example, with_bases, name)
        rows = pybuild.text("history", "-H=false", "--format", "{{.Size}}", name).splitlines()
        sizes[name] = sum(int(size) for size in rows)
    ballast = (example.directory / "data/ballast").stat().st_size
    assert sizes["chown-wrong"] - sizes["chown-right"] == 3 * ballast


def test_a_crash_can_be_examined(with_bases: Bases, tmp_path: Path) -> None:
    """Run, crash, diff, copy the log out, commit, look around: what the comment of crash-config promises."""
    example = next(one for one in examples() if one.name == "crash-config")
    pybuild = build(example, with_bases, "crash-config")
    pybuild("run", "--name", "crashed", "crash-config", code=1)
    assert "A /var/log/app.log" in pybuild.text("diff", "crashed").splitlines()
    pybuild("cp", "crashed:/var/log/app.log", tmp_path / "app.log")
    assert (tmp_path / "app.log").read_text() == "app: /etc/app.conf is missing\n"
    pybuild("commit", "crashed", "post-mortem")
    shown = pybuild.text("run", "--rm", "--entrypoint", "cat", "post-mortem", "/var/log/app.log")
    assert shown == "app: /etc/app.conf is missing"
    state = json.loads(pybuild.text("inspect", "crashed"))[0]["State"]
    assert (state["ExitCode"], state["OOMKilled"], state["Running"]) == (1, False, False)
    pybuild("rm", "crashed")


def test_out_of_memory_is_said(with_bases: Bases) -> None:
    example = next(one for one in examples() if one.name == "crash-memory")
    pybuild = build(example, with_bases, "crash-memory")
    pybuild("run", "--name", "starved", "--memory", "32m", "crash-memory", code=137)
    assert json.loads(pybuild.text("inspect", "starved"))[0]["State"]["OOMKilled"] is True
    assert "Exited (137)" in pybuild.text("ps", "-a", "--filter", "name=starved")
    pybuild("rm", "starved")


def tool_output(*command: str) -> str:
    """Standard output of a tool that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def configure(file: Path, run: Run, config: dict[str, list[str] | None]) -> None:
    """Say to runc what the flags and arguments of `pybuild run` say."""
    bundle = json.loads(file.read_text(encoding="utf-8"))
    process = bundle["process"]
    process["terminal"] = False
    usual = sorted(f"CAP_{name}" for name in DEFAULT_CAPABILITIES)
    process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), usual)
    entrypoint, command = config.get("Entrypoint") or [], config.get("Cmd") or []
    flags = [flag for flag in run.flags if flag != "--rm"]
    for flag, value in zip(flags[::2], flags[1::2], strict=True):
        match flag:
            case "--entrypoint":
                entrypoint, command = [value], []
            case "-e":
                process["env"] = [*process["env"], value]
            case "-w":
                process["cwd"] = value
            case "--memory":
                limit = int(value.removesuffix("m")) << 20
                bundle["linux"]["resources"]["memory"] = {"limit": limit, "swap": limit}
            case "--name":
                pass
            case _:
                raise AssertionError(f"this test does not know how to tell runc {flag}")
    process["args"] = [*entrypoint, *(run.args or command)]
    file.write_text(json.dumps(bundle), encoding="utf-8")
