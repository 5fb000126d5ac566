"""The catalogue as known at a date: every video that a catalogue row or an event told us of before it.

A night goes on from the catalogue of the night before where it exists, by the same lines that begin with nothing.
"""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import SparkContext

from features.frames import collect_rows, parts_for
from lake import dates, lineage, snapshot, writing
from lake.columns import TIMESTAMP
from lake.dimensions import last_of_each, original_ids, versions
from lake.snapshot import Manifest
from lake.tables import table
from lake.writing import Attempt

_FACTS = ["creator_id", "categories", "duration_ms", "title", "published_at", "removed_at"]
_ARRIVAL = pa.schema([("video_id", pa.int64()), ("first_arrival", TIMESTAMP)])


def write_catalogue(context: SparkContext | None, attempt: Attempt, before: Manifest | None) -> list[dict]:
    """Write the catalogue of the attempt's date as one file. before: `lineage.night_before`, which it goes on from."""
    as_of, since = attempt.plan.as_of, before.as_of if before else date.min
    old = snapshot.read(before) if before else table("catalogue").schema.empty_table()
    rows = catalogue_rows(old, versions("raw_videos", as_of, since), _first_arrivals(context, since, as_of), as_of)
    known = pc.index_in(rows["video_id"], value_set=old["video_id"].combine_chunks())
    is_new = known.is_null().to_numpy()
    names = pa.array(original_ids("video", rows["video_id"].to_numpy()[is_new], as_of), pa.string())
    row = pc.coalesce(known.cast(pa.int64()), pa.array(np.cumsum(is_new) - 1 + old.num_rows))
    every = pa.concat_arrays([old["original_id"].combine_chunks(), names])
    rows = rows.append_column("original_id", every.take(row)).select(table("catalogue").schema.names)
    return [writing.write_part("catalogue", attempt.folder, rows, "part-00000")]


def _first_arrivals(context: SparkContext | None, since: date, as_of: date) -> pa.Table:
    """(video_id, first_arrival) of every event that arrived in [since, as_of); one row per video and part."""
    chunks = [chunk for chunk in lineage.chunks("events", as_of) if chunk.as_of > since]
    parts = parts_for(sum(chunk.rows for chunk in chunks), context)

    def produce(buckets: list[int]) -> pa.Table:
        pieces = [snapshot.read(chunk, ["video_id", "arrived_at"], buckets) for chunk in chunks]
        rows = pa.concat_tables([_ARRIVAL.empty_table(),
                                 *(piece.rename_columns(_ARRIVAL.names).cast(_ARRIVAL) for piece in pieces)])
        arrived = rows["first_arrival"].cast(pa.int64()).to_numpy()
        known = arrived < dates.midnight_us(as_of)
        rows = rows.filter(pa.array(known & (arrived >= dates.midnight_us(since)) if since > date.min else known))
        least = rows.group_by("video_id", use_threads=False).aggregate([("first_arrival", "min")])
        return least.rename_columns(_ARRIVAL.names).cast(_ARRIVAL)

    return collect_rows(context, produce, _ARRIVAL, parts)


def catalogue_rows(old: pa.Table, told: pa.Table, first_events: pa.Table, as_of: date) -> pa.Table:
    """Rows by ascending video_id, without original ids.

    old: the catalogue to go on from, or empty. told: every version that arrived since, by (video_id, arrived_at).
    first_events: (video_id, first_arrival) of the events that arrived since.
    """
    videos = last_of_each("raw_videos", told)
    ids = np.unique(np.concatenate([old["video_id"].to_numpy(), told["video_id"].to_numpy(),
                                    first_events["video_id"].to_numpy()]))
    first_seen = np.minimum.reduce([_first(ids, rows["video_id"], rows[name]) for rows, name in (
        (old, "first_seen_at"), (told, "arrived_at"), (first_events, "first_arrival"))])
    row = pc.index_in(pa.array(ids), videos["video_id"].combine_chunks())
    was = pc.index_in(pa.array(ids), old["video_id"].combine_chunks())
    every = pa.concat_tables([pa.table({name: rows[name] for name in _FACTS}) for rows in (videos, old)])
    facts = every.take(pc.coalesce(row, pc.add(was, pa.scalar(videos.num_rows, pa.int32()))))
    published = pc.coalesce(facts["published_at"].cast(pa.int64()), pa.array(first_seen)).cast(TIMESTAMP)
    now = dates.midnight_us(as_of)
    removed = facts["removed_at"].cast(pa.int64()).fill_null(np.iinfo(np.int64).max)
    eligible = pc.and_(pc.less(published.cast(pa.int64()), now), pc.greater_equal(removed, now))
    return pa.table({"video_id": pa.array(ids), "published_at": published, "eligible": eligible,
                     "first_seen_at": pa.array(first_seen, TIMESTAMP),
                     **{name: facts[name] for name in _FACTS if name != "published_at"}})


def _first(ids: np.ndarray, owners: pa.ChunkedArray, times: pa.ChunkedArray) -> np.ndarray:
    """int64[len(ids)]: the least time of each id, the largest int64 where it has none."""
    first = np.full(len(ids), np.iinfo(np.int64).max)
    np.minimum.at(first, np.searchsorted(ids, owners.to_numpy()), times.cast(pa.int64()).to_numpy())
    return first
