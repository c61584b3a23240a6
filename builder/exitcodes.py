"""What an exit code says, in a line: for RUNs and containers alike."""

from __future__ import annotations

import signal

USUAL = {
    125: "the machinery of containers failed, before or beside the command",
    126: "a command cannot be executed",
    127: "a command was not found",
}
SIGNALS = {
    signal.SIGKILL: "killed by SIGKILL: by somebody, or by the kernel for want of memory",
    signal.SIGSEGV: "crashed with SIGSEGV: it touched memory that was not its own",
    signal.SIGABRT: "gave up with SIGABRT: an assertion failed, or abort(3) was called",
    signal.SIGILL: "crashed with SIGILL: this processor lacks an instruction that it uses",
    signal.SIGBUS: "crashed with SIGBUS: memory went away, or /dev/shm is full",
    signal.SIGTERM: "asked to end by SIGTERM, as stop does",
    signal.SIGINT: "interrupted by SIGINT, as Ctrl-C does",
    signal.SIGSYS: "killed by SIGSYS: it made a system call that the filter forbids",
    signal.SIGPIPE: "ended by SIGPIPE: nobody read what it wrote",
}
HELP = {
    126: "it needs the right to be executed, and a program format or #! line",
    127: "install it in a step before, or correct its name or PATH",
}


def explain(code: int, *, oom_killed: bool = False) -> str:
    """In words; "the command failed" where a code has no meaning of its own."""
    if oom_killed:
        return "out of memory: a process was killed by the kernel at its limit"
    if code == 0:
        return "it ended well"
    if code in USUAL:
        return USUAL[code]
    if 128 < code < 128 + signal.NSIG:
        number = code - 128
        if number in SIGNALS:
            return SIGNALS[signal.Signals(number)]
        try:
            return f"killed by {signal.Signals(number).name}"
        except ValueError:
            return f"killed by signal {number}"
    return "the command failed"
