"""The Dockerfiles that checks are compared on (`cases.txt`, a section each); BuildKit's answers are `golden.json`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CASES = Path(__file__).with_name("cases.txt")
GOLDEN = Path(__file__).with_name("golden.json")
IMAGES = {
    "fitting": ("linux/amd64", "ENV FROM_BASE=1"),
    "shelled": ("linux/amd64", 'SHELL ["/bin/bash", "-c"]'),
}
"""Base images that cases use: their platform, and the instruction that made them."""


@dataclass(frozen=True, slots=True)
class CheckCase:
    """One Dockerfile, its .dockerignore, and the flags of the call. `calls` are those that BuildKit was asked."""

    name: str
    text: str
    ignore: str
    target: str | None
    args: tuple[str, ...]

    @property
    def calls(self) -> tuple[str, ...]:
        """The subrequests that this case is about."""
        if self.name.startswith(("outline", "targets")):
            return ("outline", "outline,format=json", "targets", "targets,format=json", "check,format=json")
        return ("check", "check,format=json")

    @property
    def flags(self) -> list[str]:
        """The flags of `build`."""
        target = [] if self.target is None else [f"--target={self.target}"]
        return [*target, *(f"--build-arg={word}" for word in self.args)]

    def write(self, place: Path) -> Path:
        """Make the build's directory."""
        place.mkdir()
        (place / "Dockerfile").write_text(self.text, encoding="utf-8")
        if self.ignore:
            (place / ".dockerignore").write_text(self.ignore, encoding="utf-8")
        return place


def sections(file: Path) -> Iterator[tuple[str, str]]:
    """The names and texts of a file of Dockerfiles."""
    for section in re.split(r"^==== ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        name, _, text = section.partition("\n")
        yield name, text


def cases() -> list[CheckCase]:
    """Every case, in order."""
    found = []
    for name, text in sections(CASES):
        heads: dict[str, list[str]] = {"ignore": [], "target": [], "args": []}
        while (head := re.match(r"(ignore|target|args): (.*)\n", text)) is not None:
            heads[head[1]].append(head[2])
            text = text[head.end() :]
        ignore = "".join(f"{line}\n" for line in heads["ignore"])
        found.append(CheckCase(name, text, ignore, next(iter(heads["target"]), None), tuple(heads["args"])))
    return found
