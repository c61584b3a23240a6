"""Processes that others are left to."""

import os
import time
from pathlib import Path

from runner.leaving import forked, part


def test_who_is_left_has_parted_when_its_parent_goes_on(tmp_path: Path) -> None:
    told = tmp_path / "told"
    tell = forked()
    if tell is not None:
        try:
            time.sleep(0.2)  # as long as a busy machine may take
            part()
            told.write_text(f"{os.getpid()} {os.getsid(0)} {Path.cwd()}")
            os.close(tell)
            time.sleep(0.2)
        finally:
            os._exit(0)
    pid, session, folder = told.read_text().split()
    assert (pid, folder) == (session, "/")
    os.waitpid(int(pid), 0)


def test_one_that_ends_before_it_has_parted_holds_nobody_up(tmp_path: Path) -> None:
    told = tmp_path / "told"
    if forked() is not None:
        told.write_text(str(os.getpid()))
        os._exit(0)
    os.waitpid(int(told.read_text()), 0)
