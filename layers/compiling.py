"""Writes the file of `layers.compiled`: under the conditions of Python's own, and beside them (`__pycache__`).

A command adds what it had to load from elsewhere (`keep`); `python -m layers.compiling` writes everything there is of
ours. Of Python's own modules those are in it that `run` loads.
"""

from __future__ import annotations

import marshal
import os
import sys
from _frozen_importlib_external import SourceFileLoader
from collections.abc import Mapping
from contextlib import suppress

from layers.compiled import HEAD, LENGTH, PACKAGES, PLACE, ROOT, Bundle, leading, source_of, state

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    from layers.compiled import Entry

STANDARD = dict.fromkeys(
    "__future__ _weakrefset collections.abc contextlib copyreg ctypes._endian enum fnmatch functools heapq "
    "json.decoder json.encoder json.scanner keyword operator pathlib re._casefix re._compiler re._constants re._parser "
    "reprlib signal struct threading tty types warnings weakref".split(),
    False,
) | dict.fromkeys("collections ctypes importlib json re".split(), True)
"""Modules of Python's own library, and whether it is a package."""


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
    table: dict[str, Entry] = {}
    codes: list[bytes] = []
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
        codes.append(code)
        begin += len(code)
    head = marshal.dumps(table)
    fresh = f"{place}.{os.getpid()}"
    with open(fresh, "wb") as file:
        file.writelines((HEAD, len(head).to_bytes(LENGTH, "little"), head, *codes))
        file.flush()
        os.fsync(file.fileno())  # else a power cut could leave it torn, under its name
    os.replace(fresh, place)


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
