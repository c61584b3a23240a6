"""The part of a hosts file that is kept up to date."""

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.networks.names import BEGIN, END, inform


def test_it_is_added_replaced_and_lines_of_others_stay(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1\tlocalhost")
    inform(str(hosts), ["10.0.0.2\tone", "10.0.0.3\ttwo"])
    assert hosts.read_text() == f"127.0.0.1\tlocalhost\n{BEGIN}\n10.0.0.2\tone\n10.0.0.3\ttwo\n{END}\n"
    with hosts.open("a") as file:
        file.write("10.9.9.9\tmine\n")
    inode = hosts.stat().st_ino
    inform(str(hosts), ["10.0.0.3\ttwo"])
    assert hosts.read_text() == f"127.0.0.1\tlocalhost\n{BEGIN}\n10.0.0.3\ttwo\n{END}\n10.9.9.9\tmine\n"
    assert hosts.stat().st_ino == inode  # it is mounted
    inform(str(tmp_path / "gone"), ["10.0.0.3\ttwo"])
    assert not (tmp_path / "gone").exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.lists(st.sampled_from(["10.0.0.2\ta", "10.0.0.3\tb c"])))
def test_whatever_a_container_has_written_it_says_what_is_so_once(
    tmp_path: Path, junk: bytes, lines: list[str]
) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_bytes(junk)
    inform(str(hosts), lines)
    once = hosts.read_bytes()
    assert once.startswith(junk)
    inform(str(hosts), lines)
    assert hosts.read_bytes() == once
    assert once.count(BEGIN.encode()) == 1
