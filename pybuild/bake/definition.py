"""Targets, groups and variables of bake files, evaluated (buildx, "Bake file reference")."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from layers import Platform
from pybuild.bake.errors import BakeError, Place
from pybuild.bake.expressions import Scope, Value, kind, number, sentence, text, truth
from pybuild.bake.functions import call
from pybuild.bake.hcl import KINDS, Block, Expression
from pybuild.bake.target import FIELDS, Target, formed, merged, named

TYPES = ("string", "number", "bool")


class Definition:
    """All files together. Names are looked up when they are first needed, so their order does not matter.

    variables: what was given instead of defaults, besides the environment. Everything raises BakeError.
    """

    def __init__(self, files: Sequence[Block], variables: Mapping[str, str]) -> None:
        self._given = variables
        self._values: dict[str, Value] = {
            "BAKE_CMD_CONTEXT": "cwd://",
            "BAKE_LOCAL_PLATFORM": str(Platform.host()),
        }
        self._asking: list[str] = []
        self._globals: dict[str, Expression] = {}
        self._blocks: dict[str, dict[str, list[Block]]] = {name: {} for name in KINDS}
        for file in files:
            self._globals.update(file.attributes)
            for block in file.blocks:
                if block.kind not in KINDS:
                    raise BakeError(f"a bake file has no block {block.kind!r}", block.place)
                if not block.label:
                    raise BakeError(f"this {block.kind} has no name", block.place)
                self._blocks[block.kind].setdefault(block.label, []).append(block)
        self.warnings: list[str] = []
        self.targets: dict[str, Target] = {}
        self.groups: dict[str, dict[str, Any]] = {}
        self.scope = Scope("", self._variable, self._function)
        for name, blocks in self._blocks["variable"].items():
            with located(blocks[-1].place):
                self._validate(name, blocks)
        for name, blocks in self._blocks["group"].items():
            with located(blocks[-1].place):
                self._group(name, blocks)
        for name, blocks in self._blocks["target"].items():
            for block in blocks:
                with located(block.place):
                    self._target(name, block)

    def add(self, targets: Mapping[str, Target], groups: Mapping[str, dict[str, Any]]) -> None:
        """What files of another kind have; the blocks have the last word."""
        for name, target in targets.items():
            self.targets[name] = merged(target, self.targets.get(name, {}))
        for name, group in groups.items():
            self.groups.setdefault(name, group)

    def variables(self) -> list[dict[str, Any]]:
        """All variables with their values, as `--list=variables` shows them."""
        found = []
        for name, blocks in sorted(self._blocks["variable"].items()):
            value = self._variable(name, blocks[0].place)
            shown = {"name": name}
            if (wanted := _attribute(blocks, "type")) is not None:
                shown["type"] = self._type(wanted)
            if (about := _attribute(blocks, "description")) is not None:
                shown["description"] = text(about.value(self.scope))
            if value is not None:
                shown["value"] = text(value) if not isinstance(value, list | dict) else call("jsonencode", [value])
            found.append(shown)
        return found

    # -- names -----------------------------------------------------------------------------------

    def _variable(self, name: str, place: Place) -> Value:
        if name in self._values:
            return self._values[name]
        if name == "target":
            return Targets(self)
        if name in self._asking:
            raise BakeError(f"{name} needs itself: {' → '.join([*self._asking, name])}", place)
        self._asking.append(name)
        try:
            value = self._found(name, place)
        finally:
            self._asking.pop()
        self._values[name] = value
        return value

    def _found(self, name: str, place: Place) -> Value:
        blocks = self._blocks["variable"].get(name)
        if blocks is None:
            if name in self._globals:
                return self._globals[name].value(self._at(self._globals[name].place))
            from difflib import get_close_matches

            near = get_close_matches(name, [*self._blocks["variable"], *self._globals], 1)
            raise BakeError(f"there is no variable {name!r}" + (f"; did you mean {near[0]}?" if near else ""), place)
        default = _attribute(blocks, "default")
        value = None if default is None else default.value(self._at(default.place))
        given = self._given.get(name, os.environ.get(name))
        wanted = _attribute(blocks, "type")
        declared = "" if wanted is None else self._type(wanted)
        if given is None:
            return value if default is not None or declared else ""
        try:
            return read(given, value, declared)
        except ValueError as error:
            raise BakeError(f"variable {name}: {error}", blocks[0].place) from error

    def _type(self, wanted: Expression) -> str:
        """A type's name: types are words that are no variables, or `list(string)`."""
        scope = Scope(wanted.place.file, lambda name, _: name, lambda name, values, _: f"{name}({_types(values)})")
        return text(wanted.value(scope))

    def _function(self, name: str, values: Sequence[Value], place: Place) -> Value:
        blocks = self._blocks["function"].get(name)
        if blocks is None:
            try:
                return call(name, values)
            except (ValueError, ArithmeticError, AttributeError) as error:
                raise BakeError(sentence(error), place) from error
        result = _attribute(blocks, "result")
        if result is None:
            raise BakeError(f"function {name} has no result", blocks[0].place)
        words = _words(_attribute(blocks, "params"))
        rest = _words(_attribute(blocks, "variadic_params") or _attribute(blocks, "variadic_param"))
        if len(values) < len(words) or (len(values) > len(words) and not rest):
            raise BakeError(f"function {name} takes {len(words)} values, not {len(values)}", place)
        if name in self._asking:
            raise BakeError(f"function {name} calls itself", place)
        own = dict(zip(words, values, strict=False))
        if rest:
            own[rest[0]] = list(values[len(words) :])
        self._asking.append(name)
        try:
            return result.value(self._at(result.place).within(own))
        finally:
            self._asking.pop()

    def _at(self, place: Place) -> Scope:
        return Scope(place.file, self._variable, self._function)

    # -- blocks ----------------------------------------------------------------------------------

    def _validate(self, name: str, blocks: Sequence[Block]) -> None:
        value = self._variable(name, blocks[0].place)
        for check in (inner for block in blocks for inner in block.blocks if inner.kind == "validation"):
            condition = check.attributes.get("condition")
            if condition is None:
                raise BakeError("a validation has a condition", check.place)
            scope = self._at(condition.place)
            try:
                good = truth(condition.value(scope.within({name: value})))
            except ValueError as error:
                raise BakeError(str(error), condition.place) from error
            if not good:
                told = check.attributes.get("error_message")
                message = text(told.value(scope)) if told is not None else "its value is not valid"
                raise BakeError(f"variable {name}: {message}", check.place)

    def _group(self, name: str, blocks: Sequence[Block]) -> None:
        targets: list[str] = []
        found: dict[str, Any] = {}
        for block in blocks[-1:]:
            for key, expression in block.attributes.items():
                value = expression.value(self._at(expression.place))
                if key == "targets":
                    if not isinstance(value, list):
                        raise BakeError("targets is a list", expression.place)
                    targets += map(text, value)
                elif key == "description":
                    found["description"] = text(value)
                elif key != "name":
                    raise BakeError(f"a group has no {key!r}", expression.place)
        self.groups[self._name(name, blocks[0].place)] = {**found, "targets": list(dict.fromkeys(targets))}

    def _name(self, name: str, place: Place) -> str:
        try:
            return named(name)
        except ValueError as error:
            raise BakeError(str(error), place) from error

    def _target(self, name: str, block: Block) -> None:
        self._name(name, block.place)
        matrix = block.attributes.get("matrix")
        if matrix is None:
            if "name" in block.attributes and text(block.attributes["name"].value(self._at(block.place))) != name:
                raise BakeError(f"target {name}: name is for targets with a matrix", block.place)
            self.targets[name] = merged(self.targets.get(name, {}), self._said(block, self._at(block.place)))
            return
        axes = matrix.value(self._at(matrix.place))
        if not isinstance(axes, dict) or not all(isinstance(one, list) for one in axes.values()):
            raise BakeError("a matrix is an object of lists", matrix.place)
        label = block.attributes.get("name")
        members: list[str] = []
        for choice in itertools.product(*(axes[key] for key in sorted(axes))):
            scope = self._at(block.place).within(dict(zip(sorted(axes), choice, strict=True)))
            member = self._name(name if label is None else text(label.value(scope)), block.place)
            if member in members:
                raise BakeError(f"two targets of the matrix have the name {member}", block.place)
            members.append(member)
            self.targets[member] = merged(self.targets.get(member, {}), self._said(block, scope))
        known = self.groups.setdefault(name, {"targets": []})
        known["targets"] = list(dict.fromkeys([*known["targets"], *members]))

    def _said(self, block: Block, scope: Scope) -> Target:
        found: Target = {}
        for field, expression in block.attributes.items():
            if field in ("name", "matrix"):
                continue
            if field not in FIELDS:
                from difflib import get_close_matches

                near = get_close_matches(field, FIELDS, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                self.warnings.append(f"{expression.place}: target {block.label}: {field!r} is passed over{hint}")
                continue
            try:
                value = expression.value(scope)
                if field == "inherits" and not isinstance(value, list):
                    raise ValueError("inherits is a list")
                found[field] = list(map(text, value)) if field == "inherits" else formed(field, value)
            except (ValueError, TypeError) as error:
                raise BakeError(f"target {block.label}: {error}", expression.place) from error
        if block.blocks:
            raise BakeError(f"a target has no block {block.blocks[0].kind!r}", block.blocks[0].place)
        return found

    def field(self, target: str, name: str) -> Value:
        """What `target.NAME.FIELD` comes to. Raises LookupError."""
        for block in reversed(self._blocks["target"].get(target, ())):
            if name in block.attributes:
                asked = f"target.{target}.{name}"
                if asked in self._asking:
                    raise BakeError(f"{asked} needs itself", block.attributes[name].place)
                self._asking.append(asked)
                try:
                    return block.attributes[name].value(self._at(block.place))
                finally:
                    self._asking.pop()
        raise KeyError(f"target.{target}.{name}")


@contextmanager
def located(place: Place) -> Iterator[None]:
    """What is wrong with a value inside becomes a BakeError there."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise BakeError(sentence(error), place) from error


class Targets(dict[str, Any]):
    """The word `target` of an expression: `target.NAME.FIELD`."""

    def __init__(self, definition: Definition) -> None:
        super().__init__()
        self.definition = definition

    def __getitem__(self, name: str) -> Value:
        return Fields(self.definition, name)


class Fields(dict[str, Any]):
    """`target.NAME`: its fields as they are written there."""

    def __init__(self, definition: Definition, name: str) -> None:
        super().__init__()
        self.definition = definition
        self.name = name

    def __getitem__(self, field: str) -> Value:
        return self.definition.field(self.name, field)


def _attribute(blocks: Sequence[Block], name: str) -> Expression | None:
    """What was said last."""
    return next((block.attributes[name] for block in reversed(blocks) if name in block.attributes), None)


def _types(values: Sequence[Value]) -> str:
    return ", ".join(one if isinstance(one, str) else "…" for one in values)


def _words(expression: Expression | None) -> list[str]:
    """Names that are written as if they were variables: `params = [a, b]`."""
    if expression is None:
        return []
    value = expression.value(Scope(expression.place.file, lambda name, _: name, lambda name, values, _: name))
    return [text(one) for one in (value if isinstance(value, list) else [value])]


def read(given: str, default: Value, declared: str) -> Value:
    """A variable from the environment, as its type or that of its default wants it. Raises ValueError."""
    wanted = declared or kind(default)
    if wanted == "bool":
        if given.lower() in ("1", "t", "true"):
            return True
        if given.lower() in ("0", "f", "false"):
            return False
        raise ValueError(f"{given!r} is neither true nor false")
    if wanted == "number":
        return number(float(given))
    if wanted in ("string", "null", "any"):
        return given
    import json

    try:
        value = json.loads(given)
    except json.JSONDecodeError as error:
        if wanted.startswith(("list", "set")) and "(string)" in wanted:
            return given.split(",")
        raise ValueError(f"{given!r} is no JSON, which a {wanted} from the environment is: {error}") from error
    return value
