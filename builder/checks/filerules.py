"""Rules about base images, and about files that come into an image."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from builder.checks.commands import REMOTE, single_quoted
from builder.checks.rule import Edit, Found
from builder.checks.shell import Command, commands
from builder.checks.subject import Visit, value
from builder.dockerfile import Add, Arg, Cmd, Copy, Entrypoint, Env, From, Run, ShellForm, variables
from builder.stages import SCRATCH

ARCHIVE = re.compile(r"\.(?:tar|t?gz|tgz|bz2|tbz2?|xz|txz|zst|tzst|lz(?:ma)?|tlz|Z|tZ)$")
SECRET_FILE = re.compile(
    r"(?:^|/)(?:\.env(?:\.(?!example|sample|template|dist)[^/]*)?|id_(?:rsa|dsa|ecdsa|ed25519)|\.npmrc|\.pypirc|\.netrc"
    r"|\.git-credentials|\.pgpass|\.htpasswd|\.aws(?:/credentials)?|\.ssh|\.gnupg|\.docker/config\.json|\.kube(?:/config)?"
    r"|[^/]*\.(?:pem|key|p12|pfx|keystore|jks)|kubeconfig|credentials\.json|service-account[^/]*\.json)/?$"
)
KEYS = re.compile(
    r"AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,}|glpat-[A-Za-z0-9_-]{20,}"
    r"|xox[abprs]-[A-Za-z0-9-]{10,}|sk_live_[A-Za-z0-9]{16,}|AIza[A-Za-z0-9_-]{35}|npm_[A-Za-z0-9]{36}"
    r"|pypi-[A-Za-z0-9_-]{50,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+|[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s:@$]+@"
)
WILDCARD = re.compile(r"(?<!\\)[*?\[]")


def _image(visit: Visit) -> str:
    """The image of a FROM; "" for stages, scratch and what only a build argument knows."""
    assert isinstance(visit.instruction, From)
    word = visit.instruction.image
    name = value(word, visit.subject.scope)
    if variables(word) or name.lower() == SCRATCH or visit.subject.stages.base(visit.stage, name) is not None:
        return ""
    return name


def untagged_base(visit: Visit) -> Iterator[Found]:
    """`FROM debian`"""
    name = _image(visit)
    if name and "@" not in name and ":" not in name.rpartition("/")[2]:
        yield Found("Always tag the version of an image explicitly")


def latest_base(visit: Visit) -> Iterator[Found]:
    """`FROM debian:latest`"""
    if _image(visit).endswith(":latest"):
        yield Found("Using latest is prone to errors if the image will ever update. Pin the version explicitly")


def add_instead_of_copy(visit: Visit) -> Iterator[Found]:
    """`ADD file /`: COPY does that, and no more."""
    add = visit.instruction
    assert isinstance(add, Add)
    sources = [visit.text(word) or word.text for word in add.sources]
    plain = [source for source in sources if not re.match(REMOTE, source) and not ARCHIVE.search(source)]
    flags = add.checksum or add.keep_git_dir or add.unpack is not None
    if plain and len(plain) == len(sources) and not any("$" in source for source in sources):
        edits: tuple[Edit, ...] = ()
        if visit.line is not None and not flags and not add.files and not any(WILDCARD.search(one) for one in plain):
            from builder.checks.spelling import keyword_span

            word = visit.keyword
            edits = (Edit(keyword_span(visit.line, word), "copy" if word.islower() else "COPY"),)
        yield Found("Use COPY instead of ADD for files and folders", None, edits)


def many_to_a_file(visit: Visit) -> Iterator[Found]:
    """`COPY a b /x`: without a slash, the last one wins."""
    copy = visit.instruction
    assert isinstance(copy, Copy | Add)
    dest = copy.dest.text.strip("\"'")
    if (
        len(copy.sources) + len(copy.files) > 1
        and not dest.endswith("/")
        and dest not in (".", "..")
        and "$" not in dest
    ):
        yield Found(f"{visit.keyword.upper()} with more than 2 arguments requires the last argument to end with /")


def unknown_origin(visit: Visit) -> Iterator[Found]:
    """`COPY --from=name` where no stage before has the name."""
    copy = visit.instruction
    assert isinstance(copy, Copy)
    wanted = copy.from_
    if not wanted or ":" in wanted or "/" in wanted or "@" in wanted:
        return
    earlier = visit.subject.stages.all[: visit.stage.index]
    if wanted.isdigit() and int(wanted) < len(earlier):
        return
    if wanted.lower() not in {stage.name for stage in earlier} and wanted.lower() != visit.stage.name:
        yield Found("`COPY --from` should reference a previously defined `FROM` alias")


def relative_destination(visit: Visit) -> Iterator[Found]:
    """`COPY a b`, and no WORKDIR says below what."""
    copy = visit.instruction
    assert isinstance(copy, Copy)
    dest = copy.dest.text.strip("\"'")
    if not visit.at.workdir_set and not dest.startswith(("/", "$")) and not re.match(r"[A-Za-z]:", dest):
        yield Found("`COPY` to a relative destination without `WORKDIR` set.")


def self_reference(visit: Visit) -> Iterator[Found]:
    """`ENV A=1 B=$A`: B sees the A from before the line."""
    env = visit.instruction
    assert isinstance(env, Env)
    names = [visit.text(pair.key) for pair in env.pairs]
    used = {name for pair in env.pairs for name in variables(pair.value)}
    if any(name in used and name not in visit.at.env and name not in visit.at.declared for name in names):
        yield Found("Do not refer to an environment variable within the same `ENV` statement where it is defined.")


def secret_file(visit: Visit) -> Iterator[Found]:
    """`COPY .env /app/`: a later rm does not take it out of the image."""
    copy = visit.instruction
    assert isinstance(copy, Copy | Add)
    if getattr(copy, "from_", None):
        return
    for word in copy.sources:
        if SECRET_FILE.search(path := visit.text(word)):
            what = f"{path} looks like a secret, and stays in the layer for everybody who has the image"
            yield Found(f"{what}: RUN --mount=type=secret shows it to a command and keeps nothing")


def secret_value(visit: Visit) -> Iterator[Found]:
    """`ENV X=AKIA…`: a value that looks like a key."""
    instruction = visit.instruction
    pairs = (
        [(pair.key, pair.value) for pair in instruction.pairs]
        if isinstance(instruction, Env)
        else [
            (one.name, one.default) for one in instruction.declarations if isinstance(instruction, Arg) and one.default
        ]
        if isinstance(instruction, Arg)
        else []
    )
    for key, word in pairs:
        if KEYS.search(visit.text(word)):
            yield Found(
                f"The value of {visit.text(key)} looks like a key or a password; it stays in the image's history"
            )


def single_quoted_array(visit: Visit) -> Iterator[Found]:
    """`CMD ['a', 'b']`: JSON knows no single quotes, so it is a command for the shell."""
    instruction = visit.instruction
    assert isinstance(instruction, Cmd | Entrypoint | Run)
    form = instruction.command
    if not isinstance(form, ShellForm) or (words := single_quoted(form.text)) is None:
        return
    import json

    edits: tuple[Edit, ...] = ()
    line = visit.line
    if line is not None and len(line.pieces) == 1 and words:
        start = line.text.rfind(form.text)
        edits = (Edit(line.span(start, start + len(form.text)), json.dumps(words, ensure_ascii=False)),)
    what = f"{form.text} is no JSON array because of its single quotes: the shell is given it as a command"
    yield Found(what, None, edits)


def nothing_matches(visit: Visit) -> Iterator[Found]:
    """`COPY *.jra /`: a wildcard without a match copies nothing and says nothing; nor does `COPY --parents . /`."""
    copy = visit.instruction
    assert isinstance(copy, Copy | Add)
    if visit.subject.matches is None or getattr(copy, "from_", None):
        return
    parents = isinstance(copy, Copy) and copy.parents
    for word in copy.sources:
        path = visit.text(word)
        if (
            (parents or WILDCARD.search(path))
            and not re.match(REMOTE, path)
            and "\\" not in path
            and not visit.subject.matches(path, parents=parents)
        ):
            yield Found(f"No file of the context matches {path}: nothing is copied, and nothing is said")


def doubled_layer(visit: Visit) -> Iterator[Found]:
    """`COPY app /app`, then `RUN chown -R me /app`: every file is in the image twice."""
    run = visit.instruction
    assert isinstance(run, Run)
    written = visit.at.written
    above: dict[str, str] = {}
    """Directories, and what was copied into them first."""
    for command in commands(run) if written else ():
        operands = _changed(command)
        deep = bool(operands) and (command.name == "mv" or command.has("-R", "--recursive"))
        if deep and not above:
            for dest in written:
                for folder in ways(dest):
                    above.setdefault(folder, dest)
        for path in operands:
            place = posixpath.normpath(posixpath.join(visit.at.cwd or "/", path))
            if (dest := above.get(place, "") if deep else place) in written:
                line = written[dest]
                flag = {"chown": "--chown", "chgrp": "--chown", "chmod": "--chmod"}.get(command.name)
                help = f"COPY {flag}=… in line {line}" if flag else f"copy it to its place in line {line}"
                yield Found(f"{command.name} writes what line {line} copied to {dest} once more, in full: {help}")


def _changed(command: Command) -> tuple[str, ...]:
    """The paths that a command writes anew."""
    arguments = command.arguments
    if command.name in ("chown", "chgrp", "chmod"):
        return arguments[1:] if not any(word.startswith("--reference") for word in command.words) else arguments
    return arguments[:-1] if command.name == "mv" else ()


def ways(path: str) -> Iterator[str]:
    """A path, and the directories that it lies in."""
    yield path
    while path.strip("/"):
        path = posixpath.dirname(path)
        yield path
