"""What a night serves, recomputed row by row: the skew check.

For a slice (some users, videos and creators) every stored feature, history, popularity, catalogue row and label is
computed again by the plain reference of validation/reference.py, from deduplicated events and landed versions, and must
be equal; and what may not be in an index or a list is looked for there.
"""

from datetime import date

import numpy as np
import pyarrow as pa

from jobs.audit_slice import Slice, first_by_hash, known_versions, versions_of
from lake import lineage, snapshot
from lake.dates import midnight_us
from lake.hashing import bucket_of
from lake.tables import FEATURES, table
from publishing import ann_index
from validation import reference
from validation.differences import Difference, of_rows

EXAMPLE_DAYS = 3
_USER_VIEWS, _VIDEO_VIEWS = ("user", "user_category"), ("video", "country_video")


def differences(as_of: date, asked: Slice) -> tuple[list[Difference], int]:
    """Where the snapshots of a date differ from the reference, and how many values were compared."""
    found: list[Difference] = []
    compared = 0
    for check in (_features, _histories, _popularity, _catalogue):
        name, stored, expected, columns = check(as_of, asked)
        found += of_rows(name, stored, expected, columns)
        compared += len(expected) * len(columns)
    return found, compared


def _features(as_of: date, asked: Slice) -> tuple[str, dict, dict, list[str]]:
    by_view = {**dict.fromkeys(_USER_VIEWS, asked.user_ids), **dict.fromkeys(_VIDEO_VIEWS, asked.video_ids),
               "creator": asked.creator_ids}
    stored = {(row["view"], row["entity_id"], row["attribute"]): row
              for row in _stored("feature_snapshots", as_of, "entity_id",
                                 asked.user_ids | asked.video_ids | asked.creator_ids)
              if row["entity_id"] in by_view[row["view"]]}
    return "feature_snapshots", stored, _expected_features(as_of, asked), list(FEATURES)


def _expected_features(as_of: date, asked: Slice) -> dict[tuple, dict]:
    """Feature rows of the slice's users, videos and creators."""
    of_user = reference.features(asked.by_user, asked.videos, as_of)
    of_video = of_user if asked.by_video is asked.by_user else reference.features(asked.by_video, asked.videos, as_of)
    found = {key: row for key, row in of_user.items() if key[0] in _USER_VIEWS and key[1] in asked.user_ids}
    return found | {key: row for key, row in of_video.items()
                    if key[0] in _VIDEO_VIEWS and key[1] in asked.video_ids
                    or key[0] == "creator" and key[1] in asked.creator_ids}


def _buckets(ids: frozenset[int]) -> set[int]:
    return set(bucket_of(np.array(sorted(ids), np.int64)).tolist())


def _stored(name: str, as_of: date, key: str, ids: frozenset[int]) -> list[dict]:
    rows = snapshot.read(lineage.resolve(name, as_of), buckets=sorted(_buckets(ids)))
    return reference.rows_of(rows.filter(pa.array(np.isin(rows[key].to_numpy(), sorted(ids)))))


def _histories(as_of: date, asked: Slice) -> tuple[str, dict, dict, list[str]]:
    of_user = reference.versions_by("user_id", asked.by_user)
    length = table("histories").parameters["length"]
    expected = {}
    for user in asked.user_ids:
        events = reference.arrived(of_user[user], as_of)
        if any(event["event_time"] < midnight_us(as_of) for event in events):
            row = reference.known(asked.users, user, midnight_us(as_of))
            expected[user,] = reference.history(events, row, as_of, length)
    stored = {(row["user_id"],): row for row in _stored("histories", as_of, "user_id", asked.user_ids)}
    return "histories", stored, expected, list(next(iter(expected.values()), {}))


def _popularity(as_of: date, asked: Slice) -> tuple[str, dict, dict, list[str]]:
    half_life = table("popularity").parameters["half_life_days"]
    expected = {(country, video): row for (country, video), row in
                reference.popularity(asked.by_video, as_of, half_life).items() if video in asked.video_ids}
    columns = ["play_count_7d", "play_count_all", *half_life]
    stored = {(row["country"], row["video_id"]): row
              for row in _stored("popularity", as_of, "video_id", asked.video_ids)}
    if asked.since_us is not None:
        stored = {key: row for key, row in stored.items() if key in expected}
        columns = columns[:1]
    return "popularity", stored, expected, columns


def _catalogue(as_of: date, asked: Slice) -> tuple[str, dict, dict, list[str]]:
    first: dict[int, int] = {}
    for event in [*asked.by_user, *asked.by_video]:
        if event["arrived_at"] < midnight_us(as_of):
            first[event["video_id"]] = min(event["arrived_at"], first.get(event["video_id"], event["arrived_at"]))
    expected = {}
    for video in asked.video_ids:
        told = asked.videos.get(video, [])
        row = reference.catalogue_row(told, first.get(video), as_of)
        dated = asked.since_us is None or any(one["published_at"] is not None for one in told)
        if row is not None and dated:
            expected[video,] = row
    stored = {(row["video_id"],): row for row in _stored("catalogue", as_of, "video_id", asked.video_ids)}
    if asked.since_us is not None:
        stored = {key: row for key, row in stored.items() if key in expected}
    return "catalogue", stored, expected, list(next(iter(expected.values()), {}))


def label_differences(as_of: date, asked: Slice) -> tuple[list[Difference], int]:
    """The same for the labels of the slice's users, and for the features of the examples of some days."""
    start = midnight_us(date.fromisoformat(lineage.resolve("labels", as_of).extra["start"]))
    expected = {_key(row): row for row in reference.labels(asked.by_user, asked.videos, as_of)
                if row["event_time"] >= start}
    examples = _stored("training_examples", as_of, "user_id", asked.user_ids)
    columns = list(next(iter(expected.values()), {}))
    found = of_rows("training_examples", {_key(row): row for row in examples}, expected, columns)
    compared = len(expected) * len(columns)
    for live in _days_of(examples, as_of):
        rows = [row for row in examples if reference.live_as_of(row["event_time"]) == live]
        more, values = _example_differences(rows, live, asked)
        found, compared = found + more, compared + values
    return found, compared


def _key(row: dict) -> tuple:
    return row["user_id"], row["event_time"], row["event_id"]


def _days_of(examples: list[dict], as_of: date) -> list[date]:
    """A few of the dates that were live at the examples."""
    days = np.array(sorted({reference.live_as_of(row["event_time"]).toordinal() for row in examples}), np.int64)
    return [date.fromordinal(int(day)) for day in first_by_hash(days, as_of, EXAMPLE_DAYS)]


def _example_differences(rows: list[dict], live: date, asked: Slice) -> tuple[list[Difference], int]:
    """Features of examples at which one date was live, as far as the slice knows every event behind them."""
    features = _expected_features(live, asked)
    every = {_key(row): reference.example(row, features) for row in rows}
    found, compared = [], 0
    for view, key, ids in (("user", "user_id", asked.user_ids), ("user_category", "user_id", asked.user_ids),
                           ("video", "video_id", asked.video_ids), ("creator", "creator_id", asked.creator_ids)):
        known = [row for row in rows if row[key] in ids]
        columns = [f"{view}_{feature}" for feature in FEATURES]
        expected = {_key(row): every[_key(row)] for row in known}
        found += of_rows("training_examples", {_key(row): row for row in known}, expected, columns)
        compared += len(known) * len(columns)
    return found, compared


def list_differences(as_of: date, asked: Slice, k: int, active_days: int) -> tuple[list[Difference], int]:
    """What may not be in an index or in the lists of the slice's users: videos that were not out, were removed, blocked
    or seen; ranks that skip one."""
    catalogue = snapshot.read(lineage.resolve("catalogue", as_of), ["video_id", "eligible"])
    eligible = set(catalogue["video_id"].to_numpy()[catalogue["eligible"].to_numpy()].tolist())
    allowed = eligible - set(lineage.blocked(as_of)) - _not_out(as_of)
    found, compared = [], 0
    if lineage.model_of(as_of):
        indexed = set(ann_index.indexed(lineage.resolve("ann_index", as_of)).tolist())
        found.append(Difference("ann_index", "video_id", len(indexed ^ allowed)))
        compared += len(allowed)
    manifest = lineage.resolve("recommendations", as_of, k=k, active_days=active_days)
    rows = snapshot.read(manifest, ["user_id", "video_id", "rank"], sorted(_buckets(asked.user_ids)))
    rows = rows.sort_by([("user_id", "ascending"), ("rank", "ascending")])
    lists = reference.versions_by("user_id", rows.to_pylist())
    seen = reference.versions_by("user_id", (event for event in asked.by_user if event["event_type"] == "play"
                                             and event["arrived_at"] < midnight_us(as_of) > event["event_time"]))
    for user in sorted(asked.user_ids & lists.keys()):
        videos = [row["video_id"] for row in lists[user]]
        wrong = set(videos) - allowed | set(videos) & {event["video_id"] for event in seen[user]}
        found.append(Difference("recommendations", "video_id", len(wrong) + len(videos) - len(set(videos))))
        gaps = sum(row["rank"] != n for n, row in enumerate(lists[user], 1))
        found.append(Difference("recommendations", "rank", gaps))
        compared += len(videos)
    return _added(found), compared


def _added(found: list[Difference]) -> list[Difference]:
    total: dict[tuple[str, str], int] = {}
    for one in found:
        total[one.what, one.column] = total.get((one.what, one.column), 0) + one.rows
    return [Difference(what, column, rows) for (what, column), rows in total.items() if rows]


def _not_out(as_of: date) -> set[int]:
    """Videos that were not published before a date, or were removed before it, by their last landed version."""
    now, found = midnight_us(as_of), set()
    for video, told in versions_of(known_versions("raw_videos", as_of), "video_id").items():
        last = reference.known({video: told}, video, now)
        if (last.get("published_at") or 0) >= now or (last.get("removed_at") or now) < now:
            found.add(video)
    return found
