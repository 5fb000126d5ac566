"""The catalogue as known at a date: every video that a catalogue row or an event told us of before it."""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import SparkContext

from features.frames import collect_rows, parts_for
from lake import dates, lineage, snapshot, writing
from lake.columns import TIMESTAMP
from lake.dimensions import latest, original_ids, versions
from lake.tables import table
from lake.writing import Attempt

_ARRIVAL = pa.schema([("video_id", pa.int64()), ("first_arrival", TIMESTAMP)])


def write_catalogue(context: SparkContext | None, attempt: Attempt) -> list[dict]:
    """Write the catalogue of the attempt's date as one file."""
    as_of = attempt.plan.as_of
    first = _first_arrivals(context, as_of)
    rows = catalogue_rows(latest("raw_videos", as_of), first, versions("raw_videos", as_of), as_of)
    rows = rows.append_column("original_id", pa.array(
        original_ids("video", rows["video_id"].to_numpy(), as_of), pa.string()))
    return [writing.write_part("catalogue", attempt.folder, rows, "part-00000")]


def _first_arrivals(context: SparkContext | None, as_of: date) -> pa.Table:
    """(video_id, first_arrival) of every event that arrived before as_of; one row per video and part."""
    chunks = lineage.chunks("events", as_of)
    parts = parts_for(sum(chunk.rows for chunk in chunks), context)

    def produce(buckets: list[int]) -> pa.Table:
        pieces = [snapshot.read(chunk, ["video_id", "arrived_at"], buckets) for chunk in chunks]
        rows = pa.concat_tables([_ARRIVAL.empty_table(),
                                 *(piece.rename_columns(_ARRIVAL.names).cast(_ARRIVAL) for piece in pieces)])
        known = rows.filter(pa.array(rows["first_arrival"].cast(pa.int64()).to_numpy() < dates.midnight_us(as_of)))
        least = known.group_by("video_id").aggregate([("first_arrival", "min")])
        return least.rename_columns(_ARRIVAL.names).cast(_ARRIVAL)

    return collect_rows(context, produce, _ARRIVAL, parts)


def catalogue_rows(videos: pa.Table, first_events: pa.Table, all_versions: pa.Table, as_of: date) -> pa.Table:
    """Rows by ascending video_id, without original ids.

    videos: latest version per video. first_events: (video_id, first_arrival) of the events known. all_versions: every
    version known, for the first arrival of a video whose row doesn't say when it was published.
    """
    ids = np.unique(np.concatenate([videos["video_id"].to_numpy(), first_events["video_id"].to_numpy()]))
    row = pc.index_in(pa.array(ids), videos["video_id"].combine_chunks())
    facts = videos.take(row)
    first_seen = np.minimum(_first(ids, all_versions["video_id"], all_versions["arrived_at"]),
                            _first(ids, first_events["video_id"], first_events["first_arrival"]))
    published = pc.coalesce(facts["published_at"].cast(pa.int64()), pa.array(first_seen)).cast(TIMESTAMP)
    now = dates.midnight_us(as_of)
    removed = facts["removed_at"].cast(pa.int64()).fill_null(np.iinfo(np.int64).max)
    eligible = pc.and_(pc.less(published.cast(pa.int64()), now), pc.greater_equal(removed, now))
    columns = {"video_id": pa.array(ids), "published_at": published, "eligible": eligible}
    columns |= {name: facts[name] for name in ("creator_id", "categories", "duration_ms", "title", "removed_at")}
    return pa.table(columns).select([c.name for c in table("catalogue").columns if c.name != "original_id"])


def _first(ids: np.ndarray, owners: pa.ChunkedArray, times: pa.ChunkedArray) -> np.ndarray:
    """int64[len(ids)]: the least time of each id, the largest int64 where it has none."""
    first = np.full(len(ids), np.iinfo(np.int64).max)
    np.minimum.at(first, np.searchsorted(ids, owners.to_numpy()), times.cast(pa.int64()).to_numpy())
    return first
