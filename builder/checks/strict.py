"""`--strict`: what builders pass over in silence, as errors with a place.

Some of it is what other rules find and only warn of; the rest is here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from builder.checks.filerules import ARCHIVE
from builder.checks.origin import missing
from builder.checks.rule import Found, Rule
from builder.checks.rules import every
from builder.checks.shell import commands
from builder.checks.subject import Subject, Visit
from builder.dockerfile import Add, Arg, Cmd, Copy, Entrypoint, Run, ShellForm, Volume, Workdir
from builder.dockerfile.mounts import resolve
from builder.errors import DockerfileError
from layers.quick import replace

RAISED = frozenset(
    "CopyIgnoredFile DuplicateStageName ExposeInvalidFormat InvalidBaseImagePlatform ManyToOneFile "
    "MultipleInstructionsDisallowed NoEmptyContinuation SelfReference SingleQuotedArray UndefinedArgInFrom "
    "UndefinedVar WildcardMatchesNothing".split()
)
"""Rules whose findings are errors here, whatever they are elsewhere."""


def arg_over_env(visit: Visit) -> Iterator[Found]:
    """`ENV X=1`, then `ARG X=2`: RUN sees 2, containers see 1."""
    assert isinstance(visit.instruction, Arg)
    for declaration in visit.instruction.declarations:
        name = visit.text(declaration.name)
        if name in visit.at.assigned:
            yield Found(f"ARG {name} hides the ENV of that name from RUN, but not from containers")


def empty_value(visit: Visit) -> Iterator[Found]:
    """`COPY $X /` where `ARG X` has no value in this build."""
    from builder.checks.values import expanded

    for word in expanded(visit.instruction):
        for name in missing(word, visit.at.env)[1]:
            if name in visit.at.declared and f"${{{name}:" not in word.text and f"${{{name}-" not in word.text:
                yield Found(f"ARG {name} has no value in this build, and ${name} is empty")


def link_ignored(visit: Visit) -> Iterator[Found]:
    """`COPY --link --chmod=…` is an ordinary copy for BuildKit."""
    copy = visit.instruction
    assert isinstance(copy, Copy | Add)
    if copy.link and copy.chmod is not None:
        yield Found("--link beside --chmod has no effect: take one of them away")


def chmod_ignored(visit: Visit) -> Iterator[Found]:
    """`ADD --chmod=… x.tar /` leaves the modes of the archive."""
    add = visit.instruction
    assert isinstance(add, Add)
    archives = [path for path in map(visit.text, add.sources) if ARCHIVE.search(path) and "://" not in path]
    if add.chmod is not None and archives and add.unpack is not False:
        yield Found(f"--chmod has no effect on what is unpacked of {archives[0]}")


def failures_ignored(visit: Visit) -> Iterator[Found]:
    """`RUN <<EOF` of several commands: only the last one's failure counts."""
    run = visit.instruction
    assert isinstance(run, Run)
    form = run.command
    if not isinstance(form, ShellForm) or not form.alone or form.shebang:
        return
    if any(re.fullmatch(r"-[a-z]*e[a-z]*", word) for word in visit.at.shell):
        return
    lines = [one for one in commands(run) if one.name != "set"]
    if len(lines) > 1 and not re.match(r"\s*set -[a-z]*e|\s*set -o errexit", form.script):
        yield Found("only the failure of the last command of a here-document counts: begin it with `set -e`")


def secret_missing(visit: Visit) -> Iterator[Found]:
    """`RUN --mount=type=secret` (or ssh) of what this build is not given."""
    run, subject = visit.instruction, visit.subject
    assert isinstance(run, Run)
    for flag in run.mounts:
        try:
            mount = resolve(flag, visit.at.env.get)
        except DockerfileError:
            continue  # told by the plan
        if mount.required or mount.type not in ("secret", "ssh"):
            continue
        secret = mount.type == "secret"
        name = mount.id or (mount.target.rpartition("/")[2] if secret else "default")
        given = subject.secrets if secret else subject.agents
        if given is not None and name not in given:
            what = "secret" if secret else "SSH agent"
            yield Found(f"{what} {name} is not given to this build, and nothing would tell the command")


def cmd_cleared(visit: Visit) -> Iterator[Found]:
    """ENTRYPOINT takes the CMD of the base away."""
    below = visit.stage.instructions[visit.number + 1 :]
    if visit.at.cmd and "Cmd" not in visit.at.last and not any(isinstance(one, Cmd) for one in below):
        yield Found("ENTRYPOINT takes away the CMD of the base: say CMD again, if it is only []")


def broken_array(visit: Visit) -> Iterator[Found]:
    """`CMD ["a" "b"]`, `COPY ["a", "b",]`: no JSON, so it is a command, or words, with brackets in them."""
    instruction = visit.instruction
    text = ""
    if isinstance(instruction, Cmd | Entrypoint | Run):
        text = instruction.command.text if isinstance(instruction.command, ShellForm) else ""
    elif isinstance(instruction, Copy | Add):
        text = instruction.sources[0].text if instruction.sources else ""
    elif isinstance(instruction, Volume):
        text = instruction.paths[0].text
    if re.match(r'\[\s*"', text):
        yield Found(f"{visit.keyword} begins like a JSON array and is none: check its commas, quotes and its end")


def escaped_blank(visit: Visit) -> Iterator[Found]:
    """`COPY a\\ b /x/` copies a and b: blanks part words whatever is before them."""
    instruction = visit.instruction
    assert isinstance(instruction, Copy | Add | Volume)
    words = instruction.paths if isinstance(instruction, Volume) else instruction.sources
    for word in words:
        if word.text.endswith(word.escape) and not word.text.endswith(word.escape * 2):
            yield Found(f"{word.text} ends there: blanks part words here even if escaped; write a JSON array")


def arguments_lost(visit: Visit) -> Iterator[Found]:
    """A shell-form ENTRYPOINT never sees CMD, nor the words of `run`."""
    entrypoint = visit.instruction
    assert isinstance(entrypoint, Entrypoint)
    below = any(isinstance(one, Cmd) for one in visit.stage.instructions)
    if isinstance(entrypoint.command, ShellForm) and below:
        yield Found("an ENTRYPOINT in shell form never sees CMD: write it as a JSON array")


def blanks_in_workdir(visit: Visit) -> Iterator[Found]:
    """`WORKDIR /a /b` is one directory, `/a /b`."""
    assert isinstance(visit.instruction, Workdir)
    text = visit.instruction.path.text
    if re.search(r"\s", text) and not re.search(r"""["'\\`]""", text):
        yield Found(f"WORKDIR takes one path, which is {text!r} here: quote it if that is meant")


def unconsumed(subject: Subject) -> Iterator[Found]:
    """`--build-arg X=1`, and no ARG declares X."""
    from builder.planning.arguments import UNUSED_IS_FINE

    declared = {
        declaration.name.text
        for instruction in subject.dockerfile.instructions
        if isinstance(instruction, Arg)
        for declaration in instruction.declarations
    }
    for name in sorted(subject.build_args.keys() - declared - UNUSED_IS_FINE):
        if not name.startswith("BUILDKIT_") and name not in subject.known:
            yield Found(f"build argument {name} is not consumed: no ARG declares it")


def _rule(name: str, description: str, on: str, of: object) -> Rule:
    return Rule(name, description, severity="error", buildkit=False, on=tuple(on.split()), of=of)  # type: ignore[arg-type]


STRICT: tuple[Rule, ...] = (
    _rule("ArgOverEnv", "ARG after ENV of the same name: RUN and containers see different values", "Arg", arg_over_env),
    _rule(
        "EmptyValue",
        "A declared ARG without a value is empty",
        "Add Copy Env Label Run StopSignal User Volume Workdir",
        empty_value,
    ),
    _rule("LinkIgnored", "--link has no effect beside --chmod", "Copy Add", link_ignored),
    _rule("ChmodIgnored", "--chmod has no effect on what is unpacked", "Add", chmod_ignored),
    _rule("FailuresIgnored", "Only the last command of a here-document can fail a RUN", "Run", failures_ignored),
    _rule("SecretMissing", "An optional secret or agent that is not given is empty", "Run", secret_missing),
    _rule("CmdCleared", "ENTRYPOINT takes an inherited CMD away", "Entrypoint", cmd_cleared),
    _rule(
        "BrokenArray",
        "An array that is no JSON is a command or a list of words",
        "Add Cmd Copy Entrypoint Run Volume",
        broken_array,
    ),
    _rule("EscapedBlank", "Blanks part words even if they are escaped", "Add Copy Volume", escaped_blank),
    _rule("ArgumentsLost", "A shell form ENTRYPOINT takes no arguments", "Entrypoint", arguments_lost),
    _rule("BlanksInWorkdir", "WORKDIR takes the whole line as one path", "Workdir", blanks_in_workdir),
    Rule(
        "UnconsumedBuildArg",
        "A build argument that no ARG declares has no effect",
        severity="error",
        buildkit=False,
        of_file=unconsumed,
    ),
)


def strictly(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The rules, those of `RAISED` as errors, and those of this file."""
    raised = (replace(rule, severity="error", experimental=False) if rule.name in RAISED else rule for rule in rules)
    return (*raised, *STRICT)


def of_builds() -> tuple[Rule, ...]:
    """What a strict build is told: BuildKit's rules, and all that is an error here."""
    rules = strictly(every())
    return tuple(rule for rule in rules if rule.buildkit or rule.name in RAISED or rule in STRICT)
