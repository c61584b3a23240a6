"""--chmod: numbers and clauses, as chmod(1) reads them."""

import pytest

from builder.modes import parse


@pytest.mark.parametrize(
    ("text", "before", "directory", "after"),
    [
        ("0755", 0o600, False, 0o755),
        ("4711", 0o600, False, 0o4711),
        ("0", 0o777, True, 0),
        ("u+x", 0o644, False, 0o744),
        ("+x", 0o644, False, 0o755),
        ("a-w", 0o666, False, 0o444),
        ("go=", 0o777, False, 0o700),
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o700, False, 0o755),
        ("u=rwX,go=rX", 0o600, True, 0o755),
        ("u+s,g+s,+t", 0o755, False, 0o7755),
        ("u-s", 0o4755, False, 0o755),
        ("u=rx", 0o4755, False, 0o555),
        ("u+r-w", 0o200, False, 0o400),
    ],
)
def test_a_mode_is_changed(text: str, before: int, directory: bool, after: int) -> None:
    change, absolute = parse(text)
    assert (oct(change(before, directory)), absolute) == (oct(after), text.isdigit())


@pytest.mark.parametrize("text", ["", "8", "77777", "u", "u+q", "x+r", "u+r,", "0x1", "rwx"])
def test_what_is_no_mode_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid chmod parameter"):
        parse(text)
