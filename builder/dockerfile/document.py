"""From the bytes of a Dockerfile to its instructions, or to all of its errors at once."""

from collections.abc import Iterable, Iterator

from builder.dockerfile.fold import Directive, LogicalLine, Source, fold
from builder.dockerfile.instructions import Arg, From, Instruction
from builder.dockerfile.statement import statement
from builder.dockerfile.typed import typed
from builder.errors import DockerfileError, DockerfileErrors
from builder.span import Span
from layers.quick import dataclass, field


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A parsed Dockerfile. Two are equal when they mean the same; what they were written as is in `source`."""

    instructions: tuple[Instruction, ...]
    directives: tuple[Directive, ...]
    source: Source = field(compare=False, repr=False)

    @property
    def escape(self) -> str:
        """The escape character, backslash or backtick."""
        return self.source.escape

    def directive(self, name: str) -> str | None:
        """The value of a parser directive: syntax, escape or check."""
        return next((directive.value for directive in self.directives if directive.name == name), None)


def parse(data: bytes, name: str = "Dockerfile") -> Dockerfile:
    """Parse a whole file, called `name` in messages; raises DockerfileErrors with every error that it has."""
    source = fold(data, name)
    errors = list(source.errors)
    instructions = tuple(_instructions(source.lines, source.escape, errors))
    errors.extend(_misplaced(source, instructions))
    if errors:
        raise DockerfileErrors(errors)
    return Dockerfile(instructions, source.directives, source)


def parse_onbuild(trigger: str, name: str = "ONBUILD") -> Instruction:
    """The instruction that an ONBUILD of a base image stands for; raises DockerfileErrors."""
    source = fold(trigger.encode("utf-8", "surrogateescape"), name)
    errors = list(source.errors)
    instructions = tuple(_instructions(source.lines, source.escape, errors))
    if not errors and len(instructions) != 1:
        span = Span(1, 1, 1, 1, source.text)
        errors.append(DockerfileError(span, f"an ONBUILD trigger is one instruction, not {len(instructions)}"))
    if not errors and instructions[0].text.split()[0].upper() in ("FROM", "MAINTAINER", "ONBUILD"):
        errors.append(
            DockerfileError(instructions[0].span, f"{trigger.split(maxsplit=1)[0]} isn't allowed as an ONBUILD trigger")
        )
    if errors:
        raise DockerfileErrors(errors)
    return instructions[0]


def _instructions(lines: Iterable[LogicalLine], escape: str, errors: list[DockerfileError]) -> Iterator[Instruction]:
    for line in lines:
        if not line.text.strip():
            errors.append(DockerfileError(line.span(), "a line continuation, and nothing that it continues"))
            continue
        try:
            yield typed(statement(line, escape))
        except DockerfileError as error:
            errors.append(error)


def _misplaced(source: Source, instructions: tuple[Instruction, ...]) -> Iterator[DockerfileError]:
    """Errors of the file as a whole: nothing in it, nothing to build, something before the first FROM."""
    end = Span(max(len(source.text.lines), 1), 1, max(len(source.text.lines), 1), 2, source.text)
    starts = [number for number, line in enumerate(source.lines) if line.text.split()[:1] and _keyword(line) == "FROM"]
    if not source.lines:
        yield DockerfileError(end, "file with no instructions")
    elif not starts and all(isinstance(instruction, Arg) for instruction in instructions):
        yield DockerfileError(end, "dockerfile contains no stages to build", help="begin a stage: FROM image")
    before = source.lines[starts[0]].span() if starts else None
    early = (found for found in instructions if before is None or found.span < before)
    for instruction in early:
        if not isinstance(instruction, Arg | From):
            help = "the first instruction must be FROM; only ARG may stand before it"
            yield DockerfileError(instruction.span, "no build stage in current context", help=help)
            return


def _keyword(line: LogicalLine) -> str:
    return line.text.split()[0].upper()
