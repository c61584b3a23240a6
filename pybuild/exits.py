"""Errors become words and an exit code, here and nowhere else.

The form is `error: what`, then `--> file:line:column` with an excerpt, `why:` and `help:` where they are known. Codes:
0 well, 1 failed, 2 used wrongly, 125 our machinery failed in run, create, start or exec, 130 interrupted; a build whose
RUN failed ends with that command's own code.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress

from pybuild.declared import click
from pybuild.first import has_to_enter

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # the same without enumerations

INTERRUPTED = 130
USAGE = 2
ROOTS = frozenset(
    {
        "builder.errors.BuildError",
        "layers.errors.LayerError",
        "registry.errors.RegistryError",
        "runner.errors.RunnerError",
    }
)
NO_THREAD = "can't start new thread"
PROCESSES = "there are as many processes as this user or this control group may have, perhaps (ulimit -u, pids.max)"
NOT_YOURS = "\nhelp: this may need root; or choose a store of your own with --root DIR"
STYLES = {"error:": "red", "warning:": "yellow", "-->": "cyan", "why:": "magenta", "help:": "green", "note:": "blue"}


def conclude(action: Callable[[], object], *, failure: int, debug: bool) -> int:
    """Run a command; tell its error, if any, on stderr; its exit code (what it returned, if that is a number)."""
    silent = signal.getsignal(signal.SIGINT) is signal.SIG_DFL  # before the command and after it ctrl-c just ends us
    try:
        if silent:
            sys.unraisablehook = unraisable
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return _concluded(action, failure=failure, debug=debug)
    except (KeyboardInterrupt, click.Abort):
        tell("interrupted")
        return INTERRUPTED
    finally:
        if silent:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            sys.unraisablehook = sys.__unraisablehook__


def unraisable(event: sys.UnraisableHookArgs) -> None:
    """A ctrl-c that came where Python can raise nothing ends us, too."""
    if event.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(event)
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)


def _concluded(action: Callable[[], object], *, failure: int, debug: bool) -> int:
    try:
        value = action()
        sys.stdout.flush()
        return value if isinstance(value, int) else 0
    except BrokenPipeError:
        # The reader has had enough, as `head` has. Python would complain once more at exit: give it somewhere to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except click.Abort:
        raise
    except click.ClickException as error:
        tell(usage(error))
        return error.exit_code if failure == 1 else failure
    except Exception as error:
        if debug:
            import traceback

            traceback.print_exc()
        tell(explain(error, debug=debug))
        return code(error, failure)


def code(error: BaseException, failure: int) -> int:
    """The exit code that an error deserves."""
    from builder.containers.errors import CommandRefused
    from builder.errors import Cancelled, StepFailed

    if isinstance(error, CommandRefused):
        return error.exit_code
    if isinstance(error, StepFailed) and error.exit is not None:
        return error.exit.code or failure
    return INTERRUPTED if isinstance(error, Cancelled) else failure


def usage(error: click.ClickException) -> str:
    """What was wrong with the command line, and where its help is."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return error.format_message()
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        from pybuild.absent import OPTIONS

        words = error.ctx.command_path.split()
        absent = OPTIONS.get(" ".join(words[-2:])) or OPTIONS.get(words[-1], {})
        if why := absent.get(error.option_name):
            return f"error: {error.option_name} is not done here: {why}\nhelp: {error.ctx.command_path} --help"
    lines = [f"error: {error.format_message()}"]
    if isinstance(error, click.UsageError) and error.ctx is not None:
        lines.append(f"help: {error.ctx.command_path} --help")
    return "\n".join(lines)


def explain(error: BaseException, *, debug: bool = False) -> str:
    """The whole message of an error, its notes and its causes."""
    if not ours(error):
        if isinstance(error, OSError):
            rights = error.errno in (errno.EACCES, errno.EPERM) and has_to_enter()
            return f"error: {system(error)}{NOT_YOURS if rights else ''}"
        if isinstance(error, RuntimeError) and str(error) == NO_THREAD:
            return f"error: {error}\nhelp: {PROCESSES}"
        hint = "" if debug else "\nhelp: this is a defect of pybuild; --debug shows where"
        return f"error: {type(error).__name__}: {error}{hint}"
    lines = [f"error: {error}"]
    cause = error.__cause__
    told = str(error)
    while cause is not None:
        words = system(cause) if isinstance(cause, OSError) and not ours(cause) else str(cause)
        if words and words not in told:
            lines.insert(len(lines), f"why: {words}")
            told += words
        cause = cause.__cause__
    lines.extend(f"note: {note}" for note in getattr(error, "__notes__", ()))
    return "\n".join(lines)


def ours(error: BaseException) -> bool:
    """True for errors of our rooms, whose text is written for people. No room is imported to find out."""
    return any(f"{base.__module__}.{base.__name__}" in ROOTS for base in type(error).__mro__)


def system(error: OSError) -> str:
    """An error of the operating system in one or two lines."""
    where = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, str | bytes) else ""
    text = f"{error.strerror or error}{where}"
    if error.errno == errno.ENOENT and not error.filename and homeless():
        return "the directory that we were started in has been removed\nhelp: cd to another one"
    if error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename:
        return f"{text}\nhelp: make room there, or write elsewhere; in the store 'pybuild prune' frees what is unused"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{text}\nhelp: it may be where standard output leads; in the store 'pybuild system df' shows what takes "
            "space, 'pybuild prune' frees what is unused"
        )
    if error.errno == errno.EAGAIN:
        return f"{text}\nhelp: {PROCESSES}"
    if error.errno == errno.EMFILE:
        return f"{text}\nhelp: allow more of them (ulimit -n)"
    return text


def homeless() -> bool:
    """Whether the directory that we are in has been removed."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def tell(text: str) -> None:
    """Write a message to stderr, its leading words coloured where the terminal wants that."""
    from pybuild.settings import colored

    if colored(os.environ) and "--no-color" not in sys.argv:
        text = "\n".join(map(paint, text.split("\n")))
    with suppress(OSError):  # nobody reads it, or its disk is full
        click.echo(text, err=True, color=True)


def warn(sentence: str) -> None:
    """Tell something that somebody should know, although all goes on."""
    tell(f"warning: {sentence}")


def paint(line: str) -> str:
    """One line with its leading word in colour."""
    word, space, rest = line.partition(" ")
    style = STYLES.get(word)
    return line if style is None else click.style(word, fg=style, bold=True) + space + rest
