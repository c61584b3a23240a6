"""Half of the files are read by a second process; whatever becomes of it, the layers are the same."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.soon import soon

SCRIPT = """
import os, signal, sys, threading
from pathlib import Path
from builder.contexts import ahead
from builder.build import build
from builder.errors import BuildError
from builder.request import BuildRequest
from builder.workbench import Workbench
from layers import Store, helper
from layers.making import gathering

ahead.FOLDERS, ahead.FILES, gathering.LEAST, gathering.MOST_FILES = 2, 10, 10, 9
place, how = Path(sys.argv[1]), sys.argv[2]
asked = []
if how == "fails":
    def fail(order, descriptors):
        raise MemoryError
    gathering.gather.__code__ = fail.__code__
if how != "alone":
    real = os.fork
    def fork():
        global child
        child = real()
        return child
    os.fork = fork
    helper.start()
    os.fork = real
    ask = helper.Helper.ask
    def noted(self, work, order, descriptors=()):
        asked.append(work.__name__)
        if how == "dies" and work.__name__ == "gather" and "gather" not in asked[:-1]:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        ask(self, work, order, descriptors)
    helper.Helper.ask = noted
with Store.open(place / how) as store:
    for number in range(2):
        text = b"FROM scratch\\nCOPY . /all\\n"
        request = BuildRequest(context=place / "context", text=text, no_cache=how != "again")
        try:
            result = build(request, Workbench(store, None), lambda _: None, threading.Event())
        except BuildError as error:
            print(error)
            break
        print(store.images.get(str(result.image_id)).chain.diff_ids[-1])
print(*sorted(set(asked)), file=sys.stderr)
"""


def fill(context: Path) -> None:
    """Hundreds of small files in directories of all depths, links, attributes, a file that is no small one."""
    source = random.Random(5)
    for number in range(400):
        file = context / f"d{number % 7}" / f"e{number % 5}" / f"file-{number:03}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(source.randbytes(source.choice([0, 1, 511, 512, 513, 5000])))
        os.utime(file, ns=(0, 10**18))
    (context / "d3/e3/link").symlink_to("file-003")
    os.link(context / "d5/e0/file-005", context / "d5/e0/twin")
    os.link(context / "d1/e0/file-015", context / "d6/e4/far")
    os.link(context / "d1/e0/file-050", context / "elsewhere")
    (context / "elsewhere").rename(context.parent / "elsewhere")
    os.setxattr(context / "d1/e1/file-001", "user.note", b"kept")
    (context / "d6/e1/large").write_bytes(source.randbytes(3 << 20))
    (context / ".dockerignore").write_text("d2/e*\n!d2/e1\n**/*7\n")


def built(place: Path, how: str) -> tuple[list[str], str]:
    """What two builds made, and what the helper was asked for."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(place), how], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.splitlines(), done.stderr.strip()


@pytest.mark.parametrize("how", ["helped", "again", "fails", "dies"])
def test_the_same_layer_with_help(how: str, tmp_path: Path) -> None:
    fill(tmp_path / "context")
    alone, asked = built(tmp_path, "alone")
    assert asked == ""
    assert len(set(alone)) == 1
    found, asked = built(tmp_path, how)
    assert found == alone
    assert asked == "gather of_many read_many"


def test_what_the_helper_cannot_read_is_told_as_ever(tmp_path: Path) -> None:
    """One file is not in the tar that it makes of its half, so the parent looks itself, and says why."""
    fill(tmp_path / "context")
    script = SCRIPT.replace(
        'if how == "fails":',
        "from layers.tar import tarball\n"
        "real_add = tarball.TarWriter.add_files\n"
        "def late(self, files):\n"
        "    Path(place / 'context/d6/e1/file-006').unlink(missing_ok=True)\n"
        "    return real_add(self, files)\n"
        "tarball.TarWriter.add_files = late\n"
        'if how == "fails":',
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), "helped"], capture_output=True, text=True, check=True, timeout=60
    )
    assert "cannot read all/d6/e1/file-006: No such file or directory" in done.stdout


def output(pid: int) -> str:
    """Where a process writes to; "" if it has gone."""
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/fd/1")
    return ""


def test_it_ends_when_its_parent_is_killed() -> None:
    script = (
        "import os, time\n"
        "from layers import helper\n"
        "real = os.fork\n"
        "def fork():\n"
        "    child = real()\n"
        "    if child: print(child, flush=True)\n"
        "    return child\n"
        "os.fork = fork\n"
        "helper.start()\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            assert soon(lambda: output(child) == os.devnull)  # so whoever reads ours sees its end
            os.kill(child, signal.SIGINT)  # the terminal's is not meant for it
            time.sleep(0.05)
            assert output(child) == os.devnull
        finally:
            parent.kill()
    assert soon(lambda: not Path(f"/proc/{child}").exists())
