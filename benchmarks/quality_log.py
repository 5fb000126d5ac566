"""What is judged, as arrays: plays before a day, the catalogue of that day, and what the judged users watched next.

Everything comes from the project's own tables, so ours and every peer read the same rows in the same order: a user's
plays by (event_time, arrived_at, event_id), a total order in which ties in time stand the same in every run.
"""

import argparse
import os
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from funnel import ragged
from funnel.users import index_in
from lake import lineage, snapshot
from lake.columns import TIMESTAMP
from lake.dates import DAY_US, SECOND_US, midnight_us
from lake.tables import table

ORDER = ("user_id", "event_time", "arrived_at", "event_id")
FEWEST_PLAYS = 5


@dataclass(frozen=True, eq=False)
class Split:
    """One moment to judge at. Videos are places in video_ids i64[V] (ascending, those that may be recommended).

    user_ids: i64[U] ascending. user, video (-1: no longer recommended), time_us: i64[N] plays known by then, by user,
    oldest first. judged: i64[Q] ascending places of users; offsets i64[Q+1] into truth, the unseen videos each watched.
    """

    name: str
    home: str
    as_of: date
    video_ids: np.ndarray
    published_us: np.ndarray
    user_ids: np.ndarray
    user: np.ndarray
    video: np.ndarray
    time_us: np.ndarray
    judged: np.ndarray
    offsets: np.ndarray
    truth: np.ndarray

    @property
    def now_us(self) -> int:
        return midnight_us(self.as_of)

    @property
    def counts(self) -> np.ndarray:
        """f64[V]: plays of each video."""
        return np.bincount(self.video[self.video >= 0], minlength=len(self.video_ids)).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Plays:
    """All plays of a log, by user and then in the pinned order."""

    user_id: np.ndarray
    video_id: np.ndarray
    time_us: np.ndarray
    arrived_us: np.ndarray


def arguments(prog: str | None, description: str, users: int) -> argparse.ArgumentParser:
    """A parser that asks for a log: a folder or a simulated service, of so many users by default."""
    found = argparse.ArgumentParser(prog=prog, description=description)
    found.add_argument("folder", nargs="?", help="a log that jobs.land can land")
    found.add_argument("--preset", default="movielens", help="of jobs.land (default movielens)")
    found.add_argument("--simulated", action="store_true", help="a simulated service instead of a folder")
    found.add_argument("--users", type=int, default=users, help=f"of the simulated service (default {users:,})")
    return found


def parsed(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What was asked for; exit 2 unless it is one log."""
    found = parser.parse_args()
    if bool(found.folder) == found.simulated:
        parser.error("name a FOLDER or --simulated, one of the two")
    return found


def ties_by_file(folder: str, made: Path) -> str:
    """A MovieLens folder once more, in which a user's ratings of one second are a microsecond apart, in the order of
    ratings.csv: so the published tables sort them."""
    ratings = csv.read_csv(f"{folder}/ratings.csv")
    user, second = ratings["userId"].to_numpy(), ratings["timestamp"].to_numpy()
    order = np.lexsort((second, user))  # stable: ties stay as they are
    first = np.flatnonzero(np.append(True, np.diff(user[order]) | np.diff(second[order])))
    place = np.empty(len(order), np.int64)
    place[order] = ragged.place_in_row(np.append(first, len(order)))
    made.mkdir(parents=True, exist_ok=True)
    pq.write_table(ratings.set_column(ratings.column_names.index("timestamp"), "timestamp",
                                      pa.array(second * SECOND_US + place, TIMESTAMP)), made / "ratings.parquet")
    pq.write_table(csv.read_csv(f"{folder}/movies.csv"), made / "movies.parquet")
    return str(made)


def events_of(home: str, end: date) -> pa.Table:
    """Every deduplicated event of a home that arrived before a date, in the pinned order."""
    os.environ["NIGHTREEL_HOME"] = home
    rows = pa.concat_tables(snapshot.read(chunk) for chunk in lineage.chunks("events", end))
    return rows.filter(pc.less(rows["arrived_at"].cast(pa.int64()), midnight_us(end))).sort_by(
        [(name, "ascending") for name in ORDER])


def plays_of(events: pa.Table) -> Plays:
    plays = events.filter(pc.equal(events["event_type"], "play"))
    return Plays(plays["user_id"].to_numpy(), plays["video_id"].to_numpy(),
                 plays["event_time"].cast(pa.int64()).to_numpy(), plays["arrived_at"].cast(pa.int64()).to_numpy())


def timed(name: str, home: str, as_of: date, until: date, plays: Plays) -> Split:
    """Known before as_of, judged on [as_of, until): users with a history, videos of the catalogue they had not seen."""
    now, end = midnight_us(as_of), midnight_us(until)
    known = (plays.time_us < now) & (plays.arrived_us < now)
    later = (plays.time_us >= now) & (plays.time_us < end)
    return _split(name, home, as_of, plays, known, later)


def last_of_each(name: str, home: str, as_of: date, known: Plays, held_out: pa.Table) -> Split:
    """Known: a log without each user's last play; judged on those, one per user, over the whole catalogue."""
    both = Plays(np.append(known.user_id, held_out["user_id"]), np.append(known.video_id, held_out["video_id"]),
                 np.append(known.time_us, np.zeros(len(held_out))).astype(np.int64),
                 np.append(known.arrived_us, np.zeros(len(held_out))).astype(np.int64))
    is_known = np.arange(len(both.user_id)) < len(known.user_id)
    return _split(name, home, as_of, both, is_known, ~is_known)


def _split(name: str, home: str, as_of: date, plays: Plays, known: np.ndarray, later: np.ndarray) -> Split:
    video_ids, published_us = catalogue(home, as_of)
    user_ids = np.unique(plays.user_id[known])
    user = index_in(user_ids, plays.user_id)
    video = index_in(video_ids, plays.video_id)
    keys = user * len(video_ids) + video
    wanted = np.unique(keys[later & (user >= 0) & (video >= 0)])
    wanted = np.setdiff1d(wanted, keys[known & (video >= 0)])
    judged, counts = np.unique(wanted // max(len(video_ids), 1), return_counts=True)
    return Split(name, home, as_of, video_ids, published_us, user_ids, user[known], video[known],
                 plays.time_us[known], judged, ragged.offsets_of(counts), wanted % max(len(video_ids), 1))


def catalogue(home: str, as_of: date) -> tuple[np.ndarray, np.ndarray]:
    """Ids, ascending, and publishing times of the videos that may be recommended as of a date."""
    os.environ["NIGHTREEL_HOME"] = home
    rows = snapshot.read(lineage.resolve("catalogue", as_of), ["video_id", "published_at", "eligible"])
    rows = rows.filter(rows["eligible"]).sort_by("video_id")
    return rows["video_id"].to_numpy(), rows["published_at"].cast(pa.int64()).to_numpy()


def earlier(split: Split, days: int) -> Split:
    """The window before, to tune peers on: the same plays cut `days` before, judged on what came until the split."""
    return _inner(split, split.time_us < split.now_us - days * DAY_US, split.as_of - timedelta(days=days))


def one_earlier(split: Split) -> Split:
    """The same for leave-one-out: each user's last known play is what is to be found."""
    last = np.append(split.user[1:] != split.user[:-1], True)
    return _inner(split, ~last, split.as_of)


def _inner(split: Split, known: np.ndarray, as_of: date) -> Split:
    keys = split.user * len(split.video_ids) + split.video
    wanted = np.setdiff1d(np.unique(keys[~known & (split.video >= 0)]), keys[known & (split.video >= 0)])
    there = np.unique(split.user[known])
    wanted = wanted[np.isin(wanted // len(split.video_ids), there)]
    judged, counts = np.unique(wanted // len(split.video_ids), return_counts=True)
    return Split(f"{split.name} (tuning)", split.home, as_of, split.video_ids, split.published_us,
                 split.user_ids, split.user[known], split.video[known], split.time_us[known], judged,
                 ragged.offsets_of(counts), wanted % len(split.video_ids))


def write_without_last(events: pa.Table, videos: pa.Table, folder: Path) -> None:
    """A log for preset nightreel without each user's last play (and what else that user did with the video from then
    on), and held_out.parquet beside it. Users with fewer than 5 plays keep all of theirs."""
    plays = events.filter(pc.equal(events["event_type"], "play"))
    user = plays["user_id"].to_numpy()
    ends = np.flatnonzero(np.append(user[1:] != user[:-1], True)) if len(user) else np.zeros(0, np.int64)
    ends = ends[np.diff(np.append(-1, ends)) >= FEWEST_PLAYS]
    held = plays.take(pa.array(ends))
    who = held["user_id"].to_numpy()
    place = index_in(who, events["user_id"].to_numpy())
    same = (place >= 0) & (held["video_id"].to_numpy()[place] == events["video_id"].to_numpy())
    later = events["event_time"].cast(pa.int64()).to_numpy() >= held["event_time"].cast(pa.int64()).to_numpy()[place]
    for name in ("events", "videos"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    pq.write_table(events.filter(pa.array(~(same & later))).cast(table("raw_events").schema),
                   folder / "events" / "all.parquet")
    pq.write_table(videos, folder / "videos" / "all.parquet")
    pq.write_table(held.select(["user_id", "video_id"]), folder / "held_out.parquet")
