"""What the benchmark builds: contexts and Dockerfiles, the same for every tool."""

import random
from dataclasses import dataclass
from pathlib import Path

STEPS = 20
FILES = 20_000
FILE_SIZE = 2_048
DIFF_FILES = 5_000
DIFF_SIZE = 30_000


@dataclass(frozen=True, slots=True)
class Workload:
    """Directories to build, made once below one folder. `base` is the tag that every Dockerfile starts from."""

    folder: Path
    base: str

    def steps(self) -> Path:
        """Twenty small RUN steps."""
        runs = "\n".join(f"RUN echo {number} > /made-{number}" for number in range(STEPS))
        return self._context("steps", f"FROM {self.base}\n{runs}\n")

    def files(self) -> Path:
        """One COPY of 20,000 files in 200 directories, half of their bytes compressible."""
        context = self._context("files", f"FROM {self.base}\nCOPY tree /tree\n")
        tree = context / "tree"
        if not tree.exists():
            source = random.Random(1)
            for number in range(FILES):
                file = tree / f"{number % 200:03}" / f"file-{number}"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(source.randbytes(FILE_SIZE // 2) + b"text " * (FILE_SIZE // 10))
        return context

    def change_one(self, text: str) -> None:
        """Change one of those files."""
        (self.files() / "tree/007/file-7").write_text(f"changed {text}\n")

    def diff(self) -> Path:
        """A RUN that writes 150 MB in 5,000 files."""
        lines = 50
        again = DIFF_FILES // lines
        write = f'{{ for (i = 0; i < {again}; i++) {{ f = "/data/" i "-" NR; print > f; close(f) }} }}'
        context = self._context("diff", f"FROM {self.base}\nCOPY seed /seed\nRUN mkdir /data && awk '{write}' /seed\n")
        seed = context / "seed"
        if not seed.exists():
            source = random.Random(2)
            letters = "abcdefghijklmnopqrstuvwxyz0123456789 .,;=(){}"
            words = ["".join(source.choices(letters, k=source.randint(2, 9))) for _ in range(4096)]
            with seed.open("w") as out:
                for _ in range(lines):
                    line = "".join(source.choice(words) for _ in range(DIFF_SIZE // 4))
                    out.write(line[: DIFF_SIZE - 1] + "\n")
        return context

    def stages(self) -> Path:
        """Four stages that need nothing of each other, each computing and waiting a while, and one that gathers."""
        work = "i=0; while [ $i -lt 40000 ]; do i=$((i+1)); done; sleep 0.4; echo $i > /out"
        names = [f"s{number}" for number in range(4)]
        stages = "\n".join(f"FROM {self.base} AS {name}\nRUN {work}" for name in names)
        copies = "\n".join(f"COPY --from={name} /out /{name}" for name in names)
        return self._context("stages", f"{stages}\nFROM {self.base}\n{copies}\n")

    def _context(self, name: str, dockerfile: str) -> Path:
        context = self.folder / name
        context.mkdir(parents=True, exist_ok=True)
        (context / "Dockerfile").write_text(dockerfile)
        return context
