"""The same answers row by row over plain dictionaries: slow, short, and meant to be read.

What tests compare the fast code with, and what every night's audit compares served features with. Events, videos and
users are dictionaries named as in lake/columns.py, instants in microseconds; videos and users are versions, ordered by
(id, arrived_at).
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date

import pyarrow as pa

from lake import dates
from lake.tables import EXAMPLE_VIEWS, FEATURES, MEASURES, WINDOWS_DAYS

WINDOW_US = 24 * 3_600_000_000
LAG_US = 6 * 3_600_000_000
_ENTITY = {"user": "user_id", "video": "video_id", "creator": "creator_id", "user_category": "user_id"}

Row = dict
Versions = dict[int, list[Row]]


def rows_of(table: pa.Table) -> list[Row]:
    """Rows as dictionaries, instants as integer microseconds."""
    plain = table
    for n, field in enumerate(table.schema):
        if pa.types.is_timestamp(field.type):
            plain = plain.set_column(n, field.name, plain[field.name].cast(pa.int64()))
        if pa.types.is_list(field.type) and pa.types.is_timestamp(field.type.value_type):
            plain = plain.set_column(n, field.name, plain[field.name].cast(pa.list_(pa.int64())))
    return plain.to_pylist()


def versions_by(key: str, rows: Iterable[Row]) -> Versions:
    """Versions of each id, in the order given."""
    found: Versions = defaultdict(list)
    for row in rows:
        found[row[key]].append(row)
    return found


def known(versions: Versions, one: int, before_us: int) -> Row:
    """The last version of an id that arrived strictly before an instant; {} where there is none."""
    found: Row = {}
    for row in versions.get(one, []):
        if row["arrived_at"] < before_us:
            found = row
    return found


def in_order(events: Iterable[Row]) -> list[Row]:
    """Events in the pinned order."""
    return sorted(events, key=lambda e: (e["event_time"], e["arrived_at"], e["event_id"]))


def arrived(events: Iterable[Row], as_of: date) -> list[Row]:
    """Events that had arrived before a midnight, in the pinned order."""
    return in_order(event for event in events if event["arrived_at"] < dates.midnight_us(as_of))


def measures_of(event: Row, videos: Versions) -> tuple[Row, Row]:
    """What one event adds, and the video as known on the evening the event arrived."""
    evening = (event["arrived_at"] // dates.DAY_US + 1) * dates.DAY_US
    video = known(videos, event["video_id"], evening)
    adds = {measure: int(measure == f"{event['event_type']}_count") for measure in MEASURES}
    if event["event_type"] == "play" and event["watch_ms"] is not None:
        adds["watch_ms_sum"] = event["watch_ms"]
        adds["duration_ms_sum"] = video.get("duration_ms") or 0
    return adds, video


def keys_of(event: Row, video: Row) -> list[tuple]:
    """(view, entity, attribute) of every feature row that an event counts in."""
    keys = [("user", event["user_id"], ""), ("video", event["video_id"], "")]
    if video.get("creator_id") is not None:
        keys.append(("creator", video["creator_id"], ""))
    keys += [("user_category", event["user_id"], category) for category in video.get("categories") or [] if category]
    if event["country"]:
        keys.append(("country_video", event["video_id"], event["country"]))
    return keys


def features(events: Iterable[Row], videos: Versions, as_of: date) -> dict[tuple, Row]:
    """Feature rows as of a midnight: events of [as_of - days, as_of) that had arrived before as_of."""
    now, found = dates.midnight_us(as_of), {}
    for event in events:
        if event["arrived_at"] >= now or not now - max(WINDOWS_DAYS) * dates.DAY_US <= event["event_time"] < now:
            continue
        adds, video = measures_of(event, videos)
        for key in keys_of(event, video):
            row = found.setdefault(key, dict.fromkeys(FEATURES, 0))
            for days in WINDOWS_DAYS:
                if event["event_time"] >= now - days * dates.DAY_US:
                    for measure in MEASURES:
                        row[f"{measure}_{days}d"] += adds[measure]
    return found


def owner(follower: Row, base: list[Row]) -> int | None:
    """The row of base (in order, of the follower's user and video) that a follower belongs to: by request, else the
    last one, within 24 hours."""
    fits = [n for n, row in enumerate(base)
            if row["event_time"] <= follower["event_time"] < row["event_time"] + WINDOW_US]
    requested = [n for n in fits if follower["request_id"] is not None
                 and base[n]["request_id"] == follower["request_id"]]
    return (requested or fits or [None])[-1]


def labels(events: Iterable[Row], videos: Versions, as_of: date) -> list[Row]:
    """Matured labels as of a midnight, in key order."""
    now, pairs = dates.midnight_us(as_of), defaultdict(list)
    for event in arrived(events, as_of):
        pairs[event["user_id"], event["video_id"]].append(event)
    done = [_label(row, videos) for pair in pairs.values() for row in _attributed(pair)
            if row["event_time"] + WINDOW_US <= now]
    return sorted(done, key=lambda row: (row["user_id"], row["event_time"], row["event_id"]))


def _attributed(pair: list[Row]) -> list[Row]:
    """The label rows of one user and video, each with the plays and answers that belong to it."""
    base = [dict(e, shown=True, plays=[]) for e in pair if e["event_type"] == "impression"]
    own = []
    for play in (e for e in pair if e["event_type"] == "play"):
        at = owner(play, base)
        if at is None:
            own.append(dict(play, shown=False, plays=[play]))
        else:
            base[at]["plays"].append(play)
    base = in_order(base + own)
    for kind in ("like", "share", "not_interested"):
        for follower in (e for e in pair if e["event_type"] == kind):
            at = owner(follower, base)
            if at is not None:
                base[at][kind] = True
    return base


def _label(row: Row, videos: Versions) -> Row:
    video = known(videos, row["video_id"], row["event_time"])
    watched = [play["watch_ms"] for play in row["plays"] if play["watch_ms"] is not None]
    kept = {name: row[name] for name in ("event_id", "user_id", "video_id", "event_time", "shown", "country")}
    return kept | {"played": bool(row["plays"]), "liked": row.get("like", False), "shared": row.get("share", False),
                   "not_interested": row.get("not_interested", False),
                   "watch_ms": sum(watched) if watched else None,
                   **{name: video.get(name) for name in ("duration_ms", "creator_id", "categories")}}


def live_as_of(time_us: int) -> date:
    """The newest date whose as_of + 6 h lies strictly before an instant."""
    return dates.day_of_us((time_us - LAG_US - 1) // dates.DAY_US * dates.DAY_US)


def example(label: Row, rows: dict[tuple, Row]) -> Row:
    """A label with its features. rows: `features` as of the date that was live at it."""
    found = dict(label)
    for view in EXAMPLE_VIEWS:
        attributes = sorted(set(label["categories"] or [])) if view == "user_category" else [""]
        for feature in FEATURES:
            found[f"{view}_{feature}"] = sum(
                rows.get((view, label[_ENTITY[view]], attribute), {}).get(feature, 0) for attribute in attributes)
    return found


def history(events: Iterable[Row], user: Row, as_of: date, length: int = 200) -> Row:
    """One user's history as of a midnight from the user's events. user: the last known user row, {} without one."""
    past = [e for e in arrived(events, as_of) if e["event_time"] < dates.midnight_us(as_of)]
    plays = [event for event in past if event["event_type"] == "play"]
    liked = {event["video_id"] for event in past if event["event_type"] == "like"}
    last, places = plays[-length:], [event["country"] for event in past if event["country"] is not None]
    return {"video_ids": [play["video_id"] for play in last], "event_times": [play["event_time"] for play in last],
            "arrived_times": [play["arrived_at"] for play in last],
            "liked": [play["video_id"] in liked for play in last],
            "seen_video_ids": sorted({play["video_id"] for play in plays}), "play_count": len(plays),
            "last_play_at": plays[-1]["event_time"] if plays else None,
            "country": user.get("country") or (places[-1] if places else None)}


def popularity(events: Iterable[Row], as_of: date, half_life_days: dict[str, int]) -> dict[tuple[str, int], Row]:
    """(country, video) → play counts as of a midnight; those with a half-life up to rounding."""
    day, found = dates.midnight_us(as_of) // dates.DAY_US, {}
    for event in arrived(events, as_of):
        age = day - event["event_time"] // dates.DAY_US
        if event["event_type"] != "play" or age < 1:
            continue
        for country in {"", event["country"] or ""}:
            row = found.setdefault((country, event["video_id"]), {
                "play_count_all": 0, "play_count_7d": 0, **dict.fromkeys(half_life_days, 0.0)})
            row["play_count_all"] += 1
            row["play_count_7d"] += age <= 7
            for name, days in half_life_days.items():
                row[name] += 2.0 ** (-age / days)
    return found


def catalogue_row(versions: list[Row], first_event_us: int | None, as_of: date) -> Row | None:
    """One video as known at a midnight, None when nothing was. versions: in order. first_event_us: the first arrival
    of an event on it, None without one before as_of."""
    now = dates.midnight_us(as_of)
    told = [row for row in versions if row["arrived_at"] < now]
    seen = [row["arrived_at"] for row in told] + ([first_event_us] if first_event_us is not None else [])
    if not seen:
        return None
    last = told[-1] if told else {}
    published = last.get("published_at")
    published = min(seen) if published is None else published
    removed = last.get("removed_at")
    return {"published_at": published, "removed_at": removed,
            "eligible": published < now and (removed is None or removed >= now),
            **{name: last.get(name) for name in ("creator_id", "categories", "duration_ms", "title")}}
