"""Worlds of arrays as snapshots in a lake, so that loaders and jobs can be tried without a log."""

from datetime import date

import numpy as np
import pyarrow as pa

from funnel import ragged
from funnel.night import Night
from funnel.users import Users
from lake import lineage, writing
from lake.columns import TIMESTAMP
from lake.snapshot import Manifest
from lake.tables import FEATURES, table


def commit(name: str, as_of: date, rows: pa.Table) -> Manifest:
    """One snapshot of a table, unchecked."""
    attempt = writing.begin(lineage.plan(name, as_of))
    return writing.commit(attempt, [writing.write_part(name, attempt.folder, rows, "part-00000")], [])


def write_night(night: Night, users: Users, removed: dict[int, str] | None = None, slow: float = 0.0) -> None:
    """Catalogue, popularity, histories and feature_snapshots of a night. removed: ids of videos that are known but
    not eligible, with a title. slow: the slowly decayed plays of every video; 0 leaves the decayed ones as they are."""
    commit("catalogue", night.as_of, catalogue_rows(night, removed or {}))
    commit("popularity", night.as_of, popularity_rows(night, slow))
    commit("histories", night.as_of, history_rows(users))
    commit("feature_snapshots", night.as_of, feature_rows(night, users))


def catalogue_rows(night: Night, removed: dict[int, str]) -> pa.Table:
    gone = len(removed)
    names = np.array(night.category_names)[night.category_codes].tolist() if night.category_names else []
    categories = [names[a:b] for a, b in zip(night.category_offsets, night.category_offsets[1:])]
    return pa.table({
        "video_id": np.append(night.video_ids, list(removed)).astype(np.int64),
        "creator_id": pa.array([None if c < 0 else int(c) for c in night.creator_ids] + [None] * gone, pa.int64()),
        "categories": pa.array(categories + [None] * gone, pa.list_(pa.string())),
        "duration_ms": pa.array([None if d < 0 else int(d) for d in night.duration_ms] + [None] * gone, pa.int64()),
        "title": pa.array(night.titles + list(removed.values())),
        "published_at": pa.array(night.published_us.tolist() + [0] * gone, TIMESTAMP),
        "removed_at": pa.array([None] * night.size + [1] * gone, TIMESTAMP),
        "eligible": [True] * night.size + [False] * gone,
        "first_seen_at": pa.array(night.published_us.tolist() + [0] * gone, TIMESTAMP),
        "original_id": pa.array(night.original_ids + [str(video) for video in removed], pa.string())})


def popularity_rows(night: Night, slow: float = 0.0) -> pa.Table:
    rows = [("", int(video), int(night.popularity["all"][n]), int(night.popularity["7d"][n]),
             float(night.popularity["decayed"][n]), slow) for n, video in enumerate(night.video_ids)]
    for country, (index, plays) in night.by_country.items():
        rows += [(country, int(night.video_ids[n]), 1, 1, float(weight), slow) for n, weight in zip(index, plays)]
    columns = list(zip(*rows)) or [[]] * 6
    return pa.table(dict(zip(table("popularity").schema.names, map(list, columns))), schema=table("popularity").schema)


def history_rows(users: Users) -> pa.Table:
    def lists(offsets: np.ndarray, values: np.ndarray, kind: pa.DataType) -> pa.Array:
        return pa.array([values[a:b].tolist() for a, b in zip(offsets, offsets[1:])], pa.list_(kind))

    last = [int(users.event_us[b - 1]) if b > a else None for a, b in zip(users.offsets, users.offsets[1:])]
    return pa.table({
        "user_id": users.user_ids, "video_ids": lists(users.offsets, users.video_ids, pa.int64()),
        "event_times": lists(users.offsets, users.event_us, TIMESTAMP),
        "arrived_times": lists(users.offsets, users.arrived_us, TIMESTAMP),
        "liked": lists(users.offsets, users.liked, pa.bool_()),
        "seen_video_ids": lists(users.seen_offsets, users.seen_video_ids, pa.int64()),
        "play_count": users.play_count, "last_play_at": pa.array(last, TIMESTAMP),
        "country": pa.array([country or None for country in users.countries], pa.string()),
        "original_id": pa.array(users.original_ids, pa.string()),
        **{name: pa.nulls(users.size, table("histories").schema.field(name).type)
           for name in ("liked_video_ids", "user_country", "event_country", "event_country_at")}})


def feature_rows(night: Night, users: Users) -> pa.Table:
    parts = [_view(view, matrix.ids, [""] * len(matrix.ids), matrix.values)
             for view, matrix in (*night.features.items(), ("user", users.features))]
    view = users.category_features
    if len(view.codes):
        names = [view.names[code] for code in view.codes]
        parts.append(_view("user_category", users.user_ids[ragged.row_of(view.offsets)], names, view.values))
    return pa.concat_tables(parts)


def _view(view: str, ids: np.ndarray, attributes: list[str], values: np.ndarray) -> pa.Table:
    return pa.table({"view": pa.array([view] * len(ids), pa.string()), "entity_id": pa.array(ids, pa.int64()),
                     "attribute": pa.array(attributes, pa.string()),
                     **{name: values[:, n].astype(np.int64) for n, name in enumerate(FEATURES)}})
