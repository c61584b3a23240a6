"""What is read without the grammar is read as the grammar reads it: instructions, places, values and errors."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.dockerfile import Env, Label, expand, expansion, parse, statement
from builder.dockerfile.suggest import distance
from builder.errors import DockerfileError, DockerfileErrors

NEVER = re.compile(r"(?!)")
PARTS = st.sampled_from(
    [
        *("a", "b=c", "=", '"', "'", "\\", "`", "$A", "${B:-x}", "${", " ", "  ", "\t", "\x0b", "\x85", "\xa0", "é"),
        *("--", "--x=y", "-", ".", "#", "}", "[", '"a b"', "'a b'", '"$A"', "'$A'", "k=v", 'K="v w"', "x.y-z=1"),
    ]
)
LINES = st.tuples(
    st.sampled_from(["ENV", "LABEL", "env", "ARG", "USER", "WORKDIR", "EXPOSE", "RUN", "COPY", "HEALTHCHECK"]),
    st.sampled_from([" ", "  ", "\t", "\x0c", ""]),
    st.lists(PARTS, max_size=9).map("".join),
).map("".join)


def read(data: bytes) -> Any:
    """The instructions with their places, and what their pairs stand for; or the errors."""
    expansion._parsed.cache_clear()
    try:
        instructions = parse(data).instructions
    except DockerfileErrors as errors:
        return str(errors)
    found: list[Any] = [repr(instructions)]
    for instruction in instructions:
        pairs = instruction.pairs if isinstance(instruction, Env | Label) else ()
        for word in (word for pair in pairs for word in (pair.key, pair.value)):
            try:
                found.append(expand(word, {"A": "1", "B": ""}.get))
            except DockerfileError as error:
                found.append(str(error))
    return found


@given(LINES, st.booleans())
def test_short_cuts_change_nothing(line: str, backtick: bool) -> None:
    data = f"{'# escape=`' if backtick else '# syntax=x'}\nFROM scratch\n{line}\n".encode()
    short = read(data)
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((statement, "_FLAGLESS"), (statement, "_PAIR"), (expansion, "_LITERAL")):
            patch.setattr(module, name, NEVER)
        assert read(data) == short


@given(st.text("abc", max_size=7), st.text("abc", max_size=7), st.booleans())
def test_a_bounded_distance_is_the_distance_or_more_than_the_bound(left: str, right: str, swaps: bool) -> None:
    whole = distance(left, right, 99, swaps=swaps)
    assert distance(right, left, 99, swaps=swaps) == whole
    for most in (0, 1, 2):
        assert min(distance(left, right, most, swaps=swaps), most + 1) == min(whole, most + 1)


@pytest.mark.parametrize(
    ("left", "right", "swapping", "plain"),
    [("", "", 0, 0), ("abc", "abc", 0, 0), ("ab", "ba", 1, 2), ("wxyz", "xwyz", 1, 2), ("kitten", "sitting", 3, 3)],
)
def test_distances(left: str, right: str, swapping: int, plain: int) -> None:
    assert distance(left, right, 99) == swapping
    assert distance(left, right, 99, swaps=False) == plain


@pytest.mark.parametrize("line", ['RUN --x="a\\', "ENV --\\", "COPY --x='a\\", 'ARG a"\\', 'COPY {"<<E\\', "ARG \x85a"])
def test_an_escape_at_the_end_of_a_line_that_does_not_go_on_is_text(line: str) -> None:
    """In a file whose lines go on with backticks."""
    try:
        parse(f"# escape=`\nFROM scratch\n{line}\n".encode())
    except DockerfileErrors:
        pass  # never anything else
