"""A little lake with a planted taste: each user watches one category, in which one video leads to the next.

Written without Spark: events, what training reads of them, and nothing else. Shuffled, the same videos are played as
often at the same times, by anybody: nothing is left to learn but popularity.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from lake import lineage, numbered_log, snapshot, writing
from lake.columns import TIMESTAMP
from lake.dates import DAY_US, midnight_us
from lake.tables import EXAMPLE_FEATURES, table

START, AS_OF = date(2026, 1, 1), date(2026, 1, 29)
USERS, VIDEOS, CATEGORIES, PLAYS = 330, 160, 8, 26
HELD_OUT = 7


@dataclass(frozen=True)
class Log:
    """Plays in order of user and time: user i64[N], video i64[N] (ids from 1), event_us i64[N]."""

    user: np.ndarray
    video: np.ndarray
    event_us: np.ndarray

    def before(self, as_of: date) -> "Log":
        known = self.event_us < midnight_us(as_of)
        return Log(self.user[known], self.video[known], self.event_us[known])


def log(shuffled: bool = False, seed: int = 3) -> Log:
    """Every play is of the user's category but one in ten; half lead to the next video of the category."""
    rng = np.random.default_rng(seed)
    span = (AS_OF - START).days * DAY_US
    times = np.sort(rng.integers(0, span, (USERS, PLAYS)), axis=1)
    videos = np.empty((USERS, PLAYS), np.int64)
    for user in range(USERS):
        previous = user % CATEGORIES
        for play in range(PLAYS):
            category = user % CATEGORIES if rng.random() < 0.9 else int(rng.integers(CATEGORIES))
            follows = play and rng.random() < 0.5
            previous = (previous + CATEGORIES) % VIDEOS if follows else \
                category + CATEGORIES * int(rng.integers(VIDEOS // CATEGORIES))
            videos[user, play] = previous
    flat = videos.ravel()
    if shuffled:
        flat = rng.permutation(flat)
    return Log(np.repeat(np.arange(1, USERS + 1), PLAYS), flat + 1, times.ravel() + midnight_us(START))


def write(world: Log, as_of: date = AS_OF, held_out: int = HELD_OUT) -> None:
    """Everything `jobs.train --as-of` reads, into the lake at NIGHTREEL_HOME."""
    landed = {"table": "raw_events", "start": START.isoformat(), "end": as_of.isoformat(), "identity": "-",
              "content_hash": "planted"}
    numbered_log.append("landing", lambda _: {"tables": [landed], "sources": [], "id_types": {}})
    _commit(lineage.chunk_plans("events", as_of)[0], _events(world))
    _commit(lineage.chunk_plans("tiles", as_of)[0], table("tiles").schema.empty_table())
    for day in (as_of - timedelta(days=2 * held_out), as_of - timedelta(days=held_out), as_of):
        known = world.before(day)
        for name, rows in (("catalogue", _catalogue()), ("histories", _histories(known)),
                           ("popularity", _popularity(known, day)), ("labels", None),
                           ("training_examples", _examples(known))):
            rows = table(name).schema.empty_table() if rows is None else rows
            _commit(lineage.plan(name, day), rows, {"snapshot_days": []} if name == "labels" else {})
    for back in range(2 * held_out + 1):
        _commit(lineage.plan("feature_snapshots", as_of - timedelta(days=back)),
                table("feature_snapshots").schema.empty_table())


def _commit(plan: snapshot.Plan, rows: pa.Table, extra: dict | None = None) -> None:
    attempt = writing.begin(plan)
    writing.commit(attempt, [writing.write_part(plan.table, attempt.folder, rows, "part-00000")], [], extra)


def _events(world: Log) -> pa.Table:
    schema, count = table("events").schema, len(world.user)
    known = {"event_id": np.arange(count), "user_id": world.user, "video_id": world.video,
             "event_type": ["play"] * count, "event_time": pa.array(world.event_us, TIMESTAMP),
             "arrived_at": pa.array(world.event_us, TIMESTAMP)}
    return pa.table({field.name: known.get(field.name, pa.nulls(count, field.type)) for field in schema}, schema=schema)


def _catalogue() -> pa.Table:
    ids = np.arange(1, VIDEOS + 1)
    return pa.table({
        "video_id": ids, "creator_id": pa.nulls(VIDEOS, pa.int64()),
        "categories": [[f"category {(video - 1) % CATEGORIES}"] for video in ids],
        "duration_ms": pa.array([60_000] * VIDEOS, pa.int64()), "title": [f"video {video}" for video in ids],
        "published_at": pa.array([midnight_us(START) - DAY_US] * VIDEOS, TIMESTAMP),
        "removed_at": pa.nulls(VIDEOS, TIMESTAMP), "eligible": [True] * VIDEOS,
        "first_seen_at": pa.array([midnight_us(START) - DAY_US] * VIDEOS, TIMESTAMP),
        "original_id": [str(video) for video in ids]}, schema=table("catalogue").schema)


def _histories(known: Log) -> pa.Table:
    users = np.unique(known.user)
    rows = [np.flatnonzero(known.user == user) for user in users]
    videos, times = [known.video[row].tolist() for row in rows], [known.event_us[row].tolist() for row in rows]
    return pa.table({
        "user_id": users, "video_ids": videos, "event_times": pa.array(times, pa.list_(TIMESTAMP)),
        "arrived_times": pa.array(times, pa.list_(TIMESTAMP)), "liked": [[False] * len(row) for row in rows],
        "seen_video_ids": [sorted(set(played)) for played in videos], "play_count": [len(row) for row in rows],
        "last_play_at": pa.array([each[-1] for each in times], TIMESTAMP), "country": pa.nulls(len(users), pa.string()),
        "original_id": [str(user) for user in users], "liked_video_ids": [[]] * len(users),
        "user_country": pa.nulls(len(users), pa.string()), "event_country": pa.nulls(len(users), pa.string()),
        "event_country_at": pa.nulls(len(users), TIMESTAMP)}, schema=table("histories").schema)


def _popularity(known: Log, day: date) -> pa.Table:
    age_days = (midnight_us(day) - known.event_us) / DAY_US
    ever = np.bincount(known.video, minlength=VIDEOS + 1)[1:]
    week = np.bincount(known.video[age_days <= 7], minlength=VIDEOS + 1)[1:]
    fading = {name: np.bincount(known.video, 2.0 ** (-age_days / days), minlength=VIDEOS + 1)[1:]
              for name, days in table("popularity").parameters["half_life_days"].items()}
    return pa.table({"country": [""] * VIDEOS, "video_id": np.arange(1, VIDEOS + 1), "play_count_all": ever,
                     "play_count_7d": week, **fading}, schema=table("popularity").schema)


def _examples(known: Log) -> pa.Table:
    """Plays that no impression explains; every third is liked."""
    schema, count = table("training_examples").schema, len(known.user)
    told = {"event_id": np.arange(count), "user_id": known.user, "video_id": known.video,
            "event_time": pa.array(known.event_us, TIMESTAMP), "shown": [False] * count, "played": [True] * count,
            "liked": (known.video % 3 == 0), "shared": [False] * count, "not_interested": [False] * count,
            **{name: np.zeros(count, np.int64) for name in EXAMPLE_FEATURES}}
    return pa.table({field.name: told.get(field.name, pa.nulls(count, field.type)) for field in schema}, schema=schema)


