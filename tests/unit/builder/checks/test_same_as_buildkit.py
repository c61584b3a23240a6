"""Every rule of BuildKit's on many Dockerfiles: the same names, words and lines as BuildKit says."""

import json
from typing import Any

import pytest

from builder import BuildError, DockerfileErrors
from builder.checks import check
from builder.checks.rules import BUILDKIT
from builder.contexts.ignore import Ignore
from builder.dockerfile import parse
from builder.graph import BaseImage
from builder.span import Span
from layers import Descriptor, ImageConfig, Manifest, Platform, Reference, ReferenceInvalid
from tests.acceptance.checks.cases import GOLDEN, CheckCase, cases

Said = tuple[str, str, str, str, int, int]

# What newer versions of BuildKit changed since the one that was asked, and where we differ on purpose.
NEWER = "names with FILE or VERSION are no secrets since BuildKit 0.26"
DIFFERENCES = {
    "SecretsUsedInArgOrEnv-allowed": NEWER,
    "CopyIgnoredFile-negated": "nothing is said if .dockerignore takes something back",
    "CopyIgnoredFile-parts": "paths are told clean",
}
GOLD: dict[str, dict[str, Any]] = json.loads(GOLDEN.read_text(encoding="utf-8"))


def theirs(case: CheckCase) -> list[Said]:
    warnings = GOLD[case.name]["check,format=json"]["data"]["warnings"] or []
    return sorted(
        (
            warning["ruleName"],
            warning["detail"],
            warning["description"],
            warning.get("url", ""),
            warning["location"]["ranges"][0]["start"]["line"],
            warning["location"]["ranges"][-1]["end"]["line"],
        )
        for warning in warnings
    )


def base(name: str, platform: Platform, span: Span) -> BaseImage | None:
    try:
        reference = Reference.parse(name)
    except ReferenceInvalid:
        return None
    architecture = "arm64" if "/wrong:" in name else "amd64"
    runtime = {"Env": ["FROM_BASE=1"]} if not name.startswith("shelled") else {"Shell": ["/bin/bash", "-c"]}
    config = ImageConfig.parse(
        json.dumps(
            {
                "os": "linux",
                "architecture": architecture,
                "config": runtime,
                "rootfs": {"type": "layers", "diff_ids": []},
            }
        ).encode()
    )
    target = Descriptor.of(config.raw, "application/vnd.oci.image.config.v1+json")
    return BaseImage(reference, target, Manifest.build(target, ()), config, True)


def ours(case: CheckCase) -> list[Said]:
    dockerfile = parse(case.text.encode())
    report = check(
        dockerfile,
        BUILDKIT,
        base=base,
        target=case.target,
        every_stage=True,
        build_args=dict(word.split("=", 1) for word in case.args),
        platform=Platform.parse("linux/amd64"),
        ignore=lambda: Ignore.parse(case.ignore.encode()) if case.ignore else None,
    )
    return sorted(
        (one.rule.name, one.message, one.rule.description, one.rule.url, one.span.line, one.span.end_line)
        for one in report.findings
    )


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_same_findings(case: CheckCase) -> None:
    try:
        found = ours(case)
    except (DockerfileErrors, BuildError):
        assert "buildError" in GOLD[case.name]["check,format=json"]["data"]
        return
    if "buildError" in GOLD[case.name]["check,format=json"]["data"]:  # which ended it
        assert set(found) >= set(theirs(case))
    elif case.name in DIFFERENCES:
        assert found != theirs(case), f"{case.name} no longer differs: remove it from DIFFERENCES"
    else:
        assert found == theirs(case)


def test_three_cases_a_rule() -> None:
    names = [case.name.partition("-")[0] for case in cases()]
    assert {rule.name for rule in BUILDKIT if names.count(rule.name) < 3} == set()
