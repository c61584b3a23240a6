"""Writes the file of `layers.compiled`: under the conditions of Python's own, and beside them (`__pycache__`).

A command adds what it had to load from elsewhere (`keep`); `python -m layers.compiling` writes everything there is of
ours. Of Python's own modules those are in it that `run` loads. A module that says `COURSE = (...)`, names of what it
will surely need later, is the head of a course: a process that loads just that shows what is on it. Other heads among
them are those whose courses come before.
"""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
from _frozen_importlib_external import SourceFileLoader
from array import array
from collections.abc import Mapping
from contextlib import suppress

from layers.compiled import HEAD, LENGTH, PACKAGES, PLACE, ROOT, Bundle, leading, source_of, state

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from types import CodeType

    from layers.compiled import Courses, Table

STANDARD = dict.fromkeys(
    "__future__ _weakrefset collections.abc contextlib copyreg ctypes._endian enum fnmatch functools heapq "
    "json.decoder json.encoder json.scanner keyword operator pathlib re._casefix re._compiler re._constants re._parser "
    "reprlib signal struct threading tty types warnings weakref".split(),
    False,
) | dict.fromkeys("collections ctypes importlib json re".split(), True)
"""Modules of Python's own library, and whether it is a package."""


SIGN = "COURSE"
LOADING = f"""
import sys
sys.path.insert(0, sys.argv[1])
head = sys.argv[2]
__import__(head)
names = sys.modules[head].{SIGN}
for name in names:
    __import__(name)
print(*[name for name in names if hasattr(sys.modules[name], "{SIGN}")])
print(*sys.modules)
"""


def keep() -> None:
    """Write the file anew with all modules of ours that are loaded, and what it had; where that may not be, do not."""
    found = {
        name: module.__spec__.submodule_search_locations is not None
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in PACKAGES
        and module.__spec__
        and isinstance(module.__spec__.loader, SourceFileLoader)
    }
    with suppress(OSError):
        write(STANDARD | found, leading())


def write(modules: Mapping[str, bool], older: Bundle | None = None, place: str = PLACE) -> None:
    """Write the code of modules (by name, whether it is a package) and what is good of an older file.

    Raises OSError.
    """
    table: Table = {}
    codes: dict[str, bytes | memoryview] = {}
    begin = 0
    known = {} if older is None else older.table
    for name, package in {**{name: entry[5] for name, entry in known.items()}, **modules}.items():
        source = source_of(name, package=package)
        then = state(source)
        if older is not None and name in known and known[name][2:5] == then:
            code = older.code(name)
        elif then is not None and (found := SourceFileLoader(name, source).get_code(name)) and state(source) == then:
            code = marshal.dumps(found)
        else:
            continue  # it has gone, or is being written just now
        table[name] = (begin, len(code), *then, package)
        codes[name] = code
        begin += len(code)
    courses: Courses = {}
    for head, (names, together) in _courses(table, codes, older).items():
        codes[f"{head}.{SIGN}"] = together
        courses[head] = begin, len(together), "\n".join(names)
        begin += len(together)
    words = array("q", (int(word) for entry in table.values() for word in entry))
    directory = marshal.dumps(("\n".join(table), words.tobytes(), courses))
    fresh = f"{place}.{os.getpid()}"
    with open(fresh, "wb") as file:
        file.writelines((HEAD, len(directory).to_bytes(LENGTH, "little"), directory, *codes.values()))
        file.flush()
        os.fsync(file.fileno())  # else a power cut could leave it torn, under its name
    os.replace(fresh, place)


def _courses(
    table: Table, codes: Mapping[str, bytes | memoryview], older: Bundle | None
) -> dict[str, tuple[tuple[str, ...], bytes | memoryview]]:
    """The modules of every course, and their code as one; those of the older file whose modules are as they were."""
    loaded = {name: marshal.loads(code) for name, code in codes.items()}
    known = {} if older is None else older.table
    found: dict[str, tuple[tuple[str, ...], bytes | memoryview]] = {}
    before: dict[str, list[str]] = {}
    for head in [name for name, code in loaded.items() if SIGN in code.co_names]:
        begin, length, lines = (0, 0, "") if older is None else older.courses.get(head, (0, 0, ""))
        names = tuple(lines.split("\n"))
        if older is not None and lines and all(table.get(one, ())[1:] == known[one][1:] for one in (head, *names)):
            found[head] = names, older.read(begin, length)
        else:
            words = [sys.executable, "-c", LOADING, ROOT, head]
            said = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True).stdout
            heads, _, modules = said.partition("\n")
            before[head] = heads.split()
            found[head] = tuple(name for name in modules.split() if name in table and name not in STANDARD), b""
    for head, heads_before in before.items():
        gone = {name for one in heads_before for name in found.get(one, ((), b""))[0]}
        names = tuple(name for name in found[head][0] if name not in gone)
        found[head] = names, marshal.dumps(tuple(light(loaded[name]) for name in names))
    return found


def light(code: CodeType) -> CodeType:
    """The code of a module that takes the names of `collections.abc` from where that has them, which is loaded already;
    with that comes all of `collections`, which takes a millisecond.
    """
    if "collections" in code.co_names:  # it is wanted itself, or as collections.abc
        return code
    return code.replace(
        co_names=tuple("_collections_abc" if name == "collections.abc" else name for name in code.co_names)
    )


def everything() -> dict[str, bool]:
    """All our modules and STANDARD, by name; whether it is a package."""
    found = dict(STANDARD)
    for top in PACKAGES:
        for folder, _, files in os.walk(f"{ROOT}/{top}"):
            within = folder[len(ROOT) + 1 :].replace("/", ".")
            for file in files:
                if file == "__init__.py":
                    found[within] = True
                elif file.endswith(".py"):
                    found[f"{within}.{file[:-3]}"] = False
    return found


if __name__ == "__main__":
    write(everything())
