"""Small Dockerfiles by feature (`cases/*.txt`, a section each), and what BuildKit made of them (`golden/*.json`).

A section begins with `==== name` and header lines, then comes the Dockerfile:

    arg: NAME=VALUE      a build argument             file: PATH TEXT      a file of the context (with \\n in TEXT)
    target: STAGE        build that stage             link: PATH TARGET    a symbolic link of the context
    ignore: PATTERN      a line of .dockerignore      mode: PATH 0755      a mode of the context
    bytes: crlf | bom | ESCAPES   how the Dockerfile is written; ESCAPES: \\xHH in it stand for bytes
    fifo: PATH           a pipe of the context        xattr: PATH NAME VALUE      an extended attribute
    users: host          RUN has the host's users, as BuildKit's

The context of all is the one of `tests/acceptance/cases.py`; the Dockerfile stands beside it.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.acceptance.cases import MTIME, make_context
from tests.acceptance.checks.cases import sections

HERE = Path(__file__).parent
HEADS = ("arg", "target", "ignore", "file", "link", "mode", "fifo", "xattr", "users", "bytes")
CONTEXT = frozenset(("file", "link", "mode", "fifo", "xattr"))


@dataclass(frozen=True, slots=True)
class Case:
    """One build of a feature's file."""

    feature: str
    name: str
    text: str
    heads: tuple[tuple[str, str], ...]

    def head(self, kind: str) -> list[str]:
        """The values of the header lines of one kind."""
        return [value for key, value in self.heads if key == kind]

    @property
    def args(self) -> dict[str, str]:
        """The build arguments."""
        return dict(word.split("=", 1) for word in self.head("arg"))

    @property
    def target(self) -> str | None:
        """The stage that is asked for."""
        return next(iter(self.head("target")), None)

    @property
    def data(self) -> bytes:
        """The Dockerfile as bytes."""
        data = self.text.encode()
        if "crlf" in self.head("bytes"):
            data = data.replace(b"\n", b"\r\n")
        if "ESCAPES" in self.head("bytes"):
            data = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), data)
        return b"\xef\xbb\xbf" + data if "bom" in self.head("bytes") else data

    def write(self, work: Path) -> tuple[Path, Path]:
        """Write the Dockerfile, and the context if it is no common one: both places. `work` has `context` already."""
        file = work / f"{self.feature}.{self.name}/Dockerfile"
        file.parent.mkdir()
        file.write_bytes(self.data)
        if ignore := self.head("ignore"):
            (file.parent / "Dockerfile.dockerignore").write_text("\n".join(ignore) + "\n", encoding="utf-8")
        if not any(key in CONTEXT for key, _ in self.heads):
            return file, work / "context"
        context = work / f"{self.feature}.{self.name}.context"
        shutil.copytree(work / "context", context, symlinks=True)
        for key, value in self.heads:
            name, _, rest = value.partition(" ")
            place = context / name
            if key == "mode":
                place.chmod(int(rest, 8))
            elif key == "fifo":
                os.mkfifo(place, 0o644)
            elif key == "xattr":
                attribute, _, text = rest.partition(" ")
                data = bytes.fromhex(text[2:]) if text.startswith("0x") else text.encode()
                os.setxattr(place, attribute, data)
            elif key in ("file", "link"):
                place.parent.mkdir(parents=True, exist_ok=True)
                if key == "link":
                    place.symlink_to(rest)
                else:
                    place.write_text(rest.replace("\\n", "\n"), encoding="utf-8")
                    place.chmod(0o644)
        for folder, folders, names in os.walk(context, topdown=False):
            for one in [*folders, *names]:
                os.utime(Path(folder, one), (MTIME, MTIME), follow_symlinks=False)
        return file, context


def prepare(work: Path) -> None:
    """Make the common context."""
    (work / "context").mkdir()
    make_context(work / "context")


def features() -> list[str]:
    """The names of the files of cases."""
    return sorted(file.stem for file in (HERE / "cases").glob("*.txt"))


def cases(feature: str) -> Iterator[Case]:
    """The cases of one file."""
    for name, text in sections(HERE / f"cases/{feature}.txt"):
        heads: list[tuple[str, str]] = []
        lines = text.splitlines(keepends=True)
        while lines and (head := lines[0].partition(": "))[0] in HEADS:
            heads.append((head[0], head[2].rstrip("\n")))
            del lines[0]
        yield Case(feature, name, "".join(lines), tuple(heads))


def every() -> dict[str, Case]:
    """All cases by `feature/name`."""
    return {f"{case.feature}/{case.name}": case for feature in features() for case in cases(feature)}


def golden_file(feature: str) -> Path:
    """Where BuildKit's answers are kept."""
    return HERE / f"golden/{feature}.json"


@cache
def golden(feature: str) -> dict[str, Any]:
    """BuildKit's answers by the case's name."""
    file = golden_file(feature)
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found
