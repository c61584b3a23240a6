"""What ps can be asked for: labels one by one, sizes, filters of networks and ports."""

import re

import pytest

from layers import Store
from pybuild import units
from tests.integration.containers.conftest import LOOP, Detached
from tests.support.command import Pybuild

pytestmark = pytest.mark.root


def test_columns_and_filters(detached: Detached, shared_pybuild: Pybuild, shared_store: Store) -> None:
    name = detached(LOOP, "--label", "org.some-team=a,b", "--label", "a=b", "--expose", "81", "-p", "127.0.0.1::80")
    mine = ("-f", f"name={name}")
    size = f"{units.size(shared_store.images.get('busybox').size)})"
    table = shared_pybuild.text("ps", *mine, "--format", 'table {{.Names}}\t{{.Label "org.some-team"}}\t{{.Size}}')
    assert [line.split() for line in table.splitlines()] == [
        ["NAMES", "some", "team", "SIZE"],
        [name, "a,b", "0B", "(virtual", size],
    ]
    row = shared_pybuild.text("ps", *mine, "--format", '{{.Label "other"}}|{{.CreatedAt}}|{{.Command}}')
    assert re.fullmatch(r'\|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} \S+\|"sh -c \'while :; do …"', row)

    def found(*filters: str) -> bool:
        words = [word for one in filters for word in ("-f", one)]
        return shared_pybuild.text("ps", "-q", *mine, *words) != ""

    for yes in ("network=bridge", "publish=80", "publish=79-80/tcp", "expose=81", "expose=80/tcp", "status=running"):
        assert found(yes), yes
    for no in ("network=none", "publish=81", "publish=80/udp", "expose=82", "status=exited", "health=healthy"):
        assert not found(no), no
    for wrong in ("status=asleep", "exited=x", "health=ill", "publish=http", "colour=red"):
        assert "error:" in shared_pybuild("ps", "-f", wrong, code=2).stderr
    sizes = shared_pybuild.text("inspect", "-s", "-f", "{{.SizeRw}} {{.SizeRootFs}}", name).split()
    assert sizes[0] == "0"
    assert int(sizes[1]) > 1_000_000
    assert shared_pybuild.text("ps", *mine, "--format", "{{.Labels}}") == "a=b,org.some-team=a,b"
    shared_pybuild("kill", name)
    for limit in ("0", "-1"):  # no limit
        assert shared_pybuild.text("ps", "-q", "-n", limit, *mine) == ""
    assert shared_pybuild.text("network", "ls", "--format", '{{.Name}}{{.Label "x"}}').split()
