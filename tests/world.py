"""Hostile little worlds: ties, nulls, late rows, exact borders, empty sides. Deterministic by seed."""

from datetime import date

import numpy as np
import pyarrow as pa

from lake import dates
from lake.columns import EVENT_TYPES, TIMESTAMP
from lake.dates import HOUR_US
from lake.tables import table

FIRST_DAY = date(2026, 1, 1)
DAYS = 34


def events(seed: int, rows: int = 120) -> pa.Table:
    """Events of few users and videos, many at the same microsecond, at midnights and at borders of windows and lags."""
    rng = np.random.default_rng(seed)
    rows = 0 if seed % 17 == 0 else rows
    day = rng.integers(0, DAYS, rows)
    within = rng.choice([0, 1, 6 * HOUR_US, 6 * HOUR_US + 1, 24 * HOUR_US - 1, 12 * HOUR_US], rows)
    time = dates.midnight_us(FIRST_DAY) + day * dates.DAY_US + within
    late = rng.choice([0, 0, 0, 1, HOUR_US, dates.DAY_US, 3 * dates.DAY_US, 9 * dates.DAY_US], rows)
    columns = {
        "event_id": rng.permutation(rows).astype(np.int64),
        "user_id": rng.choice([1, 2, 3, -(2**62)], rows),
        "video_id": rng.choice([10, 11, 12, 13], rows),
        "event_type": rng.choice(EVENT_TYPES, rows, p=[0.4, 0.35, 0.1, 0.1, 0.05]).tolist(),
        "event_time": pa.array(time, TIMESTAMP),
        "arrived_at": pa.array(time + late, TIMESTAMP),
        "watch_ms": pa.array(rng.integers(0, 60_000, rows), mask=rng.random(rows) < 0.3),
        "request_id": pa.array(rng.choice(["a", "b", "c"], rows).tolist(), pa.string(), mask=rng.random(rows) < 0.5),
        "country": pa.array(rng.choice(["DE", "JP"], rows).tolist(), pa.string(), mask=rng.random(rows) < 0.3),
    }
    schema = table("events").schema
    return pa.table({field.name: columns.get(field.name, pa.nulls(rows, field.type)) for field in schema}).cast(schema)


def videos(seed: int) -> pa.Table:
    """Versions of video rows: some videos have none, some change creator and categories, some arrive late."""
    rng = np.random.default_rng(seed + 1_000_000)
    found = []
    for video in (10, 11, 12):
        for version in range(int(rng.integers(0, 3))):
            arrived = dates.midnight_us(FIRST_DAY) + int(rng.integers(-2, DAYS)) * dates.DAY_US + version
            found.append({"video_id": video, "arrived_at": arrived,
                          "creator_id": None if rng.random() < 0.2 else int(rng.integers(100, 102)),
                          "categories": None if rng.random() < 0.2 else rng.choice(["x", "y", "z"], 2).tolist(),
                          "duration_ms": None if rng.random() < 0.2 else int(rng.integers(1, 60_000))})
    found.sort(key=lambda row: (row["video_id"], row["arrived_at"]))
    unique = {(row["video_id"], row["arrived_at"]): row for row in found}
    return pa.Table.from_pylist(list(unique.values()), table("raw_videos").schema) if unique \
        else table("raw_videos").schema.empty_table()
