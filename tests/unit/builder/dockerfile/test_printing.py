"""What is printed reads back as the same; no bytes make the parser fail in an unforeseen way."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder import DockerfileError, DockerfileErrors, Stages
from builder.dockerfile import Dockerfile, draw, nested, parse, plain, show, show_instruction, tree
from builder.dockerfile.lalr import Node, Token

ROOT = Path(__file__).parents[4]
FILES = sorted(
    [*ROOT.glob("examples/Dockerfiles/*/Dockerfile"), *ROOT.glob("tests/acceptance/dockerfiles/*.Dockerfile")]
)

FRAGMENTS = [
    *("FROM a AS b", "RUN x \\", "  y", "# note", "# escape=`", "COPY --from=b --link a b", 'ADD ["a b", "/c"]'),
    *("ENV a=b c='d e'", "ENV k v  w", "LABEL a=\"$b ${c:-'d'}\"", "ARG a b=c", 'CMD ["a"', "ENTRYPOINT []"),
    *(
        "RUN <<E cat <<-'F'",
        "E",
        "\tF",
        'COPY <<E <<"G H" /d/',
        "G H",
        "RUN --mount=type=secret,id=a x",
        "ONBUILD RUN <<E",
    ),
    *(
        "EXPOSE 80 $P",
        "VOLUME /a",
        "WORKDIR /a b",
        "USER a",
        "STOPSIGNAL 9",
        "HEALTHCHECK --retries=1 CMD a",
        'SHELL ["a"]',
    ),
    *("MAINTAINER --x", "", " ", "\\", "`", "RUN -- --a", "COPY a\\", "\xff$", 'VOLUME ["a b", "\\ud800"]', "CMD"),
]


def parsed(data: bytes) -> Dockerfile | None:
    try:
        return parse(data)
    except DockerfileErrors as error:
        assert error.errors
        assert str(error)
        return None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_files_that_stand_in_this_repository(path: Path) -> None:
    dockerfile = parse(path.read_bytes(), str(path))
    assert parse(show(dockerfile).encode("utf-8", "surrogateescape")) == dockerfile
    stages = Stages.of(dockerfile)
    assert stages.order(stages.target(), stages.scope({"TARGETARCH": "amd64"}).get)


@given(st.lists(st.sampled_from(FRAGMENTS) | st.text("aARUN \t\r\\`'\"[],{}<-$=#:/", max_size=10), max_size=12))
@settings(max_examples=300, deadline=None)
def test_printing_and_parsing_agree(lines: list[str]) -> None:
    data = "\n".join(["FROM a", *lines]).encode("utf-8", "surrogateescape")
    if (dockerfile := parsed(data)) is None:
        return
    again = parse(show(dockerfile).encode("utf-8", "surrogateescape"))
    assert again == dockerfile
    assert show(again) == show(dockerfile)


@given(st.binary(max_size=300))
def test_bytes_are_a_dockerfile_or_its_errors(data: bytes) -> None:
    parsed(data)
    parsed(b"FROM a\nRUN " + data)


@given(
    st.sampled_from("ADD ARG CMD COPY ENV EXPOSE FROM HEALTHCHECK LABEL ONBUILD RUN SHELL VOLUME".split()), st.text()
)
def test_arguments_are_read_or_refused(name: str, text: str) -> None:
    dockerfile = parsed(f"FROM a\n{name} {text}".encode("utf-8", "surrogatepass"))
    for line, instruction in zip(dockerfile.source.lines, dockerfile.instructions, strict=True) if dockerfile else ():
        assert plain(instruction)["line"] == line.span().line
        assert list(draw(tree(line, "\\")))


def test_a_deep_array_is_no_crash() -> None:
    for depth in (100, 20000):
        dockerfile = parsed(b"FROM a\nRUN " + b"[" * depth + b"]" * depth)
        assert dockerfile is None or show_instruction(dockerfile.instructions[1]).startswith("RUN [[")


def test_a_tree_holds_every_token() -> None:
    dockerfile = parse(b"FROM a\nCOPY --link --chown=b:c x\ty /z\nENV a=1 b='2 3'\nUSER d\n")
    drawn = ["\n".join(draw(tree(line, dockerfile.escape))) for line in dockerfile.source.lines]
    assert drawn[1].split("\n") == [
        "line",
        "  KEYWORD 'COPY'",
        "  flag",
        "    FLAG '--link'",
        "  flag",
        "    FLAG '--chown'",
        "    FLAG_VALUE 'b:c'",
        "  words",
        "    WORD 'x'",
        "    WORD 'y'",
        "    WORD '/z'",
    ]
    assert drawn[3] == "line\n  KEYWORD 'USER'\n  REST 'd'"
    assert nested(Node("a", [Token("B", "c", 0)])) == {"rule": "a", "children": [{"terminal": "B", "text": "c"}]}


def test_plain_data_leaves_out_what_is_usual() -> None:
    (_, copy, run) = parse(b'FROM a\nCOPY --from=b <<E /x\n1\nE\nRUN --mount=type=tmpfs,target=/t ["a"]\n').instructions
    assert plain(copy) == {
        "instruction": "COPY",
        "line": 2,
        "end_line": 2,
        "sources": [],
        "dest": "/x",
        "files": [{"name": "E", "text": "1\n", "expand": True}],
        "from": "b",
    }
    assert plain(run)["mounts"] == [{"type": "tmpfs", "target": "/t"}]
    assert plain(run)["command"] == {"exec": ["a"]}


def test_an_error_is_a_value() -> None:
    with pytest.raises(DockerfileErrors) as caught:
        parse(b"FROM a\nRNU \x1b[31m\n")
    (error,) = caught.value.errors
    assert isinstance(error, DockerfileError)
    assert "\x1b" not in str(error)
