"""Histories: each user's last plays in the pinned order (event_time, arrived_at, event_id).

A night goes on from the histories of the night before where they exist: what became known since is merged into them.
Without them it is merged into nothing, by the same lines.
"""

from collections.abc import Callable
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake import dates, snapshot, writing
from lake.columns import TIMESTAMP
from lake.dimensions import last_of_each, latest, original_ids, versions
from lake.snapshot import Manifest
from lake.tables import table

_COLUMNS = ["event_id", "user_id", "video_id", "event_type", "event_time", "arrived_at", "country"]
_ORDER = [(name, "ascending") for name in ("user_id", "event_time", "arrived_at", "event_id")]
_PLAYS = ["user_id", "video_id", "event_time", "arrived_at", "event_id"]


def write_histories(chunks: list[Manifest], before: Manifest | None, as_of: date, length: int, folder: str, part: int,
                    buckets: list[int]) -> list[dict]:
    """Write the histories of some buckets' users as known at as_of. before: `lineage.night_before`."""
    since = before.as_of if before else date.min
    events = newly_known([(chunk, snapshot.read(chunk, _COLUMNS, buckets)) for chunk in chunks if may_tell(chunk, since)],
                         since, as_of)
    old = snapshot.read(before, buckets=buckets) if before else table("histories").schema.empty_table()
    told = last_of_each("raw_users", versions("raw_users", as_of, since))
    rows = history_rows(old, events, length, told,
                        lambda ids: latest("raw_users", as_of, ids if before else ids[:0]))  # else told is all there is
    known = pc.index_in(rows["user_id"], value_set=old["user_id"].combine_chunks())
    new = rows["user_id"].to_numpy()[known.is_null().to_numpy()]
    names = pa.array(original_ids("user", new, as_of), pa.string())
    row = np.cumsum(known.is_null().to_numpy()) - 1 + old.num_rows
    every = pa.concat_arrays([old["original_id"].combine_chunks(), names])
    rows = rows.append_column("original_id", every.take(pc.coalesce(known.cast(pa.int64()), pa.array(row))))
    return [writing.write_part("histories", folder, rows.select(table("histories").schema.names), f"part-{part:05d}")]


def may_tell(chunk: Manifest, since: date) -> bool:
    """Whether a chunk of events can hold one that became known on since or later: it arrived or happened then."""
    happened = chunk.profile["columns"]["event_time"]
    return chunk.as_of > since or since > date.min and happened.get("max", -1) >= dates.midnight_us(since)


def newly_known(chunks: list[tuple[Manifest, pa.Table]], since: date, as_of: date) -> pa.Table:
    """The events that had happened and arrived by as_of, but not by since."""
    rows = pa.concat_tables([table("events").schema.empty_table().select(_COLUMNS), *(rows for _, rows in chunks)])
    known = np.maximum(*(rows[name].cast(pa.int64()).to_numpy() for name in ("event_time", "arrived_at")))
    wanted = known < dates.midnight_us(as_of)
    return rows.filter(pa.array(wanted & (known >= dates.midnight_us(since)) if since > date.min else wanted))


def history_rows(old: pa.Table, events: pa.Table, length: int, told: pa.Table,
                 look_up: Callable[[np.ndarray], pa.Table]) -> pa.Table:
    """One row per user with an event, without original ids; `length` bounds the lists, not `seen_video_ids`,
    `liked_video_ids` and the counts.

    old: histories to go on from, by user. events: columns user_id, video_id, event_type, event_time, arrived_at, event_id,
    country; all that became known since. told: the last of the user rows that arrived since, by user. look_up: the last
    user rows of users that old does not have.
    """
    events = events.sort_by(_ORDER)
    user_ids = np.unique(np.concatenate([old["user_id"].to_numpy(), events["user_id"].to_numpy()]))
    new_plays = events.filter(pc.equal(events["event_type"], "play"))
    plays = pa.concat_tables([_kept_plays(old), pa.table({name: new_plays[name] for name in _PLAYS})]).sort_by(_ORDER)
    owner = np.searchsorted(user_ids, plays["user_id"].to_numpy())
    held = np.bincount(owner, minlength=len(user_ids))
    ends = np.cumsum(held)
    from_end = ends[owner] - np.arange(len(owner))  # 1 for the newest play of a user
    kept = plays.filter(pa.array(from_end <= length))
    offsets = pa.array(np.append(0, np.cumsum(np.minimum(held, length))), pa.int32())
    last = pa.array(np.where(held > 0, ends - 1, 0), mask=held == 0)
    likes = events.filter(pc.equal(events["event_type"], "like"))
    liked = _pairs(user_ids, old, "liked_video_ids", likes)
    counts = np.bincount(np.searchsorted(user_ids, new_plays["user_id"].to_numpy()), minlength=len(user_ids))
    counts[np.searchsorted(user_ids, old["user_id"].to_numpy())] += old["play_count"].to_numpy()
    return pa.table({
        "user_id": user_ids,
        "video_ids": _lists(offsets, kept["video_id"]),
        "event_times": _lists(offsets, kept["event_time"]),
        "arrived_times": _lists(offsets, kept["arrived_at"]),
        "liked": _lists(offsets, pa.chunked_array([_are_liked(kept, user_ids, liked)])),
        "seen_video_ids": _as_lists(_pairs(user_ids, old, "seen_video_ids", new_plays), len(user_ids)),
        "play_count": counts.astype(np.int64),
        "last_play_at": plays["event_time"].take(last) if len(owner) else pa.nulls(len(user_ids), TIMESTAMP),
        "liked_video_ids": _as_lists(liked, len(user_ids)),
        **_countries(user_ids, old, events, told, look_up),
    })


def _kept_plays(old: pa.Table) -> pa.Table:
    """The plays that histories hold, in _PLAYS; their place stands for the event id: a newer row that ties with one in
    both times can't exist, since it became known later."""
    lists = old["video_ids"].combine_chunks()
    owner = pc.list_parent_indices(lists)
    return pa.table({
        "user_id": old["user_id"].combine_chunks().take(owner), "video_id": pc.list_flatten(lists),
        "event_time": pc.list_flatten(old["event_times"].combine_chunks()),
        "arrived_at": pc.list_flatten(old["arrived_times"].combine_chunks()),
        "event_id": pa.array(np.arange(len(owner)), pa.int64())})


def _lists(offsets: pa.Array, values: pa.ChunkedArray) -> pa.Array:
    return pa.ListArray.from_arrays(offsets, values.combine_chunks())


def _pairs(user_ids: np.ndarray, old: pa.Table, column: str, events: pa.Table) -> np.ndarray:
    """int64[P, 2]: distinct (place of the user, video) of a list column and of events, ascending."""
    lists = old[column].combine_chunks()
    owner = old["user_id"].to_numpy()[pc.list_parent_indices(lists).to_numpy()]
    users = np.searchsorted(user_ids, np.concatenate([owner, events["user_id"].to_numpy()]))
    videos = np.concatenate([pc.list_flatten(lists).to_numpy(), events["video_id"].to_numpy()])
    order = np.lexsort((videos, users))
    pairs = np.stack([users[order], videos[order]], axis=1)
    return pairs[np.append(True, (pairs[1:] != pairs[:-1]).any(axis=1))[:len(pairs)]]


def _as_lists(pairs: np.ndarray, users: int) -> pa.Array:
    offsets = np.append(0, np.cumsum(np.bincount(pairs[:, 0], minlength=users)))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(pairs[:, 1], pa.int64()))


def _are_liked(plays: pa.Table, user_ids: np.ndarray, liked: np.ndarray) -> pa.Array:
    played = np.stack([np.searchsorted(user_ids, plays["user_id"].to_numpy()), plays["video_id"].to_numpy()], axis=1)
    _, codes = np.unique(np.concatenate([liked, played]), axis=0, return_inverse=True)
    return pa.array(np.isin(codes.ravel()[len(liked):], codes.ravel()[:len(liked)]))


def _countries(user_ids: np.ndarray, old: pa.Table, events: pa.Table, told: pa.Table,
               look_up: Callable[[np.ndarray], pa.Table]) -> dict[str, pa.Array]:
    """From the user row; where that has none, from the last event that has one."""
    ids, known = pa.array(user_ids), pc.index_in(pa.array(user_ids), old["user_id"].combine_chunks())
    new = user_ids[known.is_null().to_numpy(zero_copy_only=False)]
    told = pa.concat_tables([told, look_up(np.setdiff1d(new, told["user_id"].to_numpy()))])
    row = pc.index_in(ids, told["user_id"].combine_chunks())
    of_user = pc.if_else(row.is_valid(), told["country"].combine_chunks().take(row),
                         old["user_country"].combine_chunks().take(known))
    placed = events.filter(pc.is_valid(events["country"]))
    place, at = (pa.concat_arrays([old[ours].combine_chunks().take(known), placed[theirs].combine_chunks()])
                 for ours, theirs in (("event_country", "country"), ("event_country_at", "event_time")))
    owner = np.concatenate([np.arange(len(user_ids)), np.searchsorted(user_ids, placed["user_id"].to_numpy())])
    when = at.cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy()
    order = np.lexsort((np.arange(len(owner)), when, owner))  # of equal times the one that arrived later, as in _ORDER
    last = pa.array(order[np.append(owner[order][1:] != owner[order][:-1], True)[:len(order)]])
    return {"country": pc.coalesce(of_user, place.take(last)), "user_country": of_user,
            "event_country": place.take(last), "event_country_at": at.take(last)}
