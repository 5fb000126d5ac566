"""The slice of a lake that an audit computes again: some users, videos and creators, and every event behind them."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from lake import lineage, snapshot
from lake.dates import midnight_us
from lake.hashing import splitmix64
from lake.snapshot import Manifest
from lake.tables import table
from validation import reference
from validation.poison import microseconds

USERS, VIDEOS, CREATORS = 20, 12, 4
MOST_EVENTS = 5_000


@dataclass(frozen=True)
class Slice:
    """Whose rows are recomputed. by_user: every event of these users. by_video: every event on these videos and on
    every video of these creators that happened from `since_us` on; popularity of all time needs them from the start,
    so it is compared where since_us is None. videos, users: versions, by id."""

    user_ids: frozenset[int]
    video_ids: frozenset[int]
    creator_ids: frozenset[int]
    by_user: list[dict]
    by_video: list[dict]
    since_us: int | None
    videos: reference.Versions
    users: reference.Versions


def whole(events: pa.Table, videos: pa.Table, users: pa.Table) -> Slice:
    """Everything, for a small lake. events: deduplicated."""
    rows, versions = reference.rows_of(events), versions_of(videos, "video_id")
    creators = {row["creator_id"] for one in versions.values() for row in one if row["creator_id"] is not None}
    video_ids = frozenset(row["video_id"] for row in rows) | versions.keys()
    return Slice(frozenset(row["user_id"] for row in rows), video_ids, frozenset(creators), rows, rows, None, versions,
                 versions_of(users, "user_id"))


def versions_of(rows: pa.Table, key: str) -> reference.Versions:
    ordered = rows.sort_by([(key, "ascending"), ("arrived_at", "ascending")])
    return dict(reference.versions_by(key, reference.rows_of(ordered)))


def drawn(as_of: date, users: pa.Table, since: date) -> Slice:
    """A slice of the lake as of a date: the users of these events (whole histories of some users), videos and creators
    with at most 5,000 events since a date, drawn by the date."""
    chosen = first_by_hash(np.unique(users["user_id"].to_numpy()), as_of, USERS)
    by_user = users.filter(pa.array(np.isin(users["user_id"].to_numpy(), chosen)))
    versions = known_versions("raw_videos", as_of)
    counts = _counts(as_of, since)
    few = np.array([video for video, count in counts.items() if count <= MOST_EVENTS], np.int64)
    video_ids = first_by_hash(few, as_of, VIDEOS)
    creators = _creators(versions, counts, as_of)
    theirs = {row["video_id"] for row in reference.rows_of(versions) if row["creator_id"] in creators}
    wanted = np.array(sorted({*video_ids.tolist(), *theirs}), np.int64)
    by_video = _events_on(wanted, as_of, since)
    known = np.union1d(wanted, by_user["video_id"].to_numpy())
    versions = versions.filter(pa.array(np.isin(versions["video_id"].to_numpy(), known)))
    return Slice(frozenset(chosen.tolist()), frozenset(video_ids.tolist()), frozenset(creators),
                 reference.rows_of(by_user), reference.rows_of(by_video), midnight_us(since),
                 versions_of(versions, "video_id"), versions_of(known_versions("raw_users", as_of), "user_id"))


def first_by_hash(ids: np.ndarray, as_of: date, count: int) -> np.ndarray:
    return np.sort(ids[np.argsort(splitmix64(ids ^ midnight_us(as_of)), kind="stable")[:count]])


def known_versions(name: str, as_of: date) -> pa.Table:
    pieces = [table(name).schema.empty_table()]
    return pa.concat_tables(pieces + [snapshot.read(lineage.landed(entry)) for entry in lineage.landings(name, as_of)])


def _chunks(as_of: date, since: date) -> list[Manifest]:
    """Chunks of events that reach into the days since a date."""
    return [chunk for chunk in lineage.chunks("events", as_of)
            if chunk.profile["columns"]["event_time"].get("max", -1) >= midnight_us(since)]


def _counts(as_of: date, since: date) -> dict[int, int]:
    pieces = [np.zeros(0, np.int64)]
    for chunk in _chunks(as_of, since):
        rows = snapshot.read(chunk, ["video_id", "event_time"])
        pieces.append(rows["video_id"].to_numpy()[microseconds(rows, "event_time") >= midnight_us(since)])
    videos, counts = np.unique(np.concatenate(pieces), return_counts=True)
    return dict(zip(videos.tolist(), counts.tolist(), strict=True))


def _creators(versions: pa.Table, counts: dict[int, int], as_of: date) -> set[int]:
    """Some creators whose videos have at most 5,000 events together."""
    total: dict[int, int] = {}
    pairs = versions.select(["video_id", "creator_id"]).group_by(["video_id", "creator_id"]).aggregate([])
    for row in pairs.to_pylist():
        if row["creator_id"] is not None:
            total[row["creator_id"]] = total.get(row["creator_id"], 0) + counts.get(row["video_id"], 0)
    few = np.array([creator for creator, count in total.items() if 0 < count <= MOST_EVENTS], np.int64)
    return set(first_by_hash(few, as_of, CREATORS).tolist())


def _events_on(video_ids: np.ndarray, as_of: date, since: date) -> pa.Table:
    pieces = [table("events").schema.empty_table()]
    for chunk in _chunks(as_of, since):
        rows = snapshot.read(chunk)
        recent = microseconds(rows, "event_time") >= midnight_us(since)
        pieces.append(rows.filter(pa.array(recent & np.isin(rows["video_id"].to_numpy(), video_ids))))
    return pa.concat_tables(pieces)
