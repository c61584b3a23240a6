"""Bake files as blocks and attributes, from HCL or from JSON, before anything is evaluated."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from lark import Tree
from lark.exceptions import LarkError, UnexpectedInput

from layers.quick import dataclass, field
from pybuild.bake.errors import BakeError, Place
from pybuild.bake.expressions import Node, Scope, Value, evaluate, parts, place_of, quoted, sentence, trees

KINDS = ("variable", "target", "group", "function")


@dataclass(frozen=True, slots=True)
class Expression:
    """What stands behind a `=`: asked for its value in a scope."""

    value: Callable[[Scope], Value]
    place: Place


@dataclass(frozen=True, slots=True)
class Block:
    """`kind "label" { … }`, or a whole file."""

    kind: str
    label: str
    place: Place
    attributes: dict[str, Expression] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)


def parse_hcl(content: str, file: str) -> Block:
    """A file of HCL. Raises BakeError."""
    return _body(_tree(content, file).children[0], "", "", Place(file), file)


def parse_template(body: str, file: str) -> list[Node]:
    """The parts of a template that is not in quotes. Raises BakeError."""
    pieces = re.split(r"(\$\{(?:[^{}\"]|\"(?:[^\"\\]|\\.)*\"|\{[^{}]*\})*\}|%\{[^}]*\})", body)
    safe = "".join(
        piece if at % 2 else piece.replace("\\", "\\\\").replace('"', '\\"') for at, piece in enumerate(pieces)
    )
    tree = _tree(f'x = "{safe}"', file)
    attribute = trees(tree.children[0])[0]
    return list(trees(parts(attribute)[-1])[0].children[1:-1])


def _tree(content: str, file: str) -> Tree[Any]:
    from hcl2.api import parses_to_tree

    try:
        return parses_to_tree(content)
    except UnexpectedInput as error:
        where = Place(file, max(error.line, 0), max(error.column, 0))
        raise BakeError("this is not HCL as bake files have it", where) from error
    except LarkError as error:
        raise BakeError(f"this is not HCL: {error}", Place(file)) from error


def _body(tree: Node, kind: str, label: str, place: Place, file: str) -> Block:
    found = Block(kind, label, place)
    for child in trees(tree):
        where = place_of(child, file)
        inner = parts(child)
        if child.data == "attribute":
            name = str(inner[0].children[0])
            if name in found.attributes:
                raise BakeError(f"{name} is set twice", where)
            found.attributes[name] = Expression(_later(inner[-1]), where)
        elif child.data == "block":
            words = [one for one in trees(child) if one.data != "body"]
            names = [_word(one, file) for one in words]
            found.blocks.append(_body(trees(child)[-1], names[0], names[1] if len(names) > 1 else "", where, file))
    return found


def _later(tree: Node) -> Callable[[Scope], Value]:
    return lambda scope: evaluate(tree, scope)


def _word(tree: Node, file: str) -> str:
    if tree.data == "string":
        return "".join(str(part.children[0]) for part in tree.children[1:-1])
    return str(tree.children[0])


def parse_json(content: str, file: str) -> Block:
    """A file of JSON, in HCL's reading: texts are templates. Raises BakeError."""
    try:
        value = json.loads(content)
    except json.JSONDecodeError as error:
        raise BakeError(f"this is not JSON: {error.msg}", Place(file, error.lineno, error.colno)) from error
    except RecursionError as error:
        raise BakeError("this is not JSON: it is nested too deeply", Place(file)) from error
    if not isinstance(value, dict):
        raise BakeError("a bake file is a JSON object", Place(file))
    found = Block("", "", Place(file))
    for kind, content_ in value.items():
        if kind in KINDS and isinstance(content_, dict):
            found.blocks.extend(_json_block(kind, label, inner, file) for label, inner in content_.items())
        else:
            found.attributes[kind] = _json_expression(content_, Place(file))
    return found


def _json_block(kind: str, label: str, value: Any, file: str) -> Block:
    place = Place(f"{file} ({kind} {label})")
    if kind == "function" and isinstance(value, dict):
        value = {key: f"${{{one}}}" if key == "result" and "${" not in one else one for key, one in value.items()}
    if not isinstance(value, dict):
        value = {"default": value} if kind == "variable" else value
    if not isinstance(value, dict):
        raise BakeError(f"a {kind} is a JSON object", place)
    block = Block(kind, label, place)
    for key, one in value.items():
        if kind == "variable" and key == "validation":
            checks = one if isinstance(one, list) else [one]
            block.blocks.extend(_json_block("validation", "", check, file) for check in checks)
        else:
            block.attributes[key] = _json_expression(one, place)
    return block


def _json_expression(value: Any, place: Place) -> Expression:
    def come(scope: Scope) -> Value:
        try:
            return _json_value(value, scope)
        except ValueError as error:
            raise BakeError(sentence(error), place) from error

    return Expression(come, place)


def _json_value(value: Any, scope: Scope) -> Value:
    if isinstance(value, str):
        return quoted(value, scope)
    if isinstance(value, list):
        return [_json_value(one, scope) for one in value]
    if isinstance(value, Mapping):
        return {str(_json_value(key, scope)): _json_value(one, scope) for key, one in value.items()}
    return value
