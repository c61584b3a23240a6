"""The same promises on another kernel, with cgroup v2 and nothing of version 1: Debian's, in a virtual machine."""

import sys
from pathlib import Path

import pytest

from tests.support.guest import is_guest, run_in_guest

pytestmark = [pytest.mark.root, pytest.mark.slow]

HERE = Path(__file__).parent
TESTS = (
    "test_containers.py",
    "test_ceilings.py",
    "test_limits.py",
    "test_mounts.py",
    "test_pressure.py",
    "test_rooms.py",
    "test_sweep.py",
    "test_walls.py",
    "test_oci.py::test_limits_on_either_version",
    "test_oci.py::test_a_group_with_others_in_it",
)
LAYERS = (  # an older EROFS takes block devices only
    "../layers/test_overlay.py::test_what_is_told_of_the_way_is_what_is_done",
    "../layers/test_modes.py::test_a_link_into_a_lower_layer[to a large file]",
    "../builder/test_reproducible.py::test_one_digest_everywhere_and_always",
    "../containers/test_userns.py::test_a_disk_that_knows_mapped_mounts_beside_one_in_memory_that_may_not",
)


@pytest.mark.timeout(1300)
@pytest.mark.skipif(is_guest(), reason="this is the guest")
def test_everything_holds_with_version_2_only(tmp_path: Path) -> None:
    options = ["-q", "--no-header", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, *(str(HERE / name) for name in (*TESTS, *LAYERS))]
    code, said = run_in_guest(command, tmp_path, cwd=HERE.parents[2], timeout=1200)
    assert code == 0, said
    assert " passed" in said
