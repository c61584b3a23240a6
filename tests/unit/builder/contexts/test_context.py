"""A directory as entries: what is ignored is not there, links stay inside, nothing unchanged is read twice."""

import errno
import os
import shutil
from pathlib import Path
from time import sleep

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.contexts.context import Context
from builder.contexts.ignore import Ignore
from builder.contexts.statcache import RACY
from builder.errors import ContextError
from layers import Entry, EntryType, Store, UnsafePath

OLD = 1_500_000_000


def fill(directory: Path, **files: str) -> Path:
    """Files by name (`__` is a slash)."""
    for name, text in files.items():
        path = directory / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def seen(context: Context, path: str = "") -> list[str]:
    """Every path that the context shows."""
    found = []
    for name in context.children(path):
        below = f"{path}/{name}" if path else name
        entry = context.get(below)
        assert entry is not None, f"{below} is listed but not there"
        found.append(below)
        if entry.type is EntryType.DIR:
            found += seen(context, below)
    return found


def entry_of(context: Context, path: str) -> Entry:
    found = context.get(path)
    assert found is not None
    return found


def test_ignored_files_are_not_there_and_the_line_says_why(tmp_path: Path) -> None:
    fill(tmp_path, a="", d__gone="", d__kept="", e__gone="")
    (tmp_path / ".dockerignore").write_text("d\n!d/kept\ne/*\n.dockerignore\n")
    context = Context.open(tmp_path, None)
    assert seen(context) == ["a", "d", "d/kept", "e"]
    assert context.get("d/gone") is None
    assert context.ignored("d/gone") == ".dockerignore:1 ignores it (d)"
    assert context.ignored("d/kept") == ""
    assert context.ignored("nothing") == ""


def test_the_ignore_file_of_a_dockerfile_comes_first(tmp_path: Path) -> None:
    fill(tmp_path, a="", b="")
    (tmp_path / ".dockerignore").write_text("a")
    (tmp_path / "x.Dockerfile.dockerignore").write_text("b\n*ignore")
    assert seen(Context.open(tmp_path, tmp_path / "x.Dockerfile")) == ["a"]


def test_owners_are_root_and_modes_stay(tmp_path: Path) -> None:
    fill(tmp_path, a="text")
    (tmp_path / "a").chmod(0o4751)
    if os.geteuid() == 0:
        os.chown(tmp_path / "a", 5, 6)
        (tmp_path / "a").chmod(0o4751)
    entry = entry_of(Context(tmp_path, Ignore()), "a")
    assert (entry.mode, entry.uid, entry.gid, entry.size) == (0o4751, 0, 0, 4)


def test_links_lead_nowhere_outside(tmp_path: Path) -> None:
    outside = fill(tmp_path / "outside", secret="x")
    inside = fill(tmp_path / "in", d__file="")
    (inside / "up").symlink_to("../outside")
    (inside / "root").symlink_to(outside)
    (inside / "d/absolute").symlink_to("/d/file")
    (inside / "ring").symlink_to("ring")
    context = Context(inside, Ignore())
    assert context.resolve("up/secret") == "outside/secret"
    assert context.get("outside/secret") is None
    assert context.get(context.resolve("root/secret")) is None
    assert context.resolve("d/absolute") == "d/file"
    with pytest.raises(UnsafePath):
        context.resolve("ring")


def test_a_file_that_changes_under_the_build_is_an_error(tmp_path: Path) -> None:
    fill(tmp_path, a="one")
    context = Context(tmp_path, Ignore())
    entry_of(context, "a")
    (tmp_path / "a").write_text("longer")
    with pytest.raises(ContextError, match="a changed while the build read it"):
        context.open_file("a")


def test_a_file_that_gets_and_loses_names_under_the_build_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As package managers do, and `cp -al`: only the time of its inode changes. It is read again the next time."""
    with Store.open(tmp_path / "store") as store:
        fill(tmp_path / "c", a="one")
        os.utime(tmp_path / "c/a", (OLD, OLD))
        sleep(2 * RACY / 1e9)
        context = Context.open(tmp_path / "c", None, store)
        entry = entry_of(context, "a")
        os.link(tmp_path / "c/a", tmp_path / "other")
        digest = context.digest("a", entry)
        os.unlink(tmp_path / "other")
        descriptor = context.open_file("a")
        assert os.read(descriptor, 9) == b"one"
        os.close(descriptor)
        context.remember(store)
        opened: list[str] = []
        again = Context.open(tmp_path / "c", None, store)
        real = again.open_file

        def noted(path: str) -> int:
            opened.append(path)
            return real(path)

        monkeypatch.setattr(again, "open_file", noted)
        assert again.digest("a", entry_of(again, "a")) == digest
        assert opened == ["a"]


@pytest.mark.parametrize("change", ["chmod", "replace", "touch"])
def test_a_file_that_is_another_under_the_build_is_an_error(tmp_path: Path, change: str) -> None:
    fill(tmp_path, a="one", b="two")
    context = Context(tmp_path, Ignore())
    entry_of(context, "a")
    match change:
        case "chmod":
            (tmp_path / "a").chmod(0o600)
        case "replace":
            shutil.copystat(tmp_path / "a", tmp_path / "b")
            (tmp_path / "b").rename(tmp_path / "a")
        case "touch":
            os.utime(tmp_path / "a", (OLD, OLD))
    with pytest.raises(ContextError, match="a changed while the build read it"):
        context.open_file("a")


def test_neither_a_file_nor_a_directory_on_the_way_may_become_a_link(tmp_path: Path) -> None:
    fill(tmp_path / "c", a="one", b="two")
    (tmp_path / "c/d").mkdir()
    fill(tmp_path / "c/d", inner="three")
    fill(tmp_path / "out", a="secret", inner="secret")
    context = Context(tmp_path / "c", Ignore())
    for name in ("a", "d/inner"):
        entry_of(context, name)
    (tmp_path / "c/a").unlink()
    (tmp_path / "c/a").symlink_to(tmp_path / "out/a")
    (tmp_path / "c/d").rename(tmp_path / "c/was")
    (tmp_path / "c/d").symlink_to(tmp_path / "out")
    for name in ("a", "d/inner"):
        with pytest.raises(OSError) as told:
            context.open_file(name)
        assert told.value.errno == errno.ELOOP
    context.close()


def test_what_did_not_change_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "c", a="one", b="two")
    monkeypatch.setattr("builder.contexts.statcache.RACY", -(10**18))  # as if both had been written long ago
    with Store.open(tmp_path / "store") as store:
        first = Context.open(tmp_path / "c", None, store)
        before = {name: first.digest(name, entry_of(first, name)) for name in "ab"}
        first.remember(store)
        (tmp_path / "c/b").write_text("new")
        second = Context.open(tmp_path / "c", None, store)
        opened: list[str] = []
        real = second.open_file

        def noted(path: str) -> int:
            opened.append(path)
            return real(path)

        monkeypatch.setattr(second, "open_file", noted)
        after = {name: second.digest(name, entry_of(second, name)) for name in "ab"}
    assert opened == ["b"]
    assert before["a"] == after["a"]
    assert before["b"] != after["b"]


def test_the_digest_of_a_fresh_file_is_not_vouched_for(tmp_path: Path) -> None:
    """Two writes within a tick of the clock leave the same times; only reading tells them apart."""
    with Store.open(tmp_path / "store") as store:
        fill(tmp_path / "c", a="one")
        context = Context.open(tmp_path / "c", None, store)
        os.utime(tmp_path / "c/a", (OLD, OLD))  # the time of the inode itself cannot be set back
        context.digest("a", entry_of(context, "a"))
        context.remember(store)
        assert store.records.find(Context.key(tmp_path / "c")) is None


@pytest.mark.parametrize("setup", ["attribute", "content"])
def test_content_and_attributes_both_count(tmp_path: Path, setup: str) -> None:
    fill(tmp_path, a="one")
    first = Context(tmp_path, Ignore())
    before = first.digest("a", entry_of(first, "a"))
    if setup == "attribute":
        os.setxattr(tmp_path / "a", "user.note", b"x")
    else:
        (tmp_path / "a").write_text("two")
    second = Context(tmp_path, Ignore())
    assert second.digest("a", entry_of(second, "a")) != before


NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)
PATTERNS = st.lists(st.sampled_from(["a", "b", "*", "**", "[ab]"]), min_size=1, max_size=3).map("/".join)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.sets(NAMES, max_size=8), lines=st.lists(st.tuples(st.booleans(), PATTERNS), max_size=4))
def test_a_file_is_seen_exactly_if_no_pattern_ignores_it(
    tmp_path_factory: pytest.TempPathFactory, files: set[str], lines: list[tuple[bool, str]]
) -> None:
    files = {file for file in files if not any(other.startswith(f"{file}/") for other in files)}
    directory = tmp_path_factory.mktemp("context")
    fill(directory, **{file.replace("/", "__"): "" for file in files})
    ignore = Ignore.of([f"{'!' * keeps}{pattern}" for keeps, pattern in lines])
    context = Context(directory, ignore)
    found = set(seen(context))
    assert found & files == {file for file in files if not ignore.ignores(file)}
    for path in found - files:  # a directory: for its own sake, or for what is below it
        assert not ignore.ignores(path) or any(other.startswith(f"{path}/") for other in found)
