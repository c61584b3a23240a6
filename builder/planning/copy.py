"""COPY and ADD: files from the context, another step or elsewhere become a step."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from builder.dockerfile import Add, Copy, Word, expand, expand_heredoc
from builder.errors import DockerfileError
from builder.graph import Copy as CopyOp
from builder.sources import ADDRESS
from builder.stages import VARIABLE, flagged
from layers import DigestInvalid

if TYPE_CHECKING:
    from builder.planning.plan import Planner
    from builder.planning.state import State


def copy(planner: Planner, instruction: Copy, state: State) -> None:
    """The state after a COPY. Raises DockerfileError."""
    origin, context = None, ""
    if instruction.from_ is not None:
        wanted = _extended(planner, "--from", instruction.from_, instruction, state)
        if not wanted:
            raise DockerfileError(instruction.span, f"--from={instruction.from_}: its variables are empty")
        origin, context = planner.origin(wanted, instruction.span, state)
    _put(planner, instruction, state, origin, context)


def add(planner: Planner, instruction: Add, state: State) -> None:
    """The state after an ADD. Raises DockerfileError."""
    _put(planner, instruction, state)


def _put(planner: Planner, instruction: Copy | Add, state: State, origin: int | None = None, context: str = "") -> None:
    name = "COPY" if isinstance(instruction, Copy) else "ADD"
    sources = [expand(word, state.lookup) for word in instruction.sources]
    dest = expand(instruction.dest, state.lookup)
    chown, chmod = (_optional(word, state) for word in (instruction.chown, instruction.chmod))
    files = tuple((heredoc.name, expand_heredoc(heredoc, state.lookup)) for heredoc in instruction.files)
    if isinstance(instruction, Copy) and instruction.parents:
        _told(planner, instruction, sources)
    elsewhere = [_remote(planner, instruction, word, state) for word in instruction.sources]
    op = CopyOp(
        tuple(path if there is None else there[1] for path, there in zip(sources, elsewhere, strict=True)),
        _destination(state.cwd, dest),
        files,
        origin,
        chown,
        chmod,
        isinstance(instruction, Add) and instruction.unpack is not False,
        tuple(_extended(planner, "--exclude", text, instruction, state) for text in instruction.excludes),
        isinstance(instruction, Copy) and instruction.parents,
        instruction.link and not chmod,  # as with BuildKit: its merge cannot change modes
        context,
        tuple(None if there is None else there[0] for there in elsewhere) if any(elsewhere) else (),
        isinstance(instruction, Add) and instruction.unpack is True,
    )
    title = instruction.text.strip() or name
    step = planner.draft.step(op, state.top, title, instruction.span, state.platform)
    flags = [f"--{key}={value}" for key, value in (("chown", chown), ("chmod", chmod)) if value]
    shown = [*(["--parents"] if op.parents else ()), *flags, *sources, *(f"<<{file}" for file, _ in files), dest]
    state.told(f"{name} {' '.join(shown)} # buildkit", step)


def _told(planner: Planner, instruction: Copy, sources: list[str]) -> None:
    """Warn of a source of --parents that copies nothing, as with BuildKit, because it names a directory alone."""
    for word, path in zip(instruction.sources, sources, strict=True):
        start, pivot, rest = path.partition("/./")
        if not posixpath.normpath(f"/{rest if pivot else path}").lstrip("/"):
            where = f"{start}/./" if pivot else ""
            planner.warn(f"COPY --parents {path} copies nothing: write {where}* for what is in it", word.span)


def _remote(planner: Planner, instruction: Copy | Add, word: Word, state: State) -> tuple[int, str] | None:
    """The step that fetches a source, and the path in its result; None for a file of the context."""
    source = expand(word, state.lookup)
    checksum = instruction.checksum if isinstance(instruction, Add) else None
    if not ADDRESS.match(source) and checksum is None:
        return None
    from builder.sources.adding import remote
    from builder.sources.gitref import redacted

    try:
        found = remote(
            source,
            "" if checksum is None else expand(checksum, state.lookup),
            keep_git_dir=isinstance(instruction, Add) and instruction.keep_git_dir,
        )
    except (ValueError, DigestInvalid) as error:
        span = word.span if checksum is None else checksum.span
        raise DockerfileError(span, f"ADD {redacted(source)}: {error}") from error
    if found is None:
        if checksum is not None:
            raise DockerfileError(checksum.span, "checksum can't be specified for a local source")
        return None
    if isinstance(instruction, Copy):
        if instruction.from_ is not None:
            return None
        raise DockerfileError(word.span, f"source can't be a URL for COPY: {redacted(source)}", help="write ADD")
    if checksum is not None and len(instruction.sources) + len(instruction.files) > 1:
        raise DockerfileError(checksum.span, "checksum can't be specified for multiple sources")
    op, path = found
    return planner.draft.fetch(op, f"fetch {redacted(source)}", state.platform, word.span), path


def _extended(planner: Planner, flag: str, text: str, instruction: Copy | Add, state: State) -> str:
    """The value of a flag in which BuildKit expands no variables; with `strict` neither do we."""
    if not VARIABLE.search(text):
        return text
    if planner.request.strict:
        help = "build without --strict, or write the value itself: no other builder knows variables there"
        what = f"variable expansion is not supported for {flag}: {text}"
        raise DockerfileError(flagged(instruction, f"{flag}={text}"), what, help=help)
    return expand(Word(text, instruction.span), state.lookup)


def _optional(word: Word | None, state: State) -> str:
    return "" if word is None else expand(word, state.lookup)


def _destination(cwd: str, dest: str) -> str:
    """Absolute and clean; a directory keeps its slash."""
    path = posixpath.normpath(posixpath.join(cwd, dest))
    path = "/" + path.lstrip("/")
    return path + "/" if path != "/" and (dest in (".", "") or dest.endswith(("/", "/."))) else path
