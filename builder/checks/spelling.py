"""Rules about how things are written: letters, names of stages, comments, what is old."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from builder.checks.rule import Edit, Found
from builder.checks.subject import Subject, keyword, whole
from builder.dockerfile import Arg, From, Maintainer
from builder.span import Span

if TYPE_CHECKING:
    from builder.dockerfile import Instruction
    from builder.dockerfile.fold import LogicalLine

RESERVED = ("context", "scratch")
_AS = r"[ \t\v\f\r\n]([aA][sS])[ \t\v\f\r\n]+(\S+)[ \t\v\f\r\n]*$"


def consistent(word: str) -> bool:
    """Whether a word is all in capitals or all in small letters."""
    return word in (word.lower(), word.upper())


def keyword_span(line: LogicalLine, word: str) -> Span:
    """Where the name of an instruction stands."""
    start = len(line.text) - len(line.text.lstrip())
    return line.span(start, start + len(word))


def stage_name_casing(subject: Subject) -> Iterator[Found]:
    """`FROM x AS Builder`"""
    for instruction, line in subject.pairs():
        if isinstance(instruction, From) and (name := instruction.name or "") != name.lower():
            found = re.search(_AS, line.text)
            edits = (Edit(line.span(found.start(2), found.end(2)), name.lower()),) if found else ()
            yield Found(f"Stage name '{name}' should be lowercase", whole(line), edits)


def from_as_casing(subject: Subject) -> Iterator[Found]:
    """`FROM x as y`"""
    for instruction, line in subject.pairs():
        if not isinstance(instruction, From) or not (found := re.search(_AS, line.text)):
            continue
        word, as_ = keyword(instruction), found[1]
        if consistent(word) and as_ != (wanted := "as" if word.islower() else "AS"):
            edit = Edit(line.span(found.start(1), found.end(1)), wanted)
            yield Found(f"'{as_}' and '{word}' keywords' casing do not match", whole(line), (edit,))


def no_empty_continuation(subject: Subject) -> Iterator[Found]:
    """A `\\`, and then a line of nothing."""
    for line in subject.lines:
        if line.blanks:
            end = line.span()
            last = end.end_line
            text = subject.dockerfile.source.text
            edits = tuple(Edit(Span(number, 1, number + 1, 1, text), "") for number in line.blanks)
            yield Found("Empty continuation line", Span(last, 1, last, end.end_column, text), edits)


def consistent_instruction_casing(subject: Subject) -> Iterator[Found]:
    """`RUN` here and `run` there; ARGs before the first FROM do not count."""
    told: list[tuple[str, Instruction, LogicalLine]] = []
    for instruction, line in subject.pairs():
        if told or isinstance(instruction, From):
            told.append((keyword(instruction), instruction, line))
    words = [word for word, _, _ in told]
    small = sum(word.islower() for word in words) > sum(word.isupper() for word in words)
    for word, _, line in told:
        if word != (wanted := word.lower() if small else word.upper()):
            majority = "lowercase" if small else "uppercase"
            what = f"Command '{word}' should match the case of the command majority ({majority})"
            yield Found(what, whole(line), (Edit(keyword_span(line, word), wanted),))


def duplicate_stage_name(subject: Subject) -> Iterator[Found]:
    """Two stages of one name."""
    seen: set[str] = set()
    for stage in subject.stages.all:
        if stage.name and stage.name in seen:
            yield Found(f'Duplicate stage name "{stage.name}", stage names should be unique', stage.span)
        seen.add(stage.name)


def reserved_stage_name(subject: Subject) -> Iterator[Found]:
    """`FROM x AS scratch`"""
    for stage in subject.stages.all:
        if stage.name in RESERVED:
            yield Found(f'Stage name should not use the same name as reserved stage "{stage.name}"', stage.span)


def maintainer_deprecated(subject: Subject) -> Iterator[Found]:
    """`MAINTAINER me`"""
    for instruction, line in subject.pairs():
        if isinstance(instruction, Maintainer):
            yield Found(
                "Maintainer instruction is deprecated in favor of using label",
                whole(line),
                _label(instruction, line, subject.dockerfile.escape),
            )


def _label(instruction: Maintainer, line: LogicalLine, escape: str) -> tuple[Edit, ...]:
    """The label that says the same, if the instruction stands in one line."""
    if len(line.pieces) > 1:
        return ()
    name = "label" if keyword(instruction).islower() else "LABEL"
    text = re.sub(rf'[{re.escape(escape)}"$]', lambda found: escape + found[0], instruction.name)
    return (Edit(line.span(), f'{name} org.opencontainers.image.authors="{text}"'),)


def invalid_definition_description(subject: Subject) -> Iterator[Found]:
    """A comment above ARG or a named FROM that does not begin with the name."""
    for instruction, line in subject.pairs():
        if not line.comments:
            continue
        names: list[str] = []
        if isinstance(instruction, From):
            names = [instruction.name.lower()] if instruction.name else []
        elif isinstance(instruction, Arg):
            names = [declaration.name.text for declaration in instruction.declarations]
        if names and line.comments[-1].split(" ")[0] not in names:
            kind = "FROM" if isinstance(instruction, From) else "ARG"
            name = names[0] if len(names) == 1 else "<arg_key>"
            yield Found(f"Comment for {kind} should follow the format: `# {name} <description>`", whole(line))
