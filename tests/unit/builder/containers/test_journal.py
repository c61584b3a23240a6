"""The log keeps every byte, by line and stream."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from builder.containers.journal import Range, Writer, follow, read


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(min_size=1, max_size=50)), max_size=20))
def test_every_byte_of_each_stream_comes_back(tmp_path_factory: object, pieces: list[tuple[int, bytes]]) -> None:
    path = Path(tmp_path_factory.mktemp("log")) / "log"  # type: ignore[attr-defined]
    writer = Writer(path)
    for stream, data in pieces:
        writer(stream, data)
    writer.close()
    records = read(path)
    for number, name in ((1, "stdout"), (2, "stderr")):
        wrote = b"".join(data for stream, data in pieces if stream == number)
        assert b"".join(record.data for record in records if record.stream == name) == wrote
    assert list(follow(path, lambda: False)) == records
    assert read(path, Range(tail=2)) == records[-2:]


def test_a_flood_without_newlines_is_cut_not_kept(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "log")
    for _ in range(40):
        writer(1, b"x" * 1000)
    assert sum(map(len, writer.pending.values())) <= 17_000
    writer.close()
    assert sum(len(record.data) for record in read(tmp_path / "log")) == 40_000
