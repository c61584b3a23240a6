"""`pybuild context`: what is sent, how much of it, and which line decides."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.support.building import tree
from tests.support.command import Pybuild


@pytest.fixture
def place(tmp_path: Path) -> Path:
    ignore = "# logs\n*.log\n!keep.log\nnode_modules\n!node_modules/keep\n"
    files = {"a.log": "a", "keep.log": "b", "node_modules/x/big": "x" * 5000, "node_modules/keep": "k", "src/m": "mm"}
    return tree(tmp_path / "place", {".dockerignore": ignore, **files})


def test_what_is_sent(pybuild: Pybuild, place: Path) -> None:
    done = pybuild("context", "ls", "--format", "{{.Path}} {{.SizeBytes}}", "--sort", "size", place)
    assert done.stdout.splitlines() == [".dockerignore 55", "src/m 2", "keep.log 1", "node_modules/keep 1"]
    assert done.stderr == "4 files sent, 59B\n"
    done = pybuild("context", "ls", "-n", "1", "--format", "json", place)
    assert json.loads(done.stdout) == {
        "Path": ".dockerignore",
        "Size": "55B",
        "SizeBytes": 55,
        "Type": "file",
        "Mode": "0644",
    }
    done = pybuild("context", "ls", "--ignored", place)
    assert done.stdout.splitlines()[1:] == [
        "1B        .dockerignore:2 *.log          a.log",
        "5kB       .dockerignore:4 node_modules   node_modules/x/",
    ]


def test_a_tree(pybuild: Pybuild, place: Path) -> None:
    lines = pybuild.text("context", "tree", "--sort", "size", place).splitlines()
    assert [line[11:] for line in lines[1:]] == [
        "├── .dockerignore",
        "├── src/",
        "│   └── m",
        "├── keep.log",
        "└── node_modules/",
        "    └── keep",
    ]
    assert len(pybuild.text("context", "tree", "--depth", "1", place).splitlines()) == 5


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a.log", ["a.log is ignored", ".dockerignore:2: *.log decides", "help: a line !a.log below line 2"]),
        ("keep.log", ["keep.log is sent", ":3: !keep.log decides", ":2: *.log matches, too"]),
        ("node_modules", ["is ignored", ":4: node_modules decides", ":5: !node_modules/keep may keep something in it"]),
        ("./node_modules/x/big", ["is ignored", "because it is in node_modules"]),
        ("none", ["is not there; it would be sent", "no line of .dockerignore matches it"]),
    ],
)
def test_why(pybuild: Pybuild, place: Path, path: str, said: list[str]) -> None:
    out = pybuild.text("context", "explain", path, place)
    for words in said:
        assert words in out


def test_why_for_programs_and_from_the_ignore_file_of_a_dockerfile(pybuild: Pybuild, place: Path) -> None:
    (place / "Other").write_text("FROM scratch\n")
    (place / "Other.dockerignore").write_text("keep.log\n")
    out = json.loads(pybuild.text("context", "explain", "--json", "-f", "Other", place / "keep.log", place))
    assert out == {
        "path": "keep.log",
        "exists": True,
        "ignored": True,
        "file": "Other.dockerignore",
        "decides": {"line": 1, "pattern": "keep.log", "matches": "keep.log"},
        "overruled": [],
        "may_keep_below": [],
    }


def test_a_tar(pybuild: Pybuild) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("d/a.log", ".dockerignore"):
            member = tarfile.TarInfo(name)
            member.size = 5
            tar.addfile(member, io.BytesIO(b"*.log"))
    assert "d/a.log" in pybuild("context", "ls", "-", stdin=buffer.getvalue()).stdout
    assert "no ignore file counts" in pybuild("context", "explain", "d/a.log", "-", stdin=buffer.getvalue()).stdout
    assert "there is no context" in pybuild("context", "ls", "-", stdin="FROM scratch\n", code=2).stderr
