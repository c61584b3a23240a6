"""Logical lines: directives, comments, continuations, here-documents, and where each character came from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.dockerfile import parse
from builder.dockerfile.fold import LONGEST_LINE, fold


def texts(source: str) -> list[str]:
    return [line.text for line in fold(source.encode()).lines]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("FROM a\nRUN b", ["FROM a", "RUN b"]),
        ("FROM a\r\nRUN b\r\n", ["FROM a", "RUN b"]),
        ("\ufeffFROM a\n", ["FROM a"]),
        ("  FROM a  \n\t# note\nRUN b # c\n", ["FROM a", "RUN b # c"]),
        ("RUN a \\\n  b\n", ["RUN a   b"]),
        ("RUN a\\ \t\nb\n", ["RUN ab"]),
        ("RUN a\\\\\nRUN b\n", ["RUN a\\\\", "RUN b"]),
        ("RUN a \\\n# note\n\n  # note\nb\n", ["RUN a b"]),
        ("RUN a \\\n", ["RUN a"]),
        ("# escape=`\nRUN a `\nb \\\n", ["RUN a b \\"]),
        ("# ESCAPE = `  \nRUN a `\nb\n", ["RUN a b"]),
        ("# note\n# escape=`\nRUN a `\n", ["RUN a `"]),
        ("#!/bin/x\n# escape=`\nRUN a `\n", ["RUN a `"]),
        ("\n# escape=`\nRUN a `\n", ["RUN a `"]),
    ],
)
def test_lines_are_joined_as_buildkit_joins_them(source: str, expected: list[str]) -> None:
    assert texts(source) == expected


def test_directives_are_read_until_something_else_comes() -> None:
    dockerfile = parse(b"# syntax=docker/dockerfile:1\n#check=skip=all\n# note\n# escape=`\nFROM a\n")
    assert [(found.name, found.value) for found in dockerfile.directives] == [
        ("syntax", "docker/dockerfile:1"),
        ("check", "skip=all"),
    ]
    assert dockerfile.escape == "\\"
    assert dockerfile.directive("syntax") == "docker/dockerfile:1"
    assert dockerfile.directive("escape") is None


@pytest.mark.parametrize(
    ("source", "what", "line"),
    [
        ("# escape=`\n# escape=\\\nFROM a\n", "only one escape parser directive can be used", 2),
        ("# escape=x\nFROM a\n", "invalid escape token", 1),
        ("FROM a\nRUN <<E\nb\n", "unterminated heredoc", 2),
        ("FROM a\nRUN " + "x" * LONGEST_LINE + "\n", "greater than max allowed size", 2),
    ],
)
def test_what_cannot_be_folded(source: str, what: str, line: int) -> None:
    (error,) = fold(source.encode()).errors
    assert what in error.what
    assert error.span.line == line


def test_a_span_of_a_folded_line_points_into_the_file() -> None:
    (_, run) = fold(b"FROM a\n  RUN one \\\n  two\n").lines
    at = run.text.index("two")
    assert str(run.span(at, at + 3)) == "Dockerfile:3:3"
    assert run.span(at, at + 3).excerpt() == "3 |   two\n  |   ^^^"
    assert (run.span().line, run.span().column, run.span().end_line) == (2, 3, 3)


@pytest.mark.parametrize(
    ("source", "bodies"),
    [
        ("RUN <<E\na\nE\n", [("E", "a\n", True, False)]),
        ("RUN <<'E'\na\nE\n", [("E", "a\n", False, False)]),
        ('RUN <<"E F"\na\nE F\n', [("E F", "a\n", False, False)]),
        ("RUN <<-E\n\ta\n\tE\n", [("E", "\ta\n", True, True)]),
        ("RUN 3<<E cat && x <<F\na\nE\nb\nF\n", [("E", "a\n", True, False), ("F", "b\n", True, False)]),
        ("COPY <<E /x\na\r\n# kept\n\\\nE\r\n", [("E", "a\r\n# kept\n\\\n", True, False)]),
        ("ADD <<E /x\nE\n", [("E", "", True, False)]),
        ("onbuild run <<E\na\nE\n", [("E", "a\n", True, False)]),
        ('RUN <<""\n', []),
        ("RUN cat <<<x\n", []),
        ('RUN echo "<<E"\n', []),
        ("ENV a=<<E\n", []),
        ("RUN <<E cat \\\n  more\nbody\nE\n", [("E", "body\n", True, False)]),
    ],
)
def test_here_documents(source: str, bodies: list[tuple[str, str, bool, bool]]) -> None:
    source_lines = fold(source.encode())
    assert source_lines.errors == ()
    found = [(heredoc.name, heredoc.body, heredoc.expand, heredoc.chomp) for heredoc in source_lines.lines[0].heredocs]
    assert found == bodies
    assert len(source_lines.lines) == 1


def test_chomped_text_has_no_leading_tabs() -> None:
    (heredoc,) = fold(b"RUN <<-E\n\t\ta\n \tb\n\tE\n").lines[0].heredocs
    assert heredoc.text == "a\n \tb\n"
    assert heredoc.line == 2


@given(st.binary(max_size=200))
def test_folding_never_fails(data: bytes) -> None:
    source = fold(data)
    for line in source.lines:
        span = line.span()
        assert 1 <= span.line <= span.end_line <= len(source.text.lines)


@given(st.lists(st.from_regex(r"[a-z $<\"'{}=\[\],]{1,12}", fullmatch=True), min_size=1, max_size=6))
def test_folding_a_command_keeps_its_characters(parts: list[str]) -> None:
    """However a line is cut by continuations, its text is the same (an empty first piece is another matter)."""
    parts = [part if part.strip() else "x" for part in parts]
    whole = fold(("CMD " + "".join(parts)).encode()).lines[0]
    cut = fold(("CMD " + "\\\n".join(parts)).encode()).lines[0]
    assert cut.text == whole.text
    for at, char in enumerate(cut.text):
        span = cut.span(at, at + 1)
        assert span.text is not None
        assert span.text.lines[span.line - 1][span.column - 1] == char
