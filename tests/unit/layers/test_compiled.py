"""One file with the code of many modules: what is found there is what Python would find, or it is not used."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from layers import compiled, compiling
from layers.compiled import Bundle, Loader, source_of, state

HOME = Path(compiled.ROOT)
LOOK = """
import sys
sys.path[:0] = [sys.argv[1]]
from layers.compiled import lead, leading
lead()
import layers.quick, layers.oci.digest
for name in ("layers", "layers.quick", "layers.oci", "layers.oci.digest"):
    module = sys.modules[name]
    print(name, type(module.__loader__).__name__, module.__file__, module.__cached__, getattr(module, "__path__", None),
          module.__spec__.has_location, module.__package__)
print(leading() is not None and leading().missed)
"""


@pytest.fixture
def place(tmp_path: Path) -> str:
    """A bundle of everything."""
    path = str(tmp_path / "bundle")
    compiling.write(compiling.everything(), place=path)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the ground alone, as another installation."""
    shutil.copytree(HOME / "layers", tmp_path / "layers", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def look(tree: Path, script: str = LOOK) -> list[str]:
    """What a process that begins in a tree says."""
    words = [sys.executable, "-I", "-S", "-c", script, str(tree)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()


def write(tree: Path) -> Path:
    """Its bundle, written by a process of its own."""
    script = "import sys; sys.path[:0] = [sys.argv[1]]; from layers.compiling import *; write(everything())"
    look(tree, script)
    (bundle,) = (tree / "layers/__pycache__").glob("*.bundle")
    return bundle


def test_all_modules_are_in_it_with_the_code_that_python_makes(place: str) -> None:
    bundle = Bundle.open(place)
    assert bundle is not None
    assert bundle.table.keys() == compiling.everything().keys()
    assert {"pybuild", "runner.zygote", "builder.containers.supervise"} <= bundle.table.keys()
    for name in ("layers.quick", "pybuild", "runner.child"):
        spec = bundle.find_spec(name)
        assert spec is not None and isinstance(spec.loader, Loader) and spec.origin is not None
        assert spec.loader.get_code(name) == SourceFileLoader(name, spec.origin).get_code(name)
        assert spec.loader.get_source(name) == Path(spec.origin).read_text()
    assert bundle.find_spec("sqlite3") is None
    for name, package in compiling.STANDARD.items():
        spec, python = bundle.find_spec(name), importlib.util.find_spec(name)
        assert spec is not None and python is not None
        assert (spec.origin, spec.cached, spec.parent) == (python.origin, python.cached, python.parent)
        assert spec.submodule_search_locations == python.submodule_search_locations
        assert package == (spec.submodule_search_locations is not None)
    assert not bundle.missed
    assert bundle.find_spec("layers.nothing") is None
    assert bundle.missed


def test_modules_look_as_if_python_had_found_them(tree: Path) -> None:
    plain = look(tree)
    write(tree)
    ours = look(tree)
    assert (plain.pop(), ours.pop()) == ("False", "False")
    assert [line.replace("SourceFileLoader", "Loader", 1) for line in plain] == [
        line.replace("SourceFileLoader", "Loader", 1) for line in ours
    ]
    assert [line.split()[1] for line in ours] == ["SourceFileLoader", "Loader", "Loader", "Loader"]


def test_a_source_that_changed_counts(tree: Path) -> None:
    write(tree)
    source = tree / "layers/quick.py"
    before = source.stat()
    source.write_text(source.read_text() + "print('changed')\n")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))  # its size tells
    said = look(tree)
    assert said[0] == "changed"
    assert said[2].startswith("layers.quick SourceFileLoader")
    assert said[-1] == "True"
    write(tree)
    before = source.stat()
    source.write_text(source.read_text().replace("changed", "CHANGED"))
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))  # both are as they were, as installers may have it
    assert look(tree)[2].startswith("layers.quick SourceFileLoader")
    write(tree)
    shorter = source.read_text().replace("CHANGED", "Changed")
    source.write_text(shorter)  # its time does
    assert look(tree)[0] == "Changed"
    (tree / "layers/oci/digest.py").unlink()
    with pytest.raises(subprocess.CalledProcessError):
        look(tree)


@pytest.mark.parametrize("cut", [0, 5, 300, 5_000])
def test_a_torn_file_is_not_used(tree: Path, cut: int) -> None:
    bundle = write(tree)
    whole = bundle.read_bytes()
    for torn in (whole[:cut], whole[:cut] + bytes(len(whole) - cut)):
        bundle.write_bytes(torn)
        assert len(look(tree)) == 5


def test_one_of_another_tree_is_not_used(tree: Path, tmp_path: Path) -> None:
    bundle = write(tree)
    other = tmp_path / "other"
    shutil.copytree(tree / "layers", other / "layers")
    assert (other / "layers/__pycache__" / bundle.name).exists()
    assert [line.split()[1] for line in look(other)[:-1]] == ["SourceFileLoader"] * 4


def test_what_was_loaded_is_added_to_what_is_known(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    older = Bundle.open(place)
    assert older is not None
    before = older.table["layers.quick"]
    monkeypatch.setattr(Bundle, "table", {"layers.quick": before, "layers.gone": (0, 1, 2, 3, 4, False)})
    older.courses = {}
    monkeypatch.setattr(compiling, "leading", lambda: older)
    monkeypatch.setattr(compiling.write, "__defaults__", (None, place))
    compiling.keep()
    monkeypatch.undo()
    newer = Bundle.open(place)
    assert newer is not None
    assert newer.table["layers.quick"][1:] == before[1:]
    assert "layers.compiled" in newer.table and "layers.gone" not in newer.table
    assert newer.code("layers.compiled") and state(source_of("layers", package=True)) == newer.table["layers"][2:5]
    monkeypatch.setattr(compiling.write, "__defaults__", (None, "/proc/nowhere"))
    compiling.keep()  # who may not write does without


def test_who_has_closed_it_finds_modules_where_they_are(tree: Path) -> None:
    write(tree)
    closed = "lead()\nimport os; os.closerange(3, 100); other = os.open(os.devnull, os.O_RDONLY)\n"
    assert len(look(tree, LOOK.replace("lead()\n", closed, 1))) == 5
    assert len(look(tree, LOOK.replace("lead()\n", closed.replace("os.devnull", "sys.executable"), 1))) == 5


COURSE = """
import sys
sys.path[:0] = [sys.argv[1]]
from layers.compiled import hasten, lead, leading
lead()
import layers.errors
try:
    hasten("layers.head")
    print("done", *[name for name in sys.modules if name.startswith("layers.")])
    import layers.head, layers.tail, layers.oci.digest
    for name in ("layers.head", "layers.oci", "layers.oci.digest", "layers.tail"):
        module = sys.modules[name]
        print(name, type(module.__loader__).__name__, module.__file__, module.__cached__, module.__spec__.name,
              getattr(module, "__path__", None), module.__package__)
    print(layers.tail is layers.head.tail(), layers.oci.digest.Digest.__module__)
except ValueError as error:
    print("raised", error, "layers.tail" in sys.modules, "layers.head" in sys.modules)
print(leading() is not None and leading().missed)
"""
HEAD = """
import layers.oci.digest
COURSE = ("layers.tail",)
def tail():
    import layers.tail
    return layers.tail
"""


@pytest.fixture
def course(tree: Path) -> Path:
    """An installation with a course."""
    (tree / "layers/head.py").write_text(HEAD)
    (tree / "layers/tail.py").write_text("import layers.head\nassert layers.head.tail\n")
    return tree


def test_a_course_is_what_python_would_load(course: Path) -> None:
    plain = look(course, COURSE)
    write(course)
    ours = look(course, COURSE)
    assert plain[0].split()[-1] == "layers.errors", "who has no file hastens nothing"
    assert ours[0].split()[-4:] == ["layers.quick", "layers.oci.digest", "layers.head", "layers.tail"]
    assert [line.replace("SourceFileLoader", "Loader", 1) for line in plain[1:]] == ours[1:]
    assert ours[-2:] == ["True layers.oci.digest", "False"]


def test_who_has_changed_since_is_loaded_as_it_is(course: Path) -> None:
    write(course)
    (course / "layers/tail.py").write_text("import layers.head\nassert callable(layers.head.tail)\n")
    said = look(course, COURSE)
    assert said[0].split()[-1] == "layers.head", "what was good is hastened"
    assert said[4].startswith("layers.tail SourceFileLoader")
    assert said[-1] == "True"


def test_a_failure_on_a_course_is_told_and_leaves_nothing_half_done(course: Path) -> None:
    (course / "layers/tail.py").write_text("import sys\nif len(sys.argv) > 1: raise ValueError('no')\n")
    script = """
import sys; sys.path[:0] = [sys.argv.pop(1)]
from layers import compiling
compiling.LOADING = compiling.LOADING.replace("head = sys.argv[2]", "head = sys.argv[2]; sys.argv[1:] = []")
compiling.write(compiling.everything())
"""
    look(course, script)
    assert look(course, COURSE)[0] == "raised no False True"


def test_a_course_that_cannot_be_read_is_not_run(course: Path) -> None:
    write(course)
    closed = "lead()\nimport os; os.closerange(3, 100)\n"
    said = look(course, COURSE.replace("lead()\n", closed, 1))
    assert said[0].split()[-1] == "layers.errors"
    assert said[-1] == "False"


def test_a_torn_course_is_not_run(course: Path) -> None:
    bundle = write(course)
    whole = bundle.read_bytes()
    for torn in (whole[:-20], whole[:-100] + bytes(100), whole[:-500] + bytes(500)):
        bundle.write_bytes(torn)
        said = look(course, COURSE)
        assert said[0].split()[-1] == "layers.errors"
        assert len(said) == 7


def test_a_course_is_found_anew_only_if_one_on_it_changed(course: Path) -> None:
    """In this tree's process: what `write` asks a further process for."""
    script = """
import sys; sys.path[:0] = [sys.argv[1]]
from layers import compiling
from layers.compiled import Bundle
asked = []
real = compiling.subprocess.run
compiling.subprocess.run = lambda words, **more: (asked.append(words[-1]), real(words, **more))[1]
def again():
    compiling.write(compiling.everything(), Bundle.open())
    print(len(asked), *Bundle.open().courses["layers.head"][2].split()[-2:])
again(); again()
open(sys.argv[1] + "/layers/home/db.py", "a").write("\\n")
again()
open(sys.argv[1] + "/layers/tail.py", "a").write("import layers.oci.image\\n")
again()
"""
    assert look(course, script) == [
        "1 layers.head layers.tail",
        "1 layers.head layers.tail",
        "1 layers.head layers.tail",
        "2 layers.oci.image layers.tail",
    ]


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("from collections.abc import Sequence", "_collections_abc"),
        ("import collections.abc\nSequence = collections.abc.Sequence", "collections.abc"),
        ("from collections import Counter\nfrom collections.abc import Sequence", "collections.abc"),
    ],
)
def test_on_a_course_names_come_from_where_they_are(source: str, wanted: str) -> None:
    from collections.abc import Sequence

    code = compiling.light(compile(source, "course.py", "exec"))
    assert wanted in code.co_names
    known: dict[str, object] = {}
    exec(code, known)
    assert known["Sequence"] is Sequence
