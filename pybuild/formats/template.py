"""Go's text/template, as far as docker's --format uses it (https://pkg.go.dev/text/template, docker's "Format output").

Values are plain: mappings, sequences, strings, numbers. A field that a mapping does not have is an error that names the
fields there are, not an empty text; what Go's types have all the same, though the JSON leaves it out, is nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lark import Tree

_TRIM_LEFT = re.compile(r"\s*\{\{- ")
_TRIM_RIGHT = re.compile(r" -\}\}\s*")
MAPS = frozenset({"Annotations", "Attributes", "Labels", "Networks", "Options", "Ports"})
"""Fields that hold names of anybody's choice: one that is not there is no mistake."""
OMITTED = {
    "State": frozenset({"Health"}),
    "Config": frozenset({"ExposedPorts", "Healthcheck", "OnBuild", "Shell", "StopSignal", "StopTimeout"}),
}
"""Fields, by what they are in, that docker's types have and its JSON leaves out when they say nothing."""
_VERB = re.compile(r"%([-+ 0]*[0-9]*(?:\.[0-9]+)?)([vsqtdfx%])")


class Template:
    """A parsed template. Raises click.UsageError for one that cannot be read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tree = _parse(text)

    def render(self, value: Any) -> str:
        """The text for one value. Raises click.UsageError for a field or function that is not there."""
        return _Run(value).text(self._tree)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names after the dots, in order: the headings of a table."""
        found = [str(tree.children[0]) for tree in self._tree.find_data("field")]
        return tuple(name.lstrip(".").rpartition(".")[2] for name in found[::-1] if name)


@cache
def _parser() -> Any:
    from lark import Lark

    return Lark(Path(__file__).with_name("template.lark").read_text(), parser="lalr", maybe_placeholders=False)


def _parse(text: str) -> Tree[Any]:
    from lark.exceptions import LarkError, UnexpectedInput

    source = _TRIM_RIGHT.sub("}}", _TRIM_LEFT.sub("{{", text))
    try:
        tree: Tree[Any] = _parser().parse(source)
        return tree
    except UnexpectedInput as error:
        raise click.UsageError(f"the template {text!r} cannot be read at column {error.column}") from error
    except LarkError as error:
        raise click.UsageError(f"the template {text!r} cannot be read: {error}") from error


class Labelled(dict[str, Any]):
    """A row of something that has labels, which `{{.Label "name"}}` asks for one by one."""

    def __init__(self, labels: Mapping[str, str], **fields: Any) -> None:
        super().__init__(**fields)
        self.labels = labels


class Folded(dict[str, Any]):
    """A JSON object whose members a template may write as Go's fields are: `.Digest` for digest."""

    def __contains__(self, name: object) -> bool:
        return self._key(name) is not None

    def __getitem__(self, name: str) -> Any:
        return super().__getitem__(self._key(name) or name)

    def _key(self, name: object) -> str | None:
        if super().__contains__(name):
            return str(name)
        return next((key for key in self if isinstance(name, str) and key.lower() == name.lower()), None)


def folded(value: Any) -> Any:
    """A JSON value with all of its objects so."""
    if isinstance(value, Mapping):
        return Folded({key: folded(item) for key, item in value.items()})
    return [folded(item) for item in value] if isinstance(value, list) else value


class _Run:
    """One rendering: the dot, the variables, the output."""

    def __init__(self, root: Any) -> None:
        self._dots = [root]
        self._variables: dict[str, Any] = {"$": root}

    def text(self, tree: Any) -> str:
        """What a node prints."""
        kind, children = tree.data, tree.children
        if kind in ("start", "nodes"):
            return "".join(self.text(child) for child in children)
        if kind == "text":
            return str(children[0])
        if kind == "show":
            return shown(self.pipeline(children[0]))
        if kind == "assign":
            self._variables[str(children[0])] = self.pipeline(children[1])
            return ""
        if kind == "branch":
            return self.text(children[1] if truth(self.pipeline(children[0])) else children[2])
        if kind == "descend":
            value = self.pipeline(children[0])
            return self._within(value, children[1]) if truth(value) else self.text(children[2])
        if kind == "each":
            return self._each(children)
        if kind == "otherwise":
            return self.text(children[0])
        return ""  # a comment, an end

    def _within(self, value: Any, nodes: Any) -> str:
        self._dots.append(value)
        try:
            return self.text(nodes)
        finally:
            self._dots.pop()

    def _each(self, children: Sequence[Any]) -> str:
        names = [str(name) for name in children[0].children] if children[0].data == "names" else []
        pipeline, nodes, tail = children[-3:]
        value = self.pipeline(pipeline)
        if value is not None and (isinstance(value, str) or not isinstance(value, Mapping | Sequence)):
            raise click.UsageError(f"the template ranges over {shown(value)!r}, which has no items")
        pairs = list(sorted(value.items()) if isinstance(value, Mapping) else enumerate(value or ()))
        if not pairs:
            return self.text(tail)
        pieces = []
        for key, item in pairs:
            if names:
                self._variables[names[-1]] = item
                if len(names) > 1:
                    self._variables[names[0]] = key
            pieces.append(self._within(item, nodes))
        return "".join(pieces)

    def pipeline(self, tree: Any) -> Any:
        """The value of commands joined by `|`."""
        value: list[Any] = []
        for command in tree.children:
            value = [self._command(command, value)]
        return value[0]

    def _command(self, tree: Any, last: list[Any]) -> Any:
        first, *rest = tree.children
        if first.data == "word" and str(first.children[0]) not in ("true", "false", "nil"):
            name = str(first.children[0])
            if (function := FUNCTIONS.get(name)) is None:
                from difflib import get_close_matches

                near = get_close_matches(name, FUNCTIONS, 1)
                raise click.UsageError(
                    f"the template calls {name!r}, which is no function"
                    + (f"; did you mean {near[0]}?" if near else "")
                )
            try:
                return function(*(self.operand(one) for one in rest), *last)
            except (TypeError, ValueError, IndexError, KeyError) as error:
                raise click.UsageError(f"the template's {name}: {error}") from error
        if first.data == "field" and str(first.children[0]) == ".Label" and isinstance(self._dots[-1], Labelled):
            names = [*(self.operand(one) for one in rest), *last]
            if len(names) == 1:
                return self._dots[-1].labels.get(str(names[0]), "")
        if rest or last:
            raise click.UsageError("the template gives arguments to something that is no function")
        return self.operand(first)

    def operand(self, tree: Any) -> Any:
        """One value."""
        kind, children = tree.data, tree.children
        if kind == "field":
            return follow(self._dots[-1], str(children[0]))
        if kind == "dot":
            return self._dots[-1]
        if kind == "variable":
            name = str(children[0])
            if name not in self._variables:
                raise click.UsageError(f"the template uses {name}, which nothing has set")
            value = self._variables[name]
            return follow(value, str(children[1])) if len(children) > 1 else value
        if kind == "string":
            try:
                return json.loads(str(children[0]), strict=False)
            except ValueError as error:
                raise click.UsageError(f"the template's text {children[0]} has an unknown escape") from error
        if kind == "raw":
            return str(children[0])[1:-1]
        if kind == "number":
            text = str(children[0])
            return float(text) if "." in text else int(text)
        if kind == "word":
            return {"true": True, "false": False, "nil": None}.get(str(children[0]))
        if kind == "member":
            return follow(self.pipeline(children[0]), str(children[1])[1:])
        return self.pipeline(tree)


def follow(value: Any, path: str) -> Any:
    """`.A.B` of a value."""
    above = ""
    for name in path.split(".")[1:]:
        if not isinstance(value, Mapping):
            raise click.UsageError(f"the template asks for .{name} of {shown(value) or 'nothing'}, which has no fields")
        if name not in value and (above in MAPS or name in OMITTED.get(above, ())):
            value, above = None, name
            continue
        if name not in value:
            from difflib import get_close_matches

            near = get_close_matches(name, value, 1) or [key for key in value if key.lower() == name.lower()]
            there = f"did you mean .{near[0]}?" if near else f"there are {', '.join(f'.{key}' for key in value)}"
            raise click.UsageError(f"the template asks for .{name}, which is not there; {there}")
        value, above = value[name], name
    return value


def truth(value: Any) -> bool:
    """Go's: false, 0, nil and what is empty are false."""
    return bool(value)


def shown(value: Any) -> str:
    """A value as Go prints it."""
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "map[" + " ".join(f"{key}:{shown(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + " ".join(shown(item) for item in value) + "]"
    return str(value)


def compact(value: Any) -> str:
    """JSON in one line; what is no text (names of files may be any bytes) is escaped in it."""
    return encoded(value, separators=(",", ":"))


def indented(value: Any) -> str:
    """The same for people."""
    return encoded(value, indent=4)


def encoded(value: Any, **form: Any) -> str:
    """JSON that is valid UTF-8 whatever is in it."""
    text = json.dumps(value, ensure_ascii=False, **form)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, **form)
    return text


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = value.get(key, "") if isinstance(value, Mapping) else value[key]  # Go: the zero value of the map
    return value


def _slice(value: Any, *bounds: int) -> Any:
    return value[slice(*bounds)] if len(bounds) > 1 else value[bounds[0] :]


def _format(pattern: str, *values: Any) -> str:
    rest = list(values)

    def one(found: re.Match[str]) -> str:
        flags, verb = found.groups()
        if verb == "%":
            return "%"
        value = rest.pop(0)
        if verb in "dfx" and not isinstance(value, int | float):
            raise ValueError(f"%{verb} is for numbers, not for {shown(value)!r}")
        if verb == "q":
            value = json.dumps(shown(value), ensure_ascii=False)
        return f"%{flags}{verb if verb in 'dfx' else 's'}" % (value if verb in "dfx" else shown(value))

    if (said := len([verb for _, verb in _VERB.findall(pattern) if verb != "%"])) != len(values):
        raise ValueError(f"{pattern!r} takes {said} values and gets {len(values)}")
    return _VERB.sub(one, pattern)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "json": compact,
    "join": lambda items, separator: separator.join(shown(item) for item in items),
    "lower": lambda text: shown(text).lower(),
    "upper": lambda text: shown(text).upper(),
    "title": lambda text: shown(text).title(),
    "split": lambda text, separator: text.split(separator),
    "pad": lambda text, left, right: " " * left + shown(text) + " " * right if text else "",
    "truncate": lambda text, length: shown(text)[:length],
    "println": lambda *items: " ".join(map(shown, items)) + "\n",
    "print": lambda *items: "".join(map(shown, items)),
    "printf": _format,
    "len": len,
    "index": _index,
    "slice": _slice,
    "not": lambda value: not truth(value),
    "and": lambda *items: next((item for item in items if not truth(item)), items[-1]),
    "or": lambda *items: next((item for item in items if truth(item)), items[-1]),
    "eq": lambda first, *others: first in others,
    "ne": lambda first, other: first != other,
    "lt": lambda first, other: first < other,
    "le": lambda first, other: first <= other,
    "gt": lambda first, other: first > other,
    "ge": lambda first, other: first >= other,
}
"""What templates may call; docker's and Go's names."""
