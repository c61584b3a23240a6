"""One thing that was tried, and a way to try it where nothing can be spoilt."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Literal

from layers.errors import LayerError
from layers.quick import dataclass
from runner.errors import RunnerError
from runner.rootless import owner

Verdict = Literal["ok", "missing", "absent"]
"""missing: builds need it; absent: only what `serves` says needs it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`found` is what was seen, `serves` what it is good for, `fix` the exact line that brings it."""

    name: str
    verdict: Verdict
    found: str
    serves: str = ""
    fix: str = ""


ROOTS = frozenset("apt-get chmod modprobe sysctl useradd usermod".split())
"""Programs that only root has a use for, when something is to be mended."""


class Lacking(Exception):
    """A probe has found that something is not there: why, and what to type."""

    def __init__(self, why: str, fix: str = "") -> None:
        super().__init__(why)
        self.fix = fix


def examine(name: str, probe: Callable[[], str], *, serves: str = "", fix: str = "", needed: bool = False) -> Finding:
    """Run a probe, which returns what it saw or raises Lacking, OSError, or an error of layers or the runner."""
    try:
        return Finding(name, "ok", probe(), serves)
    except (Lacking, LayerError, RunnerError) as lacking:
        why, fix = str(lacking), getattr(lacking, "fix", "") or fix
    except OSError as error:
        call = f"{error.filename}: " if isinstance(error.filename, str) else ""
        why = f"{call}{error.strerror or error}"
    sudo = "sudo " if owner() is not None and fix.partition(" ")[0] in ROOTS else ""
    return Finding(name, "missing" if needed else "absent", why, serves, sudo + fix)


def apart(probe: Callable[[], str]) -> Callable[[], str]:
    """The probe in a process of its own, so that namespaces, filters and mounts end with it."""

    def run() -> str:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _answer(probe, writer)
        os.close(writer)
        with open(reader, "rb") as answers:
            text = answers.read()
        os.waitpid(pid, 0)
        if not text:
            raise Lacking("the process that tried it was killed")
        kind, *words = json.loads(text)
        if kind == "ok":
            return str(words[0])
        if kind == "lacking":
            raise Lacking(words[0], words[1])
        raise OSError(words[0], words[1], words[2])

    return run


def _answer(probe: Callable[[], str], writer: int) -> None:
    answer: list[object]
    try:
        answer = ["ok", probe()]
    except (Lacking, LayerError, RunnerError) as lacking:
        answer = ["lacking", str(lacking), getattr(lacking, "fix", "")]
    except OSError as error:
        answer = ["system", error.errno, error.strerror, error.filename if isinstance(error.filename, str) else None]
    except BaseException as error:
        answer = ["lacking", f"{type(error).__name__}: {error}", ""]
    try:
        os.write(writer, json.dumps(answer).encode())
    finally:
        os._exit(0)
