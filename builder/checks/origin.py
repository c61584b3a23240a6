"""Rules about FROM: its variables, its platform, its image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from builder.checks.rule import Edit, Found
from builder.checks.subject import Subject, Visit, value
from builder.dockerfile import From, Word, expand
from builder.errors import DockerfileError
from builder.span import Span
from builder.stages import SCRATCH
from layers import DocumentInvalid, Platform, Reference, ReferenceInvalid


def missing(word: Word, variables: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The variables of a word that have a value, and those that have none, each once."""
    met: dict[str, bool] = {}
    if "$" not in word.text:
        return [], []

    def lookup(name: str) -> str | None:
        met[name] = name in variables
        return variables.get(name)

    try:
        expand(word, lookup)
    except DockerfileError:
        pass  # `${X:?}`, told when it is planned; the variables met so far are known
    return [name for name, known in met.items() if known], [name for name, known in met.items() if not known]


def undefined_arg_in_from(visit: Visit) -> Iterator[Found]:
    """`FROM debian:$TAG` without `ARG TAG` above it."""
    assert isinstance(visit.instruction, From)
    subject = visit.subject
    declared = [
        value(one.name, subject.scope) for argument in subject.stages.arguments for one in argument.declarations
    ]
    known = dict.fromkeys([*declared, *(key for key in subject.scope if key not in subject.build_args)])
    for word in filter(None, (visit.instruction.image, visit.instruction.platform)):
        for name in missing(word, subject.scope)[1]:
            if name not in known:
                from builder.checks.nearby import Nearby

                near = Nearby().nearest(name, known)
                guess = f" (did you mean {near}?)" if near else ""
                yield Found(f"FROM argument '{name}' is not declared{guess}")


def redundant_target_platform(visit: Visit) -> Iterator[Found]:
    """`FROM --platform=$TARGETPLATFORM x`"""
    assert isinstance(visit.instruction, From)
    flag = visit.instruction.platform
    if flag is None:
        return
    scope = visit.subject.scope
    if missing(flag, scope) == (["TARGETPLATFORM"], []) and value(flag, scope) == scope["TARGETPLATFORM"]:
        what = f"Setting platform to predefined {flag.text} in FROM is redundant as this is the default behavior"
        yield Found(what, None, (Edit(_with_blank(flag.span), ""),))


def _with_blank(span: Span) -> Span:
    """A flag and one blank behind it."""
    return Span(span.line, span.column, span.end_line, span.end_column + 1, span.text)


def from_platform_flag_const_disallowed(visit: Visit) -> Iterator[Found]:
    """`FROM --platform=linux/amd64 x`, unless the stage is called after it."""
    assert isinstance(visit.instruction, From)
    flag = visit.instruction.platform
    if flag is None or any(missing(flag, visit.subject.scope)):
        return
    text = value(flag, {})
    try:
        platform = Platform.parse(text)
    except DocumentInvalid:  # told by the plan
        return
    if not any(word in visit.stage.name for word in (platform.os, platform.architecture)):
        yield Found(f'FROM --platform flag should not use constant value "{text}"')


def invalid_default_arg_in_from(subject: Subject) -> Iterator[Found]:
    """`ARG TAG` and `FROM debian:$TAG`: without a build argument it is no image."""
    if subject.defaults is None:
        return
    for stage in subject.stages.all:
        word = stage.opening.image
        if not _image(value(word, subject.defaults)):
            yield Found(f"Default value for ARG {word.text} results in empty or invalid base image name", stage.span)


def _image(name: str) -> bool:
    try:
        Reference.parse(name)
    except ReferenceInvalid:
        return False
    return True


def invalid_base_image_platform(visit: Visit) -> Iterator[Found]:
    """The image has one platform, and it is another one."""
    assert isinstance(visit.instruction, From)
    subject, stage = visit.subject, visit.stage
    name = value(visit.instruction.image, subject.scope)
    if name.lower() == SCRATCH or not name or subject.stages.base(stage, name) is not None:
        return
    flag = visit.instruction.platform
    try:
        wanted = Platform.parse(value(flag, subject.scope)) if flag else subject.platform
    except DocumentInvalid:  # told by the plan
        return
    image = subject.base(name, wanted, visit.span)
    met = None if image is None else image.config.platform
    if met is not None and (met.os, met.architecture) != (wanted.os, wanted.architecture):
        yield Found(f'Base image {name} was pulled with platform "{met}", expected "{wanted}" for current build')
