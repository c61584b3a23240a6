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
            told.write_text(f"{os.getsid(0) == os.getpid()} {Path.cwd()}")
            os.close(tell)
            time.sleep(0.2)
        finally:
            os._exit(0)
    assert told.read_text() == "True /"
    os.wait()


def test_one_that_ends_before_it_has_parted_holds_nobody_up() -> None:
    if forked() is not None:
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 3
