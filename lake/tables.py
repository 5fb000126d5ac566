"""The way of the data, top to bottom: every table, what identifies a row, and what it is made from.

This file is the only map. The DAGs' edges and the picture in the README are checked against it. A table's `version`
is part of every snapshot's identity: raise it when the meaning of its rows changes.
"""

from dataclasses import dataclass, field

import pyarrow as pa

from lake.columns import EVENT, TIMESTAMP, USER, VIDEO, Column, optional, required

MEASURES = (
    "impression_count",
    "play_count",
    "like_count",
    "share_count",
    "not_interested_count",
    "watch_ms_sum",
    "duration_ms_sum",
)
WINDOWS_DAYS = (1, 7, 28)
FEATURES = tuple(f"{measure}_{days}d" for measure in MEASURES for days in WINDOWS_DAYS)
EXAMPLE_VIEWS = ("user", "video", "creator", "user_category")
EXAMPLE_FEATURES = tuple(f"{view}_{feature}" for view in EXAMPLE_VIEWS for feature in FEATURES)


@dataclass(frozen=True)
class Table:
    """One table: rows are unique and ordered by `key`, laid out in 64 buckets of the id in `bucket_by`."""

    name: str
    version: int
    key: tuple[str, ...]
    bucket_by: str
    inputs: tuple[str, ...]
    columns: tuple[Column, ...]
    doc: str
    unique: bool = True
    parameters: dict[str, object] = field(default_factory=dict)

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, c.type, c.nullable) for c in self.columns])


def _counts(names: tuple[str, ...]) -> tuple[Column, ...]:
    return tuple(required(name, pa.int64(), "integer sum; 0 where nothing happened") for name in names)


_VIEW_KEY = (
    required("view", pa.string(), "feature view: user, video, creator, user_category, country_video"),
    required("entity_id", pa.int64(), "user, video or creator id, as the view says"),
    required("attribute", pa.string(), "category or country of two-part keys, else empty"),
)

_LABEL = (
    required("event_id", pa.int64(), "the impression, or the play that no impression explains"),
    required("user_id", pa.int64(), "the viewer"),
    required("video_id", pa.int64(), "the video"),
    required("event_time", TIMESTAMP, "the moment to predict at; features are strictly older"),
    required("shown", pa.bool_(), "true for an impression, false for a play of its own"),
    optional("position", pa.int32(), "place in the list that was shown"),
    optional("propensity", pa.float64(), "logged probability of showing it there"),
    optional("surface", pa.string(), "where in the product"),
    optional("country", pa.string(), "where the viewer was"),
    required("played", pa.bool_(), "a play belongs to it"),
    required("liked", pa.bool_(), "a like belongs to it"),
    required("shared", pa.bool_(), "a share belongs to it"),
    required("not_interested", pa.bool_(), "a not_interested belongs to it"),
    optional("watch_ms", pa.int64(), "sum over its plays; null when none was measured"),
    optional("duration_ms", pa.int64(), "length of the video as known at event_time; null when unknown"),
    optional("creator_id", pa.int64(), "who made it, as known at event_time"),
    optional("categories", pa.list_(pa.string()), "its categories, as known at event_time"),
)

TABLES = (
    Table("raw_events", 1, tuple(c.name for c in EVENT), "event_id", (), EVENT,
          "landed rows of the log, one snapshot per landing, sealed by arrival day", unique=False),
    Table("raw_videos", 1, ("video_id", "arrived_at"), "video_id", (), VIDEO,
          "landed versions of catalogue rows"),
    Table("raw_users", 1, ("user_id", "arrived_at"), "user_id", (), USER,
          "landed versions of user rows"),
    Table("ids", 1, ("kind", "id"), "id", (), (
        required("kind", pa.string(), "user, video or creator"),
        required("id", pa.int64(), "the id inside Nightreel"),
        required("original_id", pa.string(), "the string id in the log"),
    ), "string ids and what they became; empty for integer logs"),
    Table("quarantine", 1, ("source", "source_row", "reason"), "source_row", (), (
        required("source", pa.string(), "file the row came from"),
        required("source_row", pa.int64(), "row number in that file, from 0"),
        required("reason", pa.string(), "why it can't be true"),
        required("content", pa.string(), "the row as JSON, cut at 2,000 characters"),
    ), "rows that can't be true, kept beside the landing that refused them"),
    Table("events", 1, ("user_id", "event_time", "arrived_at", "event_id"), "user_id", ("raw_events",), EVENT,
          "deduplicated events, one snapshot per landing; first arrival of an event_id wins"),
    Table("tiles", 1, ("view", "entity_id", "attribute", "event_day", "arrival_day"), "entity_id",
          ("events", "raw_videos"), _VIEW_KEY + (
              required("event_day", pa.date32(), "UTC day it happened"),
              required("arrival_day", pa.date32(), "UTC day it could be known"),
          ) + _counts(MEASURES),
          "partial aggregates per entity, event day and arrival day: each night adds only what arrived"),
    Table("feature_snapshots", 1, ("view", "entity_id", "attribute"), "entity_id", ("tiles",),
          _VIEW_KEY + _counts(FEATURES),
          "windows [as_of - days, as_of) summed from tiles; a key without events is absent and means zeros"),
    Table("catalogue", 2, ("video_id",), "video_id", ("raw_videos", "events", "ids"), (
        required("video_id", pa.int64(), "every video known before as_of, from the catalogue or from an event"),
        optional("creator_id", pa.int64(), "who made it"),
        optional("categories", pa.list_(pa.string()), "its categories, as known before as_of"),
        optional("duration_ms", pa.int64(), "its length, ms"),
        optional("title", pa.string(), "what people see"),
        required("published_at", TIMESTAMP, "as told, else the first arrival of the video or of an event on it"),
        optional("removed_at", TIMESTAMP, "when it was taken down, as known before as_of"),
        required("eligible", pa.bool_(), "published before as_of and not removed before it"),
        optional("first_seen_at", TIMESTAMP, "first arrival of a row or of an event on it; the next night goes on from it"),
        required("original_id", pa.string(), "the id in the user's log"),
    ), "the videos as known at as_of"),
    Table("histories", 2, ("user_id",), "user_id", ("events", "raw_users", "ids"), (
        required("user_id", pa.int64(), "every user with an event before as_of"),
        required("video_ids", pa.list_(pa.int64()), "the last 1,000 plays, oldest first, in the pinned order"),
        required("event_times", pa.list_(TIMESTAMP), "when each happened"),
        required("arrived_times", pa.list_(TIMESTAMP), "when each could be known"),
        required("liked", pa.list_(pa.bool_()), "whether the user liked that video by then (before as_of)"),
        required("seen_video_ids", pa.list_(pa.int64()), "every video ever played, ascending"),
        required("play_count", pa.int64(), "all plays ever"),
        optional("last_play_at", TIMESTAMP, "event time of the last play; null without one"),
        optional("country", pa.string(), "from the user row, else from the last event that has one"),
        required("original_id", pa.string(), "the id in the user's log"),
        optional("liked_video_ids", pa.list_(pa.int64()), "every video ever liked, ascending; the next night goes on from it"),
        optional("user_country", pa.string(), "of the last user row"),
        optional("event_country", pa.string(), "of the last event that has one"),
        optional("event_country_at", TIMESTAMP, "when that happened"),
    ), "each user's last plays as known at as_of", parameters={"length": 1000}),
    Table("popularity", 3, ("country", "video_id"), "video_id", ("tiles",), (
        required("country", pa.string(), "empty for the whole world"),
        required("video_id", pa.int64(), "the video"),
        required("play_count_all", pa.int64(), "plays ever"),
        required("play_count_7d", pa.int64(), "plays in [as_of - 7 d, as_of)"),
        required("decayed_play_count", pa.float64(), "plays weighted by 2^(-age in days / 14), faded night by night"),
        required("slowly_decayed_play_count", pa.float64(), "the same with / 180"),
    ), "the popularity baselines, which are also the fallback",
          parameters={"half_life_days": {"decayed_play_count": 14, "slowly_decayed_play_count": 180}}),
    Table("labels", 1, ("user_id", "event_time", "event_id"), "user_id", ("events", "raw_videos"), _LABEL,
          "impressions, and plays that no impression explains, with what followed within 24 h; matured rows only",
          parameters={"attribution_hours": 24, "min_days": 28, "enough_rows": 10_000}),
    Table("training_examples", 1, ("user_id", "event_time", "event_id"), "user_id",
          ("labels", "feature_snapshots"), _LABEL + _counts(EXAMPLE_FEATURES),
          "labels joined point in time: the snapshot that was live when the label happened"),
    Table("model", 1, (), "", ("histories", "catalogue", "popularity", "training_examples", "feature_snapshots"), (),
          "retrieval and ranker in one version: safetensors weights and settings, through the gate"),
    Table("ann_index", 2, (), "", ("model", "catalogue"), (),
          "FAISS over the eligible catalogue, with ids, model version and measured recall"),
    Table("recommendations", 7, ("user_id", "rank"), "user_id",
          ("ann_index", "model", "histories", "catalogue", "popularity", "feature_snapshots"), (
              required("user_id", pa.int64(), "the viewer"),
              required("video_id", pa.int64(), "the video"),
              required("rank", pa.int32(), "from 1"),
              required("score", pa.float32(), "expected value as the ranker sees it; popularity where there is none"),
              required("source", pa.string(), "candidate source that found it"),
              required("reason", pa.string(), "one sentence for people"),
              required("user_original_id", pa.string(), "the user's id in the log"),
              required("video_original_id", pa.string(), "the video's id in the log"),
          ), "the nightly lists, a few rows longer than K so that tombstones leave them full",
          parameters={"k": 50, "active_days": 0}),
    Table("fallback", 2, ("country", "rank"), "rank", ("popularity", "catalogue"), (
        required("country", pa.string(), "empty for everyone"),
        required("video_id", pa.int64(), "the video"),
        required("rank", pa.int32(), "from 1"),
        required("score", pa.float32(), "smoothed plays"),
        required("source", pa.string(), "popular"),
        required("reason", pa.string(), "one sentence for people"),
        required("video_original_id", pa.string(), "the video's id in the log"),
    ), "the list of a user without history", parameters={"k": 50}),
    Table("release", 1, (), "", ("recommendations", "fallback", "ann_index", "feature_snapshots", "model"), (),
          "one file that makes model version, features, index and table live together"),
)

_BY_NAME = {declared.name: declared for declared in TABLES}


def table(name: str) -> Table:
    """The declaration of a table; KeyError names the known ones."""
    if name not in _BY_NAME:
        raise KeyError(f"no table {name!r} in lake/tables.py; known: {', '.join(_BY_NAME)}")
    return _BY_NAME[name]
