"""`pybuild check`, `build --check` and `build --call`: what they print, and how they end."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from layers import Store
from pybuild.cli import run
from tests.acceptance.checks.cases import GOLDEN, CheckCase, cases
from tests.support.stored import new_image, new_layer
from tests.unit.builder.checks.test_same_as_buildkit import DIFFERENCES

GOLD = json.loads(GOLDEN.read_text(encoding="utf-8"))
OFFLINE = [case for case in cases() if not case.name.startswith(("base-", "InvalidBaseImagePlatform", "targets"))]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("PYBUILD_ROOT", str(tmp_path / "store"))
    monkeypatch.setenv("NO_COLOR", "1")
    place = tmp_path / "context"
    place.mkdir()
    monkeypatch.chdir(place)

    def go(*words: str, text: str | None = None) -> tuple[int, str, str]:
        if text is not None:
            (place / "Dockerfile").write_text(text, encoding="utf-8")
        code = run(list(words))
        out, err = capsys.readouterr()
        return code, out, err

    return go


@pytest.mark.parametrize("case", OFFLINE, ids=lambda case: case.name)
def test_check_prints_what_docker_prints(case: CheckCase, call: Run) -> None:
    if case.ignore:
        Path(".dockerignore").write_text(case.ignore)
    for form in ("check", "check,format=json"):
        gold = GOLD[case.name].get(form)
        if gold is None:
            continue
        code, out, _ = call("build", f"--call={form}", *case.flags, ".", text=case.text)
        if case.name in DIFFERENCES:
            continue
        assert code == gold["code"], case.name
        if form == "check,format=json":
            assert json.loads(out)["sources"] == gold["data"]["sources"]
            assert ("buildError" in json.loads(out)) == ("buildError" in gold["data"])
        elif not gold["error"]:
            assert blocks(out) == blocks(gold["text"])


def blocks(text: str) -> list[str]:
    """The parts of a report; those of one line come in any order from BuildKit."""
    return sorted(part.strip().replace("./Dockerfile", "Dockerfile") for part in text.split("\n\n"))


@pytest.mark.parametrize("case", [case for case in cases() if "outline" in case.calls], ids=lambda case: case.name)
@pytest.mark.parametrize("what", ["outline", "targets"])
def test_outline_and_targets_are_docker_s(case: CheckCase, what: str, call: Run) -> None:
    for form in (what, f"{what},format=json"):
        gold = GOLD[case.name][form]
        if gold["code"]:
            continue  # BuildKit had no base image
        code, out, _ = call("build", f"--call={form}", *case.flags, ".", text=case.text)
        assert code == 0
        if form == what:
            assert out == gold["text"]
        else:
            found = json.loads(out)
            caches = found.pop("cache", [])
            assert found == gold["data"]
            assert [cache["id"] for cache in caches] == (["c", "/d"] if (what, case.name) == ("outline",) * 2 else [])


def test_calls_are_spelt_right_or_refused(call: Run) -> None:
    text = "FROM scratch AS X\n"
    assert call("build", "--check", ".", text=text)[0] == 1
    assert call("build", "--call=lint,ignorestatus=true", ".", text=text)[0] == 0
    for word in ("foo", "check,format=xml", "check,foo"):
        code, _, err = call("build", f"--call={word}", ".", text=text)
        assert code == 2
        assert "--call" in err


BAD = 'FROM debian as Up\nRUN sudo true\nCMD echo "%"\n'


def test_a_clean_file_is_well_and_makes_no_store(call: Run, tmp_path: Path) -> None:
    assert call("check", text='FROM debian:12\nCMD ["a"]\n') == (0, "\nCheck complete, no warnings found.\n", "")
    assert not (tmp_path / "store").exists()


def test_severities_and_what_fails(call: Run) -> None:
    code, out, _ = call("check", "--severity", "error", text=BAD)
    assert code == 1
    assert [line for line in out.splitlines() if line.startswith(("ERROR", "WARNING"))] == [
        "ERROR: Sudo (DL3004) - https://github.com/hadolint/hadolint/wiki/DL3004"
    ]
    assert call("check", "--error-on", "never")[0] == 0
    assert call("check", "--ignore", "DL3004", "--error-on", "error")[0] == 0
    assert call("check", "--ignore", "sudo", "--error-on", "error")[0] == 1  # names are names
    assert call("check", "--ignore", "all")[0] == 0


def test_rules_are_silenced_in_the_file(call: Run) -> None:
    assert call("check", text="FROM scratch\n# check=skip=Sudo // why not\nRUN sudo true\n")[0] == 0
    assert call("check", text="FROM scratch\n# hadolint ignore=DL3004,DL3003\nRUN sudo true\n")[0] == 0
    assert call("check", text="FROM scratch\n# hadolint ignore=DL3003\nRUN sudo true\n")[0] == 1
    assert call("check", text="FROM scratch\n# hadolint global ignore=DL3004\n\nRUN sudo true\n")[0] == 0
    assert call("check", text="# check=skip=DL3004\nFROM scratch\nRUN sudo true\n")[0] == 0


def test_hadolint_s_file_is_read(call: Run) -> None:
    Path(".hadolint.yaml").write_text("---\nignored:\n  - DL3004 # sudo\n  - 'DL3006'\nfailure-threshold: error\n")
    code, out, _ = call("check", text=BAD)
    assert code == 0
    assert "DL3004" not in out
    assert "FromAsCasing" in out
    Path(".hadolint.yaml").write_text("ignored: [DL3004, FromAsCasing]\noverride:\n  error:\n    - DL3001\n")
    assert "FromAsCasing" not in call("check")[1]
    for text, line in (("ignored\n", 1), ("ignored:\n  x\n", 2), ("failure-threshold: bad\n", 1)):
        Path(".hadolint.yaml").write_text(text)
        code, _, err = call("check")
        assert code == 2
        assert f".hadolint.yaml:{line}:" in err


def test_sarif_names_rules_and_places(call: Run) -> None:
    code, out, _ = call("check", "--format", "sarif", text=BAD)
    assert code == 1
    document = json.loads(out)
    assert document["version"] == "2.1.0"
    (one,) = document["runs"]
    rules = one["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for result in one["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "Dockerfile"
        assert place["region"]["startLine"] >= 1
    (change,) = next(one for one in one["results"] if one["ruleId"] == "FromAsCasing")["fixes"][0]["artifactChanges"]
    assert change["replacements"] == [
        {
            "deletedRegion": {"startLine": 1, "startColumn": 13, "endLine": 1, "endColumn": 15},
            "insertedContent": {"text": "AS"},
        }
    ]
    broken = json.loads(call("check", "--format", "sarif", text="FROM scratch\nNOPE\nNOPE\n")[1])["runs"][0]["results"]
    assert [result["locations"][0]["physicalLocation"]["region"]["startLine"] for result in broken] == [2, 3]


def test_github_s_commands_are_escaped(call: Run) -> None:
    _, out, _ = call("check", "--format", "github", text=BAD)
    assert "::error file=Dockerfile,line=2,endLine=2,title=Sudo::Do not use sudo" in out
    _, out, _ = call("check", "--format", "github", text="FROM scratch\nCMD ['a%b', 'c']\n")
    assert "title=SingleQuotedArray::['a%25b', 'c'] is no JSON array" in out


def test_errors_are_told_behind_the_findings(call: Run) -> None:
    code, out, err = call("check", text="FROM scratch as x\nEXPOSE foo\n")
    assert code == 1
    assert "FromAsCasing" in out
    assert "error: invalid containerPort: foo\n--> Dockerfile:2:1" in err
    code, out, err = call("check", text="FROM scratch\nNOPE\n")
    assert (code, out) == (1, "\n")
    assert "unknown instruction: NOPE" in err


def test_fix_mends_in_place_and_diff_shows_how(call: Run) -> None:
    text = "from debian:12 as Up\nenv A b\nCMD app --now  \nMAINTAINER me\n"
    code, out, _ = call("check", "--diff", text=text)
    assert code == 1
    assert "-env A b\n" in out
    assert "+ENV A=b\n" in out
    assert Path("Dockerfile").read_text() == text
    _, _, err = call("check", "--fix")
    assert "fixed Dockerfile:1: StageNameCasing" in err
    assert Path("Dockerfile").read_text() == (
        'FROM debian:12 AS up\nENV A=b\nCMD ["app", "--now"]  \nLABEL org.opencontainers.image.authors="me"\n'
    )
    assert call("check", "--diff")[:2] == (0, "")
    assert call("check", "--fix", text="FROM scratch\nNOPE\n")[0] == 1


def test_rules_are_listed_and_explained(call: Run) -> None:
    code, out, _ = call("check", "--list")
    assert code == 0
    assert any(line.startswith("JSONArgsRecommended") and "DL3025" in line for line in out.splitlines())
    for name in ("JSONArgsRecommended", "DL3025", "doubledlayer", "FailuresIgnored"):
        assert call("check", "--explain", name)[0] == 0
    code, _, err = call("check", "--explain", "JsonArgRecommended")
    assert code == 2
    assert "did you mean JSONArgsRecommended?" in err


def test_a_file_or_standard_input_can_be_checked(call: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "Other").write_text(BAD)
    code, out, _ = call("check", str(tmp_path / "Other"))
    assert code == 1
    assert f"{tmp_path}/Other:2\n" in out
    assert call("check", str(tmp_path / "none"))[0] == 2
    (tmp_path / "sub").mkdir()
    code, _, err = call("check", str(tmp_path / "sub"))
    assert code == 1
    assert "there is no" in err


def test_strictness_raises_what_is_passed_over(call: Run) -> None:
    text = "FROM scratch\nARG X\nCOPY a$X b /c\n"
    assert call("check", "--error-on", "never", text=text)[0] == 0
    code, out, _ = call("check", "--strict")
    assert code == 1
    assert "ERROR: EmptyValue\nARG X has no value in this build, and $X is empty\nDockerfile:3" in out
    assert "ERROR: ManyToOneFile" in out


def test_what_the_store_knows_of_a_base_counts(call: Run, tmp_path: Path) -> None:
    text = "FROM known:1 AS a\nENV A=$NOPE\nFROM unknown:1\nENV A=$NOPE B=$PATHS\n"
    undefined = [("UndefinedVar", 4)]
    assert told(call("check", "--format", "json", text=text)[1]) == undefined
    store = Store.open(tmp_path / "store")
    new_image(store, [new_layer(store, {"f": b"f"})], "known:1")
    assert told(call("check", "--format", "json", text=text)[1]) == [("UndefinedVar", 2), *undefined]
    (tmp_path / "store/format").write_text("another one")
    assert told(call("check", "--format", "json", text=text)[1])[-1:] == undefined


def told(out: str) -> list[tuple[str, int]]:
    warnings = json.loads(out)["warnings"] or []
    return [(one["ruleName"], one["location"]["ranges"][0]["start"]["line"]) for one in warnings]
