"""Plays that had arrived by a date: the truth a judgement is made against, straight from `events`."""

from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from lake import lineage, snapshot
from lake.dates import midnight
from lake.tables import table

COLUMNS = ("user_id", "video_id", "event_time")


def read_plays(as_of: date, start: date, end: date) -> pa.Table:
    """user_id, video_id and event_time of plays that happened in [start, end) and arrived before as_of, by time.

    lineage.Missing names what to build.
    """
    schema = table("events").schema
    parts = [pa.schema([schema.field(name) for name in COLUMNS]).empty_table()]
    for chunk in lineage.chunks("events", as_of):
        rows = snapshot.read(chunk, columns=[*COLUMNS, "event_type", "arrived_at"])
        wanted = pc.and_(pc.equal(rows["event_type"], "play"), pc.less(rows["arrived_at"], pa.scalar(midnight(as_of))))
        happened = pc.and_(pc.greater_equal(rows["event_time"], pa.scalar(midnight(start))),
                           pc.less(rows["event_time"], pa.scalar(midnight(end))))
        parts.append(rows.filter(pc.and_(wanted, happened)).select(list(COLUMNS)))
    order = [("event_time", "ascending"), ("user_id", "ascending"), ("video_id", "ascending")]
    return pa.concat_tables(parts).sort_by(order)
