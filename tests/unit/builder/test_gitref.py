"""Addresses of git repositories, as BuildKit reads them, and those that are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.dockerfile import parse
from builder.errors import DockerfileError
from builder.planning.plan import plan
from builder.request import BuildRequest
from builder.sources.gitref import GitSource, git_source, redacted
from layers import Platform

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.com/foo.git", GitSource("https://example.com/foo.git")),
        ("https://example.com/foo.git#deadbeef", GitSource("https://example.com/foo.git", "deadbeef")),
        ("https://example.com/foo.git#release/1.2", GitSource("https://example.com/foo.git", "release/1.2")),
        ("https://h/foo/bar.git#baz/qux:quux/quuz", GitSource("https://h/foo/bar.git", "baz/qux", subdir="quux/quuz")),
        ("https://h/docker.git#:myfolder", GitSource("https://h/docker.git", subdir="myfolder")),
        ("git://example.com/foo", GitSource("git://example.com/foo")),
        ("ssh://git@h:2222/a/b", GitSource("ssh://git@h:2222/a/b")),
        ("git@github.com:moby/buildkit", GitSource("git@github.com:moby/buildkit")),
        ("git@h:a/b.git#v1:c", GitSource("git@h:a/b.git", "v1", subdir="c")),
        ("deploy@h:/srv/a.git?branch=x", GitSource("deploy@h:/srv/a.git", "refs/heads/x")),
        ("https://foo:bar@h/b.git", GitSource("https://foo:bar@h/b.git")),
        ("https://h/d.git?ref=v1.0.0&subdir=/subdir", GitSource("https://h/d.git", "v1.0.0", subdir="subdir")),
        ("https://h/d.git?tag=v1", GitSource("https://h/d.git", "refs/tags/v1")),
        ("https://h/d.git?branch=refs/heads/v1", GitSource("https://h/d.git", "refs/heads/v1")),
        (f"https://h/d.git?commit={COMMIT}", GitSource("https://h/d.git", COMMIT, COMMIT)),
        (f"https://h/d.git?tag=v1&checksum={COMMIT}", GitSource("https://h/d.git", "refs/tags/v1", COMMIT)),
        ("https://h/d.git?keep-git-dir", GitSource("https://h/d.git", keep_git_dir=True)),
        ("https://h/d.git?keep-git-dir=0&submodules=false", GitSource("https://h/d.git", submodules=False)),
        ("https://h/d.git?mtime=checkout", GitSource("https://h/d.git", mtime="checkout")),
        ("https://h/d.git#x:../../etc", GitSource("https://h/d.git", "x", subdir="etc")),
        ("https://example.com/", None),
        ("https://example.com/foo", None),
        ("https://example.com/foo.git/", None),
        ("https://example.com/foo.git.bar", None),
        ("http://github.com/docker/docker.git:#branch", None),
        ("custom.xyz/moby/buildkit.git", None),
        ("github.com/moby/buildkit", None),
        ("./.git", None),
        (".git", None),
        ("file:///srv/repo.git", None),
        ("ext::sh -c whoami", None),
        ("-x@h:p", None),
        ("a file@h", None),
    ],
)
def test_addresses(text: str, expected: GitSource | None) -> None:
    assert git_source(text) == expected


def test_a_bare_name_is_for_contexts() -> None:
    found = git_source("github.com/moby/buildkit#v1", bare=True)
    assert found == GitSource("https://github.com/moby/buildkit", "v1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://h/d.git#--upload-pack=touch /x", "dash"),
        ("https://h/d.git?ref=-x", "dash"),
        ("ssh://-oProxyCommand=x/d", "dash"),
        ("git@-oProxyCommand:d", "dash"),
        ("https://h/d.git#a b", "no name"),
        ("https://h/d.git#a..b", "no name"),
        ("https://h/d.git#HEAD@{1}", "no name"),
        ("https://h/d.git?commit=xyz", "invalid commit"),
        ("https://h/d.git?ref=a&ref=b", "multiple values"),
        ("https://h/d.git?what=1", "unexpected query"),
        ("https://h/d.git?ref=", "no value"),
        ("https://h/d.git?branch=a&tag=b", "branch conflicts with tag"),
        ("https://h/d.git?ref=a#b", "ref conflicts"),
        ("https://h/d.git?subdir=a#b:c", "subdir conflicts"),
        ("https://h/d.git?submodules=maybe", "invalid submodules"),
        ("https://h/d.git?mtime=never", "invalid mtime"),
        ("https://h/d.git#x:.git/hooks", "git's own"),
        ("https:///d.git", "needs a host"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        git_source(text)


def test_passwords_are_not_shown() -> None:
    assert redacted("https://me:pw@h/x.git") == "https://me:xxxxx@h/x.git"
    assert redacted("https://token@h/x.git") == "https://xxxxx@h/x.git"
    assert redacted("ssh://git@h/x") == "ssh://git@h/x"
    assert GitSource("https://h:81/a/b.git").host == "h:81"
    assert GitSource("git@h:a/b.git").name == "b"


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_not(text: str) -> None:
    for start in ("https://h/r.git", "git@h:", ""):
        try:
            found = git_source(start + text)
        except ValueError:
            continue
        if found is not None:
            assert not found.ref.startswith("-")
            assert not found.remote.startswith("-")
            assert ".." not in found.subdir.split("/")


@pytest.mark.parametrize("source", ["http://u:pw@[::1/x", "https://[", "http://[u@v]]/x.git", "git://[/x"])
def test_what_is_no_url_is_told_with_its_place_and_without_its_password(source: str) -> None:
    data = f"FROM scratch\nADD {source} /\n".encode()
    with pytest.raises(DockerfileError) as told:
        plan(parse(data), BuildRequest(context=None, text=data), Platform.host(), lambda *_: None, print)  # type: ignore[arg-type]
    assert told.value.span is not None and told.value.span.line == 2
    assert "pw" not in str(told.value).partition("\n")[0]
