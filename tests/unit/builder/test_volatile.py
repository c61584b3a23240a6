"""What to do about files that are new each time."""

import pytest

from builder.volatile import remedy


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/var/log/apt/history.log", "/var/log/apt/*"),
        ("/var/log/dpkg.log", "/var/log/*.log"),
        ("/var/cache/ldconfig/aux-cache", "/var/cache/ldconfig/aux-cache"),
        ("/etc/ssh/ssh_host_rsa_key.pub", "/etc/ssh/ssh_host_*"),
        ("/home/me/.npm/_logs/1.log", "/home/*/.npm"),
        ("/root/.cache/pip/a/b", "/root/.cache"),
    ],
)
def test_one_word_takes_a_file(path: str, word: str) -> None:
    assert remedy([path]) == f"some of these files are new each time; end the RUN that makes them with rm -rf {word}"


def test_words_are_told_once_and_in_order() -> None:
    told = remedy(["/var/log/apt/term.log", "/etc/machine-id", "/var/log/apt/history.log", "/app/main"])
    assert told.endswith(" rm -rf /etc/machine-id /var/log/apt/*")


def test_bytecode_has_a_switch() -> None:
    compiled = "/app/__pycache__/a.cpython-313.pyc"
    assert remedy([compiled]) == (
        "some of these files are new each time; set ENV PYTHONDONTWRITEBYTECODE=1 before Python runs"
    )
    both = remedy([compiled, "/etc/machine-id"])
    assert both.endswith("before Python runs, and end the RUN that makes them with rm -rf /etc/machine-id")


@pytest.mark.parametrize(
    "path", ["/app", "/var/log", "/var/log/nginx/access.log", "/etc/ssh/sshd_config", "/a.pyc", ""]
)
def test_nothing_is_said_of_others(path: str) -> None:
    assert remedy([path]) == ""
