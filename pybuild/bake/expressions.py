"""Values of HCL: what an expression of a bake file comes to (HCL native syntax specification, "Expressions").

Values are Python's: None, bool, int, float, str, list, dict. The trees are python-hcl2's parse trees.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lark import Token, Tree

from pybuild.bake.errors import BakeError, Place

Value = Any
Node = Any
DEEPEST = 200
OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": lambda a, b: a - b * int(a / b),
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)


class Scope:
    """What names mean at one place: variables and functions, the nearest first."""

    def __init__(
        self,
        file: str,
        variable: Callable[[str, Place], Value],
        function: Callable[[str, Sequence[Value], Place], Value],
        depth: int = 0,
    ) -> None:
        self.file = file
        self.variable = variable
        self.function = function
        self.depth = depth

    def within(self, values: Mapping[str, Value]) -> Scope:
        """The same with more variables."""

        def variable(name: str, place: Place) -> Value:
            return values[name] if name in values else self.variable(name, place)

        return Scope(self.file, variable, self.function, self.depth)


def number(value: float) -> int | float:
    """A number in its simplest form."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def text(value: Value) -> str:
    """A value inside of a template. Raises ValueError."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return f"{number(value)}" if not isinstance(value, float) else f"{number(value):.15g}"
    raise ValueError("null has no text" if value is None else f"a {kind(value)} is no text")


def kind(value: Value) -> str:
    """What a value is called."""
    names = {bool: "bool", int: "number", float: "number", str: "string", list: "list", dict: "object"}
    return names.get(type(value), "null")


def truth(value: Value) -> bool:
    """A condition. Raises ValueError."""
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise ValueError(f"a condition is true or false, not a {kind(value)}")


def evaluate(node: Node, scope: Scope) -> Value:
    """What a tree comes to. Raises BakeError, which says where."""
    place = place_of(node, scope.file)
    try:
        return _evaluate(node, scope, place)
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, re.error) as error:
        raise BakeError(f"{sentence(error)}", place) from error


def sentence(error: Exception) -> str:
    """An error of Python's in a word."""
    return f"{error.args[0]!r} is not there" if isinstance(error, KeyError) and error.args else str(error)


def place_of(node: Node, file: str) -> Place:
    """Where a tree begins."""
    where = node if isinstance(node, Token) else node.meta
    return Place(file, getattr(where, "line", 0) or 0, getattr(where, "column", 0) or 0)


def parts(node: Node) -> list[Node]:
    """The children without line ends and comments."""
    return [one for one in node.children if not (isinstance(one, Tree) and one.data == "new_line_or_comment")]


def trees(node: Node) -> list[Node]:
    """The children that are trees, without line ends and comments."""
    return [one for one in parts(node) if isinstance(one, Tree)]


def _evaluate(node: Node, scope: Scope, place: Place) -> Value:
    inner = trees(node)
    match node.data:
        case "expr_term":
            return evaluate(inner[0], scope)
        case "string":
            return template(node.children[1:-1], scope)
        case "template_string":
            return _unescaped(str(node.children[0])[2:-2])
        case "heredoc_template" | "heredoc_template_trim":
            return heredoc(str(node.children[0]), scope)
        case "int_lit":
            return int(node.children[0])
        case "float_lit":
            return number(float(node.children[0]))
        case "literal_value":
            return {"true": True, "false": False}.get(str(node.children[0]))
        case "identifier" | "keyword":
            return scope.variable(str(node.children[0]), place)
        case "tuple":
            return [evaluate(one, scope) for one in inner]
        case "object":
            return {_key(one, scope): evaluate(trees(one)[1], scope) for one in inner if one.data == "object_elem"}
        case "conditional":
            return evaluate(inner[1 if truth(evaluate(inner[0], scope)) else 2], scope)
        case "binary_op":
            word, right = trees(inner[1])
            return _binary(str(word.children[0]).split()[-1], evaluate(inner[0], scope), right, scope)
        case "unary_op":
            value = evaluate(inner[0], scope)
            return not truth(value) if node.children[0] == "!" else -_numeric(value)
        case "function_call":
            return _call(node, scope, place)
        case "index_expr_term" | "get_attr_expr_term":
            return step(evaluate(inner[0], scope), inner[1], scope)
        case "attr_splat_expr_term" | "full_splat_expr_term":
            found = evaluate(inner[0], scope)
            items = found if isinstance(found, list) else [] if found is None else [found]
            return [_steps(one, trees(inner[1]), scope) for one in items]
        case "for_tuple_expr":
            return [evaluate(inner[1], child) for child in _rounds(inner[0], inner[2:], scope)]
        case "for_object_expr":
            return _objects(node, inner, scope)
    raise ValueError(f"{node.data} is not understood")


def _numeric(value: Value) -> int | float:
    if isinstance(value, str):
        value = number(float(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a number is needed, not a {kind(value)}")
    return value


def _binary(word: str, left: Value, right: Node, scope: Scope) -> Value:
    if word in ("&&", "||"):
        if truth(left) != (word == "&&"):
            return truth(left)
        return truth(evaluate(right, scope))
    other = evaluate(right, scope)
    if word in ("==", "!="):
        same = left == other and (isinstance(left, bool) == isinstance(other, bool))
        return same == (word == "==")
    found = OPERATORS[word](_numeric(left), _numeric(other))
    return found if isinstance(found, bool) else number(found)


def _key(element: Node, scope: Scope) -> str:
    node = trees(element)[0]
    inner = node
    while isinstance(inner, Tree) and inner.data in ("object_elem_key", "expr_term") and len(inner.children) == 1:
        inner = inner.children[0]
    if isinstance(inner, Token):
        return str(inner)
    if inner.data in ("identifier", "keyword", "literal_value"):
        return str(inner.children[0])
    return text(evaluate(inner, scope))


def step(value: Value, node: Node, scope: Scope) -> Value:
    """`value.name`, `value[index]` or `value.0`. Raises LookupError, ValueError."""
    if node.data == "get_attr":
        key: Value = str(trees(node)[0].children[0])
    elif node.data == "short_index":
        key = int(node.children[1])
    else:
        key = evaluate(trees(node)[0], scope)
    if isinstance(value, dict):
        return value[text(key)]
    if isinstance(value, list):
        at = int(_numeric(key))
        if not 0 <= at < len(value):
            raise ValueError(f"there is no element {at}: the list has {len(value)}")
        return value[at]
    raise ValueError(f"a {kind(value)} has no {key!r}")


def _steps(value: Value, ways: Sequence[Node], scope: Scope) -> Value:
    for way in ways:
        value = step(value, way, scope)
    return value


def items(value: Value) -> Iterator[tuple[Value, Value]]:
    """Keys and values of a collection, objects by name. Raises ValueError."""
    if isinstance(value, dict):
        return iter(sorted(value.items()))
    if isinstance(value, list):
        return iter(enumerate(value))
    raise ValueError(f"for goes over lists and objects, not over a {kind(value)}")


def _rounds(intro: Node, conditions: Sequence[Node], scope: Scope) -> Iterator[Scope]:
    *names, collection = trees(intro)
    words = [str(one.children[0]) for one in names]
    for key, value in items(evaluate(collection, scope)):
        child = scope.within(dict(zip(words, (key, value) if len(words) == 2 else (value,), strict=True)))
        tests = [one for one in conditions if one.data == "for_cond"]
        if all(truth(evaluate(trees(one)[0], child)) for one in tests):
            yield child


def _objects(node: Node, inner: Sequence[Node], scope: Scope) -> dict[str, Value]:
    grouped = any(isinstance(one, Token) and one.type == "ELLIPSIS" for one in node.children)
    found: dict[str, Value] = {}
    for child in _rounds(inner[0], inner[3:], scope):
        key, value = text(evaluate(inner[1], child)), evaluate(inner[2], child)
        if grouped:
            found.setdefault(key, []).append(value)
        elif key in found:
            raise ValueError(f"two elements have the key {key!r}; add ... to keep both")
        else:
            found[key] = value
    return found


def _call(node: Node, scope: Scope, place: Place) -> Value:
    inner = trees(node)
    name = str(inner[0].children[0])
    given = inner[-1] if inner[-1].data == "arguments" else None
    if name in ("try", "can"):
        for one in trees(given) if given is not None else ():
            try:
                value = evaluate(one, scope)
                return True if name == "can" else value
            except BakeError:
                continue
        if name == "can":
            return False
        raise ValueError("no expression of try comes to a value")
    values = [] if given is None else [evaluate(one, scope) for one in trees(given)]
    if given is not None and any(isinstance(one, Token) and one.type == "ELLIPSIS" for one in given.children):
        values = [*values[:-1], *values[-1]]
    return scope.function(name, values, place)


# -- templates -------------------------------------------------------------------------------------


def _unescaped(raw: str) -> str:
    def one(found: re.Match[str]) -> str:
        word = found[1]
        if word[0] in "uU" and len(word) > 1:
            return chr(int(word[1:], 16))
        if word not in ESCAPES:
            raise ValueError(f"\\{word} is no escape of HCL")
        return ESCAPES[word]

    return ESCAPE.sub(one, raw)


def heredoc(raw: str, scope: Scope) -> str:
    """The text of a heredoc, with what its templates come to."""
    head, _, rest = raw.partition("\n")
    lines = rest.rstrip("\r\n").split("\n")[:-1]
    if head.startswith("<<-"):
        margins = [len(line) - len(line.lstrip()) for line in lines if line.strip()]
        lines = [line[min(margins, default=0) :] for line in lines]
    body = "".join(f"{line}\n" for line in lines)
    return text(quoted(body, scope))


def quoted(body: str, scope: Scope) -> Value:
    """What a template comes to that stands without quotes: in a heredoc, in JSON. Raises BakeError."""
    if "${" not in body and "%{" not in body:
        return body
    from pybuild.bake.hcl import parse_template

    return template(parse_template(body, scope.file), scope)


def template(pieces: Sequence[Node], scope: Scope) -> Value:
    """What the parts of a string come to; a lone `${}` keeps its type. Raises BakeError."""
    inside = [one.children[0] for one in pieces if isinstance(one, Tree)]
    if len(inside) == 1 and isinstance(inside[0], Tree) and inside[0].data == "interpolation":
        return evaluate(trees(inside[0])[0], scope)
    found, left = _written(inside, scope, "")
    if left:
        raise BakeError(f"{left[0].data} ends nothing", place_of(left[0], scope.file))
    return found


def _written(pieces: list[Node], scope: Scope, until: str) -> tuple[str, list[Node]]:
    """The text of the parts up to a directive that ends them, and what follows."""
    out: list[str] = []
    while pieces:
        piece, *pieces = pieces
        if isinstance(piece, Token):
            raw = str(piece)
            out.append(raw[1:] if piece.type.startswith("ESCAPED") else _unescaped(raw))
        elif piece.data == "interpolation":
            inner = trees(piece)[0]
            try:
                out.append(text(evaluate(inner, scope)))
            except ValueError as error:
                raise BakeError(str(error), place_of(inner, scope.file)) from error
        elif piece.data == "template_if_start":
            chosen = truth(evaluate(trees(piece)[0], scope))
            yes, pieces = _branch(pieces, scope, wanted=chosen)
            no = ""
            if pieces and pieces[0].data == "template_else":
                no, pieces = _branch(pieces[1:], scope, wanted=not chosen)
            out.append(yes if chosen else no)
            pieces = pieces[1:]
        elif piece.data == "template_for_start":
            *names, collection = trees(piece)
            words = [str(one.children[0]) for one in names]
            body, pieces = _cut(pieces)
            for key, value in items(evaluate(collection, scope)):
                pair = (key, value) if len(words) == 2 else (value,)
                out.append(_written(body, scope.within(dict(zip(words, pair, strict=True))), "")[0])
        else:
            return "".join(out), [piece, *pieces]
    return "".join(out), []


def _branch(pieces: list[Node], scope: Scope, *, wanted: bool) -> tuple[str, list[Node]]:
    body, rest = _cut(pieces, keep=True)
    return (_written(body, scope, "")[0] if wanted else ""), rest


def _cut(pieces: list[Node], *, keep: bool = False) -> tuple[list[Node], list[Node]]:
    """The parts inside a directive, and what follows its end (with the end, if `keep`)."""
    depth = 0
    for at, piece in enumerate(pieces):
        if isinstance(piece, Token):
            continue
        if piece.data in ("template_if_start", "template_for_start"):
            depth += 1
        elif piece.data in ("template_endif", "template_endfor", "template_else"):
            if depth == 0:
                return pieces[:at], pieces[at if keep else at + 1 :]
            depth -= piece.data != "template_else"
    raise ValueError("a directive %{ has no end")
