"""Instructions back to text: parsing what is printed gives equal instructions.

A here-document keeps its bytes; a command or a word is printed on one line, however it was
folded. `escape` is the escape character of the file that is written.
"""

import json
import re
from collections.abc import Iterable, Iterator

from builder.dockerfile.document import Dockerfile
from builder.dockerfile.fold import marker
from builder.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Command,
    Copy,
    Entrypoint,
    Env,
    ExecForm,
    Expose,
    From,
    Healthcheck,
    Heredoc,
    Instruction,
    Label,
    Maintainer,
    MountFlag,
    OnBuild,
    Pair,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Word,
    Workdir,
)


def show(dockerfile: Dockerfile) -> str:
    """The text of a whole file."""
    directives = (f"# {directive.name}={directive.value}" for directive in dockerfile.directives)
    return "".join(f"{line}\n" for line in (*directives, *map(show_instruction, dockerfile.instructions)))


def show_instruction(instruction: Instruction) -> str:
    """The text of one instruction, without a line end behind it."""
    name = type(instruction).__name__.upper()
    match instruction:
        case Add() | Copy():
            flags = [*_copy_flags(instruction)]
            return f"{_line(name, flags, _places(instruction))}{''.join(map(_body, instruction.files))}"
        case Arg(declarations=declarations):
            return f"{name} {' '.join(_equals(item.name, item.default) for item in declarations)}"
        case Cmd(command=command) | Entrypoint(command=command):
            return _line(name, [], _command(command))
        case Env(pairs=pairs, legacy=legacy) | Label(pairs=pairs, legacy=legacy):
            return f"{name} {_pairs(pairs, legacy=legacy)}"
        case Expose(ports=ports):
            return f"{name} {' '.join(port.text for port in ports)}"
        case From(image=image, platform=platform, name=stage):
            flags = [_flag("platform", platform.text)] if platform else []
            return _line(name, flags, image.text + (f" AS {stage}" if stage else ""))
        case Healthcheck(command=test):
            return _line(name, [*_health_flags(instruction)], f"CMD {_command(test)}" if test else "NONE")
        case Maintainer(name=author):
            return _line(name, [], author)
        case OnBuild(trigger=trigger):
            return f"{name} {trigger}"
        case Run(command=command):
            return _line(name, [*_run_flags(instruction)], _command(command))
        case Shell(args=args):
            return f"{name} {_array(args)}"
        case StopSignal(signal=word) | User(user=word) | Workdir(path=word):
            return _line(name, [], word.text)
        case Volume(paths=paths):
            return _line(name, [], _list(paths))


def _line(name: str, flags: list[str], rest: str) -> str:
    end = ["--"] if rest.startswith("--") else []
    return " ".join(part for part in (name, *flags, *end, rest) if part)


def _command(command: Command) -> str:
    if isinstance(command, ExecForm):
        return _array(command.args)
    return command.text + "".join(map(_body, command.heredocs))


def _body(heredoc: Heredoc) -> str:
    return f"\n{heredoc.body}{heredoc.name}"


def _array(texts: Iterable[str]) -> str:
    return json.dumps(list(texts), ensure_ascii=False)


def _list(words: tuple[Word, ...]) -> str:
    """Words cut at blanks, or JSON where a word would not survive that."""
    unsafe = any(not word.text or re.search(r"\s", word.text) or marker(word.text) for word in words)
    if unsafe or words[0].text.startswith(("[", "--")) or words[-1].text.endswith(words[-1].escape):
        return _array(word.text for word in words)
    return " ".join(word.text for word in words)


def _places(instruction: Copy | Add) -> str:
    if not instruction.files:
        return _list((*instruction.sources, instruction.dest))
    opened = (f"<<{'-' if file.chomp else ''}{_delimiter(file)}" for file in instruction.files)
    return " ".join((*(word.text for word in instruction.sources), *opened, instruction.dest.text))


def _delimiter(file: Heredoc) -> str:
    quote = "'" if '"' in file.name else '"'
    return file.name if file.expand else f"{quote}{file.name}{quote}"


def _equals(key: Word, value: Word | None) -> str:
    return key.text if value is None else f"{key.text}={value.text}"


def _pairs(pairs: tuple[Pair, ...], *, legacy: bool) -> str:
    if legacy:
        return f"{pairs[0].key.text} {pairs[0].value.text}"
    return " ".join(_equals(pair.key, pair.value) for pair in pairs)


def _flag(name: str, value: str) -> str:
    if re.search(r"""[\s'"\\]""", value):
        value = '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
    return f"--{name}={value}"


def _copy_flags(instruction: Copy | Add) -> Iterator[str]:
    if isinstance(instruction, Copy) and instruction.from_ is not None:
        yield _flag("from", instruction.from_)
    words = {"chown": instruction.chown, "chmod": instruction.chmod}
    switches: dict[str, bool | None] = {"link": instruction.link or None}
    if isinstance(instruction, Add):
        words["checksum"] = instruction.checksum
        switches |= {"keep-git-dir": instruction.keep_git_dir or None, "unpack": instruction.unpack}
    else:
        switches["parents"] = instruction.parents or None
    yield from (_flag(name, word.text) for name, word in words.items() if word is not None)
    yield from (f"--{name}={'true' if on else 'false'}" for name, on in switches.items() if on is not None)
    yield from (_flag("exclude", pattern) for pattern in instruction.excludes)


def _run_flags(instruction: Run) -> Iterator[str]:
    yield from (_flag("mount", _options(mount)) for mount in instruction.mounts)
    if instruction.network != "default":
        yield f"--network={instruction.network}"
    if instruction.security != "sandbox":
        yield f"--security={instruction.security}"
    for device in instruction.devices:
        yield _flag("device", device.name + (",required" if device.required else ""))


def _options(mount: MountFlag) -> str:
    """The CSV of a mount; a field with a comma or a quote is quoted."""
    fields = (key if value is None else f"{key}={value}" for key, value in mount.options)
    return ",".join('"' + field.replace('"', '""') + '"' if re.search('[,"]', field) else field for field in fields)


def _health_flags(instruction: Healthcheck) -> Iterator[str]:
    for name in ("interval", "timeout", "start_period", "start_interval"):
        if value := getattr(instruction, name):
            yield f"--{name.replace('_', '-')}={value}ns"
    if instruction.retries:
        yield f"--retries={instruction.retries}"
