"""Tiles: partial sums per entity, event day and arrival day. A night adds those of the events that just arrived.

The day grain is exact for windows that end at midnight; two days on every tile keep both clocks.
"""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import SparkContext

from features.frames import parts_for, shuffle_and_write
from features.views import MEASURES, VIEWS, FeatureView
from lake import dates, lineage, snapshot
from lake.columns import TIMESTAMP
from lake.dimensions import last_before, versions
from lake.snapshot import Manifest
from lake.tables import table
from lake.writing import Attempt

_VERSION = ["video_id", "arrived_at", "creator_id", "categories", "duration_ms"]
_KEY = list(table("tiles").key)


def write_tiles(context: SparkContext | None, attempt: Attempt, events: Manifest) -> list[dict]:
    """Write the tiles of one chunk of events; creators and categories are those known on the evening of arrival."""
    as_of, start = attempt.plan.as_of, date.fromisoformat(attempt.plan.parameters["start"])

    def produce(buckets: list[int]) -> pa.Table:
        return partial_tiles(snapshot.read(events, buckets=buckets), known_videos(start, as_of))

    return shuffle_and_write(context, produce, parts_for(events.rows, context), "tiles", attempt.folder,
                             lambda rows: (_summed(rows), {}))


def known_videos(start: date, end: date) -> pa.Table:
    """Versions of videos, by (video_id, arrived_at), that decide what was known on any evening of days in [start, end):
    those of these days and, where start's catalogue is there, only its rows for all that is older."""
    before = lineage.night_before("catalogue", start + timedelta(days=1))
    if before is None:
        return versions("raw_videos", end).select(_VERSION)
    older = snapshot.read(before, [name for name in _VERSION if name != "arrived_at"])
    older = older.append_column("arrived_at", pa.array(np.full(older.num_rows, dates.midnight_us(start) - 1), TIMESTAMP))
    newer = versions("raw_videos", end, start)
    return pa.concat_tables([pa.table({name: rows[name] for name in _VERSION}) for rows in (older, newer)]).sort_by(
        [("video_id", "ascending"), ("arrived_at", "ascending")])


def partial_tiles(events: pa.Table, known_videos: pa.Table) -> pa.Table:
    """Tiles of some events, summed as far as these rows go. known_videos: ordered by (video_id, arrived_at)."""
    base = _measured(events, known_videos)
    pieces = [table("tiles").schema.empty_table()]
    pieces += [_summed(_keyed(base, view)) for view in VIEWS]
    return pa.concat_tables(pieces)


def _measured(events: pa.Table, known_videos: pa.Table) -> pa.Table:
    """One row per event: its days, its measures, and what was known of its video the evening it arrived."""
    arrival_day = events["arrived_at"].cast(pa.int64()).to_numpy() // dates.DAY_US
    evening = (arrival_day + 1) * dates.DAY_US
    version = last_before(events["video_id"].to_numpy(), evening, known_videos["video_id"].to_numpy(),
                          known_videos["arrived_at"].cast(pa.int64()).to_numpy())
    chosen = pa.array(version, mask=version < 0)
    event_type = events["event_type"]
    is_play = pc.equal(event_type, "play")
    duration = known_videos["duration_ms"].take(chosen)
    watched = pc.and_(is_play, pc.is_valid(events["watch_ms"]))
    columns = {
        "user_id": events["user_id"], "video_id": events["video_id"], "country": events["country"],
        "creator_id": known_videos["creator_id"].take(chosen),
        "categories": known_videos["categories"].take(chosen),
        "event_day": pa.array((events["event_time"].cast(pa.int64()).to_numpy() // dates.DAY_US).astype(np.int32)),
        "arrival_day": pa.array(arrival_day.astype(np.int32)),
        **{f"{kind}_count": pc.equal(event_type, kind).cast(pa.int64())
           for kind in ("impression", "play", "like", "share", "not_interested")},
        "watch_ms_sum": pc.if_else(watched, events["watch_ms"], 0).fill_null(0),
        "duration_ms_sum": pc.if_else(watched, duration, 0).fill_null(0),
    }
    return pa.table(columns)


def _keyed(base: pa.Table, view: FeatureView) -> pa.Table:
    """The rows as a view sees them: one per value of a list; none where a part of the key is null or empty."""
    rows, attribute = base, pa.array([""] * base.num_rows, pa.string())
    if view.attribute and pa.types.is_list(base.schema.field(view.attribute).type):
        lists = base[view.attribute].combine_chunks()
        rows, attribute = base.take(pc.list_parent_indices(lists)), pc.list_flatten(lists)
    elif view.attribute:
        attribute = base[view.attribute]
    keyed = pa.table({"view": pa.array([view.name] * rows.num_rows, pa.string()),
                      "entity_id": rows[view.entity], "attribute": attribute,
                      **{name: rows[name] for name in ("event_day", "arrival_day", *MEASURES)}})
    whole = pc.and_(pc.is_valid(keyed["entity_id"]), pc.is_valid(keyed["attribute"]))
    return keyed.filter(pc.and_(whole, pc.not_equal(keyed["attribute"], "")) if view.attribute else whole)


def _summed(rows: pa.Table) -> pa.Table:
    # On this thread: Arrow waits for ever for a thread that the system, short of memory, did not give it.
    summed = rows.group_by(_KEY, use_threads=False).aggregate([(measure, "sum") for measure in MEASURES])
    summed = summed.rename_columns([name.removesuffix("_sum") if name.removesuffix("_sum") in MEASURES else name
                                    for name in summed.column_names])
    return summed.select(table("tiles").schema.names).cast(table("tiles").schema)


def read_tiles(chunks: list[Manifest], buckets: list[int], first_day: date, end_day: date) -> pa.Table:
    """Tiles of some buckets with event_day in [first_day, end_day), in key order over all chunks."""
    first, end = pa.scalar(first_day), pa.scalar(end_day)
    pieces = [table("tiles").schema.empty_table()]
    for chunk in chunks:
        bounds = chunk.profile["columns"]["event_day"]
        if "min" in bounds and bounds["max"] >= (first_day - date(1970, 1, 1)).days \
                and bounds["min"] < (end_day - date(1970, 1, 1)).days:
            rows = snapshot.read(chunk, buckets=buckets)
            day = rows["event_day"]
            pieces.append(rows.filter(pc.and_(pc.greater_equal(day, first), pc.less(day, end))))
    return pa.concat_tables(pieces).sort_by([(name, "ascending") for name in _KEY])
