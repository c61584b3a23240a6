"""The examples as data: what each Dockerfile's head comment promises.

A line `# $ pybuild build FLAGS… -t NAME .` says how it is built (by default without flags), each
`# $ pybuild run FLAGS… NAME ARGS…` how it is run, `# exits with N` how the last run ends. The file
`expected` beside it holds the standard output of all runs, one after another.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
_COMMAND = re.compile(r"^# \$ (pybuild (?:build|run) .*)$", re.MULTILINE)
_EXIT = re.compile(r"^# exits with (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Run:
    """One way to run an example: flags before the image's name, arguments after it."""

    flags: tuple[str, ...]
    args: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A directory under examples/Dockerfiles."""

    name: str
    directory: Path
    build_flags: tuple[str, ...]
    runs: tuple[Run, ...]
    exit_code: int
    expected: str

    @classmethod
    def read(cls, directory: Path) -> "Example":
        text = (directory / "Dockerfile").read_text(encoding="utf-8")
        build_flags: tuple[str, ...] = ()
        runs = []
        for match in _COMMAND.finditer(text):
            _, command, *words = shlex.split(match[1])
            if command == "build":
                build_flags = tuple(words[: words.index("-t")])
                continue
            image = len(words) - 1 - words[::-1].index(directory.name)
            runs.append(Run(tuple(words[:image]), tuple(words[image + 1 :])))
        code = _EXIT.search(text)
        expected = (directory / "expected").read_text(encoding="utf-8")
        return cls(directory.name, directory, build_flags, tuple(runs), int(code[1]) if code else 0, expected)


def examples() -> list[Example]:
    """Every example, by name."""
    return [Example.read(file.parent) for file in sorted(EXAMPLES.glob("Dockerfiles/*/Dockerfile"))]
