"""The command line: one group whose commands are imported when they are used.

Errors leave click here and meet `pybuild.exits`; no command prints its own failures or calls sys.exit.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence

import click

from pybuild import __version__
from pybuild.catalogue import COMMANDS, HIDDEN, NOUNS, SECTIONS, Listed, chosen, route, start
from pybuild.declared import Declared
from pybuild.settings import Settings
from pybuild.wiring import Context

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class LazyGroup(click.Group):
    """A group over a table of names; a command's module is imported when the command is asked for."""

    def __init__(self, name: str | None, table: Mapping[str, Listed], **extra: object) -> None:
        super().__init__(name, **extra)  # type: ignore[arg-type]
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command, or None if there is no such name."""
        if (listed := self.table.get(cmd_name)) is None:
            return None
        module, _, attribute = listed.target.partition(":")
        command: click.Command | Declared = getattr(importlib.import_module(module), attribute)
        return command.made() if isinstance(command, Declared) else command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was probably meant."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            from difflib import get_close_matches

            from pybuild.absent import COMMANDS as ABSENT

            called = args[0] if ctx.parent is None else f"{ctx.info_name} {args[0]}"
            if (why := ABSENT.get(called)) is not None:
                raise click.UsageError(f"{called} is not done here: {why}", ctx)
            near = get_close_matches(args[0], self.table, n=3)
            what = f"{args[0]!r} is no command" + (" and no folder to build." if ctx.parent is None else ".")
            raise click.UsageError(f"{what} Did you mean {' or '.join(near)}?" if near else what, ctx)
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, rest if command is None else from_go(command, rest)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with the summaries of the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, listed.summary) for name, listed in self.table.items()])


def from_go(command: click.Command, words: Sequence[str]) -> list[str]:
    """`--flag=true`, `--flag=false` and `-p=8080:80`, which Go's programs understand, in click's words.

    Where options end at the first argument (run, create, exec), the words of the container's command stay as they are.
    """
    if isinstance(command, click.Group):  # `volume prune`: the options are those of the inner command
        inner = command.commands.get(words[0]) if words else None
        return list(words) if inner is None else [words[0], *from_go(inner, words[1:])]
    told: list[str] = []
    ends = command.context_settings.get("allow_interspersed_args") is False
    known = {name: one for one in command.params if isinstance(one, click.Option) for name in one.opts}
    valued = False
    for number, word in enumerate(words):
        if word == "--" or (ends and not valued and not word.startswith("-")):
            return [*told, *words[number:]]
        if not valued and (at := assigned(word, known)):
            told += word[:at], word[at + 1 :]
            continue
        name, _, value = word.partition("=")
        option = None if valued else known.get(name)
        # A value may be a word of its own: after `--name`, after `-e`, after the last letter of `-ite`.
        last = option if word.startswith("--") else known.get(f"-{word[-1]}") if clustered(word, known) else None
        valued = ends and not valued and last is not None and not last.is_flag and word != f"{name}={value}"
        if option is None or not option.is_flag or value.lower() not in ("true", "false", "1", "0"):
            told.append(word)
        elif value.lower() in ("true", "1"):
            told.append(name)
        elif option.secondary_opts:
            told.append(option.secondary_opts[-1])
    return told


def assigned(word: str, known: Mapping[str, click.Option]) -> int:
    """Where the = of `-p=80` or `-ite=A=b` stands, between a short option and its value; 0 in any other word."""
    for at, letter in enumerate(word[1:], 1):
        if letter == "-" or (option := known.get(f"-{letter}")) is None:
            return 0
        if not option.is_flag:
            return at + 1 if word[at + 1 : at + 2] == "=" else 0
    return 0


def clustered(word: str, known: Mapping[str, click.Option]) -> bool:
    """True for `-e` or `-ite`: short options of which only the last may still lack its value."""
    letters = [known.get(f"-{letter}") for letter in word[1:]]
    return bool(letters) and all(one is not None and one.is_flag for one in letters[:-1])


class Roof(LazyGroup):
    """The top group: commands in sections, docker's nouns beside them."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, or a hidden noun such as `image`."""
        if (verbs := NOUNS.get(cmd_name)) is not None:
            table = {verb: {**COMMANDS, **HIDDEN}[name] for verb, name in verbs.items()}
            return LazyGroup(cmd_name, table, help=f"Docker's names for what pybuild does with: {cmd_name}.")
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One block a section."""
        width = max(map(len, COMMANDS))
        for title, table in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), listed.summary) for name, listed in table.items()])


@click.command(
    "pybuild",
    cls=Roof,
    table=COMMANDS,
    context_settings=HELP,
    no_args_is_help=False,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND] [ARGS]...",
    epilog="""
\b
Examples:
  pybuild -t app .                     build ./Dockerfile (build is the default command)
  pybuild run --rm app                 run it
  pybuild history app                  see its layers
  pybuild push app localhost:5000/app  send it to a registry

'pybuild COMMAND --help' shows the options and an example of each command.""",
)
@click.option("--root", metavar="DIR", help="Where images and containers are kept (PYBUILD_ROOT).")
@click.option("-D", "--debug", is_flag=True, help="Show a traceback when something fails (PYBUILD_DEBUG).")
@click.option("--no-color", is_flag=True, help="No colours, whatever the terminal says (NO_COLOR).")
@click.version_option(__version__, message="pybuild %(version)s")
@click.pass_context
def roof(ctx: click.Context, root: str | None, debug: bool, no_color: bool) -> None:
    """Build, run, store and move OCI images, without a daemon."""
    ctx.obj = Context(Settings.gather(os.environ, root=root, debug=debug, color=not no_color))
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run(words: Sequence[str]) -> int:
    """Run one command line; its exit code. `words` are those after the program's name."""
    from pybuild.exits import conclude

    routed = route(words)
    listed = chosen(routed)
    failure = listed.failure if listed else 1
    flagged = not {"-D", "--debug"}.isdisjoint(routed[: start(routed)])
    debug = Settings.gather(os.environ, debug=flagged).debug
    return conclude(lambda: roof.main(routed, prog_name="pybuild", standalone_mode=False), failure=failure, debug=debug)
