"""The program: `pybuild`, `python -m pybuild`.

Order matters. What runs processes behind walls needs a private mount namespace and the spawner, a small process forked
before the first thread and before anything heavy is imported; so the command line is looked at here, without click.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys

TYPE_CHECKING = False  # as typing has it, without loading it
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # the same without enumerations

if None in (sys.stdin, sys.stdout, sys.stderr):
    from pybuild.streams import mend

    mend()
os.umask(os.umask(0) | 0o002)  # whatever a careless shell says: what we keep is not for everybody to change
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # ctrl-c while we load would show where we are
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from layers import compiled  # noqa: E402 (the lines above are for it, too)

GARBAGE = 1_000_000
"""Objects between two looks for cycles; Python's own choice is 700."""

compiled.lead()
gc.set_threshold(GARBAGE)  # a short life makes little garbage: looking for it costs more than it gives

from pybuild.catalogue import Listed, chosen, route  # noqa: E402 (it is found there, too)
from pybuild.later import FIRST, lean  # noqa: E402

if TYPE_CHECKING:
    from typing import NoReturn

DETACHED = frozenset({"-d", "--detach"})
"""Where one of these is said, it is mostly another process that needs a sandbox; ours is made then when it does."""


def main() -> None:
    """Run the command line of this process and exit with its code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # names in images are bytes, and leave as they came
        sys.stdout.reconfigure(errors="surrogateescape")
    words = sys.argv[1:]
    listed = chosen(route(words)) if "--help" not in words else None
    if listed is not None:
        prepare(listed, sandbox=listed.sandbox and DETACHED.isdisjoint(words))
    for module in FIRST:
        lean(module)
    course = "" if listed is None else listed.target.partition(":")[0]
    if listed is not None and listed.declared:
        compiled.hasten(course)
        from pybuild.usual import run_usual

        if (code := run_usual(words, listed)) is not None:
            leave(code)
    lean("click")
    compiled.hasten(course)
    from pybuild.cli import run

    leave(run(words))


def prepare(listed: Listed, *, sandbox: bool) -> None:
    """Get what a command needs before anything else, or end with the reason why that cannot be had."""
    try:
        if listed.helped:
            from layers.helper import start

            start()
        if sandbox:
            compiled.hasten("pybuild.first")
        from pybuild import first

        if sandbox or (listed.files and first.has_to_enter()):
            (first.begin if sandbox else first.be_root)()
    except Exception as problem:
        from pybuild.exits import conclude

        def fail(problem: Exception = problem) -> None:
            raise problem

        leave(conclude(fail, failure=listed.failure, debug=False))


def leave(code: int) -> NoReturn:
    """End with this code, at once: the kernel takes back in no time what Python would free piece by piece."""
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # nobody reads any more: let the interpreter end as it does then
        sys.exit(code)
    bundle = compiled.leading()
    if not sys.dont_write_bytecode and (bundle is None or bundle.missed):
        from layers.compiling import keep

        keep()
    os._exit(code)


if __name__ == "__main__":
    main()
