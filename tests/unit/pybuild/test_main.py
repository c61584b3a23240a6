"""Ctrl-C while the program loads: a signal's end and no traceback, unless whoever started us ignores it."""

import subprocess
import sys

import pytest

LOOK = "import signal, pybuild.__main__; print(signal.getsignal(signal.SIGINT).name)"


@pytest.mark.parametrize(("trap", "handler"), [("", "SIG_DFL"), ("trap '' INT; ", "SIG_IGN")])
def test_before_a_command_begins_a_signal_does_what_it_usually_does(trap: str, handler: str) -> None:
    line = f'{trap}exec "$0" -c "$1"'
    found = subprocess.run(["sh", "-c", line, sys.executable, LOOK], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == handler
