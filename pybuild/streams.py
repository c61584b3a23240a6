"""Standard streams that whoever started us has closed lead nowhere, as in programs of Go.

Else the next file that we open would have the number of one, and whatever writes to it, or is given it, would meet that
file: a database, a lock, a layer.
"""

import os
import sys

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def mend() -> None:
    """Open those that are closed; to be called before anything else is opened."""
    for number, (name, mode) in enumerate(STREAMS):
        if getattr(sys, name) is None:
            made = os.open(os.devnull, os.O_RDWR)
            if made != number:
                os.dup2(made, number)
                os.close(made)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 (as long as we live)
