"""Names in a hostile passwd never become the wrong number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers import AccountMissing, Accounts

PASSWD = b"root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/bin/false\nbroken\napp:x:1000:1001::/home/app:\n"
GROUP = b"root:x:0:\nwww-data:x:33:app\nstaff:x:50:app,other\napp:x:1001:\n"
ACCOUNTS = Accounts.parse(PASSWD, GROUP)


@pytest.mark.parametrize(
    ("spec", "uid", "gid", "groups", "home"),
    [
        ("", 0, 0, (), "/root"),
        ("app", 1000, 1001, (33, 50), "/home/app"),
        ("1000", 1000, 1001, (33, 50), "/home/app"),
        ("app:staff", 1000, 50, (), "/home/app"),
        ("4242", 4242, 0, (), "/"),
        ("4242:7", 4242, 7, (), "/"),
    ],
)
def test_who_a_process_runs_as(spec: str, uid: int, gid: int, groups: tuple[int, ...], home: str) -> None:
    found = ACCOUNTS.account(spec)
    assert (found.uid, found.gid, found.groups, found.home) == (uid, gid, groups, home)


@pytest.mark.parametrize(
    ("spec", "owner"),
    [
        ("1000", (1000, 1000)),
        ("1000:5", (1000, 5)),
        ("www-data", (33, 33)),
        ("app:", (1000, 1001)),
        (":staff", (0, 50)),
    ],
)
def test_who_owns_a_copy(spec: str, owner: tuple[int, int]) -> None:
    assert ACCOUNTS.owner(spec) == owner


@pytest.mark.parametrize("spec", ["nobody", "app:nogroup", "-1", "+1", " 1", "0x0", "4294967295", "4294967296"])
def test_unknown_names_are_errors_and_never_root(spec: str) -> None:
    with pytest.raises(AccountMissing):
        ACCOUNTS.account(spec)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_are_read(passwd: bytes, group: bytes) -> None:
    found = Accounts.parse(passwd, group)
    assert all(0 <= user.uid < 2**32 - 1 for user in found.users)
