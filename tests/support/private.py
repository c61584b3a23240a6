"""Run a piece of a test in a child process with mounts of its own, which go with it."""

import os
import traceback
from collections.abc import Callable

import pytest


def privately(body: Callable[[], None]) -> None:
    """Call `body` in a forked child in a private mount namespace; what it raises fails the test."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        failure = ""
        try:
            from runner import private

            private.enter()
            body()
        except BaseException:  # all of it is for the parent to tell
            failure = traceback.format_exc()
        with open(writer, "w", encoding="utf-8") as pipe:
            pipe.write(failure)
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as pipe:
        failure = pipe.read()
    _, status = os.waitpid(pid, 0)
    if failure or status:
        pytest.fail(failure or f"the child ended with wait status {status}", pytrace=False)
