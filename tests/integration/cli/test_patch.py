"""`diff --patch` is a patch: git applies it, and the second tree stands where the first one stood."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layers.views.folder import Folder
from layers.views.treediff import diff
from pybuild.formats.patch import LARGEST, patch
from tests.support.peers import need

NAMES = ("a", "b.txt", "with blank", 'quo"te', "back\\slash", "ünï", "line\nbreak", "tab\there", os.fsdecode(b"\xff"))
text = st.lists(st.sampled_from(["one", "two", "", "  three", "-- a", "++ b", "\r", "ü"]), max_size=8).map("\n".join)
leaf = st.one_of(
    st.tuples(st.just("file"), text.map(str.encode)),
    st.tuples(st.just("program"), text.map(str.encode)),
    st.tuples(
        st.just("link"), st.sampled_from([b"elsewhere", b"no where", b"../x"])
    ),  # git refuses to go below a link to itself
)
trees = st.dictionaries(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join), leaf, max_size=6).map(
    lambda tree: {path: what for path, what in tree.items() if not any(path.startswith(f"{each}/") for each in tree)}
)
Tree = dict[str, tuple[str, bytes]]


def put(tree: Tree, root: Path) -> None:
    root.mkdir()
    for name, (kind, content) in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "link":
            path.symlink_to(os.fsdecode(content))
        else:
            path.write_bytes(content)
            path.chmod(0o755 if kind == "program" else 0o644)


def found(root: Path) -> Tree:
    tree: Tree = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink():
                tree[str(path.relative_to(root))] = "link", os.fsencode(os.readlink(path))
            elif path.is_file():
                kind = "program" if path.stat().st_mode & 0o100 else "file"
                tree[str(path.relative_to(root))] = kind, path.read_bytes()
    return tree


def made(before: Path, after: Path) -> bytes:
    with Folder(before) as one, Folder(after) as two:
        return b"".join(line for each in diff(one, two, reasons=True) for line in patch(each, one, two))


@given(trees, trees)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_git_applies_it(tmp_path: Path, before: Tree, after: Tree) -> None:
    git = need("git")
    for name in ("before", "after"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    put(before, tmp_path / "before")
    put(after, tmp_path / "after")
    lines = made(tmp_path / "before", tmp_path / "after")
    assert bool(lines) == (before != after)
    if lines:
        done = subprocess.run(
            [git, "apply", "--whitespace=nowarn"],
            cwd=tmp_path / "before",
            env={"PATH": os.environ["PATH"], "GIT_CEILING_DIRECTORIES": str(tmp_path), "HOME": str(tmp_path)},
            input=lines,
            capture_output=True,
        )
        assert done.returncode == 0, (done.stderr, lines)
    assert found(tmp_path / "before") == after


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"\0", b"1\n", b"Binary files a/f and b/f differ\n"),
        (b"\xff", b"1\n", b"Binary files a/f and b/f differ\n"),
        (b"1\n", b"2" * (LARGEST + 1), b"Large files a/f and b/f differ\n"),
    ],
)
def test_what_is_no_small_text_is_named_only(tmp_path: Path, old: bytes, new: bytes, said: bytes) -> None:
    put({"f": ("file", old)}, tmp_path / "one")
    put({"f": ("file", new)}, tmp_path / "two")
    assert made(tmp_path / "one", tmp_path / "two") == b"diff --git a/f b/f\n" + said


def test_of_owners_times_and_directories_a_patch_knows_nothing(tmp_path: Path) -> None:
    put({"f": ("file", b"1")}, tmp_path / "one")
    put({"f": ("file", b"1"), "d/f": ("file", b"")}, tmp_path / "two")
    os.utime(tmp_path / "two" / "f", (1, 1))
    (tmp_path / "two" / "f").chmod(0o604)
    (tmp_path / "two" / "d" / "f").unlink()
    os.mkfifo(tmp_path / "two" / "d" / "fifo")
    assert made(tmp_path / "one", tmp_path / "two") == b""
