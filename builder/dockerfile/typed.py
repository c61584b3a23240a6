"""From a Statement to its Instruction: what each of the eighteen demands of its arguments.

The texts of errors are BuildKit's where it has one, so that they can be searched for.
"""

import csv
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal, cast

from builder.dockerfile import instructions as made
from builder.dockerfile.duration import nanoseconds
from builder.dockerfile.fold import Marker, marker, markers
from builder.dockerfile.instructions import Heredoc, Instruction, Word
from builder.dockerfile.lalr import Token
from builder.dockerfile.mounts import BOOLS, check_mount, mount_flag
from builder.dockerfile.statement import Flag, FlagKind, Flags, Statement
from builder.dockerfile.suggest import nearest
from builder.errors import DockerfileError
from layers.quick import replace

STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*\Z")

_SHARED: dict[str, FlagKind] = {"chown": "text", "chmod": "text", "link": "bool", "exclude": "many"}

FLAGS: Mapping[str, Mapping[str, FlagKind]] = {
    "ADD": {**_SHARED, "checksum": "text", "keep-git-dir": "bool", "unpack": "bool"},
    "COPY": {**_SHARED, "from": "text", "parents": "bool"},
    "FROM": {"platform": "text"},
    "HEALTHCHECK": dict.fromkeys(("interval", "timeout", "start-period", "start-interval", "retries"), "text"),
    "RUN": {"mount": "many", "network": "text", "security": "text", "device": "many"},
}
"""The flags of each instruction; the others take none."""


def typed(statement: Statement) -> Instruction:
    """The instruction that a statement is; raises DockerfileError."""
    make = MAKERS.get(statement.name)
    if make is None:
        raise unknown(statement)
    if statement.name == "HEALTHCHECK" and statement.rest.upper() == "NONE":
        flags = Flags((), statement.escape)  # BuildKit reads none of them then, whatever they are
    else:
        flags = statement.flag_values(FLAGS.get(statement.name, {}))
    instruction = make(statement, flags)  # nobody else has it yet, and a copy would take as long as all before
    object.__setattr__(instruction, "span", statement.line.span())
    object.__setattr__(instruction, "text", statement.line.text.lstrip())
    return instruction


@lru_cache(maxsize=64)  # a text that is no Dockerfile at all repeats itself
def _near(keyword: str) -> tuple[str, ...]:
    return nearest(keyword, MAKERS)


def unknown(statement: Statement) -> DockerfileError:
    """The error of a keyword that is no instruction."""
    near = _near(statement.keyword)
    guess = f" (did you mean {' or '.join(near)}?)" if near else ""
    start = statement.line.text.find(statement.keyword)
    span = statement.line.span(start, start + len(statement.keyword))
    return DockerfileError(span, f"unknown instruction: {statement.keyword}{guess}")


def command(statement: Statement) -> made.Command:
    """The exec form if the rest is a JSON array of strings, else the shell form."""
    strings = statement.array()
    if strings is not None:
        return made.ExecForm(tuple(word.text for word in strings))
    heredocs = statement.line.heredocs
    opened = markers(statement.rest) if heredocs else []
    alone = len(opened) == 1 and (opened[0].start, opened[0].end) == (0, len(statement.rest))
    return made.ShellForm(statement.rest, heredocs, alone)


def add(statement: Statement, flags: Flags) -> Instruction:
    """ADD [flags] source… dest"""
    sources, files, dest = sources_and_dest(statement)
    return made.Add(
        sources,
        dest,
        files,
        chown=flags.word("chown"),
        chmod=flags.word("chmod"),
        link=flags.switch("link") or False,
        excludes=tuple(flag.value or "" for flag in flags.all("exclude")),
        checksum=flags.word("checksum"),
        keep_git_dir=flags.switch("keep-git-dir") or False,
        unpack=flags.switch("unpack"),
    )


def copy(statement: Statement, flags: Flags) -> Instruction:
    """COPY [flags] source… dest"""
    sources, files, dest = sources_and_dest(statement)
    return made.Copy(
        sources,
        dest,
        files,
        from_=flags.text("from") or None,
        chown=flags.word("chown"),
        chmod=flags.word("chmod"),
        link=flags.switch("link") or False,
        parents=flags.switch("parents") or False,
        excludes=tuple(flag.value or "" for flag in flags.all("exclude")),
    )


def sources_and_dest(statement: Statement) -> tuple[tuple[Word, ...], tuple[Heredoc, ...], Word]:
    """The arguments of COPY and ADD: paths, here-documents, and where they go."""
    arguments = statement.list()
    if len(arguments) < 2:
        what = f"{statement.name} requires at least two arguments, but only one was provided."
        if not arguments:
            what = f"{statement.name} requires at least two arguments."
        raise statement.fail(what + " Destination could not be determined")
    *sources, dest = arguments
    if not statement.line.heredocs:
        return tuple(sources), (), dest
    if marker(dest.text):
        raise DockerfileError(dest.span, f"{statement.name} cannot accept a heredoc as a destination")
    bodies = {heredoc.name: heredoc for heredoc in statement.line.heredocs}
    opened: list[tuple[Word, Marker | None]] = [(word, marker(word.text)) for word in sources]
    files = tuple(bodies[found.name] for _, found in opened if found and found.name in bodies)
    return tuple(word for word, found in opened if not found), files, dest


def arg(statement: Statement, flags: Flags) -> Instruction:
    """ARG name[=default]…"""
    if not statement.rest:
        raise statement.fail("ARG requires at least one argument")
    found: list[made.Declaration] = []
    for item in statement.parse("declarations").children:
        if isinstance(item, Token):
            found.append(made.Declaration(statement.word(item)))
        else:
            pair = statement.pair(item)
            found.append(made.Declaration(pair.key, pair.value))
    return made.Arg(tuple(found))


def cmd(statement: Statement, flags: Flags) -> Instruction:
    """CMD command"""
    return made.Cmd(command(statement))


def entrypoint(statement: Statement, flags: Flags) -> Instruction:
    """ENTRYPOINT command"""
    return made.Entrypoint(command(statement))


def env(statement: Statement, flags: Flags) -> Instruction:
    """ENV key=value…"""
    return made.Env(*statement.pairs())


def label(statement: Statement, flags: Flags) -> Instruction:
    """LABEL key=value…"""
    return made.Label(*statement.pairs())


def expose(statement: Statement, flags: Flags) -> Instruction:
    """EXPOSE port…"""
    ports = statement.words()
    if not ports:
        raise statement.fail("EXPOSE requires at least one argument")
    return made.Expose(tuple(ports))


def from_(statement: Statement, flags: Flags) -> Instruction:
    """FROM [--platform=p] image [AS name]"""
    words = statement.words()
    if len(words) == 1:
        return made.From(words[0], flags.word("platform"))
    if len(words) != 3 or words[1].text.lower() != "as":
        help = "write FROM image AS name"
        if any(word.text.startswith("#") for word in words):
            help = "a comment needs a line of its own"
        raise statement.fail("FROM requires either one or three arguments", help=help)
    name = words[2]
    if not STAGE_NAME.match(name.text.lower()):
        what = f"invalid name for build stage: {name.text!r}, name can't start with a number or contain symbols"
        raise DockerfileError(name.span, what, help="letters, digits, `-`, `_` and `.`, a letter first")
    return made.From(words[0], flags.word("platform"), name.text)


def healthcheck(statement: Statement, flags: Flags) -> Instruction:
    """HEALTHCHECK NONE, or HEALTHCHECK [flags] CMD command"""
    if not statement.rest:
        raise statement.fail("HEALTHCHECK requires at least one argument")
    tree = statement.parse("health")
    kind, rest = tree.token("KEYWORD"), tree.token("REST")
    assert kind is not None
    if kind.text.upper() == "NONE":
        if rest:
            raise statement.fail("HEALTHCHECK NONE takes no arguments", rest.start)
        return made.Healthcheck(None)
    if kind.text.upper() != "CMD":
        near = nearest(kind.text, ("CMD", "NONE"))
        help = f"did you mean {near[0]}?" if near else "HEALTHCHECK CMD command, or HEALTHCHECK NONE"
        raise statement.fail(f"Unknown type {kind.text!r} in HEALTHCHECK (try CMD)", kind.start, kind.end, help=help)
    after = replace(statement, rest=rest.text if rest else "", at=statement.at + (rest.start if rest else 0))
    test = command(after)
    if not rest or test == made.ExecForm(()):
        raise statement.fail("Missing command after HEALTHCHECK CMD")
    return made.Healthcheck(
        test,
        interval=duration(flags, "interval"),
        timeout=duration(flags, "timeout"),
        start_period=duration(flags, "start-period"),
        start_interval=duration(flags, "start-interval"),
        retries=retries(flags),
    )


def duration(flags: Flags, name: str) -> int:
    """A duration flag in nanoseconds: 0, or a millisecond at least."""
    for flag in flags.all(name):
        try:
            value = nanoseconds(flag.value) if flag.value else 0
        except ValueError as error:
            raise DockerfileError(flag.span, f"--{name}: {error}", help="a number with a unit: 30s, 1m30s") from None
        if value and value < 10**6:
            raise DockerfileError(flag.span, f"Interval {name!r} cannot be less than 1ms")
        return value
    return 0


def retries(flags: Flags) -> int:
    """`--retries`: a 32-bit number that is not negative."""
    for flag in flags.all("retries"):
        if flag.value and not re.fullmatch(r"[-+]?[0-9]+", flag.value, re.ASCII):
            raise DockerfileError(flag.span, f"--retries must be a number, not {flag.value!r}")
        value = int(flag.value[:12]) if flag.value else 0
        if value < 0:
            raise DockerfileError(flag.span, f"--retries cannot be negative ({value})")
        if value >= 1 << 31:
            raise DockerfileError(flag.span, f"--retries is too large ({value})")
        return value
    return 0


def maintainer(statement: Statement, flags: Flags) -> Instruction:
    """MAINTAINER name"""
    if not statement.rest:
        raise statement.fail("MAINTAINER requires exactly one argument")
    return made.Maintainer(statement.rest)


def onbuild(statement: Statement, flags: Flags) -> Instruction:
    """ONBUILD instruction"""
    if not statement.rest:
        raise statement.fail("ONBUILD requires at least one argument")
    name = statement.rest.split()[0].upper()
    if name == "ONBUILD":
        raise statement.fail("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if name in ("FROM", "MAINTAINER"):
        raise statement.fail(f"{name} isn't allowed as an ONBUILD trigger")
    return made.OnBuild(made.ShellForm(statement.rest, statement.line.heredocs).script)


def run(statement: Statement, flags: Flags) -> Instruction:
    """RUN [flags] command"""
    what = command(statement)
    if what == made.ExecForm(()):
        raise statement.fail("RUN requires a command: the array is empty")
    mounts = tuple(mount_flag(flag.value or "", flag.span, statement.escape) for flag in flags.all("mount"))
    for mount in mounts:
        check_mount(mount)
    return made.Run(
        what,
        mounts,
        network=cast(Literal["default", "none", "host"], choice(flags, "network", ("default", "none", "host"))),
        security=cast(Literal["sandbox", "insecure"], choice(flags, "security", ("sandbox", "insecure"))),
        devices=tuple(device(flag) for flag in flags.all("device")),
    )


def choice(flags: Flags, name: str, values: tuple[str, ...]) -> str:
    """A flag with a few values; the first one is the default."""
    for flag in flags.all(name):
        if flag.value not in values:
            near = nearest(flag.value or "", values)
            help = f"did you mean {' or '.join(near)}?" if near else f"one of {', '.join(values)}"
            raise DockerfileError(flag.span, f"invalid value {flag.value!r} for --{name}", help=help)
        return flag.value
    return values[0]


def device(flag: Flag) -> made.Device:
    """`NAME[,required[=BOOL]]`, the name also as `name=…`: a line of CSV."""
    name, required = "", False
    for field in next(csv.reader([flag.value or ""], strict=False), []):
        key, equals, value = field.partition("=")
        match key.lower(), value if equals else None:
            case "required", None:
                required = True
            case "required", text:
                if text not in BOOLS:
                    raise DockerfileError(flag.span, f"invalid value for required: {text}")
                required = BOOLS[text]
            case "name", str() as text:
                if name:
                    raise DockerfileError(flag.span, f"device name already set to {name}")
                name = text
            case _ if not name:
                name = field
            case _, None:
                raise DockerfileError(flag.span, f"invalid field {field!r} must be a key=value pair")
            case _:
                near = nearest(key, ("name", "required"))
                guess = f" (did you mean {' or '.join(near)}?)" if near else ""
                raise DockerfileError(flag.span, f"unexpected key {key!r} in {field!r}{guess}")
    if not name:
        raise DockerfileError(flag.span, "--device needs a name", help="write --device=vendor.com/class=name")
    return made.Device(name, required, flag.span)


def shell(statement: Statement, flags: Flags) -> Instruction:
    """SHELL ["program", "argument"…]"""
    words = statement.array()
    if words is None:
        help = 'double quotes, as in SHELL ["/bin/bash", "-c"]'
        raise statement.fail("SHELL requires the arguments to be in JSON form", help=help)
    if not words:
        raise statement.fail("SHELL requires at least one argument")
    return made.Shell(tuple(word.text for word in words))


def stopsignal(statement: Statement, flags: Flags) -> Instruction:
    """STOPSIGNAL signal"""
    return made.StopSignal(statement.whole())


def user(statement: Statement, flags: Flags) -> Instruction:
    """USER user[:group]"""
    return made.User(statement.whole())


def volume(statement: Statement, flags: Flags) -> Instruction:
    """VOLUME path…"""
    paths = statement.list()
    if not paths:
        raise statement.fail("VOLUME requires at least one argument")
    for path in paths:
        if not path.text.strip():
            raise DockerfileError(path.span, "VOLUME specified can not be an empty string")
    return made.Volume(tuple(paths))


def workdir(statement: Statement, flags: Flags) -> Instruction:
    """WORKDIR path"""
    return made.Workdir(statement.whole())


MAKERS: Mapping[str, Callable[[Statement, Flags], Instruction]] = {
    make.__name__.rstrip("_").upper(): make
    for make in (
        *(add, arg, cmd, copy, entrypoint, env, expose, from_, healthcheck, label, maintainer, onbuild),
        *(run, shell, stopsignal, user, volume, workdir),
    )
}
"""The eighteen instructions."""
