"""Histories: each user's last plays in the pinned order (event_time, arrived_at, event_id)."""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake import dates, snapshot, writing
from lake.columns import TIMESTAMP
from lake.dimensions import latest, original_ids
from lake.snapshot import Manifest
from lake.tables import table

_COLUMNS = ["event_id", "user_id", "video_id", "event_type", "event_time", "arrived_at", "country"]
_ORDER = [(name, "ascending") for name in ("user_id", "event_time", "arrived_at", "event_id")]


def write_histories(chunks: list[Manifest], as_of: date, length: int, folder: str, part: int,
                    buckets: list[int]) -> list[dict]:
    """Write the histories of some buckets' users as known at as_of."""
    events = pa.concat_tables([table("events").schema.empty_table().select(_COLUMNS)]
                              + [snapshot.read(chunk, _COLUMNS, buckets) for chunk in chunks])
    known = events["arrived_at"].cast(pa.int64()).to_numpy() < dates.midnight_us(as_of)
    happened = events["event_time"].cast(pa.int64()).to_numpy() < dates.midnight_us(as_of)
    rows = history_rows(events.filter(pa.array(known & happened)), length, latest("raw_users", as_of))
    rows = rows.append_column("original_id", pa.array(
        original_ids("user", rows["user_id"].to_numpy(), as_of), pa.string()))
    return [writing.write_part("histories", folder, rows, f"part-{part:05d}")]


def history_rows(events: pa.Table, length: int, users: pa.Table) -> pa.Table:
    """One row per user with an event; `length` bounds the lists, not `seen_video_ids` and the counts.

    events: columns user_id, video_id, event_type, event_time, arrived_at, event_id, country. users: latest user rows.
    """
    events = events.sort_by(_ORDER)
    user_ids = np.unique(events["user_id"].to_numpy())
    plays = events.filter(pc.equal(events["event_type"], "play"))
    owner = np.searchsorted(user_ids, plays["user_id"].to_numpy())
    counts = np.bincount(owner, minlength=len(user_ids))
    ends = np.cumsum(counts)
    from_end = ends[owner] - np.arange(len(owner))  # 1 for the newest play of a user
    kept = plays.filter(pa.array(from_end <= length))
    offsets = pa.array(np.append(0, np.cumsum(np.minimum(counts, length))), pa.int32())
    last = pa.array(np.where(counts > 0, ends - 1, 0), mask=counts == 0)
    return pa.table({
        "user_id": user_ids,
        "video_ids": _lists(offsets, kept["video_id"]),
        "event_times": _lists(offsets, kept["event_time"]),
        "arrived_times": _lists(offsets, kept["arrived_at"]),
        "liked": _lists(offsets, pa.chunked_array([_liked(kept, events)])),
        "seen_video_ids": _seen(plays, owner, len(user_ids)),
        "play_count": counts.astype(np.int64),
        "last_play_at": plays["event_time"].take(last) if len(owner) else pa.nulls(len(user_ids), TIMESTAMP),
        "country": _country(user_ids, events, users),
    })


def _lists(offsets: pa.Array, values: pa.ChunkedArray) -> pa.Array:
    return pa.ListArray.from_arrays(offsets, values.combine_chunks())


def _pair_codes(*tables: pa.Table) -> list[np.ndarray]:
    """One int64 code per (user, video), comparable across the tables."""
    pairs = np.concatenate([np.stack([t["user_id"].to_numpy(), t["video_id"].to_numpy()], axis=1) for t in tables])
    _, codes = np.unique(pairs, axis=0, return_inverse=True) if len(pairs) else (None, np.empty(0, np.int64))
    return np.split(codes.ravel(), np.cumsum([t.num_rows for t in tables])[:-1])


def _liked(plays: pa.Table, events: pa.Table) -> pa.Array:
    likes = events.filter(pc.equal(events["event_type"], "like"))
    played, liked = _pair_codes(plays, likes)
    return pa.array(np.isin(played, liked))


def _seen(plays: pa.Table, owner: np.ndarray, users: int) -> pa.Array:
    videos = plays["video_id"].to_numpy()
    order = np.lexsort((videos, owner))
    owner, videos = owner[order], videos[order]
    first = np.append(True, (owner[1:] != owner[:-1]) | (videos[1:] != videos[:-1]))[:len(owner)]
    offsets = np.append(0, np.cumsum(np.bincount(owner[first], minlength=users)))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(videos[first], pa.int64()))


def _country(user_ids: np.ndarray, events: pa.Table, users: pa.Table) -> pa.Array:
    """From the user row; where that has none, from the last event that has one."""
    placed = events.filter(pc.is_valid(events["country"]))
    end = np.searchsorted(placed["user_id"].to_numpy(), user_ids, side="right") - 1
    own = (end >= 0) & (placed["user_id"].to_numpy()[np.maximum(end, 0)] == user_ids) if placed.num_rows \
        else np.zeros(len(user_ids), bool)
    from_event = placed["country"].take(pa.array(end, mask=~own)) if placed.num_rows \
        else pa.nulls(len(user_ids), pa.string())
    row = pc.index_in(pa.array(user_ids), users["user_id"].combine_chunks())
    return pc.coalesce(users["country"].take(row).combine_chunks(), pa.chunked_array([from_event]).combine_chunks()
                       if isinstance(from_event, pa.Array) else from_event.combine_chunks())
