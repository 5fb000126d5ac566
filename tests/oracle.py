"""The same answers by nested loops over plain dictionaries. Slow, short, and meant to be read."""

from datetime import date

import pyarrow as pa

from lake import dates
from lake.tables import EXAMPLE_VIEWS, FEATURES, MEASURES, WINDOWS_DAYS

WINDOW_US = 24 * 3_600_000_000
LAG_US = 6 * 3_600_000_000
TIMES = ("event_time", "arrived_at")


def rows_of(table: pa.Table) -> list[dict]:
    """Rows as dictionaries, instants as integer microseconds."""
    plain = table
    for name in set(TIMES) & set(table.column_names):
        plain = plain.set_column(plain.column_names.index(name), name, plain[name].cast(pa.int64()))
    return plain.to_pylist()


def known_video(videos: list[dict], video: int, before_us: int) -> dict:
    """The last version of a video that arrived strictly before an instant."""
    found: dict = {}
    for row in videos:
        if row["video_id"] == video and row["arrived_at"] < before_us:
            found = row
    return found


def measures_of(event: dict, videos: list[dict]) -> tuple[dict, dict]:
    """What one event adds, and the video as known on the evening the event arrived."""
    evening = (event["arrived_at"] // dates.DAY_US + 1) * dates.DAY_US
    video = known_video(videos, event["video_id"], evening)
    adds = {measure: int(measure == f"{event['event_type']}_count") for measure in MEASURES}
    if event["event_type"] == "play" and event["watch_ms"] is not None:
        adds["watch_ms_sum"] = event["watch_ms"]
        adds["duration_ms_sum"] = video.get("duration_ms") or 0
    return adds, video


def keys_of(event: dict, video: dict) -> list[tuple]:
    """(view, entity, attribute) of every feature row that an event counts in."""
    keys = [("user", event["user_id"], ""), ("video", event["video_id"], "")]
    if video.get("creator_id") is not None:
        keys.append(("creator", video["creator_id"], ""))
    keys += [("user_category", event["user_id"], category) for category in video.get("categories") or []]
    if event["country"] is not None:
        keys.append(("country_video", event["video_id"], event["country"]))
    return keys


def features(events: list[dict], videos: list[dict], as_of: date) -> dict[tuple, dict]:
    """Feature rows as of a midnight: events of [as_of - days, as_of) that had arrived before as_of."""
    now, found = dates.midnight_us(as_of), {}
    for event in events:
        if event["arrived_at"] >= now or not now - 28 * dates.DAY_US <= event["event_time"] < now:
            continue
        adds, video = measures_of(event, videos)
        for key in keys_of(event, video):
            row = found.setdefault(key, dict.fromkeys(FEATURES, 0))
            for days in WINDOWS_DAYS:
                if event["event_time"] >= now - days * dates.DAY_US:
                    for measure in MEASURES:
                        row[f"{measure}_{days}d"] += adds[measure]
    return found


def owner(follower: dict, base: list[dict]) -> int | None:
    """The row of base (ordered) that a follower belongs to: by request, else the last one, within 24 hours."""
    fits = [n for n, row in enumerate(base)
            if (row["user_id"], row["video_id"]) == (follower["user_id"], follower["video_id"])
            and row["event_time"] <= follower["event_time"] < row["event_time"] + WINDOW_US]
    requested = [n for n in fits if follower["request_id"] is not None
                 and base[n]["request_id"] == follower["request_id"]]
    return (requested or fits or [None])[-1]


def labels(events: list[dict], videos: list[dict], as_of: date) -> list[dict]:
    """Matured labels as of a midnight, in key order."""
    now = dates.midnight_us(as_of)
    known = sorted((event for event in events if event["arrived_at"] < now),
                   key=lambda e: (e["event_time"], e["arrived_at"], e["event_id"]))
    base = [dict(e, shown=True, plays=[]) for e in known if e["event_type"] == "impression"]
    own = []
    for play in (e for e in known if e["event_type"] == "play"):
        at = owner(play, base)
        if at is None:
            own.append(dict(play, shown=False, plays=[play]))
        else:
            base[at]["plays"].append(play)
    base = sorted(base + own, key=lambda e: (e["event_time"], e["arrived_at"], e["event_id"]))
    for kind in ("like", "share", "not_interested"):
        for follower in (e for e in known if e["event_type"] == kind):
            at = owner(follower, base)
            if at is not None:
                base[at][kind] = True
    done = [_label(row, videos) for row in base if row["event_time"] + WINDOW_US <= now]
    return sorted(done, key=lambda row: (row["user_id"], row["event_time"], row["event_id"]))


def _label(row: dict, videos: list[dict]) -> dict:
    video = known_video(videos, row["video_id"], row["event_time"])
    watched = [play["watch_ms"] for play in row["plays"] if play["watch_ms"] is not None]
    kept = {name: row[name] for name in ("event_id", "user_id", "video_id", "event_time", "shown", "country")}
    return kept | {"played": bool(row["plays"]), "liked": row.get("like", False), "shared": row.get("share", False),
                   "not_interested": row.get("not_interested", False),
                   "watch_ms": sum(watched) if watched else None,
                   **{name: video.get(name) for name in ("duration_ms", "creator_id", "categories")}}


def example(label: dict, snapshots: dict[date, dict[tuple, dict]]) -> dict:
    """A label with the features of the newest snapshot whose as_of + 6 h lies strictly before it."""
    live = max(day for day in snapshots if dates.midnight_us(day) + LAG_US < label["event_time"])
    rows, found = snapshots[live], dict(label)
    for view in EXAMPLE_VIEWS:
        entity = {"user": "user_id", "video": "video_id", "creator": "creator_id", "user_category": "user_id"}[view]
        attributes = sorted(set(label["categories"] or [])) if view == "user_category" else [""]
        for feature in FEATURES:
            found[f"{view}_{feature}"] = sum(
                rows.get((view, label[entity], attribute), {}).get(feature, 0) for attribute in attributes)
    return found
