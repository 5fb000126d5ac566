"""Dates as the project uses them: `as_of` is a UTC midnight, instants are UTC microseconds."""

import re
from datetime import UTC, date, datetime, timedelta

SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
DAY_US = 24 * HOUR_US
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_EPOCH = date(1970, 1, 1)


def parse_date(text: str) -> date:
    """A date typed by a person, `YYYY-MM-DD` and nothing else. ValueError says what was wrong."""
    if not isinstance(text, str) or not _DATE.fullmatch(text):
        shown = repr(text[:40]) if isinstance(text, str) else type(text).__name__
        raise ValueError(f"{shown} is not a date; write it as YYYY-MM-DD, for example 2026-02-05")
    return date.fromisoformat(text)


def midnight_us(day: date) -> int:
    """Microseconds since the epoch at 00:00 UTC of a day."""
    return (day - _EPOCH).days * DAY_US


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def day_of_us(instant_us: int) -> date:
    """The UTC day that holds an instant."""
    return _EPOCH + timedelta(days=instant_us // DAY_US)


def days(start: date, end: date) -> list[date]:
    """The days of [start, end)."""
    return [start + timedelta(days=n) for n in range((end - start).days)]
