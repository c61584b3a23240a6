"""Hooks: programs that a bundle wants run at points of its container's life, with the state on their stdin.

Used by the runtime and, behind walls, by the process that becomes the container; so it imports little.
"""

import os
import select
import signal

Hook = tuple[bytes, list[bytes], dict[bytes, bytes], int]
"""Path, arguments, environment, seconds that it may take (0 for ever)."""
MOST_TOLD = 4096
"""Bytes of its output that an error repeats."""


class HookFailed(Exception):
    """A hook ended badly."""


def run(hooks: list[Hook], state: bytes) -> None:
    """Run them in order. Raises HookFailed at the first that cannot be run, ends badly or takes too long."""
    for path, args, env, seconds in hooks:
        name = os.fsdecode(path)
        given, told = os.memfd_create("state"), os.memfd_create("output")
        try:
            os.write(given, state)
            os.lseek(given, 0, os.SEEK_SET)
            pid = os.fork()
            if pid == 0:
                _become(path, args, env, given, told)
            code = _wait(pid, seconds)
            if code is None:
                raise HookFailed(f"hook {name} did not end within {seconds} seconds")
            if code:
                output = os.pread(told, MOST_TOLD, 0).decode("utf-8", "replace").strip()
                raise HookFailed(f"hook {name} failed: exit status {code}" + (f", output: {output}" if output else ""))
        finally:
            os.close(given)
            os.close(told)


def _become(path: bytes, args: list[bytes], env: dict[bytes, bytes], given: int, told: int) -> None:
    try:
        os.dup2(given, 0)
        os.dup2(told, 1)
        os.dup2(told, 2)
        for number in (signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.execve(path, args, env)
    except OSError as problem:
        os.write(2, (problem.strerror or "?").encode())
    finally:
        os._exit(127)


def _wait(pid: int, seconds: int) -> int | None:
    """Its exit code, negative for a signal; None if it had to be killed."""
    late = False
    if seconds:
        pidfd = os.pidfd_open(pid)
        late = not select.select([pidfd], [], [], seconds)[0]
        if late:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)
    _, status = os.waitpid(pid, 0)
    return None if late else os.waitstatus_to_exitcode(status)
