"""A seeded log for the point-in-time benchmark: one Parquet file per arrival day, and the labels to join.

No two events happen at the same microsecond, so that engines without a total order can be asked for equal output.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DAYS, DAY_US = 60, 86_400_000_000
START_US = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
_TIMESTAMP = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class Log:
    """`late`: share of events that arrive up to 3 days after they happened; `hot`: share of events on one video."""

    events: int
    late: float = 0.0
    hot: float = 0.0
    seed: int = 7


def write(log: Log, folder: str) -> None:
    """`<folder>/events/day-NN.parquet` by day of arrival, in that order, and `<folder>/labels.parquet`: every fifth
    event's id, keys and time."""
    os.makedirs(f"{folder}/events", exist_ok=True)
    shares = np.cumsum(np.arange(1, max(log.events // 200, 1) + 1, dtype=np.float64) ** -1.2)
    names = np.random.default_rng(log.seed).permutation(len(shares))
    waiting = None
    with pq.ParquetWriter(f"{folder}/labels.parquet", _schema(["event_id", "user_id", "video_id", "event_time"])) as out:
        for day in range(DAYS + 4):
            rows = _day(log, day, shares / shares[-1], names)
            out.write_table(rows.filter(rows["event_id"].to_numpy() % 5 == 0).select(out.schema.names))
            rows = rows if waiting is None else pa.concat_tables([waiting, rows])
            today = rows["arrived_at"].cast(pa.int64()).to_numpy() < START_US + (day + 1) * DAY_US
            waiting = rows.filter(pa.array(~today))
            arrived = rows.filter(pa.array(today)).sort_by("arrived_at")
            if arrived.num_rows:
                pq.write_table(arrived, f"{folder}/events/day-{day:02d}.parquet")


def _schema(names: list[str]) -> pa.Schema:
    return pa.schema([(name, _TIMESTAMP if name.endswith(("_time", "_at")) else pa.int64()) for name in names])


def _day(log: Log, day: int, shares: np.ndarray, names: np.ndarray) -> pa.Table:
    """The events that happen on a day, by time. shares: float64[videos], cumulative."""
    first, end = (min(day + n, DAYS) * log.events // DAYS for n in (0, 1))
    count, rng = end - first, np.random.default_rng([log.seed, day])
    times = np.unique(rng.integers(0, DAY_US, count + count // 50 + 10))
    times = START_US + day * DAY_US + np.sort(rng.choice(times, count, replace=False))
    video = names[np.minimum(np.searchsorted(shares, rng.random(count), side="right"), len(names) - 1)]
    video = np.where(rng.random(count) < log.hot, -1, video)
    late = np.where(rng.random(count) < log.late, rng.integers(1, 3 * DAY_US, count), 0)
    return pa.table({
        "event_id": np.arange(first, end), "user_id": rng.integers(0, max(log.events // 50, 1), count),
        "video_id": video, "watch_ms": rng.integers(0, 300_000, count), "event_time": pa.array(times, _TIMESTAMP),
        "arrived_at": pa.array(times + late, _TIMESTAMP)}, schema=_schema(
            ["event_id", "user_id", "video_id", "watch_ms", "event_time", "arrived_at"]))
