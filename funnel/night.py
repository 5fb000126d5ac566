"""What one night knows, as arrays: the catalogue with its popularity and features, and users with their histories."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from funnel import ragged
from funnel.feature_matrix import CategoryFeatures, FeatureMatrix, feature_rows
from lake import dates, lineage, snapshot

POPULARITY_COLUMNS = {"all": "play_count_all", "7d": "play_count_7d", "decayed": "decayed_play_count"}
_HISTORY = ["user_id", "video_ids", "event_times", "arrived_times", "liked", "seen_video_ids", "play_count",
            "country", "original_id"]


@dataclass(frozen=True, eq=False)
class Night:
    """The V videos that may be recommended as of a date: eligible, not blocked, ids ascending.

    creator_ids: i64[V], -1 unknown. category_offsets: i64[V+1] into category_codes i32[...], places in category_names.
    duration_ms: i64[V], -1 unknown. published_us: i64[V]. popularity: f32[V] under "all", "7d", "decayed" (plays).
    by_country: country → (video indices i64[n] ascending, decayed plays f32[n]). features: "video" and "creator".
    """

    as_of: date
    video_ids: np.ndarray
    creator_ids: np.ndarray
    category_offsets: np.ndarray
    category_codes: np.ndarray
    category_names: list[str]
    duration_ms: np.ndarray
    published_us: np.ndarray
    titles: list[str]
    original_ids: list[str]
    popularity: dict[str, np.ndarray]
    by_country: dict[str, tuple[np.ndarray, np.ndarray]]
    features: dict[str, FeatureMatrix]

    @property
    def size(self) -> int:
        return len(self.video_ids)

    @property
    def as_of_us(self) -> int:
        return dates.midnight_us(self.as_of)

    def index_of(self, video_ids: np.ndarray) -> np.ndarray:
        """i64[...]: the place of each video in this night, -1 where it may not be recommended."""
        return index_in(self.video_ids, video_ids)


@dataclass(frozen=True, eq=False)
class Users:
    """U users, ids ascending, with their last plays, oldest first, in the pinned order.

    offsets: i64[U+1] into video_ids, event_us, arrived_us (i64[N]) and liked (bool[N]). seen_offsets: i64[U+1] into
    seen_video_ids, ascending per user. countries: "" unknown. play_count: i64[U], all plays ever. features: the user
    view. category_features: the user_category view of these users.
    """

    user_ids: np.ndarray
    offsets: np.ndarray
    video_ids: np.ndarray
    event_us: np.ndarray
    arrived_us: np.ndarray
    liked: np.ndarray
    seen_offsets: np.ndarray
    seen_video_ids: np.ndarray
    countries: list[str]
    play_count: np.ndarray
    original_ids: list[str]
    features: FeatureMatrix
    category_features: CategoryFeatures

    @property
    def size(self) -> int:
        return len(self.user_ids)


def index_in(ascending: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """i64, the shape of wanted: the place of each value in an ascending array, -1 where absent."""
    if not len(ascending):
        return np.full(np.shape(wanted), -1, np.int64)
    place = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return np.where(ascending[place] == wanted, place, -1)


def load_night(as_of: date, exclude_blocked: bool = True) -> Night:
    """The night of a date from catalogue, popularity and feature_snapshots. lineage.Missing names what to build."""
    catalogue = snapshot.read(lineage.resolve("catalogue", as_of)).sort_by("video_id")
    usable = catalogue["eligible"].to_numpy()
    if exclude_blocked:
        usable = usable & ~np.isin(catalogue["video_id"].to_numpy(), lineage.blocked(as_of))
    videos = catalogue.filter(pa.array(usable))
    ids = videos["video_id"].to_numpy()
    offsets, codes, names = _categories(videos["categories"])
    originals = videos["original_id"].to_pylist()
    everywhere, by_country = _popularity(as_of, ids)
    features = lineage.resolve("feature_snapshots", as_of)
    return Night(
        as_of=as_of, video_ids=ids, creator_ids=_whole(videos["creator_id"], -1),
        category_offsets=offsets, category_codes=codes, category_names=names,
        duration_ms=_whole(videos["duration_ms"], -1), published_us=_whole(videos["published_at"], 0),
        titles=[title or f"video {original}" for title, original in
                zip(videos["title"].to_pylist(), originals, strict=True)],
        original_ids=originals, popularity=everywhere, by_country=by_country,
        features={view: FeatureMatrix.of(feature_rows(features, view)) for view in ("video", "creator")})


def _whole(column: pa.ChunkedArray, missing: int) -> np.ndarray:
    return column.cast(pa.int64()).fill_null(missing).to_numpy()


def _categories(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Offsets, codes and the sorted names of a list<string> column; a null list or name is an empty one."""
    lists = column.combine_chunks()
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    flat = lists.drop_null().flatten().fill_null("").to_numpy(zero_copy_only=False).astype(str)
    names, codes = np.unique(flat, return_inverse=True)
    return ragged.offsets_of(lengths), codes.astype(np.int32), names.tolist()


def _popularity(as_of: date, video_ids: np.ndarray) -> tuple[dict, dict]:
    rows = snapshot.read(lineage.resolve("popularity", as_of))
    rows = rows.sort_by([("country", "ascending"), ("video_id", "ascending")])
    index = index_in(video_ids, rows["video_id"].to_numpy())
    countries = rows["country"].to_numpy(zero_copy_only=False).astype(str)
    world = (countries == "") & (index >= 0)
    everywhere = {}
    for name, column in POPULARITY_COLUMNS.items():
        everywhere[name] = np.zeros(len(video_ids), np.float32)
        everywhere[name][index[world]] = rows[column].to_numpy()[world]
    decayed, by_country = rows["decayed_play_count"].to_numpy().astype(np.float32), {}
    for country in np.unique(countries[countries != ""]).tolist():
        mask = (countries == country) & (index >= 0)
        by_country[country] = (index[mask], decayed[mask])
    return everywhere, by_country


def load_users(as_of: date, buckets: list[int] | None = None, active_days: int = 0) -> Users:
    """Users with at least one play as of a date, of some of the 64 buckets (None: all), ascending by id.

    active_days: only users whose last play is in [as_of - active_days, as_of); 0 is everyone.
    lineage.Missing names what to build.
    """
    manifest = lineage.resolve("histories", as_of)
    rows = snapshot.read(manifest, columns=_HISTORY, buckets=buckets).sort_by("user_id")
    rows = rows.filter(pc.greater(rows["play_count"], 0))
    users = _users(rows)
    if active_days:
        since = dates.midnight_us(as_of) - active_days * dates.DAY_US
        users = take_users(users, np.flatnonzero(last_play_us(users) >= since))
    return with_features(users, as_of, buckets)


def _users(rows: pa.Table) -> Users:
    plays = rows["video_ids"].combine_chunks()
    seen = rows["seen_video_ids"].combine_chunks()
    return Users(
        user_ids=rows["user_id"].to_numpy(), offsets=_list_offsets(plays), video_ids=plays.flatten().to_numpy(),
        event_us=_flat_us(rows["event_times"]), arrived_us=_flat_us(rows["arrived_times"]),
        liked=rows["liked"].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(bool),
        seen_offsets=_list_offsets(seen), seen_video_ids=seen.flatten().to_numpy(),
        countries=rows["country"].fill_null("").to_pylist(), play_count=rows["play_count"].to_numpy(),
        original_ids=rows["original_id"].to_pylist(), features=FeatureMatrix.empty(),
        category_features=CategoryFeatures.empty())


def _list_offsets(lists: pa.ListArray) -> np.ndarray:
    return ragged.offsets_of(pc.list_value_length(lists).to_numpy(zero_copy_only=False))


def _flat_us(column: pa.ChunkedArray) -> np.ndarray:
    return column.combine_chunks().flatten().cast(pa.int64()).to_numpy()


def with_features(users: Users, as_of: date, buckets: list[int] | None = None) -> Users:
    """The same users with their user and user_category features of the feature snapshot of a date."""
    manifest = lineage.resolve("feature_snapshots", as_of)
    rows = feature_rows(manifest, "user_category", buckets)
    return replace(users, features=FeatureMatrix.of(feature_rows(manifest, "user", buckets)),
                   category_features=CategoryFeatures.of(rows, users.user_ids))


def last_play_us(users: Users) -> np.ndarray:
    """i64[U]: event time of each user's last play, microseconds; 0 without one."""
    found = np.zeros(users.size, np.int64)
    some = np.diff(users.offsets) > 0
    found[some] = users.event_us[users.offsets[1:][some] - 1]
    return found


def take_users(users: Users, rows: np.ndarray) -> Users:
    """The users at these ascending places."""
    flat, offsets = ragged.take(users.offsets, rows)
    seen, seen_offsets = ragged.take(users.seen_offsets, rows)
    return replace(
        users, user_ids=users.user_ids[rows], offsets=offsets, video_ids=users.video_ids[flat],
        event_us=users.event_us[flat], arrived_us=users.arrived_us[flat], liked=users.liked[flat],
        seen_offsets=seen_offsets, seen_video_ids=users.seen_video_ids[seen], countries=_pick(users.countries, rows),
        play_count=users.play_count[rows], original_ids=_pick(users.original_ids, rows),
        category_features=users.category_features.take(rows))


def _pick(values: Sequence[str], rows: np.ndarray) -> list[str]:
    return [values[row] for row in rows.tolist()]


def cut_users(users: Users, before_us: int) -> Users:
    """The same U users as they were known at a midnight: plays that happened and had arrived strictly before it.

    A seen video leaves `seen` when all its plays in the kept history are at or after the cut. Histories keep the last
    plays only, so a video played before them and again after the cut is wrongly unseen: rare, and only in training.
    Features are dropped (all defaults): add those of the day with `with_features`. A like has no time of its own and
    follows its play.
    """
    known = (users.event_us < before_us) & (users.arrived_us < before_us)
    row = ragged.row_of(users.offsets)
    later = np.unique(_pairs(row[~known], users.video_ids[~known]))
    earlier = np.unique(_pairs(row[known], users.video_ids[known]))
    seen = _pairs(ragged.row_of(users.seen_offsets), users.seen_video_ids)
    unseen = np.isin(seen, np.setdiff1d(later, earlier, assume_unique=True))
    cut = np.bincount(row[~known], minlength=users.size)
    return replace(
        users, offsets=ragged.keep(users.offsets, known), video_ids=users.video_ids[known],
        event_us=users.event_us[known], arrived_us=users.arrived_us[known], liked=users.liked[known],
        seen_offsets=ragged.keep(users.seen_offsets, ~unseen), seen_video_ids=users.seen_video_ids[~unseen],
        play_count=np.maximum(users.play_count - cut, 0), features=FeatureMatrix.empty(),
        category_features=CategoryFeatures.empty())


def _pairs(row: np.ndarray, video_ids: np.ndarray) -> np.ndarray:
    """Structured (row, video) pairs that sort and compare as one value."""
    pairs = np.empty(len(row), [("row", np.int64), ("video", np.int64)])
    pairs["row"], pairs["video"] = row, video_ids
    return pairs
