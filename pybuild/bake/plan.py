"""What `bake NAME…` means: targets with all they inherit, in an order in which they can be built."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from layers.quick import dataclass
from pybuild.bake.definition import Definition
from pybuild.bake.errors import BakeError
from pybuild.bake.overrides import Override, matching, overridden
from pybuild.bake.target import Target, merged, normal

LINK = "target:"


@dataclass(frozen=True, slots=True)
class Plan:
    """groups and targets as `bake --print` shows them; `linked` targets are built only for others."""

    groups: Mapping[str, Mapping[str, Any]]
    targets: Mapping[str, Target]
    linked: frozenset[str]

    def document(self) -> dict[str, Any]:
        """As buildx prints it."""
        found: dict[str, Any] = {}
        if self.groups:
            found["group"] = {name: dict(self.groups[name]) for name in sorted(self.groups)}
        found["target"] = {name: escaped(self.targets[name]) for name in sorted(self.targets)}
        return found

    def order(self) -> list[str]:
        """All targets, those that others need first."""
        done: list[str] = []

        def visit(name: str) -> None:
            if name not in done:
                for other in links(self.targets[name]):
                    visit(other)
                done.append(name)

        for name in self.targets:
            visit(name)
        return done


def escaped(value: Any) -> Any:
    """A value as a bake file says it: what looks like a template, and is none, is kept from being one."""
    if isinstance(value, dict):
        return {key: escaped(one) for key, one in value.items()}
    if isinstance(value, list):
        return [escaped(one) for one in value]
    return value.replace("${", "$${").replace("%{", "%%{") if isinstance(value, str) else value


def links(target: Mapping[str, Any]) -> list[str]:
    """The targets whose results a target reads."""
    return [place.removeprefix(LINK) for place in target.get("contexts", {}).values() if place.startswith(LINK)]


class Planner:
    """Makes the plan. Everything raises BakeError."""

    def __init__(self, definition: Definition, overrides: Sequence[Override]) -> None:
        self._definition = definition
        self._overrides = matching(overrides, list(definition.targets))
        self._whole: dict[str, Target] = {}

    def plan(self, names: Sequence[str]) -> Plan:
        """What some names of targets and groups come to."""
        names = list(dict.fromkeys(names)) or ["default"]
        targets: dict[str, Target] = {}
        groups: dict[str, Mapping[str, Any]] = {}
        for name in names:
            members, inner = self._members(name, [])
            targets.update({member: self._finished(member) for member in members})
            groups.update({one: self._definition.groups[one] for one in inner})
        asked = [name for name in names if name != "default" or name not in groups]
        if asked:
            known = list(groups.get("default", {}).get("targets", []))
            groups["default"] = {**groups.get("default", {}), "targets": list(dict.fromkeys([*known, *asked]))}
        linked: set[str] = set()
        for name in list(targets):
            self._link(name, targets, linked, [])
        if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
            for target in targets.values():
                target["args"] = {"SOURCE_DATE_EPOCH": epoch, **target.get("args", {})}
        return Plan(groups, {name: normal(target) for name, target in targets.items()}, frozenset(linked))

    def _members(self, name: str, above: Sequence[str]) -> tuple[list[str], list[str]]:
        """The targets of a name, and the groups on the way."""
        if name in above:
            return [], []
        if name not in self._definition.groups:
            if name not in self._definition.targets:
                self._missing(name)
            return [name], []
        targets, groups = [], [name]
        for member in self._definition.groups[name]["targets"]:
            if member == name:
                targets.append(name)
                continue
            inner, more = self._members(member, [*above, name])
            targets += inner
            groups += more
        return list(dict.fromkeys(targets)), groups

    def _missing(self, name: str) -> None:
        from difflib import get_close_matches

        known = [*self._definition.targets, *self._definition.groups]
        near = get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(known)) or 'none'}"
        raise BakeError(f"failed to find target {name}{hint}")

    def _finished(self, name: str) -> Target:
        found = dict(self._inherited(name, []))
        found.setdefault("context", ".")
        if not found.get("dockerfile"):
            found["dockerfile"] = "Dockerfile"
        return found

    def _inherited(self, name: str, above: Sequence[str]) -> Target:
        if name in above:
            return {}
        if name not in self._whole:
            if name not in self._definition.targets:
                self._missing(name)
            own = self._definition.targets[name]
            found: Target = {}
            for parent in own.get("inherits") or ():
                found = merged(found, self._inherited(parent, [*above, name]))
            found = merged(found, {key: value for key, value in own.items() if key != "inherits"})
            self._whole[name] = overridden(found, self._overrides.get(name, ()))
        return self._whole[name]

    def _link(self, name: str, targets: dict[str, Target], linked: set[str], above: Sequence[str]) -> None:
        for other in links(targets[name]):
            if other == name:
                raise BakeError(f"target {name} cannot link to itself")
            if other in above:
                raise BakeError(f"infinite loop from {name} to {other}")
            if other not in targets:
                targets[other] = {**self._finished(other), "output": [{"type": "cacheonly"}]}
                linked.add(other)
            self._link(other, targets, linked, [*above, name])
            mine, its = targets[name].get("platforms") or [], targets[other].get("platforms") or []
            if len(mine) > 1 and len(its) > 1 and not set(mine) <= set(its):
                raise BakeError(
                    f"target {other} can't be used by {name} because it is defined for different platforms "
                    f"{' '.join(its)} and {' '.join(mine)}"
                )
