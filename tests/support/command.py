"""The installed `pybuild` command as a person would call it, on a store of the test's own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("pybuild")


class CommandFailed(AssertionError):
    """pybuild ended otherwise than the test promised; the text shows both of its outputs."""


@dataclass(frozen=True, slots=True)
class Pybuild:
    """`pybuild --root ROOT`, callable. The environment is the test's plus `env`, minus every PYBUILD_*.

    `prefix` is a command that runs it, such as nsenter(1) with its options.
    """

    root: Path
    env: Mapping[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()

    def command(self, *args: str | Path) -> list[str]:
        """The argument list that `__call__` runs."""
        return [*self.prefix, str(PROGRAM), *map(str, args)]

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment of the command."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYBUILD_")}
        return {**kept, "PYBUILD_ROOT": str(self.root), "NO_COLOR": "1", **self.env}

    def __call__(
        self,
        *args: str | Path,
        cwd: Path | None = None,
        stdin: str | bytes = b"",
        code: int | None = 0,
        timeout: float = 240,
    ) -> subprocess.CompletedProcess[str]:
        """Run it; raises `CommandFailed` when its exit code is not `code` (`None`: any)."""
        done = subprocess.run(
            self.command(*args),
            cwd=cwd,
            env=self.environment,
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        out = done.stdout.decode("utf-8", "surrogateescape")
        err = done.stderr.decode("utf-8", "replace")
        if code is not None and done.returncode != code:
            shown = " ".join(map(str, args))
            raise CommandFailed(
                f"pybuild {shown}: exit {done.returncode}, expected {code}\n--- stdout\n{out}\n--- stderr\n{err}"
            )
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def text(self, *args: str | Path, cwd: Path | None = None) -> str:
        """Standard output of a command that must succeed, without the last newline."""
        return self(*args, cwd=cwd).stdout.removesuffix("\n")

    def build(self, directory: Path, *flags: str | Path) -> str:
        """Build a directory; the image's id."""
        return self.text("build", "-q", *flags, directory)

    def base(self, name: str = "busybox") -> None:
        """Build one of the examples' base images in this store, under its usual tag."""
        from tests.support.bases import DOCKERFILES, rootfs

        tag = "latest" if name == "busybox" else "bookworm"
        self("build", "-q", "-t", f"{name}:{tag}", "-f", DOCKERFILES / name / "Dockerfile", rootfs(name).parent)
