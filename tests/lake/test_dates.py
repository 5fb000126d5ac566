"""Dates and instants are UTC, whatever the machine thinks."""

import time
from datetime import UTC, date, datetime

import pytest

from lake import dates


@pytest.mark.parametrize("text", [
    "", "2026-1-1", "20260101", "2026-01-01T00:00", " 2026-01-01", "2026-01-01\n", "2026-02-30", "2026-13-01", "today",
    "-026-01-01", "٢٠٢٦-٠١-٠١", "x" * 10_000, "2026-01-01\0"])
def test_only_one_way_to_write_a_date(text):
    with pytest.raises(ValueError) as error:
        dates.parse_date(text)
    assert len(str(error.value)) < 200


def test_a_date_is_a_date():
    assert dates.parse_date("2024-02-29") == date(2024, 2, 29)
    with pytest.raises(ValueError, match="int"):
        dates.parse_date(20260101)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_midnights_do_not_depend_on_the_zone(monkeypatch, zone):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert dates.midnight_us(date(2026, 2, 5)) == 1_770_249_600_000_000
        assert dates.midnight(date(2026, 2, 5)) == datetime(2026, 2, 5, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_days_are_half_open():
    assert dates.days(date(2026, 2, 27), date(2026, 3, 2)) == [date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 1)]
    assert dates.days(date(2026, 2, 27), date(2026, 2, 27)) == dates.days(date(2026, 2, 27), date(2026, 2, 1)) == []


def test_an_instant_belongs_to_one_day():
    midnight = dates.midnight_us(date(2026, 2, 5))
    assert dates.day_of_us(midnight) == dates.day_of_us(midnight + dates.DAY_US - 1) == date(2026, 2, 5)
    assert dates.day_of_us(midnight - 1) == date(2026, 2, 4)
    assert dates.day_of_us(-1) == date(1969, 12, 31)
