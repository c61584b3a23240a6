"""Sizes and times read as docker's do."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybuild import units


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0B"),
        (512, "512B"),
        (1000, "1kB"),
        (4500, "4.5kB"),
        (1_238_000, "1.24MB"),
        (72_800_000, "72.8MB"),
        (173_412_000, "173MB"),
        (999_600, "1MB"),
        (2_000_000_000, "2GB"),
    ],
)
def test_sizes_read_as_dockers(count: int, text: str) -> None:
    assert units.size(count) == text


@given(st.integers(0, 10**18))
def test_a_size_is_short_and_near(count: int) -> None:
    text = units.size(count)
    number = float(text.rstrip("BkMGTPE"))
    exponent = units.SUFFIXES.index(text.lstrip("0123456789.")) if count >= 1000 else 0
    assert "e" not in text
    assert number * 1000**exponent == pytest.approx(count, rel=0.006)


@pytest.mark.parametrize(
    ("text", "count"),
    [("1024", 1024), ("512m", 512 << 20), ("1.5g", 3 << 29), ("64MiB", 64 << 20), ("10kb", 10240), ("7B", 7)],
)
def test_flags_of_memory(text: str, count: int) -> None:
    assert units.parse_size(text) == count


@pytest.mark.parametrize("text", ["", "m", "12q", "-1m", "1e3", "1 2"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="512m"):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (150, "2 minutes"),
        (3600, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (15 * 86400, "2 weeks"),
        (70 * 86400, "2 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_periods_read_as_dockers(seconds: float, text: str) -> None:
    assert units.period(seconds) == text


def test_ages() -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    assert units.age(now - timedelta(hours=2), now=now) == "2 hours ago"
    assert units.age(now + timedelta(hours=2), now=now) == "Less than a second ago"
    assert units.age(datetime(1970, 1, 1, tzinfo=UTC), now=now) == "N/A"
    assert units.age(None) == "N/A"


def test_moments_of_configs() -> None:
    found = units.moment("2024-02-03T04:05:06.123456789Z")
    assert found == datetime(2024, 2, 3, 4, 5, 6, 123456, UTC)
    assert units.moment("2024-02-03T04:05:06.5+02:00") == datetime(2024, 2, 3, 2, 5, 6, 500000, UTC)
    assert units.moment("0001-01-01T00:00:00Z") is not None
    assert units.moment("yesterday") is None
    assert units.moment("") is None


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("1m30s", 90), ("1.5h", 5400), ("250ms", 0.25)])
def test_flags_of_time(text: str, seconds: float) -> None:
    assert units.parse_period(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "5x", "nan", "-1", "1m 30s", "m5"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="1m30s"):
        units.parse_period(text)


@pytest.mark.parametrize(
    ("value", "text"), [(0.04, "0.0s"), (12.44, "12.4s"), (59.97, "1m00s"), (125, "2m05s"), (3720, "1h02m")]
)
def test_measured_times(value: float, text: str) -> None:
    assert units.seconds(value) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("24h", 1_700_000_000 - 86400),
        ("90", 1_700_000_000 - 90),
        ("1600000000", 1_600_000_000),
        ("2020-09-13T12:26:40Z", 1_600_000_000),
        ("2020-09-13", 1_599_955_200),
    ],
)
def test_moments(text: str, seconds: float) -> None:
    assert units.parse_moment(text, now=datetime.fromtimestamp(1_700_000_000, UTC)) == seconds


def test_no_moment() -> None:
    with pytest.raises(ValueError, match="no moment"):
        units.parse_moment("soon")
