"""Labels: what followed an impression, or a play that no impression explains, within the attribution window.

A row exists once its window [event_time, event_time + 24 h) has closed and its days have arrived; the events that
decide it are those that had arrived before as_of.
"""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.join import days_live_at
from lake import dates, snapshot, writing
from lake.columns import EVENT
from lake.dates import HOUR_US
from lake.dimensions import last_before, versions
from lake.snapshot import Manifest
from lake.tables import table

_NAMES = [column.name for column in EVENT]
_KEPT = ("event_id", "user_id", "video_id", "event_time", "position", "propensity", "surface", "country")


def write_labels(chunks: list[Manifest], as_of: date, start: date, attribution_hours: int, folder: str, part: int,
                 buckets: list[int]) -> list[dict]:
    """Write the matured labels of some buckets' users with event_time >= start, as known at as_of."""
    window = attribution_hours * HOUR_US
    events = pa.concat_tables([table("events").schema.empty_table()]
                              + [_read(chunk, buckets, dates.midnight_us(start) - window) for chunk in chunks])
    known = events["arrived_at"].cast(pa.int64()).to_numpy() < dates.midnight_us(as_of)
    rows = label_rows(events.filter(pa.array(known)), window)
    times = rows["event_time"].cast(pa.int64()).to_numpy()
    matured = (times >= dates.midnight_us(start)) & (times + window <= dates.midnight_us(as_of))
    rows = with_video_facts(rows.filter(pa.array(matured)), versions("raw_videos", as_of))
    part_file = writing.write_part("labels", folder, rows, f"part-{part:05d}")
    return [part_file | {"snapshot_days": days_live_at(times[matured])}]


def _read(chunk: Manifest, buckets: list[int], first_us: int) -> pa.Table:
    if chunk.profile["columns"]["event_time"].get("max", first_us) < first_us:
        return table("events").schema.empty_table()
    rows = snapshot.read(chunk, buckets=buckets)
    return rows.filter(pa.array(rows["event_time"].cast(pa.int64()).to_numpy() >= first_us))


def label_rows(events: pa.Table, window_us: int) -> pa.Table:
    """Label rows of events, in key order, without the facts of the video.

    A play belongs to the impression of its request, else to the last impression of that user and video at or before
    it and less than the window ago. Likes, shares and not_interested belong in the same way to a label row.
    """
    events = events.sort_by([(name, "ascending") for name in ("user_id", "event_time", "arrived_at", "event_id")])
    impressions = events.filter(pc.equal(events["event_type"], "impression"))
    plays = events.filter(pc.equal(events["event_type"], "play"))
    of_play = attribute(plays, impressions, window_us)
    own = plays.filter(pa.array(of_play < 0))
    base = pa.concat_tables([impressions.select(_NAMES), own.select(_NAMES)])
    row_of_play = of_play.copy()
    row_of_play[of_play < 0] = impressions.num_rows + np.arange(own.num_rows)
    count = base.num_rows
    rows = base.select(list(_KEPT)).append_column("shown", pa.array(np.arange(count) < impressions.num_rows))
    rows = rows.append_column("played", pa.array(np.bincount(row_of_play, minlength=count) > 0))
    for kind, name in (("like", "liked"), ("share", "shared"), ("not_interested", "not_interested")):
        followers = events.filter(pc.equal(events["event_type"], kind))
        row = attribute(followers, base, window_us)
        rows = rows.append_column(name, pa.array(np.bincount(row[row >= 0], minlength=count) > 0))
    rows = rows.append_column("watch_ms", _watched(plays, row_of_play, count))
    return rows.sort_by([(name, "ascending") for name in table("labels").key])


def _watched(plays: pa.Table, row: np.ndarray, count: int) -> pa.Array:
    """Sum of measured watch time per label row; null where none was measured."""
    measured = pc.is_valid(plays["watch_ms"]).to_numpy()
    total = np.zeros(count, np.int64)
    np.add.at(total, row[measured], plays["watch_ms"].fill_null(0).to_numpy()[measured])
    return pa.array(total, mask=np.bincount(row[measured], minlength=count) == 0)


def attribute(followers: pa.Table, base: pa.Table, window_us: int) -> np.ndarray:
    """int64: for each follower the row number in base that it belongs to, or -1.

    By request_id first (same user, video and request), else the last of the same user and video; always with
    base.event_time <= follower.event_time < base.event_time + window. Ties are ordered by (event_time, arrived_at,
    event_id).
    """
    pair, base_pair = _codes([followers, base], ["user_id", "video_id"])
    found = _last_within(pair, followers, base_pair, base, window_us)
    requested, base_requested = _codes([followers, base], ["user_id", "video_id", "request_id"])
    by_request = _last_within(requested, followers, base_requested, base, window_us)
    has_request = pc.is_valid(followers["request_id"]).to_numpy() if followers.num_rows else np.empty(0, bool)
    return np.where(has_request & (by_request >= 0), by_request, found)


def _codes(tables: list[pa.Table], names: list[str]) -> list[np.ndarray]:
    """One integer per distinct combination of values, comparable across the tables; null is a value of its own."""
    combined = np.zeros(sum(t.num_rows for t in tables), np.int64)
    for name in names:
        chunks = [chunk for t in tables for chunk in t[name].chunks]
        column = pa.chunked_array(chunks, tables[0].schema.field(name).type)
        values = column.combine_chunks().dictionary_encode(null_encoding="encode").indices.to_numpy()
        _, combined = np.unique(combined * (len(values) + 1) + values, return_inverse=True)
    return np.split(combined, np.cumsum([t.num_rows for t in tables])[:-1])


def _last_within(code: np.ndarray, followers: pa.Table, base_code: np.ndarray, base: pa.Table,
                 window_us: int) -> np.ndarray:
    n, m = len(code), len(base_code)
    code = np.concatenate([code, base_code])
    time, arrived = (np.concatenate([t[name].cast(pa.int64()).to_numpy() for t in (followers, base)])
                     for name in ("event_time", "arrived_at"))
    event_id = np.concatenate([followers["event_id"].to_numpy(), base["event_id"].to_numpy()])
    follows = np.concatenate([np.ones(n, np.int8), np.zeros(m, np.int8)])
    order = np.lexsort((event_id, arrived, follows, time, code))  # at equal times the base row comes first
    newest = np.maximum.accumulate(np.where(order >= n, np.arange(n + m), -1)) if n + m else order
    found = np.full(n, -1, np.int64)
    asking = np.flatnonzero(order < n)
    at = newest[asking]
    base_row = order[np.maximum(at, 0)]
    fits = (at >= 0) & (code[base_row] == code[order[asking]]) & (time[order[asking]] - time[base_row] < window_us)
    found[order[asking[fits]]] = base_row[fits] - n
    return found


def with_video_facts(rows: pa.Table, known: pa.Table) -> pa.Table:
    """Add duration, creator and categories as the last version that arrived strictly before the label says."""
    version = last_before(rows["video_id"].to_numpy(), rows["event_time"].cast(pa.int64()).to_numpy(),
                          known["video_id"].to_numpy(), known["arrived_at"].cast(pa.int64()).to_numpy())
    chosen = pa.array(version, mask=version < 0)
    for name in ("duration_ms", "creator_id", "categories"):
        rows = rows.append_column(name, known[name].take(chosen))
    return rows.select(table("labels").schema.names)
