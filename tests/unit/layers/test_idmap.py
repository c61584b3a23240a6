"""Ids inside and outside of a container."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers import DocumentInvalid, Entry, EntryType
from layers.bundles.idmap import IdMap, IdRange
from layers.errors import IdUnmapped


@given(st.integers(0, 99), st.integers(0, 99))
def test_there_and_back(uid: int, gid: int) -> None:
    ids = IdMap((IdRange(0, 1000, 50), IdRange(50, 70_000, 50)), (IdRange(0, 5, 100),))
    entry = Entry("a", EntryType.FILE, uid=uid, gid=gid)
    outside = ids.outside(entry)
    assert outside.uid == (1000 + uid if uid < 50 else 70_000 + uid - 50) and outside.gid == 5 + gid
    assert ids.inside(outside) == entry


def test_no_map_maps_nothing() -> None:
    entry = Entry("a", EntryType.FILE, uid=1 << 31, gid=3)
    assert not IdMap() and IdMap().outside(entry) is entry


def test_an_id_outside_is_an_error_that_names_it() -> None:
    ids = IdMap((IdRange(0, 1000, 1),))
    with pytest.raises(IdUnmapped, match="/a belongs to user 1,"):
        ids.outside(Entry("a", EntryType.FILE, uid=1))
    with pytest.raises(IdUnmapped, match="user 0,"):
        ids.inside(Entry("a", EntryType.FILE))
    assert ids.outside(Entry("a", EntryType.WHITEOUT)).uid == 0


def test_ranges_as_people_write_them() -> None:
    assert IdRange.parse("0:1000:10") == IdRange(0, 1000, 10)
    assert IdRange.parse("0:1000") == IdRange(0, 1000, 1)
    assert IdRange.from_json(IdRange(1, 2, 3).to_json()) == IdRange(1, 2, 3)


@pytest.mark.parametrize("text", ["", "0", "a:b:c", "0:1:0", "0:4294967295:2", "-1:0:1", "0:0:99999999999", "0:1:2:3"])
def test_ranges_that_are_none(text: str) -> None:
    with pytest.raises(DocumentInvalid):
        IdRange.parse(text)


@pytest.mark.parametrize("value", [None, [], {}, {"containerID": "0", "hostID": 0, "size": 1}, {"containerID": 0}])
def test_json_that_is_no_range(value: object) -> None:
    with pytest.raises(DocumentInvalid):
        IdRange.from_json(value)
