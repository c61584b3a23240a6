"""Words become texts: quotes, escapes, variables and their modifiers."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder import DockerfileError
from builder.dockerfile import Heredoc, Word, expand, expand_heredoc, variables, words
from builder.span import Span, Text

VALUES = {
    "a": "one",
    "empty": "",
    "path": "/usr/local/lib.tar.gz",
    "b_2": "x y",
    "star": "a*b",
    "n": "a",
    "é": "accent",
}


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("plain", "plain"),
        ("$a${a}$b_2-$none.", "oneonex y-."),
        ("$é", "accent"),
        (r"\$a\${a}\\\n", r"$a${a}\n"),
        ("'$a'\"$a\"", "$aone"),
        (r'"\$a \" \\ \n"', r'$a " \ \n'),
        ("'a'\\''b'", "a'b"),
        ("$ $. a$", "$ $. a$"),
        ("$1$@$*$#$?$-$$$!|", "|"),
        ("$10x", "x"),
        ("${none:-d}${none-d}${empty:-d}|${empty-d}|${a:-d}", "ddd||one"),
        ("${none:+d}|${none+d}|${empty:+d}|${empty+d}|${a:+d}", "|||d|d"),
        ("${a:?no}${empty?no}", "one"),
        ("${none:-${a:-$b}}${none:-'}'}${none:-\"$a }\"}", "one}one }"),
        ("${path#/*/}|${path##*/}", "local/lib.tar.gz|lib.tar.gz"),
        ("${path%.*}|${path%%.*}", "/usr/local/lib.tar|/usr/local/lib"),
        ("${path/l/L}|${path//l/L}|${path//l?/}", "/usr/Local/lib.tar.gz|/usr/LocaL/Lib.tar.gz|/usr/cab.tar.gz"),
        (r"${star/\*/+}|${star/*/+}|${path/\//}", "a+b|+|usr/local/lib.tar.gz"),
        ("${path//[0-9]/}${a/#o/}", "/usr/local/lib.tar.gzone"),
        ("${none#x}${none%x}${none/x/y}", ""),
        ("${a/$n/$b_2}${a/n/$b_2}", "oneox ye"),
    ],
)
def test_expansion(word: str, text: str) -> None:
    assert expand(Word(word), VALUES.get) == text


def test_the_escape_character_is_the_files_own() -> None:
    assert expand(Word("C:\\$a`$a``", escape="`"), VALUES.get) == "C:\\one$a`"


@pytest.mark.parametrize(
    ("word", "what", "column"),
    [
        ('a"b', "matching double-quote", 2),
        ("'", "matching single-quote", 1),
        ("x${a", "missing '}'", 2),
        ("${}", "bad substitution", 1),
        ("${:x}", "bad substitution", 1),
        ("${a:=x}", "unsupported modifier (:=)", 4),
        ("${a=x}", "unsupported modifier (=)", 4),
        ("${a:1:2}", "unsupported modifier (:1)", 4),
        ("${a^}", "unsupported modifier (^)", 4),
        ("${a,,}", "unsupported modifier (,)", 4),
        ("${!a}", "unsupported modifier (a)", 4),
        ("${a/b}", "missing '/'", 1),
        ("${none?}", "none: is not allowed to be unset", 3),
        ("${empty:?}", "empty: is not allowed to be empty", 3),
        ("${none:?because $a}", "none: because one", 3),
        (r"${a#\x}", r"invalid escape '\x'", 1),
    ],
)
def test_errors_point_at_the_character(word: str, what: str, column: int) -> None:
    text = Text("Dockerfile", (word,))
    with pytest.raises(DockerfileError) as caught:
        expand(Word(word, Span(1, 1, 1, len(word) + 1, text)), VALUES.get)
    assert what in caught.value.what
    assert caught.value.span.column == column


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("80", ["80"]),
        ("$b_2", ["x", "y"]),
        ("$empty", []),
        ("a$b_2'c d'", ["ax", "yc d"]),
        ('"$b_2"', ["x y"]),
    ],
)
def test_words_are_split_where_no_quote_holds_them(word: str, found: list[str]) -> None:
    assert words(Word(word), VALUES.get) == found


def test_here_documents_keep_quotes_and_lose_escapes() -> None:
    body = "'$a' \"${a}\" \\$a \\\\ \\n ${none:-'d'}\n"
    assert expand_heredoc(Heredoc("E", body), VALUES.get) == "'one' \"one\" $a \\ n 'd'\n"
    assert expand_heredoc(Heredoc("E", body, expand=False), VALUES.get) == body
    with pytest.raises(DockerfileError) as caught:
        expand_heredoc(Heredoc("E", "one\n ${a\n", line=7), VALUES.get)
    assert (caught.value.span.line, caught.value.span.column) == (8, 2)


def test_variables_are_found_without_values() -> None:
    assert variables(Word("$a${b:-${c}}'$d'\\$e${f/$g/$h}")) == {"a", "b", "c", "f", "g", "h"}


@given(st.text("ab$ {}\"'\\/:-+?#%*", max_size=12), st.sampled_from("\\`"))
def test_a_word_expands_or_is_an_error(text: str, escape: str) -> None:
    word = Word(text, escape=escape)
    try:
        found = expand(word, VALUES.get)
    except DockerfileError:
        return
    if not set(text) & set("$'\"\\`"):
        assert found == text
    variables(word)


@given(st.text(max_size=20))
def test_single_quotes_hold_everything(text: str) -> None:
    assert expand(Word("'" + text.replace("'", "'\\''") + "'"), VALUES.get) == text


@given(st.text("ab/.", max_size=8), st.text("ab/.*?", max_size=4))
def test_cutting_agrees_with_the_shell_s_definition(value: str, pattern: str) -> None:
    """`#` takes the shortest prefix that the pattern matches, `##` the longest; `%` and `%%` mirror them."""
    prefixes = [at for at in range(len(value) + 1) if fnmatchcase(value[:at], pattern)]
    suffixes = [at for at in range(len(value) + 1) if fnmatchcase(value[at:], pattern)]
    expected = {
        "#": value[min(prefixes, default=0) :],
        "##": value[max(prefixes, default=0) :],
        "%": value[: max(suffixes, default=len(value))],
        "%%": value[: min(suffixes, default=len(value))],
    }
    for sign, text in expected.items():
        assert expand(Word(f"${{v{sign}{pattern}}}"), {"v": value}.get) == text
