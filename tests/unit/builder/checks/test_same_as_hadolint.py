"""Rules that hadolint has, too: they speak in the same lines of many Dockerfiles, under its codes."""

import json

import pytest

from builder.checks import check, every
from builder.dockerfile import parse
from tests.acceptance.checks.cases import sections
from tests.acceptance.checks.hadolint import CASES, HADOLINT

GOLD: dict[str, list[tuple[str, int]]] = {
    name: [(code, line) for code, line in said]
    for name, said in json.loads(HADOLINT.read_text(encoding="utf-8")).items()
}
DIFFERENCES = {
    "DL3002-stage": "a stage that is thrown away may be root",
    "DL3006-bad": "a port is no tag",
    "DL3007-bad": "latest is latest in every FROM",
    "DL3009-mount": "a mount over a directory above the lists keeps them out of the layer, too",
    "DL3020-good": "git repositories cannot be copied; nobody knows what a variable holds",
    "DL3021-good": "nobody knows what a variable ends with",
    "DL3044-good": "single quotes and escapes make no reference",
    "DL4006-good": "set -o pipefail does the same as SHELL",
    "DL4006-inherited": "a stage has the SHELL of the stage that it is from",
    "DL3000-bad": "relative to an absolute one is no surprise (BuildKit's WorkdirRelativePath)",
    "DL3012-bad": "one rule for all three, and it points at the one that is for nothing, as BuildKit's does",
}
KNOWN = frozenset(alias for rule in every() for alias in rule.aliases)


def said(text: str) -> list[tuple[str, int]]:
    report = check(parse(text.encode()), every(), base=lambda *_: None, every_stage=True)
    return sorted((alias, one.span.line) for one in report.findings for alias in one.rule.aliases[:1])


@pytest.mark.parametrize(("name", "text"), list(sections(CASES)), ids=lambda word: word if len(word) < 40 else "")
def test_same_codes(name: str, text: str) -> None:
    if name in DIFFERENCES:
        assert said(text) != sorted(GOLD[name]), f"{name} no longer differs: remove it from DIFFERENCES"
    else:
        assert said(text) == sorted(GOLD[name])
