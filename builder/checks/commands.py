"""Rules about what runs, where, and what is copied."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator

from builder.checks.rule import Edit, Found
from builder.checks.subject import Visit
from builder.dockerfile import Add, Cmd, Copy, Entrypoint, ShellForm, Workdir

PLAIN = r"[A-Za-z0-9_./:@%+,=-]+"
"""A word that means the same with and without a shell."""
BUILTINS = frozenset(
    ". : [ alias bg break builtin caller cd command continue declare dirs eval exit export fc fg getopts hash "
    "history jobs let local popd pushd read readonly return set shift shopt source test times trap type typeset "
    "ulimit umask unalias unset wait if for while until case function select time ! { coproc".split()
)
REMOTE = r"https?://|git@|git://|ssh://"


def json_args_recommended(visit: Visit) -> Iterator[Found]:
    """`CMD run it`: a shell stands between the program and the signals."""
    instruction = visit.instruction
    assert isinstance(instruction, Cmd | Entrypoint)
    if isinstance(instruction.command, ShellForm) and not visit.at.shell:
        reason = "to prevent unintended behavior related to OS signals"
        edits = _array(visit, instruction.command.text)
        yield Found(f"JSON arguments recommended for {visit.keyword} {reason}", None, edits)


def _array(visit: Visit, text: str) -> tuple[Edit, ...]:
    """The command as a JSON array, if no shell is needed for it."""
    words = single_quoted(text) or text.split()
    plain = single_quoted(text) is not None or all(re.fullmatch(PLAIN, word) for word in words)
    if words[:1] == ["exec"]:
        words = words[1:]
    line = visit.line
    if line is None or len(line.pieces) > 1 or not plain or not words or words[0] in BUILTINS or "=" in words[0]:
        return ()
    start = line.text.rfind(text)
    return (Edit(line.span(start, start + len(text)), json.dumps(words, ensure_ascii=False)),)


def single_quoted(text: str) -> list[str] | None:
    """The words of `['a', 'b']`, which only looks like a JSON array; None if it is something else."""
    item = r"""(?:'([^'"\\$]*)'|"([^'"\\$]*)")"""
    if not re.fullmatch(rf"\[\s*{item}(?:\s*,\s*{item})*\s*,?\s*\]", text):
        return None
    return [first or second for first, second in re.findall(item, text)]


def multiple_instructions_disallowed(visit: Visit) -> Iterator[Found]:
    """Two CMD in one stage: the first one is for nothing."""
    before = visit.at.last.get(type(visit.instruction).__name__)
    if before is not None:
        what = "instructions should not be used in the same stage because only the last one will be used"
        yield Found(f"Multiple {visit.keyword} {what}", before.span)


def workdir_relative_path(visit: Visit) -> Iterator[Found]:
    """`WORKDIR app`, and nothing says below what."""
    assert isinstance(visit.instruction, Workdir)
    path = visit.text(visit.instruction.path)
    if not visit.at.workdir_set and not path.startswith("/"):
        yield Found(f'Relative workdir "{path}" can have unexpected results if the base image changes')


def copy_ignored_file(visit: Visit) -> Iterator[Found]:
    """`COPY a.txt /` where .dockerignore says `*.txt`; nothing is said if it takes anything back with `!`."""
    instruction = visit.instruction
    assert isinstance(instruction, Copy | Add)
    ignore = visit.subject.ignore()
    if not ignore or any(pattern.keeps for pattern in ignore.patterns) or getattr(instruction, "from_", None):
        return
    verb = type(instruction).__name__
    for word in instruction.sources:
        source = visit.text(word)
        if not source or re.match(REMOTE, source):
            continue
        path = posixpath.normpath(source)
        if path in (".", "/"):
            ignored = any(pattern.text in ("*", "**", "**/*") for pattern in ignore.patterns)
        else:
            ignored = ignore.ignores(path.lstrip("/"))
        if ignored:
            yield Found(f'Attempting to {verb} file "{path}" that is excluded by .dockerignore')
