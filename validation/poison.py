"""The same records with another future: what arrived at or after a cut is dropped, changed and added to.

A night whose as_of is not after the cut, and a label that is not after it, must not notice. Additions aim at what a
careless clock would take: events told late of days long past, a second telling of an event that is known, versions of
videos and users that arrive at the very microsecond of the cut.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.columns import EVENT_TYPES
from lake.dates import DAY_US
from lake.hashing import splitmix64

ADDED_EVENTS, ADDED_VERSIONS, NEW_VIDEOS = 600, 300, 30
_OTHER_CREATOR, _OTHER_MS = 7_777_777, 777_777


@dataclass(frozen=True)
class Records:
    """What a lake is landed from: rows of raw_events, raw_videos, raw_users and ids."""

    events: pa.Table
    videos: pa.Table
    users: pa.Table
    ids: pa.Table


def poisoned(records: Records, cut_us: int, spared: int | None = None) -> Records:
    """The records with another future from `cut_us` (microseconds, inclusive) on. spared: event_id of the label at the
    cut, whose own row stays as it is. Deterministic."""
    events = pa.concat_tables([_changed(records, cut_us, spared), _retold(records, cut_us), _late(records, cut_us)])
    return replace(records, events=events,
                   videos=_versions(records.videos, "video_id", cut_us, _other_video, NEW_VIDEOS),
                   users=_versions(records.users, "user_id", cut_us, _other_user, 0))


def microseconds(rows: pa.Table, name: str) -> np.ndarray:
    return rows[name].cast(pa.int64()).to_numpy()


def with_columns(rows: pa.Table, **columns: object) -> pa.Table:
    """The rows with some columns replaced, instants given as microseconds."""
    for name, values in columns.items():
        field = rows.schema.field(name)
        array = pa.array(values).cast(field.type) if pa.types.is_timestamp(field.type) else pa.array(values, field.type)
        rows = rows.set_column(rows.schema.get_field_index(name), field, array)
    return rows


def _rolled(rows: pa.Table, name: str, by: int = 1) -> np.ndarray:
    return np.roll(rows[name].to_numpy(zero_copy_only=False), by)


def _changed(records: Records, cut_us: int, spared: int | None) -> pa.Table:
    """A third of the future is dropped, a third told otherwise, a third belongs to somebody else."""
    events = records.events
    event_id = events["event_id"].to_numpy()
    future = microseconds(events, "arrived_at") >= cut_us
    if spared is not None:
        future &= event_id != spared
    fate = (splitmix64(event_id) % np.uint64(3)).astype(int)
    told, moved = events.filter(pa.array(future & (fate == 1))), events.filter(pa.array(future & (fate == 2)))
    told = with_columns(
        told, video_id=_rolled(told, "video_id"), event_type=_rolled(told, "event_type"),
        event_time=microseconds(told, "event_time") - (told["event_id"].to_numpy() % 20) * DAY_US,
        watch_ms=np.full(told.num_rows, _OTHER_MS), country=["XX"] * told.num_rows)
    moved = with_columns(moved, user_id=_rolled(moved, "user_id"))
    return pa.concat_tables([events.filter(pa.array(~future)), told, moved])


def _past(records: Records, cut_us: int, salt: int, count: int) -> pa.Table:
    """Some events that had arrived before the cut, by hash."""
    past = records.events.filter(pa.array(microseconds(records.events, "arrived_at") < cut_us))
    order = np.argsort(splitmix64(past["event_id"].to_numpy() ^ salt), kind="stable")[:count]
    return past.take(pa.array(np.sort(order)))


def _retold(records: Records, cut_us: int) -> pa.Table:
    """Known events told a second time, from the cut on, with another content: the first arrival wins."""
    rows = _past(records, cut_us, 1, ADDED_EVENTS)
    step = np.arange(rows.num_rows) % 3 * 3_600_000_000
    return with_columns(rows, arrived_at=cut_us + step, watch_ms=np.full(rows.num_rows, _OTHER_MS),
                        video_id=_rolled(rows, "video_id"), country=["XX"] * rows.num_rows)


def _late(records: Records, cut_us: int) -> pa.Table:
    """Events of their own that tell late of a moment at which something known happened to that user."""
    rows = _past(records, cut_us, 2, ADDED_EVENTS)
    numbers = np.arange(rows.num_rows)
    fresh = (splitmix64(rows["event_id"].to_numpy() ^ 3) >> np.uint64(1)).astype(np.int64)
    videos = np.where(numbers % 5, _rolled(rows, "video_id", 3), _new_ids(rows.num_rows))
    return with_columns(rows, event_id=fresh, arrived_at=cut_us + numbers % 4 * 3_600_000_000, video_id=videos,
                        event_type=[EVENT_TYPES[n % len(EVENT_TYPES)] for n in numbers],
                        watch_ms=np.full(rows.num_rows, _OTHER_MS), country=["XX"] * rows.num_rows)


def _new_ids(count: int) -> np.ndarray:
    """Ids that no record has: NEW_VIDEOS of them, in turn."""
    return (1 << 60) + np.arange(count) % NEW_VIDEOS


def _versions(rows: pa.Table, key: str, cut_us: int, other: object, new: int) -> pa.Table:
    """Versions from the cut on are told otherwise; some ids that were known before it get one at the cut itself and an
    hour later; `new` ids appear."""
    future = microseconds(rows, "arrived_at") >= cut_us
    before = rows.filter(pa.array(~future))
    ids = np.unique(before[key].to_numpy())
    ids = ids[np.argsort(splitmix64(ids), kind="stable")[:min(ADDED_VERSIONS, -(-len(ids) // 2))]]
    last = before.take(pa.array(_last_rows(before, key, ids)))
    planted = [with_columns(last, arrived_at=np.full(last.num_rows, cut_us + late)) for late in (0, 3_600_000_000)]
    if new and last.num_rows:
        some = last.take(pa.array(np.arange(min(new, last.num_rows))))
        planted.append(with_columns(some, **{key: _new_ids(some.num_rows)}, arrived_at=np.full(some.num_rows, cut_us)))
    rest = rows.filter(pa.array(future))
    taken = pc.is_in(pa.array(_version_codes(rest, key)), pa.array(np.concatenate(
        [_version_codes(one, key) for one in planted]))) if rest.num_rows else pa.array([], pa.bool_())
    return pa.concat_tables([before, *(other(one) for one in [*planted, rest.filter(pc.invert(taken))])])


def _version_codes(rows: pa.Table, key: str) -> np.ndarray:
    return (splitmix64(rows[key].to_numpy()) ^ splitmix64(microseconds(rows, "arrived_at"))).view(np.int64)


def _last_rows(rows: pa.Table, key: str, ids: np.ndarray) -> np.ndarray:
    order = np.lexsort((microseconds(rows, "arrived_at"), rows[key].to_numpy()))
    return np.sort(order[np.searchsorted(rows[key].to_numpy()[order], ids, side="right") - 1]) if len(ids) else ids


def _other_video(rows: pa.Table) -> pa.Table:
    arrived = microseconds(rows, "arrived_at")
    removed = (splitmix64(rows["video_id"].to_numpy() ^ 4) % np.uint64(3) == 0)
    return with_columns(rows, creator_id=np.full(rows.num_rows, _OTHER_CREATOR),
                        categories=[["poisoned"]] * rows.num_rows, duration_ms=np.full(rows.num_rows, _OTHER_MS),
                        title=["poisoned"] * rows.num_rows, published_at=arrived - 300 * DAY_US,
                        removed_at=pa.array(arrived - 200 * DAY_US, mask=~removed))


def _other_user(rows: pa.Table) -> pa.Table:
    return with_columns(rows, country=["XX"] * rows.num_rows, language=["xx"] * rows.num_rows)
