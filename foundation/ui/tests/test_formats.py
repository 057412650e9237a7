"""Numbers, money and time as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.ui import formats

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (formats.grouped(1234567), "1,234,567"),
        (formats.grouped(-1234), "−1,234"),
        (formats.grouped(0.5), "0.5"),
        (formats.grouped(2.0), "2"),
        (formats.grouped(None), "–"),
        (formats.grouped(float("nan")), "–"),
        (formats.grouped("<b>"), "–"),
        (formats.signed(0.123, 1), "+0.1"),
        (formats.signed(-0.01, 1), "0.0"),
        (formats.usd(11_200_000), "$11.20"),
        (formats.usd(412_345), "$0.4123"),
        (formats.usd(250_000), "$0.25"),
        (formats.usd(999_999), "$1.00"),
        (formats.usd(12), "under $0.0001"),
        (formats.usd(0), "$0.00"),
        (formats.usd(-3_000_000), "−$3.00"),
        (formats.usd(1_234_567_890_000), "$1,234,567.89"),
        (formats.dollars(127600), "$127,600"),
        (formats.dollars(-9.5), "−$9.50"),
        (formats.percent(0.904, 1), "90.4%"),
        (formats.percent(-0.0001), "0%"),
        (formats.points(0.096), "+9.6 pts"),
        (formats.points(-0.008), "−0.8 pts"),
        (formats.ms(1240), "1,240 ms"),
        (formats.ms(12_400), "12.4 s"),
        (formats.ms(0.4), "0.4 ms"),
        (formats.size(0), "0 B"),
        (formats.size(999), "999 B"),
        (formats.size(1_234_567), "1.2 MB"),
        (formats.size(999_999), "1.0 MB"),
        (formats.duration(252), "4 min 12 s"),
        (formats.duration(timedelta(hours=2, minutes=5)), "2 h 5 min"),
        (formats.duration(0.84), "0.8 s"),
        (formats.duration(59.7), "1 min"),
        (formats.duration(0), "0 s"),
        (formats.duration(3 * 86400 + 7200), "3 days 2 h"),
        (formats.p_value(0.0), "< 0.001"),
        (formats.p_value(0.016), "0.016"),
        (formats.p_value(0.68), "0.68"),
        (formats.as_unit(12, "rows"), "12 rows"),
    ],
)  # fmt: skip
def test_a_value_is_written_as_people_read_it(said, expected):
    assert said == expected


@pytest.mark.parametrize(
    ("away", "expected"),
    [
        (timedelta(seconds=3), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(minutes=44), "44 minutes ago"),
        (timedelta(minutes=59), "1 hour ago"),
        (timedelta(hours=21), "21 hours ago"),
        (timedelta(days=3), "3 days ago"),
        (timedelta(days=20), "2 Nov"),
        (timedelta(days=400), "18 Oct 2025"),
        (timedelta(minutes=-30), "in 30 minutes"),
        (timedelta(seconds=-20), "in a moment"),
    ],
)
def test_a_moment_is_said_from_now(away, expected):
    assert formats.ago(NOW - away, now=NOW) == expected


@given(st.one_of(st.floats(), st.integers(), st.none(), st.text()))
def test_no_value_makes_a_format_fail_or_say_nan(value):
    for write in (formats.grouped, formats.signed, formats.usd, formats.dollars, formats.percent, formats.points,
                  formats.ms, formats.size, formats.duration, formats.p_value):  # fmt: skip
        assert "nan" not in write(value).lower() and "inf" not in write(value)


def test_one_of_a_unit_of_its_own_is_said_in_the_singular():
    assert [formats.as_unit(n, "rows") for n in (0, 1, 1.0, 2, None)] == [
        "0 rows",
        "1 row",
        "1 row",
        "2 rows",
        "–",
    ]
    assert formats.as_unit(1, "s") == "1 s"
