"""The eighteen instructions of a Dockerfile as values: typed, checked, not yet expanded.

A `Word` still holds its quotes, escapes and `$variables`; `expansion.expand(word, lookup)` turns it
into text. A plain `str` is never expanded (Dockerfile reference, "Environment replacement").
Two instructions are equal when they mean the same: where they stand and how they were
spelled (`span`, `text`) does not count.
"""

from typing import Literal

from builder.span import NOWHERE, Span
from layers.quick import dataclass, field


@dataclass(frozen=True, slots=True)
class Word:
    """Text to be expanded; `escape` is the escape character of the file it comes from."""

    text: str
    span: Span = field(default=NOWHERE, compare=False)
    escape: str = "\\"


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A here-document: `body` is raw, every line with its line end, without the terminator line.

    `expand` is False when any part of the name was quoted; `chomp` is the `-` of `<<-`:
    use `text` to get the body without leading tabs. `span` is the marker, `line` the first line of the body.
    """

    name: str
    body: str
    expand: bool = True
    chomp: bool = False
    span: Span = field(default=NOWHERE, compare=False)
    line: int = field(default=1, compare=False)

    @property
    def text(self) -> str:
        """The body as it is meant: with `<<-`, tabs at the start of lines are gone."""
        if not self.chomp:
            return self.body
        return "".join(line.lstrip("\t") for line in self.body.splitlines(keepends=True))


@dataclass(frozen=True, slots=True)
class ShellForm:
    """A command for the SHELL: `text` as written, followed by the here-documents it opened."""

    text: str
    heredocs: tuple[Heredoc, ...] = ()
    alone: bool = False
    """The line is one here-document marker and nothing else: its body is the script."""

    @property
    def script(self) -> str:
        """What the shell gets as its one argument (the body itself, or line + bodies + terminators)."""
        if self.alone:
            return self.heredocs[0].text
        return self.text + "".join(f"\n{heredoc.body}{heredoc.name}" for heredoc in self.heredocs)

    @property
    def shebang(self) -> bool:
        """The script names its own interpreter: it is to be a file that is executed, not shell text."""
        return self.alone and self.heredocs[0].text.startswith("#!")


@dataclass(frozen=True, slots=True)
class ExecForm:
    """A command as an argument list, run without a shell; nothing in it is expanded."""

    args: tuple[str, ...]


Command = ShellForm | ExecForm


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """What every instruction carries: its place, and its logical line (for titles and messages)."""

    span: Span = field(default=NOWHERE, compare=False)
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class From(_Line):
    """FROM: begin a stage. `image` is a stage name, an image reference or `scratch`; `name` as written."""

    image: Word
    platform: Word | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Declaration:
    """`name` or `name=default` of an ARG."""

    name: Word
    default: Word | None = None


@dataclass(frozen=True, slots=True)
class Arg(_Line):
    """ARG: declare build arguments, from left to right (a later one sees the earlier)."""

    declarations: tuple[Declaration, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """`key=value` of ENV and LABEL; both sides are expanded."""

    key: Word
    value: Word


@dataclass(frozen=True, slots=True)
class Env(_Line):
    """ENV: all pairs see the values from before the line. `legacy`: written `ENV key rest of line`."""

    pairs: tuple[Pair, ...]
    legacy: bool = False


@dataclass(frozen=True, slots=True)
class Label(_Line):
    """LABEL: the grammar of ENV."""

    pairs: tuple[Pair, ...]
    legacy: bool = False


@dataclass(frozen=True, slots=True)
class MountFlag:
    """The unexpanded options of one `RUN --mount=`, in order; keys in lower case, a bare key has None.

    `mounts.resolve(flag, lookup)` makes the typed, checked `RunMount` of it.
    """

    options: tuple[tuple[str, str | None], ...]
    span: Span = field(default=NOWHERE, compare=False)
    escape: str = "\\"


@dataclass(frozen=True, slots=True)
class Device:
    """`RUN --device=name[,required]`."""

    name: str
    required: bool = False
    span: Span = field(default=NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Run(_Line):
    """RUN: run a command and keep what it changed."""

    command: Command
    mounts: tuple[MountFlag, ...] = ()
    network: Literal["default", "none", "host"] = "default"
    security: Literal["sandbox", "insecure"] = "sandbox"
    devices: tuple[Device, ...] = ()


@dataclass(frozen=True, slots=True)
class Copy(_Line):
    """COPY: `sources` (paths and wildcards) and `files` (here-documents) go to `dest`.

    `from_` is None (the context), a stage name, a stage number, a named context or an image.
    """

    sources: tuple[Word, ...]
    dest: Word
    files: tuple[Heredoc, ...] = ()
    from_: str | None = None
    chown: Word | None = None
    chmod: Word | None = None
    link: bool = False
    parents: bool = False
    excludes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Add(_Line):
    """ADD: like COPY from the context; sources may be URLs and git repositories, tars are unpacked.

    `unpack` None means the default: local tars yes, remote ones no.
    """

    sources: tuple[Word, ...]
    dest: Word
    files: tuple[Heredoc, ...] = ()
    chown: Word | None = None
    chmod: Word | None = None
    link: bool = False
    excludes: tuple[str, ...] = ()
    checksum: Word | None = None
    keep_git_dir: bool = False
    unpack: bool | None = None


@dataclass(frozen=True, slots=True)
class Workdir(_Line):
    """WORKDIR: the directory of what follows; relative to the one before."""

    path: Word


@dataclass(frozen=True, slots=True)
class User(_Line):
    """USER: `user[:group]`, names or numbers."""

    user: Word


@dataclass(frozen=True, slots=True)
class Cmd(_Line):
    """CMD: default command, or default arguments of the ENTRYPOINT."""

    command: Command


@dataclass(frozen=True, slots=True)
class Entrypoint(_Line):
    """ENTRYPOINT: what the container runs."""

    command: Command


@dataclass(frozen=True, slots=True)
class Shell(_Line):
    """SHELL: the words put before every shell form that follows."""

    args: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expose(_Line):
    """EXPOSE: ports; each word is expanded, then split at blanks."""

    ports: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Volume(_Line):
    """VOLUME: mount points of the image."""

    paths: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class StopSignal(_Line):
    """STOPSIGNAL: a number or a name."""

    signal: Word


@dataclass(frozen=True, slots=True)
class Healthcheck(_Line):
    """HEALTHCHECK: `command` None is NONE. Durations are nanoseconds; 0 means not given (inherit)."""

    command: Command | None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class OnBuild(_Line):
    """ONBUILD: `trigger` is an instruction, with its here-documents, for builds FROM this image."""

    trigger: str


@dataclass(frozen=True, slots=True)
class Maintainer(_Line):
    """MAINTAINER (deprecated): the author of the image."""

    name: str


Instruction = (
    Add | Arg | Cmd | Copy | Entrypoint | Env | Expose | From | Healthcheck | Label | Maintainer | OnBuild | Run
    | Shell | StopSignal | User | Volume | Workdir
)  # fmt: skip
