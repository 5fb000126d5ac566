"""Skewed input: 1 % of the users with half of the events and one video with 30 % of them; a user with half of all; and
every fifth row without a user, which landing keeps aside.

The same commands on the same number of rows as a log without skew: within three times its time and one and a
half times its memory, and the features of the hot ones equal to sums over the log."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jobs.small_lake import environment
from jobs.with_airflow import ROOT
from lake import lineage, snapshot
from lake.dates import DAY_US, midnight_us

FIRST, DAYS, USERS, VIDEOS = date(2026, 1, 1), 14, 20_000, 5_000
AS_OF = date(2026, 1, 15)
NIGHT = ("events", "tiles", "feature_snapshots", "catalogue", "histories", "popularity")
SLOWER, LARGER = 3, 1.5


@dataclass(frozen=True)
class Cost:
    """Seconds, and the most bytes at any moment of all processes together."""

    seconds: float
    memory: int


def skewed(folder: Path, rows: int = 2_000_000) -> int:
    """Three skewed logs beside an even one; prints what each cost."""
    even = _cost(folder / "even", _log(rows))
    print(f"even: {even.seconds:.1f} s, {even.memory / 2**20:.0f} MiB", file=sys.stderr, flush=True)
    for name, log in (("hot users and a hot video", _hot(rows)), ("one user with half", _one_user(rows)),
                      ("a fifth without a user", _null_users(rows))):
        cost = _cost(folder / name, log)
        print(f"{name}: {cost.seconds:.1f} s, {cost.memory / 2**20:.0f} MiB", file=sys.stderr, flush=True)
        assert cost.seconds < SLOWER * even.seconds and cost.memory < LARGER * even.memory, (name, cost, even)
    return 3


def _log(rows: int) -> dict[str, np.ndarray]:
    """Plays, none in the same microsecond, all told at once."""
    rng = np.random.default_rng(1)
    times = midnight_us(FIRST) + np.linspace(0, DAYS * DAY_US - 1, rows).astype(np.int64)
    return {"event_id": np.arange(rows), "user_id": rng.integers(1, USERS + 1, rows),
            "video_id": rng.integers(1, VIDEOS + 1, rows), "event_time": times, "arrived_at": times,
            "watch_ms": rng.integers(0, 60_000, rows)}


def _hot(rows: int) -> dict[str, np.ndarray]:
    rng, log = np.random.default_rng(2), _log(rows)
    log["user_id"] = np.where(rng.random(rows) < 0.5, rng.integers(1, USERS // 100 + 1, rows), log["user_id"])
    log["video_id"] = np.where(rng.random(rows) < 0.3, 1, log["video_id"])
    return log


def _one_user(rows: int) -> dict[str, np.ndarray]:
    log = _log(rows)
    log["user_id"] = np.where(np.arange(rows) % 2, 1, log["user_id"])
    return log


def _null_users(rows: int) -> dict[str, np.ndarray]:
    log = _log(rows)
    log["user_id"] = np.ma.masked_array(log["user_id"], np.random.default_rng(3).random(rows) < 0.2)
    return log


def _cost(folder: Path, log: dict[str, np.ndarray]) -> Cost:
    """Land a log and compute its night; the features of user 1 and video 1 are the sums of the log."""
    raw, home = folder / "raw/events", folder / "home"
    raw.mkdir(parents=True)
    stamp = pa.timestamp("us", tz="UTC")
    columns = {name: pa.array(values).cast(stamp) if name.endswith(("_time", "_at")) else pa.array(values)
               for name, values in log.items()}
    pq.write_table(pa.table(columns | {"event_type": pa.array(["play"] * len(log["user_id"]))}), raw / "log.parquet")
    settings = {**os.environ, "NIGHTREEL_HOME": str(home), "PYSPARK_PYTHON": sys.executable}
    costs = [run(argv, settings) for argv in (
        ["jobs.land", str(raw.parent), "--preset", "nightreel", "--seal-through", "2026-01-14", "--max-bad-share", "0.25"],
        ["jobs.build", *NIGHT, "--as-of", str(AS_OF)],
        ["jobs.recommendations", "--as-of", str(AS_OF)])]
    with environment(NIGHTREEL_HOME=str(home)):
        _exact(log)
    shutil.rmtree(folder)
    return Cost(sum(cost.seconds for cost in costs), max(cost.memory for cost in costs))


def run(argv: list[str], settings: dict[str, str]) -> Cost:
    """A command and what it took."""
    started, most = time.monotonic(), 0
    command = subprocess.Popen([sys.executable, "-m", *argv], cwd=ROOT, env=settings, stdout=subprocess.DEVNULL)
    while command.poll() is None:
        most = max(most, _memory(command.pid))
        time.sleep(0.1)
    assert command.returncode == 0, f"{argv} ended with {command.returncode}"
    return Cost(time.monotonic() - started, most)


def _memory(pid: int) -> int:
    """Bytes resident now in a process and all below it."""
    total = 0
    try:
        for process in (parent := psutil.Process(pid), *parent.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total


def _exact(log: dict[str, np.ndarray]) -> None:
    bad = np.ma.getmaskarray(log["user_id"])
    (entry,) = lineage.landings("raw_events")
    assert entry["quarantined"] == ({"null_user": bad.sum()} if bad.any() else {})
    features = snapshot.read(lineage.resolve("feature_snapshots", AS_OF))
    rows = features.filter(pc.equal(features["entity_id"], 1)).to_pylist()
    for days in (1, 7):
        recent = log["event_time"] >= midnight_us(AS_OF) - days * DAY_US
        for view, column in (("user", "user_id"), ("video", "video_id")):
            own = recent & ~bad & (np.ma.getdata(log[column]) == 1)
            (row,) = [row for row in rows if row["view"] == view]
            assert row[f"play_count_{days}d"] == own.sum() > 0
            assert row[f"watch_ms_sum_{days}d"] == log["watch_ms"][own].sum()
