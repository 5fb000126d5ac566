"""A log with every input fault planted and counted, and what must become of each."""

import random
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from lake.dates import days
from tests.jobs.landing import at, event, parquet
from tests.jobs.test_land_rows import POISON

FIRST, LAST = date(2026, 1, 1), date(2026, 1, 5)
USERS, VIDEOS = 9, 14
HEAVY, UNKNOWN, REMOVED, UNSEEN, TWICE = 0, 9_999, 12, 13, 3


@dataclass
class Planted:
    """Rows of a log per arrival day, and the counts that conservation is checked against."""

    rows: list[dict] = field(default_factory=list)
    good: int = 0
    duplicates: int = 0
    conflicts: int = 0
    late: int = 0
    ties: int = 0
    bad: dict[str, int] = field(default_factory=dict)


def log(size: int = 40, seed: int = 0) -> Planted:
    """`size` good plays a day, half of them of one user; the faults beside them, `size` // 10 of each."""
    rng, told, few = random.Random(seed), Planted(), size // 10
    numbers = iter(range(1, 1_000_000))
    for day in days(FIRST, LAST):
        begin = at(f"{day} 08:00:00")
        plays = [event(event_id=next(numbers), user_id=HEAVY if n % 2 else rng.randrange(1, USERS),
                       video_id=rng.randrange(VIDEOS - 2), event_time=begin + timedelta(seconds=n),
                       arrived_at=begin + timedelta(seconds=n + 60), watch_ms=rng.randrange(60_000))
                 for n in range(size)]
        twice, otherwise = plays[:few], [{**row, "watch_ms": 61_000} for row in plays[few:2 * few]]
        ties = [{**row, "event_id": next(numbers), "event_type": "impression", "watch_ms": None}
                for row in plays[-few:]]
        strange = [{**plays[n], "event_id": next(numbers), "video_id": UNKNOWN} for n in range(few)]
        late = [{**row, "event_id": next(numbers), "arrived_at": row["arrived_at"] + timedelta(days=2),
                 "video_id": TWICE} for row in plays[:few] if day <= LAST - timedelta(days=3)]
        told.rows += plays + twice + otherwise + ties + strange + late
        told.good += len(plays) + len(ties) + len(strange) + len(late)
        told.duplicates, told.conflicts = told.duplicates + len(twice + otherwise), told.conflicts + len(otherwise)
        told.late, told.ties = told.late + len(late), told.ties + len(ties)
    for reason, cells in POISON.items():
        told.rows += [event(event_id=next(numbers), **cells) for _ in range(few)]
        told.bad[reason] = few
    return told


def write(folder: Path, told: Planted, files: int = 1, seed: int = 0) -> Path:
    """The log as shuffled files, and a catalogue: two versions of one video, one removed, one never seen."""
    rows = list(told.rows)
    random.Random(seed).shuffle(rows)
    names = {name: None for row in rows for name in row}
    for n in range(files):
        parquet(folder / f"log/{n}.parquet", [{**names, **row} for row in rows[n::files]])
    arrived = at("2026-01-01 00:00:00")
    videos = [{"video_id": n, "title": f"video {n}", "arrived_at": arrived} for n in range(VIDEOS)]
    videos.append({"video_id": TWICE, "title": "renamed", "arrived_at": arrived + timedelta(days=1)})
    videos[REMOVED]["removed_at"] = arrived + timedelta(days=1)
    parquet(folder / "videos.parquet", [{"removed_at": None, **row} for row in videos])
    return folder
