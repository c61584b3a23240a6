"""Rules about variables, keys and ports."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Iterator, MutableMapping

from builder.checks.origin import missing
from builder.checks.rule import Edit, Found
from builder.checks.subject import Visit
from builder.dockerfile import (
    Add,
    Arg,
    Copy,
    Env,
    Expose,
    Instruction,
    Label,
    Run,
    StopSignal,
    User,
    Volume,
    Word,
    Workdir,
    expand_heredoc,
    words,
)
from builder.errors import DockerfileError

EXPANDED = ("Add", "Arg", "Copy", "Env", "Label", "Run", "StopSignal", "User", "Volume", "Workdir")
"""Instructions whose words hold variables; the ports of EXPOSE do, too, and are not looked at."""
UNEXPORTED = ("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE")
SECRET = frozenset("apikey auth credential credentials key password pword passwd secret token".split())
"""Parts of names, between underscores, that speak of secrets; and those that say it is none after all."""
NO_SECRET = frozenset(("public", "file", "version"))


def undefined_var(visit: Visit) -> Iterator[Found]:
    """`COPY $SOURCE /` where nothing sets SOURCE."""
    if "$" not in visit.instruction.text and not getattr(visit.instruction, "files", ()):
        return
    for names in _missing(visit):
        for name in names:
            if name in visit.at.declared or name in UNEXPORTED:
                continue
            near = visit.at.nearest(name)
            if near or visit.at.certain:
                guess = f" (did you mean ${near}?)" if near else ""
                yield Found(f"Usage of undefined variable '${name}'{guess}")


def _missing(visit: Visit) -> Iterator[list[str]]:
    """For each word, the names without a value; a word of ARG sees the ones before it."""
    instruction = visit.instruction
    env: MutableMapping[str, str] = visit.at.env
    if isinstance(instruction, Arg):
        env = ChainMap({}, env)
        for declaration in instruction.declarations:
            name = visit.text(declaration.name)
            if declaration.default is not None and name not in visit.subject.build_args:
                yield missing(declaration.default, env)[1]
            env[name] = ""
        return
    for word in expanded(instruction):
        yield missing(word, env)[1]
    for heredoc in getattr(instruction, "files", ()):
        unset: dict[str, None] = {}

        def lookup(name: str, unset: dict[str, None] = unset) -> str | None:
            if name not in env:
                unset[name] = None
            return env.get(name)

        try:
            expand_heredoc(heredoc, lookup)
        except DockerfileError:
            pass  # told by the plan
        yield list(unset)


def expanded(instruction: Instruction) -> Iterator[Word]:
    """The words of an instruction in which variables are replaced, but for ARG and EXPOSE."""
    match instruction:
        case Env(pairs=pairs) | Label(pairs=pairs):
            for pair in pairs:
                yield pair.key
                yield pair.value
        case Copy() | Add():
            yield from instruction.sources
            yield instruction.dest
            yield from filter(None, (instruction.chown, instruction.chmod))
        case Run(mounts=mounts):
            for mount in mounts:
                for key, text in mount.options:
                    if key != "from" and text:
                        yield Word(text, mount.span, mount.escape)
        case Volume(paths=paths):
            yield from paths
        case StopSignal(signal=word) | User(user=word) | Workdir(path=word):
            yield word


def legacy_key_value_format(visit: Visit) -> Iterator[Found]:
    """`ENV name value`"""
    instruction = visit.instruction
    assert isinstance(instruction, Env | Label)
    if instruction.legacy:
        word = visit.keyword
        what = f'"{word} key=value" should be used instead of legacy "{word} key value" format'
        yield Found(what, None, _assignment(visit, instruction))


def _assignment(visit: Visit, instruction: Env | Label) -> tuple[Edit, ...]:
    """`name="value"`, if both stand in one line and the value holds nothing that would mean something else then."""
    key, value = instruction.pairs[0].key, instruction.pairs[0].value
    if visit.line is None or len(visit.line.pieces) > 1 or re.search(r"""["'\\`]""", key.text + value.text):
        return ()
    text = f'"{value.text}"' if re.search(r"\s", value.text) else value.text
    return (Edit(key.span.to(value.span), f"{key.text}={text}"),)


def secrets_used_in_arg_or_env(visit: Visit) -> Iterator[Found]:
    """`ENV PASSWORD=…`: everybody who has the image has it."""
    instruction = visit.instruction
    if isinstance(instruction, Env):
        names = [visit.text(pair.key) for pair in instruction.pairs]
    else:
        assert isinstance(instruction, Arg)
        names = [visit.text(declaration.name) for declaration in instruction.declarations]
    kind = type(instruction).__name__.upper()
    for name in names:
        parts = name.lower().split("_")
        if not SECRET.isdisjoint(parts) and NO_SECRET.isdisjoint(parts):
            yield Found(f'Do not use ARG or ENV instructions for sensitive data ({kind} "{name}")')


def _ports(visit: Visit) -> Iterator[tuple[Word, str]]:
    assert isinstance(visit.instruction, Expose)
    for word in visit.instruction.ports:
        try:
            for port in words(word, visit.at.env.get):
                yield word, port
        except DockerfileError:
            continue  # told by the plan


def expose_proto_casing(visit: Visit) -> Iterator[Found]:
    """`EXPOSE 80/TCP`"""
    for word, port in _ports(visit):
        if (protocol := port.partition("/")[2]) != protocol.lower():
            edits = (Edit(word.span, word.text.lower()),) if word.text == port else ()
            yield Found(f"Defined protocol '{port}' in EXPOSE instruction should be lowercase", None, edits)


def expose_invalid_format(visit: Visit) -> Iterator[Found]:
    """`EXPOSE 8080:80`: publishing is the business of run."""
    for _, port in _ports(visit):
        host, colon, _ = port.rpartition(":")
        if colon and host:
            what = "EXPOSE instruction should not define an IP address or host-port mapping, found"
            yield Found(f"{what} '{port}'")
