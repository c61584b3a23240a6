"""What the kernel says of this process."""

import os
import threading

from runner.linux import has_threads


def test_threads_are_those_that_are_here_and_not_those_of_a_parent() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    assert has_threads()
    child = os.fork()
    if not child:
        os._exit(7 if has_threads() else 6)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 6
    over.set()
    thread.join()
