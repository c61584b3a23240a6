"""Steps of several stages that are the same step."""

import os

import pytest

from tests.support.command import Pybuild

pytestmark = pytest.mark.root


@pytest.mark.parametrize("flags", [(), ("--no-cache",), ("--always", "RUN *")], ids=["cached", "no-cache", "always"])
def test_they_are_done_once_in_a_build_whatever_the_cache_may_give(
    shared_pybuild: Pybuild, flags: tuple[str, ...]
) -> None:
    name = os.urandom(4).hex()
    run = f"RUN --mount=type=cache,id={name},target=/m sleep 0.3; echo . >>/m/runs; cp /m/runs /runs"
    stages = "\n".join(f"FROM busybox AS {stage}\n{run}" for stage in "abcd")
    copies = "\n".join(f"COPY --from={stage} /runs /{stage}" for stage in "abcd")
    text = f"{stages}\nFROM busybox\n{copies}\n"
    for times in (1, 2 if "--always" in flags else 1):  # without the cache mounted ones begin anew, too
        image = shared_pybuild("build", "-q", "--network", "none", *flags, "-", stdin=text).stdout.strip()
        said = shared_pybuild.text("run", "--rm", "--network", "none", image, "cat", "/a", "/b", "/c", "/d")
        assert said.split() == ["."] * 4 * times
