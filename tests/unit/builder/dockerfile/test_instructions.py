"""Every instruction: what it is read as, and what is wrong with it."""

import pytest

from builder import DockerfileErrors
from builder.dockerfile import (
    Add,
    Arg,
    Cmd,
    Copy,
    Declaration,
    Device,
    Entrypoint,
    Env,
    ExecForm,
    Expose,
    From,
    Healthcheck,
    Heredoc,
    Instruction,
    Label,
    Maintainer,
    MountFlag,
    OnBuild,
    Pair,
    Run,
    Shell,
    ShellForm,
    StopSignal,
    User,
    Volume,
    Word,
    Workdir,
    parse,
    parse_onbuild,
)

W = Word


def pair(key: str, value: str) -> Pair:
    return Pair(Word(key), Word(value))


GOOD: list[tuple[str, Instruction]] = [
    ("FROM a", From(W("a"))),
    ("FROM --platform=$P a:b@c AS Name", From(W("a:b@c"), W("$P"), "Name")),
    ("from a as b", From(W("a"), None, "b")),
    ("RUN a  b", Run(ShellForm("a  b"))),
    ("RUN", Run(ShellForm(""))),
    ('RUN ["a", "b c"]', Run(ExecForm(("a", "b c")))),
    (r'RUN ["\u00e9\n\"", "\ud83d\ude00"]', Run(ExecForm(('é\n"', "😀")))),
    ("RUN ['a']", Run(ShellForm("['a']"))),
    ('RUN ["a",]', Run(ShellForm('["a",]'))),
    ('RUN ["a"] # note', Run(ShellForm('["a"] # note'))),
    ("RUN -- --a", Run(ShellForm("--a"))),
    ("RUN a --mount=b", Run(ShellForm("a --mount=b"))),
    (
        "RUN --mount=type=cache,target=/c --mount=TYPE=tmpfs,dst=/t --network=none --security=insecure x",
        Run(
            ShellForm("x"),
            (MountFlag((("type", "cache"), ("target", "/c"))), MountFlag((("type", "tmpfs"), ("dst", "/t")))),
            network="none",
            security="insecure",
        ),
    ),
    ("RUN --device=name=a/b,required --device=c x", Run(ShellForm("x"), devices=(Device("a/b", True), Device("c")))),
    ("RUN <<E\nb\nE", Run(ShellForm("<<E", (Heredoc("E", "b\n"),), True))),
    ("RUN cat <<E\nb\nE", Run(ShellForm("cat <<E", (Heredoc("E", "b\n"),)))),
    ("CMD a b", Cmd(ShellForm("a b"))),
    ("CMD []", Cmd(ExecForm(()))),
    ("ENTRYPOINT [ ]", Entrypoint(ExecForm(()))),
    ("ENTRYPOINT", Entrypoint(ShellForm(""))),
    ('SHELL ["/bin/bash", "-c"]', Shell(("/bin/bash", "-c"))),
    ("COPY a b c/", Copy((W("a"), W("b")), W("c/"))),
    ('COPY ["a b", "c"]', Copy((W("a b"),), W("c"))),
    (
        "COPY --from=0 --chown=a:$b --chmod=u=rwX --link --parents=false --exclude=x --exclude='y z' a /",
        Copy((W("a"),), W("/"), from_="0", chown=W("a:$b"), chmod=W("u=rwX"), link=True, excludes=("x", "y z")),
    ),
    ("COPY a <<E <<'F' /d/\n1\nE\n2\nF", Copy((W("a"),), W("/d/"), (Heredoc("E", "1\n"), Heredoc("F", "2\n", False)))),
    (
        "ADD --checksum=sha256:0 --keep-git-dir --unpack=false a b",
        Add((W("a"),), W("b"), checksum=W("sha256:0"), keep_git_dir=True, unpack=False),
    ),
    ("ENV a=b c='d e' f=", Env((pair("a", "b"), pair("c", "'d e'"), pair("f", "")))),
    ("ENV a b  'c'", Env((pair("a", "b  'c'"),), legacy=True)),
    ("ENV a\\ b=c", Env((pair("a\\ b", "c"),))),
    ('LABEL "a.b"="c" d=e\\ f', Label((pair('"a.b"', '"c"'), pair("d", "e\\ f")))),
    ("LABEL a = b", Label((pair("a", "= b"),), legacy=True)),
    ("ARG a b=c d=", Arg((Declaration(W("a")), Declaration(W("b"), W("c")), Declaration(W("d"), W(""))))),
    ("EXPOSE 80 443/tcp $P", Expose((W("80"), W("443/tcp"), W("$P")))),
    ("VOLUME /a /b", Volume((W("/a"), W("/b")))),
    ('VOLUME ["/a b"]', Volume((W("/a b"),))),
    ("WORKDIR /a b", Workdir(W("/a b"))),
    ("USER a:b", User(W("a:b"))),
    ("STOPSIGNAL SIGRTMIN+3", StopSignal(W("SIGRTMIN+3"))),
    ("MAINTAINER A <a@b>", Maintainer("A <a@b>")),
    ("ONBUILD RUN a  b", OnBuild("RUN a  b")),
    ("ONBUILD COPY <<E /x\nb\nE", OnBuild("COPY <<E /x\nb\nE")),
    ("HEALTHCHECK none", Healthcheck(None)),
    ("HEALTHCHECK --interval=5s --no-such NONE", Healthcheck(None)),
    ("HEALTHCHECK CMD a b", Healthcheck(ShellForm("a b"))),
    (
        """HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=0 --start-interval=2ms --retries=3 CMD ["a"]""",
        Healthcheck(ExecForm(("a",)), 90 * 10**9, 1_500_000_000, 0, 2_000_000, 3),
    ),
]


@pytest.mark.parametrize(("text", "expected"), GOOD)
def test_what_an_instruction_is_read_as(text: str, expected: Instruction) -> None:
    prefix = "" if isinstance(expected, From) else "FROM a\n"
    assert parse(f"{prefix}{text}\n".encode()).instructions[-1] == expected


BAD = [
    ("RNU a", "unknown instruction: RNU (did you mean RUN?)", 1),
    ("FROM", "FROM requires either one or three arguments", 1),
    ("FROM a # b", "FROM requires either one or three arguments", 6),
    ("FROM a AS 1a", "invalid name for build stage: '1a'", 11),
    ("RUN []", "the array is empty", 5),
    ('RUN ["a", 1]', "arrays must be comprised of strings only", 5),
    ("RUN --mont=x a", "unknown flag: --mont (did you mean --mount?)", 5),
    ("RUN --network=hots a", "invalid value 'hots' for --network", 5),
    ("RUN --network=none --network=none a", "duplicate flag specified: --network", 20),
    ("RUN --mount=type=cahce,target=/a b", "unsupported mount type 'cahce'", 5),
    ("RUN --mount=type=cache b", "cache mount requires a target", 5),
    ("RUN --mount=type=cache,tarlet=/c b", "unexpected key 'tarlet' in --mount (did you mean target?)", 5),
    ("RUN --mount=type=bind,target=/,source=a b", "cover the whole root", 5),
    ("RUN --mount=from=$A,target=/a b", "doesn't support variable expansion", 5),
    ("COPY a", "COPY requires at least two arguments, but only one was provided", 6),
    ("COPY", "COPY requires at least two arguments", 1),
    ('COPY "a b" /x', "matching double-quote", 6),
    ("COPY --link=yes a b", "expecting boolean value for flag --link", 6),
    ("COPY --link= a b", "expecting boolean value for flag --link", 6),
    ("COPY --chown a b", "missing a value on flag: --chown", 6),
    ("COPY a <<E\nb\nE", "cannot accept a heredoc as a destination", 8),
    ("ADD --from=a b c", "unknown flag: --from", 5),
    ("ENV", "ENV requires at least one argument", 1),
    ("ENV a", "ENV must have two arguments", 5),
    ("ENV a=b c", "can't find = in 'c'", 9),
    ("ENV =b", "ENV names can not be blank", 5),
    ("ENV a=${b", "missing '}'", 7),
    ('LABEL a="b', "matching double-quote", 9),
    ("ARG", "ARG requires at least one argument", 1),
    ("EXPOSE", "EXPOSE requires at least one argument", 1),
    ("VOLUME []", "VOLUME requires at least one argument", 8),
    ('VOLUME [""]', "VOLUME specified can not be an empty string", 9),
    ("WORKDIR", "WORKDIR requires exactly one argument", 1),
    ("USER", "USER requires exactly one argument", 1),
    ("SHELL /bin/sh", "SHELL requires the arguments to be in JSON form", 7),
    ("SHELL []", "SHELL requires at least one argument", 7),
    ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument", 1),
    ("MAINTAINER", "MAINTAINER requires exactly one argument", 1),
    ("ONBUILD", "ONBUILD requires at least one argument", 1),
    ("ONBUILD FROM a", "FROM isn't allowed as an ONBUILD trigger", 9),
    ("ONBUILD ONBUILD RUN a", "isn't allowed", 9),
    ("HEALTHCHECK", "HEALTHCHECK requires at least one argument", 1),
    ("HEALTHCHECK NONE a", "takes no arguments", 18),
    ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD", 13),
    ("HEALTHCHECK CMD []", "Missing command after HEALTHCHECK CMD", 13),
    ("HEALTHCHECK CDM a", "Unknown type 'CDM' in HEALTHCHECK", 13),
    ("HEALTHCHECK --interval=1 CMD a", "invalid duration '1'", 13),
    ("HEALTHCHECK --interval=1us CMD a", "cannot be less than 1ms", 13),
    ("HEALTHCHECK --retries=-1 CMD a", "cannot be negative", 13),
    ("HEALTHCHECK --retries=x CMD a", "must be a number", 13),
]


@pytest.mark.parametrize(("text", "what", "column"), BAD)
def test_what_is_wrong_and_where(text: str, what: str, column: int) -> None:
    prefix = "" if text.startswith("FROM") else "FROM a\n"
    with pytest.raises(DockerfileErrors) as caught:
        parse(f"{prefix}{text}\n".encode())
    error = caught.value.errors[0]
    assert what in error.what
    assert (error.span.line, error.span.column) == (1 + bool(prefix), column)


def test_all_errors_are_told_at_once_in_the_order_of_the_text() -> None:
    with pytest.raises(DockerfileErrors) as caught:
        parse(b"FROM a\nCOPY x\nRUN --mont=a b\nENV a\nRUN <<E\n", "app/Dockerfile")
    assert [error.span.line for error in caught.value.errors] == [2, 3, 4, 5]
    message = str(caught.value)
    assert "--> app/Dockerfile:3:5\n3 | RUN --mont=a b\n  |     ^^^^^^^^" in message


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "file with no instructions"),
        ("# only\n", "file with no instructions"),
        ("ARG a=1\n", "dockerfile contains no stages to build"),
        ("RUN a\nFROM b\n", "no build stage in current context"),
        ("RUN a\n", "no build stage in current context"),
    ],
)
def test_a_file_without_a_stage(text: str, what: str) -> None:
    with pytest.raises(DockerfileErrors) as caught:
        parse(text.encode())
    assert caught.value.errors[0].what == what


def test_an_instruction_knows_its_place_and_its_text() -> None:
    (_, run) = parse(b"FROM a\nRUN b \\\n  c\n").instructions
    assert (run.span.line, run.span.end_line, run.text) == (2, 3, "RUN b   c")


def test_triggers_of_a_base_image() -> None:
    assert parse_onbuild("COPY <<E /x\nb\nE") == Copy((), W("/x"), (Heredoc("E", "b\n"),))
    for trigger in ("FROM a", "ONBUILD RUN a", "RUN a\nRUN b", "", "RNU a"):
        with pytest.raises(DockerfileErrors):
            parse_onbuild(trigger)


def test_the_script_of_a_here_document() -> None:
    (_, alone, beside, shebang) = parse(b"FROM a\nRUN <<E\nb\nE\nRUN c <<-E\n\tb\n\tE\nRUN <<E\n#!/x\nE\n").instructions
    assert isinstance(alone, Run) and isinstance(alone.command, ShellForm) and alone.command.script == "b\n"
    assert isinstance(beside, Run) and isinstance(beside.command, ShellForm)
    assert beside.command.script == "c <<-E\n\tb\nE"
    assert isinstance(shebang, Run) and isinstance(shebang.command, ShellForm) and shebang.command.shebang
