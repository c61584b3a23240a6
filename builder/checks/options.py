"""`# check=skip=…;error=true;experimental=…`: which rules are heard, and whether they stop a build."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from builder.errors import BuildError
from layers.quick import dataclass, replace

if TYPE_CHECKING:
    from builder.checks.rule import Finding, Rule
    from builder.dockerfile import Dockerfile

ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"
"""The build argument that stands above the directive."""
TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_ABOVE = r"check\s*=\s*(.*?)(?:\s*//.*)?$"
_HADOLINT = r"hadolint\s+ignore\s*=\s*(.*?)(?:\s+#.*)?$"
_GLOBAL = r"\s*#\s*hadolint\s+global\s+ignore\s*=\s*(.*?)(?:\s+#.*)?$"


class CheckFailed(BuildError):
    """`error=true`, and there are findings."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        self.rules = tuple(dict.fromkeys(finding.rule.name for finding in self.findings))
        super().__init__(self.rules)

    def __str__(self) -> str:
        return f"lint violation found for rules: {', '.join(self.rules)}"


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for. `all` stands for every rule."""

    skip: frozenset[str] = frozenset()
    experimental: frozenset[str] = frozenset()
    error: bool = False

    @classmethod
    def parse(cls, text: str) -> Options:
        """Read the value of the directive. Raises BuildError, in BuildKit's words."""
        names: dict[str, frozenset[str]] = {}
        error = False
        for part in filter(None, map(str.strip, text.split(";"))):
            key, equals, value = (word.strip() for word in part.partition("="))
            if not equals:
                raise BuildError(f'failed to parse check options: invalid check option "{part}"')
            if key in ("skip", "experimental"):
                names[key] = frozenset(filter(None, map(str.strip, value.split(","))))
            elif key != "error":
                raise BuildError(f'failed to parse check options: invalid check option "{key}"')
            elif value not in TRUE | FALSE:
                raise BuildError(f'failed to parse check options: "{part}" is neither true nor false')
            else:
                error = value in TRUE
        return cls(names.get("skip", frozenset()), names.get("experimental", frozenset()), error)

    @classmethod
    def of(cls, dockerfile: Dockerfile, build_args: Mapping[str, str]) -> Options:
        """Those of one build: the build argument's, else the directive's. Raises BuildError."""
        options = cls.parse(build_args.get(ARGUMENT) or dockerfile.directive("check") or "")
        lines = (line for line in dockerfile.source.text.lines if "hadolint" in line)
        ignored = {name.strip() for line in lines if (found := re.match(_GLOBAL, line)) for name in found[1].split(",")}
        return replace(options, skip=options.skip | ignored) if ignored else options

    def hears(self, rule: Rule) -> bool:
        """Whether a rule may speak at all."""
        if named(self.skip, rule):
            return False
        return not rule.experimental or named(self.experimental, rule)


def named(names: Iterable[str], rule: Rule) -> bool:
    """Whether a rule is among the names, its own or an alias, or all are."""
    return any(name in names for name in ("all", rule.name, *rule.aliases))


def quieted(comments: Iterable[str]) -> frozenset[str]:
    """The rules that comments right above an instruction take back for it.

    They are `# check=skip=NAME // why` and `# hadolint ignore=NAME`.
    """
    found: set[str] = set()
    for comment in comments:
        if (above := re.match(_ABOVE, comment)) is not None:
            try:
                found |= Options.parse(above[1]).skip
            except BuildError:
                continue  # a comment that only looks like options
        elif (ignored := re.match(_HADOLINT, comment)) is not None:
            found |= {name.strip() for name in ignored[1].split(",")}
    return frozenset(found)
