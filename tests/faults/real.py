"""A small real home: a log of some weeks, landed and computed by the commands themselves, without a JVM."""

import os
import random
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from jobs import build, land, recommendations, release
from tests.jobs.landing import parquet

FIRST = date(2026, 1, 1)
NIGHT = ("events", "tiles", "feature_snapshots", "catalogue", "histories", "popularity")
SETTINGS = {"SPARK_MASTER": "in-process"}


def log_of(day: date, users: int = 12, videos: int = 30, seed: int = 0, text: bool = False) -> list[dict]:
    """What arrived on a day: plays, impressions and likes, some of them told up to three days late, some twice."""
    rng = random.Random(f"{seed} {day}")
    name = (lambda kind, n: f"{kind}-{n:06d}-of-the-log") if text else (lambda kind, n: n)
    rows = []
    for _ in range(users * 3):
        arrived = datetime.combine(day, datetime.min.time(), UTC) + timedelta(seconds=rng.randrange(86_400))
        late = rng.choice([0, 0, 0, 0, 3600, 86_400, 3 * 86_400])
        happened = max(arrived - timedelta(seconds=late), datetime.combine(FIRST, datetime.min.time(), UTC))
        kind = rng.choice(["impression", "impression", "play", "play", "play", "like"])
        rows.append({"user_id": name("viewer", rng.randrange(users)), "video_id": name("film", rng.randrange(videos)),
                     "event_type": kind, "event_time": happened, "arrived_at": arrived,
                     "watch_ms": rng.randrange(60_000) if kind == "play" else None,
                     "country": rng.choice(["DE", "JP"])})
    return rows + rows[:2]


def land_days(folder: Path, days: list[date], **of_log: object) -> int:
    """Land these days with one command, as the person who owns the log would; its exit code is 0 or it raises."""
    raw = folder / f"raw-{days[0]}-{len(days)}"
    for day in days:
        ids = {name: pa.string() for name in ("user_id", "video_id")} if of_log.get("text") else {}
        parquet(raw / f"{day}.parquet", log_of(day, **of_log), **ids)
    land.main([str(raw), "--seal-through", str(max(days))])
    return len(days)


def night(as_of: date, k: int = 5) -> None:
    """make night, without waiting and without the page."""
    day = str(as_of)
    build.main([*NIGHT, "--as-of", day])
    recommendations.main(["--as-of", day, "--k", str(k)])
    release.main(["--as-of", day, "--k", str(k)])


def home(folder: Path, days: int = 6, nights: int = 2, **of_log: object) -> Path:
    """A home with some landed days and the last nights released."""
    os.environ.update(NIGHTREEL_HOME=str(folder / "home"), **SETTINGS)
    all_days = [FIRST + timedelta(days=n) for n in range(days)]
    for n in range(0, days, 2):
        land_days(folder, all_days[n:n + 2], **of_log)
    shutil.copytree(folder / "raw-2026-01-01-2", folder / "home/simulated/events")
    for n in range(nights, 0, -1):
        night(FIRST + timedelta(days=days - n + 1))
    return folder / "home"
