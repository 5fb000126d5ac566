"""Thirty nights of feature tables at once, beside one night of the same log: what a backfill costs."""

import os
import shutil
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.small_lake import environment
from lake import lineage
from lake.dates import DAY_US, days, midnight_us
from tests.faults.skew import FIRST, USERS, VIDEOS, run

TABLES = ("events", "tiles", "feature_snapshots")
DAYS, NIGHTS, DEARER = 60, 30, 3
LAST = FIRST + timedelta(days=DAYS)
BEGIN = LAST - timedelta(days=NIGHTS - 1)


def thirty(folder: Path, rows: int = 2_000_000) -> int:
    """The feature tables of thirty nights cost less than three times those of one, which reads all of the log once,
    and the last night's are the same bytes; prints what each cost."""
    settings = {**os.environ, "NIGHTREEL_HOME": str(folder / "one"), "PYSPARK_PYTHON": sys.executable}
    run(["jobs.land", str(_raw(folder, rows)), "--preset", "nightreel"], settings)
    shutil.copytree(folder / "one", folder / "thirty")
    one = run(["jobs.build", *TABLES, "--as-of", str(LAST)], settings)
    many = run(["jobs.build", *TABLES, "--from", str(BEGIN), "--as-of", str(LAST)],
               settings | {"NIGHTREEL_HOME": str(folder / "thirty")})
    for name, cost in (("one night", one), (f"{NIGHTS} nights", many)):
        print(f"{name}: {cost.seconds:.1f} s, {cost.memory / 2**20:.0f} MiB", file=sys.stderr, flush=True)
    assert _hash(folder / "one") == _hash(folder / "thirty")
    with environment(NIGHTREEL_HOME=str(folder / "thirty")):
        made = [lineage.resolve("feature_snapshots", as_of).rows for as_of in [*days(BEGIN, LAST), LAST]]
    assert len(made) == NIGHTS and all(made) and many.seconds < DEARER * one.seconds, (many, one)
    return NIGHTS


def _raw(folder: Path, rows: int) -> Path:
    """Plays of sixty days, told at once."""
    rng = np.random.default_rng(3)
    times = midnight_us(FIRST) + np.linspace(0, DAYS * DAY_US - 1, rows).astype(np.int64)
    stamps = pa.array(times).cast(pa.timestamp("us", tz="UTC"))
    (folder / "raw/events").mkdir(parents=True)
    pq.write_table(pa.table({
        "event_id": np.arange(rows), "user_id": rng.integers(1, USERS + 1, rows),
        "video_id": rng.integers(1, VIDEOS + 1, rows), "event_type": ["play"] * rows, "event_time": stamps,
        "arrived_at": stamps, "watch_ms": rng.integers(0, 60_000, rows)}), folder / "raw/events/log.parquet")
    return folder / "raw"


def _hash(home: Path) -> str:
    with environment(NIGHTREEL_HOME=str(home)):
        return lineage.resolve("feature_snapshots", LAST).content_hash
