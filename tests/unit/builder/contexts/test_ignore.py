"""Patterns of .dockerignore: Go's matching, the last line decides, errors name their line."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.contexts.ignore import Ignore, translate
from builder.errors import ContextError

PARTS = st.sampled_from(["a", "b", "ab", ".x"])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
PATTERNS = st.lists(st.sampled_from(["a", "b", "ab", "*", "?", "**", "a*", "[ab]", "[^a]"]), min_size=1, max_size=3)
LINES = st.lists(st.tuples(st.booleans(), PATTERNS.map("/".join)), max_size=6)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("a", "a", True),
        ("a", "a/b", True),
        ("a", "b/a", False),
        ("/a", "a", True),
        ("./a/", "a", True),
        ("a/../b", "b", True),
        ("*/a", "b/a", True),
        ("*/a", "a", False),
        ("*.md", "x.md", True),
        ("*.md", "d/x.md", False),
        ("**/*.md", "x.md", True),
        ("**/*.md", "d/e/x.md", True),
        ("d/**", "d/x", True),
        ("d/**", "d", False),
        ("d/**/x", "d/x", True),
        ("d/**/x", "d/e/f/x", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[a-c]", "b", True),
        ("[^a-c]", "b", False),
        (r"\*", "*", True),
        (r"\*", "a", False),
        ("a.c", "abc", False),
        ("a\nb", "b", True),
        ("a\u2028b", "a\u2028b", True),
        ("a\x0cb", "b", False),
        ("  a  ", "a", True),
        ("a\r\nb\r\n", "a", True),
        ("\ufeffa", "a", True),
        ("#a", "#a", False),
        ("", "a", False),
    ],
)
def test_what_a_pattern_matches(pattern: str, path: str, expected: bool) -> None:
    assert Ignore.parse(pattern.encode()).ignores(path) is expected


@pytest.mark.parametrize(
    ("lines", "path", "expected"),
    [
        (["d", "!d/keep"], "d/keep", False),
        (["d", "!d/keep"], "d/other", True),
        (["!d/keep", "d"], "d/keep", True),
        (["*", "!a", "a/b"], "a/b/c", True),
        (["*", "!a", "a/b"], "a/c", False),
        (["#x"], "#x", True),
    ],
)
def test_the_last_pattern_that_matches_decides(lines: list[str], path: str, expected: bool) -> None:
    assert Ignore.of(lines).ignores(path) is expected


@pytest.mark.parametrize("line", ["!", "[a", "[", "[]", "[-a]", "[z-a]", "a\\"])
def test_a_pattern_that_means_nothing_is_refused_with_its_line(line: str) -> None:
    with pytest.raises(ContextError, match=r"^\.dockerignore:3: "):
        Ignore.parse(f"# a comment\nfine\n{line}\n".encode())


def glob(pattern: list[str], path: list[str]) -> bool:
    """Whether components fit, the way a person would define it."""
    if not pattern:
        return not path
    head, *rest = pattern
    if head == "**":
        least = 0 if rest else 1
        return any(glob(rest, path[count:]) for count in range(least, len(path) + 1))
    fits = path and re.fullmatch(head.replace("*", ".*").replace("?", "."), path[0])
    return bool(fits) and glob(rest, path[1:])


@given(PATTERNS, PATHS)
def test_a_translation_matches_what_its_components_match(pattern: list[str], path: str) -> None:
    assert bool(re.fullmatch(translate("/".join(pattern)), path)) == glob(pattern, path.split("/"))


@given(LINES, PATHS)
def test_states_of_directories_say_what_each_pattern_would_say(lines: list[tuple[bool, str]], path: str) -> None:
    ignore = Ignore.of([f"{'!' * keeps}{pattern}" for keeps, pattern in lines])
    hit = [False] * len(lines)
    expected = False
    for end in range(1, path.count("/") + 2):  # each line of its own, only where it could change something
        expected = False
        for number, (keeps, pattern) in enumerate(lines):
            if not hit[number] and keeps == expected:
                hit[number] = glob(pattern.split("/"), path.split("/")[:end])
            if hit[number]:
                expected = not keeps
    assert ignore.ignores(path) is expected
    why = ignore.why(path)
    assert (why is not None and not why.keeps) is expected
    assert [pattern.line for pattern, _ in ignore.hits(path)] == [at for at, found in enumerate(hit, 1) if found]


@given(LINES, PATHS, PATHS)
def test_what_is_kept_in_an_ignored_directory_is_looked_for(
    lines: list[tuple[bool, str]], head: str, rest: str
) -> None:
    ignore = Ignore.of([f"{'!' * keeps}{pattern}" for keeps, pattern in lines])
    if ignore.ignores(head) and not ignore.ignores(f"{head}/{rest}"):
        assert ignore.may_keep_below(head)
