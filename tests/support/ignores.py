"""Random ignore files, and what BuildKit sends of one tree under each, kept as data.

`python -m tests.support.ignores DIRECTORY` asks the BuildKit inside the docker of a chroot (made by `bench/peers/sid`)
and writes `SENT` anew; the tests only read it.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path

SENT = Path(__file__).with_name("ignores.json")
SEEDS = range(160)
NAMES = ("a", "b", "ab", "A", "a.txt", "b.log", ".hidden", "a b", "[x]", "x-y", "é")
FIXED = [
    "a\n", "/a\n", "a/\n", "./a\n", "a/b\n", "**/a\n", "a/**\n", "**\n", "*\n", ".\n", "..\n", "*/*\n", "a/**/b\n",
    "!a\n", "*\n!a\n", "*\n!a/b\n", "a\n!a/b\n", "**\n!**/a.txt\n", "*\n!*/b\n", "a/*\n!a/b\n", "a\n!a/b\na/b/ab\n",
    "*\n!**/b.log\n", "# a\n", " # a\n", "\\#a\n", "\n\n a \n", "!\n", "[\n", "[a\n", "[a-]\n", "[]a]\n", "[^a]\n",
    "[!a]\n", "a\\\n", "\\[x\\]\n", "[[]x]\n", "a?b\n", "a b\n", "?\n", "é\n", "**/*.txt\n!a\n", "*.txt\n!a/*.txt\n",
    "a/**/\n", "/\n", "//a\n", "a//b\n", "a/../b\n", "../a\n", "!/a\n*\n", "! a\n", "*\n! a\n", "\ufeffa\n", "a\r\n",
    "***\n", "a**\n", "**a\n", "a/**b\n", "**/\n", "a*/\n", "A\n", "!**/a\n*\n!b\n", "**/a\n!a/a\n", "a/b\n!a\n",
    "*\n!a/*/a\n", "*\n!a/**/a\n", "*\n!**/a/b\n", "*\n!a*/b\n",
]  # fmt: skip


def grow(folder: Path) -> None:
    """The tree: every name at the top, some of them directories with directories, all three levels deep."""
    for name in NAMES:
        (folder / name).mkdir()
        for inner in NAMES[:7]:
            if inner in ("a", "b"):
                (folder / name / inner).mkdir()
                for file in NAMES[:5]:
                    (folder / name / inner / file).write_text("")
            else:
                (folder / name / inner).write_text("")
    (folder / "file").write_text("")
    (folder / "c.txt").write_text("")


def text(seed: int) -> str:
    """An ignore file."""
    if seed < len(FIXED):
        return FIXED[seed]
    dice = random.Random(seed)
    parts = [*NAMES, "*", "*", "**", "**", "?", "a*", "*b", "*.txt", "[a-b]", "[^a]", "\\a", "a?b", ".*"]
    lines = []
    for _ in range(dice.randint(1, 6)):
        pattern = "/".join(dice.choice(parts) for _ in range(dice.randint(1, 3)))
        start = dice.choice(("", "", "", "/", "./", "!", "!", "!", "!/"))
        lines.append(start + pattern + dice.choice(("", "", "", "/")))
    return "\n".join(lines) + "\n"


def listed(folder: Path) -> list[str]:
    """What is in a directory, directories with a slash."""
    return sorted(f"{path.relative_to(folder)}{'/' if path.is_dir() else ''}" for path in folder.rglob("*"))


def packed(names: list[str], whole: list[str]) -> str:
    """Which of all names are among some, a bit each."""
    return f"{sum((name in names) << at for at, name in enumerate(whole)):x}"


def unpacked(bits: str, whole: list[str]) -> list[str]:
    """The names again."""
    return [name for at, name in enumerate(whole) if int(bits, 16) >> at & 1]


def main() -> None:
    from tests.support.dockerd import dockerd

    said = {}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        work = Path(scratch)
        (work / "context").mkdir()
        grow(work / "context")
        whole = listed(work / "context")
        (work / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
        with dockerd(work / "daemon", root=Path(sys.argv[1]), shared=[work]) as peer:
            for seed in SEEDS:
                (work / "Dockerfile.dockerignore").write_text(text(seed))
                out = work / f"out{seed}"
                args = ["-f", str(work / "Dockerfile"), "-o", f"type=local,dest={out}", str(work / "context")]
                done = peer.docker("buildx", "build", "--no-cache", *args, check=False)
                said[str(seed)] = packed(listed(out), whole) if done.returncode == 0 else None
                print(seed, repr(text(seed)), said[str(seed)])
    SENT.write_text(json.dumps(said, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
