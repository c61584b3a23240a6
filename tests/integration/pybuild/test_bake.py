"""Bake files: what they mean, held to buildx's own printing, and what is built of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pybuild.bake.errors import BakeError
from pybuild.commands.bake import bake
from tests.support.bakes import CASES, HCL, PRINTED, setting
from tests.support.command import Pybuild

WANTED = json.loads(PRINTED.read_text())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def unordered(document: dict[str, Any]) -> dict[str, Any]:
    """Members of groups come in the order of Go's maps, which is none."""
    groups = {name: {**one, "targets": sorted(one["targets"])} for name, one in document.get("group", {}).items()}
    return {**document, "group": groups}


@pytest.mark.parametrize("name", CASES)
def test_printed_as_buildx_prints(
    name: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES[name]
    for key, value in setting(case, here).items():
        monkeypatch.setenv(key, value)
    words = ["--print", *case.args]
    if WANTED[name] is None:
        with pytest.raises(BakeError):
            bake.main(words, standalone_mode=False)
        return
    assert bake.main(words, standalone_mode=False) == 0
    assert unordered(json.loads(capsys.readouterr().out)) == unordered(WANTED[name])


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        (
            'target "default" {\n args = { A = upprr("x") }\n}\n',
            "there is no function upprr; did you mean upper?",
            "2:15",
        ),
        ('target "default" {\n tags = [nope]\n}\n', "there is no variable 'nope'", "2:10"),
        ('target "default" {\n tags = "x"\n}\n', "tags is a list", "2:2"),
        ('target "default" {\n', "this is not HCL", "2:1"),
        ('target "default" {\n args = { A = parseint("zz", 10) }\n}\n', "parseint: invalid literal", "2:15"),
        ('service "x" {}\n', "has no block 'service'", "1:1"),
        ('target "a b" {}\n', "only letters, digits", "1:1"),
        ('target "default" {\n resources = { memory = "1g" }\n}\n', "resources cannot be had here", "2:2"),
    ],
)
def test_errors_say_where(text: str, message: str, place: str, here: Path) -> None:
    (here / HCL).write_text(text)
    with pytest.raises(BakeError) as raised:
        bake.main(["--print"], standalone_mode=False)
    assert message in str(raised.value)
    assert str(raised.value).endswith(f"--> {HCL}:{place}")


def test_lists(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / HCL).write_text(
        'variable "V" { default = 3 }\ntarget "a" {\n description = "an a"\n}\ngroup "g" { targets = ["a"] }\n'
    )
    bake.main(["--list=targets"], standalone_mode=False)
    assert capsys.readouterr().out == "TARGET  DESCRIPTION\na       an a\ng       a\n"
    bake.main(["--list=type=variables,format=json", "--var", "V=4"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out) == [{"name": "V", "value": "4"}]


BUILT = """
variable "WORD" { default = "hello" }
group "default" { targets = ["app", "m"] }
target "base" {
  dockerfile-inline = "FROM scratch\\nCOPY base /base\\n"
}
target "app" {
  context = "sub"
  dockerfile = "Other"
  contexts = { below = "target:base" }
  args = { WORD = WORD }
  tags = ["baked/app:1"]
  labels = { made = "so" }
}
target "m" {
  name = "m-${v}"
  matrix = { v = ["x", "y"] }
  dockerfile-inline = "FROM scratch\\nARG V\\nLABEL v=$V\\nCOPY base /\\n"
  args = { V = v }
  tags = ["baked/m:${v}"]
  output = ["type=oci,dest=${v}.tar"]
}
target "free" {
  dockerfile-inline = "FROM scratch\\nCOPY base /\\n"
  entitlements = ["security.insecure"]
}
"""


def test_a_device_is_allowed_by_its_name_or_with_all(here: Path, pybuild: Pybuild) -> None:
    inline = 'dockerfile-inline = "FROM scratch\\nLABEL a=b\\n"'
    text = f'target "default" {{\n  {inline}\n  entitlements = ["device=vendor.example/x"]\n}}\n'
    (here / HCL).write_text(text)
    assert "add --allow device=vendor.example/x" in pybuild("bake", code=1).stderr
    assert "add --allow" in pybuild("bake", "--allow", "device=vendor.example/y", code=1).stderr
    pybuild("bake", "--allow", "device=vendor.example/x")
    pybuild("bake", "--allow", "device")


def test_built(here: Path, pybuild: Pybuild) -> None:
    (here / HCL).write_text(BUILT)
    (here / "base").write_text("of the base")
    (here / "sub").mkdir()
    (here / "sub" / "Other").write_text("FROM below\nARG WORD\nLABEL word=$WORD\nCOPY --from=below /base /again\n")
    pybuild("bake", "--metadata-file", "built.json", "--var", "WORD=hi", "--pull")
    built = json.loads((here / "built.json").read_text())
    assert sorted(built) == ["app", "base", "m-x", "m-y"]
    shown = json.loads(pybuild.text("inspect", "baked/app:1"))[0]
    assert shown["Config"]["Labels"] == {"made": "so", "word": "hi"}
    assert len(shown["RootFS"]["Layers"]) == 2
    assert built["app"]["image.name"] == "docker.io/baked/app:1"
    assert json.loads(pybuild.text("inspect", "baked/m:y"))[0]["Config"]["Labels"] == {"v": "y"}
    assert (here / "x.tar").exists() and (here / "y.tar").exists()
    refused = pybuild("bake", "free", code=1).stderr
    assert "target free wants security.insecure" in refused and "--allow security.insecure" in refused
    pybuild("bake", "free", "--allow", "security.insecure")
    (here / "sub" / "Other").write_text("FROM below\nCOPY nothing /\n")
    assert "target app of the bake file" in pybuild("bake", "app", code=1).stderr


def test_called(here: Path, pybuild: Pybuild) -> None:
    (here / HCL).write_text('target "default" {\n dockerfile-inline = "from scratch\\nCOPY a /\\nMAINTAINER x\\n"\n}\n')
    assert "MaintainerDeprecated" in pybuild("bake", "--check", code=1).stdout


MEETING = """FROM busybox AS common
RUN --mount=type=cache,target=/m,sharing=locked echo once >> /m/runs && sleep 0.2 && cp /m/runs /
FROM common
ARG ME
RUN --mount=type=cache,target=/meet touch /meet/$ME; \
    for n in $(seq 2400); do [ -e /meet/one ] && [ -e /meet/two ] && exit; sleep 0.05; done; exit 1
"""
TWO = """
group "default" { targets = ["one", "two"] }
target "one" {
  args = { ME = "one" }
  tags = ["baked/one:1"]
  network = "none"
}
target "two" {
  inherits = ["one"]
  args = { ME = "two" }
  tags = ["baked/two:1"]
}
target "bad" {
  dockerfile-inline = "FROM busybox\nRUN sleep 0.3; exit 5\n"
}
target "slow" {
  dockerfile-inline = "FROM busybox\nRUN sleep 100\n"
}
"""


@pytest.mark.root
def test_side_by_side(here: Path, pybuild: Pybuild) -> None:
    """Each waits for the other, in a place that both see; what they share runs once."""
    pybuild.base()
    (here / "Dockerfile").write_text(MEETING)
    (here / HCL).write_text(TWO)
    events = [json.loads(line) for line in pybuild("bake", "--progress", "json").stderr.splitlines()]
    stages = [step["stage"] for event in events if event["event"] == "planned" for step in event["steps"]]
    assert {stage.split()[0] for stage in stages} == {"one", "two"}
    ids = [step["id"] for event in events if event["event"] == "planned" for step in event["steps"]]
    assert sorted(ids) == list(range(1, 7))
    ended = [event["step"] for event in events if event["event"] in ("step_cached", "step_finished")]
    assert sorted(ended) == sorted(ids)
    assert [event["names"] for event in events if event["event"] == "finished"] == [["baked/one:1"], ["baked/two:1"]]
    assert pybuild.text("run", "--rm", "--network", "none", "baked/two:1", "cat", "/runs") == "once"
    assert "[two stage-1 2/2] RUN" in pybuild("bake", "--progress", "plain").stderr
    first, second = pybuild.text("bake", "--progress", "quiet").splitlines()
    assert first != second


@pytest.mark.root
def test_one_that_fails_ends_the_others(here: Path, pybuild: Pybuild) -> None:
    pybuild.base()
    (here / HCL).write_text(TWO)
    told = pybuild("bake", "--progress", "plain", "bad", "slow", code=5, timeout=60).stderr
    assert "target bad of the bake file" in told
    assert "exit code 5" in told
