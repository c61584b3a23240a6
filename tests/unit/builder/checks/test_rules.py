"""Rules beyond BuildKit's and hadolint's, options, mending: what is said, and what is left alone."""

import re
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder import BuildError
from builder.checks import Options, check, every, find
from builder.checks.explain import explain, explanations
from builder.checks.fix import mended
from builder.checks.options import quieted
from builder.checks.rules import BUILDKIT
from builder.checks.shell import Command, split
from builder.checks.strict import RAISED, STRICT, of_builds, strictly
from builder.checks.wildcards import matches
from builder.contexts.ignore import Ignore
from builder.dockerfile import parse
from builder.metadata import ports


def said(text: str, **options: object) -> list[tuple[str, int]]:
    report = check(parse(text.encode()), strictly(every()), base=lambda *_: None, every_stage=True, **options)  # type: ignore[arg-type]
    return [(finding.rule.name, finding.span.line) for finding in report.findings]


def hears(name: str, text: str, **options: object) -> bool:
    return name in {rule for rule, _ in said(text, **options)}


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [
        ("DoubledLayer", "COPY a /app\nRUN chown -R me /app", "COPY a /app\nRUN chown -R me /other"),
        ("DoubledLayer", "COPY a /app/\nRUN chmod +x /app/a", "COPY --chmod=755 a /app/\nRUN ls /app/a"),
        ("DoubledLayer", "WORKDIR /w\nCOPY a x\nRUN mv x y", "WORKDIR /w\nCOPY a x\nRUN cp x y"),
        ("DoubledLayer", "ADD a /a\nRUN make && chown 1:1 /a", "RUN chown 1:1 /a\nADD a /a"),
        ("SingleQuotedArray", "CMD ['a']", "CMD echo ['a'] b"),
        ("SingleQuotedArray", "ENTRYPOINT ['a', \"b\"]", 'ENTRYPOINT ["a"]'),
        ("SecretFileCopied", "COPY .env /x/", "COPY .env.example /x/"),
        ("SecretFileCopied", "COPY a /root/.ssh/id_rsa\nCOPY keys/id_rsa /x", "COPY --from=0 id_rsa /x"),
        ("SecretFileCopied", "ADD .aws/credentials /root/.aws/", "ADD environment /x"),
        ("SecretFileCopied", "COPY server.key /etc/", "COPY keyboard /etc/"),
        ("SecretValue", "ENV A=AKIAIOSFODNN7EXAMPLE", "ENV A=AKIA"),
        ("SecretValue", "ARG U=https://me:secret@example.org/", "ARG U=https://me:$P@example.org/"),
        ("AptWithoutUpdate", "RUN apt-get install -y a", "RUN apt-get update && apt-get install -y a"),
        ("AptWithoutUpdate", "RUN apt-get update", "RUN apt-get update && apt-get upgrade -y"),
        ("ArgOverEnv", "ENV X=1\nARG X=2", "ARG X=2\nENV X=1"),
        ("EmptyValue", "ARG X\nCOPY $X /", "ARG X\nCOPY ${X:-a} /"),
        ("LinkIgnored", "COPY --link --chmod=755 a /", "COPY --link a /"),
        ("ChmodIgnored", "ADD --chmod=755 a.tar /", "ADD --chmod=755 a /"),
        ("FailuresIgnored", "RUN <<E\na\nb\nE", "RUN <<E\nset -e\na\nb\nE"),
        ("FailuresIgnored", "RUN <<E\na; b\nE", "RUN <<E\n#!/bin/sh\na\nb\nE"),
        ("ArgumentsLost", 'ENTRYPOINT a\nCMD ["b"]', 'ENTRYPOINT ["a"]\nCMD ["b"]'),
        ("BrokenArray", 'CMD ["a" "b"]', 'CMD ["a", "b"]'),
        ("BrokenArray", 'COPY ["a", "b",]', 'COPY ["a", "b"]'),
        ("BrokenArray", 'VOLUME ["/a" "/b"]', 'VOLUME ["/a", "/b"]'),
        ("EscapedBlank", "COPY a\\ b /x/", 'COPY ["a b", "/x/"]'),
        ("BlanksInWorkdir", "WORKDIR /a /b", 'WORKDIR "/a b"'),
    ],
)
def test_a_rule_tells_bad_from_good(name: str, bad: str, good: str) -> None:
    assert hears(name, f"FROM scratch\n{bad}\n")
    assert not hears(name, f"FROM scratch\n{good}\n")


def test_logs_are_told_of_only_if_that_is_asked_for() -> None:
    asked = {"experimental": ["LogsKept"]}
    for bad in ("apt-get install -y a", "apt-get update && apt-get upgrade -y", "dnf -y install a", "apk add a"):
        assert hears("LogsKept", f"FROM scratch\nRUN {bad}\n", **asked)
        assert not hears("LogsKept", f"FROM scratch\nRUN {bad}\n")
        assert not hears("LogsKept", f"FROM scratch\nRUN {bad} && rm -rf /var/log/*\n", **asked)
        assert not hears("LogsKept", f"FROM scratch\nRUN --mount=type=tmpfs,target=/var/log {bad}\n", **asked)
    for good in ("apt-get update", "echo apt-get install", "pip install a"):
        assert not hears("LogsKept", f"FROM scratch\nRUN {good}\n", **asked)


def test_an_inherited_command_is_missed() -> None:
    base = 'FROM scratch AS base\nCMD ["a"]\nFROM base\n'
    assert said(f'{base}ENTRYPOINT ["b"]\n') == [("CmdCleared", 4)]
    assert said(f'{base}ENTRYPOINT ["b"]\nCMD []\n') == []
    assert said('FROM scratch\nCMD ["a"]\nENTRYPOINT ["b"]\n') == []


def test_wildcards_are_looked_up_in_the_context(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.txt", "sub/b.jar"):
        (tmp_path / name).touch()
    for pattern, found in (("*.txt", True), ("*.jar", False), ("s*/*.jar", True), ("./*/b.?ar", True), ("[a-", True)):
        assert matches(tmp_path, None, pattern) is found
    assert not matches(tmp_path, Ignore.parse(b"*.txt"), "*.txt")
    text = "FROM scratch\nCOPY *.jar /x/\n"
    assert hears("WildcardMatchesNothing", text, matches=lambda _, **__: False)
    assert not hears("WildcardMatchesNothing", text, matches=lambda _, **__: True)
    assert not hears("WildcardMatchesNothing", text)


def test_sources_with_parents_are_looked_up_in_the_context(tmp_path: Path) -> None:
    (tmp_path / "sub/deep").mkdir(parents=True)
    for name in ("a.txt", "sub/b.jar", "sub/deep/c.jar"):
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("sub")
    for pattern, found in (
        ("a.txt", True), ("sub/deep", True), ("**/*.jar", True), ("*.jar", False), ("sub/**/c.jar", True),
        ("sub/./deep/c.jar", True), ("s*/./b.jar", True), ("sub/./a.txt", False), (".", False), ("sub/./", False),
        ("link", True), ("link/b.jar", False), ("link/./b.jar", True), ("none", False), ("[a-", True),
    ):  # fmt: skip
        assert matches(tmp_path, None, pattern, parents=True) is found, pattern
    assert not matches(tmp_path, Ignore.parse(b"sub"), "sub/./b.jar", parents=True)
    assert hears(
        "WildcardMatchesNothing", "FROM scratch\nCOPY --parents . /x/\n", matches=partial(matches, tmp_path, None)
    )
    assert not hears("WildcardMatchesNothing", "FROM scratch\nCOPY . /x/\n", matches=partial(matches, tmp_path, None))


def test_secrets_and_arguments_of_a_strict_build() -> None:
    text = "FROM scratch\nRUN --mount=type=secret,id=a true\nRUN --mount=type=secret,id=b,required true\n"
    assert said(text, secrets=frozenset()) == [("SecretMissing", 2)]
    assert said(text, secrets=frozenset(["a"])) == []
    text = "FROM scratch\nRUN --mount=type=ssh true && true\n"
    assert said(text, agents=frozenset()) == [("SecretMissing", 2)]
    assert said(text, agents=frozenset(["default"])) == []
    assert hears("UnconsumedBuildArg", "FROM scratch\n", build_args={"X": "1"})
    fine = {"HTTP_PROXY": "x", "BUILDKIT_INLINE_CACHE": "1", "TARGETARCH": "x", "Y": "1"}
    assert not hears("UnconsumedBuildArg", "FROM scratch\nARG Y\n", build_args=fine)


def test_options_are_read_as_buildkit_reads_them() -> None:
    assert Options.parse("skip=A, B;error=true") == Options(frozenset("AB"), frozenset(), True)
    assert Options.parse(" experimental=all ; ") == Options(frozenset(), frozenset(["all"]), False)
    for text in ("foo", "foo=bar", "error=maybe"):
        with pytest.raises(BuildError, match="failed to parse check options"):
            Options.parse(text)
    assert quieted(["check=skip=A,B // because"]) == {"A", "B"}
    assert quieted(["hadolint ignore=DL3008,DL3009 # because"]) == {"DL3008", "DL3009"}
    assert quieted(["check = none of this", "checks are nice"]) == set()


def test_every_rule_has_a_name_of_its_own_and_a_page() -> None:
    rules = strictly(every())
    names = [name for rule in rules for name in (rule.name, *rule.aliases)]
    assert len(set(names)) == len(names)
    assert {rule.name for rule in rules} >= RAISED
    assert set(explanations()) <= set(names)
    assert {rule.name for rule in BUILDKIT} <= set(explanations())
    assert all(explain(rule).startswith(rule.name) for rule in rules)
    assert {rule.name for rule in of_builds() if rule.severity == "error"} == RAISED | {rule.name for rule in STRICT}
    assert find("dl3025") is find("JSONArgsRecommended")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("a b && c 'd e' | f", [("a", "b"), ("c", "d e"), ("f",)]),
        ('X=1 a "b\\"c" # d', [("a", 'b"c')]),
        ("a > b 2>&1; c < d", [("a",), ("c",)]),
        ("if a; then b; fi", [("a",), ("b",), ("fi",)]),
        ("a $(b c | d)", [("b", "c"), ("d",), ("a", "$(b c | d)")]),
        ("(a; b) || { c; }", [("a",), ("b",), ("c",), ("}",)]),
        ("a \\\n b", [("a", "b")]),
        ("'", []),
    ],
)
def test_scripts_are_cut_into_commands(script: str, words: list[tuple[str, ...]]) -> None:
    assert [command.words for command in split(script)] == words


MENDED = {
    "CMD app --now": 'CMD ["app", "--now"]',
    "CMD exec app": 'CMD ["app"]',
    "CMD app $X": "CMD app $X",
    "CMD cd /x": "CMD cd /x",
    "CMD app && b": "CMD app && b",
    "CMD A=b c": "CMD A=b c",
    "CMD ['a', 'b c']": 'CMD ["a", "b c"]',
    "ENTRYPOINT app  \\\n  -x": "ENTRYPOINT app  \\\n  -x",
    "ENV A b": "ENV A=b",
    "ENV A  b c": 'ENV A="b c"',
    'ENV A "b c"': 'ENV A "b c"',
    "LABEL a b$c": "LABEL a=b$c",
    'MAINTAINER "x" $y \\z': 'LABEL org.opencontainers.image.authors="\\"x\\" \\$y \\\\z"',
    "run x": "RUN x",
    "ADD a /b": "COPY a /b",
    "ADD a.tar /b": "ADD a.tar /b",
    "EXPOSE 80/TCP $P/UDP": "EXPOSE 80/tcp $P/UDP",
    "ENV A=b \\\n\n  C=d": "ENV A=b \\\n  C=d",
    "WORKDIR rel": "WORKDIR rel",
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(("before", "after"), MENDED.items())
def test_mending_changes_what_is_wrong_and_not_a_byte_more(before: str, after: str, end: str) -> None:
    head, tail = "\ufeff# r\xe9sum\xe9  \nFROM scratch \nUSER x\nSTOPSIGNAL 9\n\n", "\n\nUSER me \n# end"
    source = (head + before + tail).replace("\n", end).encode()
    better, _ = mended(source, lambda data: check(parse(data), every(), base=lambda *_: None).findings)
    assert better == (head + after + tail).replace("\n", end).encode()


def test_mending_from() -> None:
    source = b"from --platform=$TARGETPLATFORM debian:12 As Up\nFROM up AS X \nUSER y\n"
    better, done = mended(source, lambda data: check(parse(data), every(), base=lambda *_: None).findings)
    assert better == b"FROM debian:12 AS up\nFROM up AS x \nUSER y\n"
    assert {one.rule.name for one in done} >= {"StageNameCasing", "RedundantTargetPlatform", "FromAsCasing"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(list(MENDED)), max_size=6))
def test_mending_twice_is_mending_once(lines: list[str]) -> None:
    def look(data: bytes) -> object:
        return check(parse(data), every(), base=lambda *_: None).findings

    once, _ = mended("\n".join(["FROM scratch", *lines]).encode(), look)  # type: ignore[arg-type]
    assert mended(once, look)[0] == once  # type: ignore[arg-type]


def test_ports_may_say_where_they_are_published() -> None:
    assert ports(["127.0.0.1:80:80", "[::1]:81:81/TCP", "5000:5000", "8000-8002:90-92/udp", ":82"]) == [
        *("80/tcp", "81/tcp", "5000/tcp", "90/udp", "91/udp", "92/udp", "82/tcp")
    ]
    for word, what in (
        ("1.2.3:80:80", "invalid IP address"),
        ("foo:80", "invalid hostPort"),
        ("99999:80", "invalid hostPort"),
        ("80:foo", "invalid containerPort"),
        ("1-3:1-2", "invalid ranges"),
        (":", "invalid containerPort"),
    ):
        with pytest.raises(ValueError, match=re.escape(what)):
            ports([word])


def test_a_long_command_is_looked_at_once_for_all_that_was_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    has = Command.has

    def counted(self: Command, *flags: str) -> bool:
        asked.append(flags)
        return has(self, *flags)

    monkeypatch.setattr(Command, "has", counted)
    copies = "".join(f"COPY f{number} /d/e/f{number}\n" for number in range(50))
    names = " ".join(f"/x{number}" for number in range(500))
    for flags, place, lines in (("-R", "/d", [54]), ("-R", "/d/e/f7", [54]), ("", "/d", []), ("", "/d/e/f7", [54])):
        text = f"FROM a\n{copies}USER u\nWORKDIR /w\nRUN chown {flags} u {names} {place}\n"
        assert [line for name, line in said(text) if name == "DoubledLayer"] == lines
    assert len([flags for flags in asked if "--recursive" in flags]) == 4
