"""`pybuild nsenter`: a program of the host in chosen namespaces of a container, as nsenter(1) does it."""

from __future__ import annotations

import os
import signal
from typing import Any, NoReturn

import click

from pybuild.wiring import Context

FLAGS = {
    "m": ("mount", "mnt"),
    "u": ("uts", "uts"),
    "i": ("ipc", "ipc"),
    "n": ("net", "net"),
    "p": ("pid", "pid"),
    "C": ("cgroup", "cgroup"),
    "U": ("user", "user"),
    "T": ("time", "time"),
}


def kinds(function: Any) -> Any:
    """A flag for each kind of namespace."""
    for letter, (name, _) in reversed(FLAGS.items()):
        function = click.option(f"-{letter}", f"--{name}", name, is_flag=True, help=f"Its {name} namespace.")(function)
    return function


@click.command(
    epilog="\b\nExamples:\n  pybuild nsenter web -n -- ip address\n  pybuild nsenter web -n -- ss -ltn\n"
    "  pybuild nsenter web -p -m -- ps ax",
)
@click.argument("container")
@click.argument("words", metavar="[--] [COMMAND...]", nargs=-1, type=click.UNPROCESSED)
@click.option("-a", "--all", "everything", is_flag=True, help="All of them.")
@kinds
@click.option("-F", "--no-fork", is_flag=True, help="Do not fork before the command, even with --pid.")
@click.option("-w", "--wd", metavar="DIR", help="Where it starts, as seen from inside.")
@click.pass_obj
def nsenter(context: Context, /, container: str, words: tuple[str, ...], **flags: Any) -> int:
    """Run COMMAND (a shell) of this host in namespaces of a running CONTAINER; its exit code becomes ours.

    Which program that is, is looked up after the change: with --mount it is the container's.
    """
    from pybuild.inside import inode, process_of
    from runner import linux

    numbers = {
        "mnt": linux.CLONE_NEWNS, "uts": linux.CLONE_NEWUTS, "ipc": linux.CLONE_NEWIPC, "net": linux.CLONE_NEWNET,
        "pid": linux.CLONE_NEWPID, "cgroup": linux.CLONE_NEWCGROUP, "user": linux.CLONE_NEWUSER,
        "time": linux.CLONE_NEWTIME,
    }  # fmt: skip
    wanted = [file for name, file in FLAGS.values() if flags["everything"] or flags[name]]
    if not wanted:
        raise click.UsageError("name the namespaces: -n, -p, -m, -u, -i, -C, -U, -T or --all")
    pid = process_of(context, container)
    # Our own cannot be entered again, and need not be.
    chosen = sum(numbers[kind] for kind in wanted if inode(pid, kind) != inode("self", kind))
    args = [os.fsencode(word) for word in words] or [os.environb.get(b"SHELL", b"/bin/sh")]
    linux.control(linux.PR_SET_DUMPABLE, 0)  # inside, nobody shall look at this process before it is the command
    process = os.pidfd_open(pid)
    if chosen:
        linux.setns(process, chosen)
    os.close(process)
    if chosen & linux.CLONE_NEWUSER:
        os.setgroups([])
        os.setgid(0)
        os.setuid(0)
    if flags["wd"] is not None:
        os.chdir(flags["wd"])
    elif chosen & linux.CLONE_NEWNS:
        os.chdir("/")
    forks = chosen & (linux.CLONE_NEWPID | linux.CLONE_NEWTIME) and not flags["no_fork"]  # which children enter only
    child = os.fork() if forks else 0
    if child == 0:
        execute(args)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def execute(args: list[bytes]) -> NoReturn:
    """Become a command; says why not and ends with 127 or 126. Nothing may be imported any more."""
    name = args[0]
    folders = [b""] if b"/" in name else os.environb.get(b"PATH", b"/bin:/usr/bin").split(b":")
    code, why = 127, b"not found"
    for folder in folders:
        try:
            os.execve(os.path.join(folder, name), args, os.environb)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as problem:
            code, why = 126, os.strerror(problem.errno or 0).encode()
    os.write(2, b"pybuild: " + name + b": " + why + b"\n")
    os._exit(code)
