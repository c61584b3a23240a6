"""Instructions as plain data (dicts, lists, texts, numbers) and parse trees, for people and programs to look at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from builder.dockerfile.fold import LogicalLine
from builder.dockerfile.instructions import ExecForm, Heredoc, Instruction, MountFlag, ShellForm, Word
from builder.dockerfile.lalr import Node, Token, Unparseable, dockerfile
from builder.dockerfile.statement import Statement, statement
from layers.quick import fields

FORMS = {
    **dict.fromkeys(("ADD", "COPY", "VOLUME"), ("array", "words")),
    **dict.fromkeys(("CMD", "ENTRYPOINT", "RUN", "SHELL"), ("array",)),
    **dict.fromkeys(("ENV", "LABEL"), ("pairs",)),
    **dict.fromkeys(("EXPOSE", "FROM"), ("words",)),
    "ARG": ("declarations",),
    "HEALTHCHECK": ("health",),
}
"""The forms of the grammar that the arguments of an instruction are tried as, in order; text if none fits."""

_PLACE = ("span", "text", "escape", "line")


def plain(instruction: Instruction) -> dict[str, Any]:
    """`{"instruction": "COPY", "line": 3, …}` and each argument that is not at its default."""
    span = instruction.span
    found = {"instruction": type(instruction).__name__.upper(), "line": span.line, "end_line": span.end_line}
    return found | _arguments(instruction)


def _arguments(value: Any) -> dict[str, Any]:
    named = ((item.name, getattr(value, item.name), item.default) for item in fields(value) if item.name not in _PLACE)
    return {name.rstrip("_"): _plain(what) for name, what, usual in named if what != usual}


def _plain(value: Any) -> Any:
    match value:
        case Word(text=text):
            return text
        case ExecForm(args=args):
            return {"exec": list(args)}
        case ShellForm(text=text, heredocs=heredocs):
            return {"shell": text} | ({"heredocs": [_plain(heredoc) for heredoc in heredocs]} if heredocs else {})
        case Heredoc(name=name, text=text, expand=expand):
            return {"name": name, "text": text, "expand": expand}
        case MountFlag(options=options):
            return dict(options)
        case tuple():
            return [_plain(item) for item in value]
        case None | bool() | int() | str():
            return value
        case _:
            return _arguments(value)


def tree(line: LogicalLine, escape: str) -> Node:
    """The parse tree of a logical line, that of its arguments included."""
    cut = statement(line, escape)
    whole = dockerfile(escape).parse("line", line.text.lstrip())
    arguments = _argument_tree(cut)
    if arguments is None:
        return whole
    return Node("line", [child for child in whole.children if not _is_rest(child)] + [arguments])


def _argument_tree(cut: Statement) -> Node | None:
    for form in FORMS.get(cut.name, ()) if cut.rest else ():
        try:
            return cut.parse(form)
        except (Unparseable, RecursionError):
            continue
    return None


def _is_rest(child: Node | Token) -> bool:
    return isinstance(child, Token) and child.type == "REST"


def draw(node: Node | Token, depth: int = 0) -> Iterator[str]:
    """The lines of a drawn tree: rules in lower case, terminals in capitals with their text."""
    indent = "  " * depth
    if isinstance(node, Token):
        yield f"{indent}{node.type} {node.text!r}"
        return
    yield f"{indent}{node.rule}"
    for child in node.children:
        yield from draw(child, depth + 1)


def nested(node: Node | Token) -> dict[str, Any]:
    """A tree as plain data."""
    if isinstance(node, Token):
        return {"terminal": node.type, "text": node.text}
    return {"rule": node.rule, "children": [nested(child) for child in node.children]}
