"""What one night knows, as arrays: the catalogue with its popularity and features, and users with their histories."""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from funnel import ragged
from funnel.feature_matrix import CategoryFeatures, FeatureMatrix, feature_rows
from funnel.users import Users, cut_users, index_in, last_play_us, take_users
from lake import dates, lineage, snapshot
from lake.snapshot import Manifest

__all__ = ["Night", "NightTables", "Users", "cut_users", "load_histories", "load_night", "load_users", "night_tables",
           "take_users", "with_features"]

BASELINES = ("smoothed", "decayed", "7d", "all")  # the popularities of a night; the first where nothing was judged
_COUNTS = ("play_count_all", "play_count_7d", "decayed_play_count", "slowly_decayed_play_count")
_HISTORY = ["user_id", "video_ids", "event_times", "arrived_times", "liked", "seen_video_ids", "play_count",
            "country", "original_id"]


@dataclass(frozen=True, eq=False)
class Night:
    """The V videos that may be recommended as of a date: eligible, not blocked, ids ascending.

    creator_ids: i64[V], -1 unknown. category_offsets: i64[V+1] into category_codes i32[...], places in category_names.
    duration_ms: i64[V], -1 unknown. published_us: i64[V]. popularity: f32[V] plays under each of BASELINES,
    "smoothed" being the decayed ones that lean on slowly decayed ones (`smoothed`).
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


@dataclass(frozen=True)
class NightTables:
    """The snapshots that a night reads, found once, and the videos blocked for it."""

    as_of: date
    manifests: dict[str, Manifest]
    blocked: tuple[int, ...]


def night_tables(as_of: date) -> NightTables:
    """Find the snapshots of a night. lineage.Missing names what to build."""
    names = ("catalogue", "popularity", "histories", "feature_snapshots")
    return NightTables(as_of, {name: lineage.resolve(name, as_of) for name in names}, tuple(lineage.blocked(as_of)))


def load_night(as_of: date, exclude_blocked: bool = True, tables: NightTables | None = None) -> Night:
    """The night of a date; `tables` where they were found before. lineage.Missing names what to build."""
    tables = tables or night_tables(as_of)
    catalogue = snapshot.read(tables.manifests["catalogue"]).sort_by("video_id")
    usable = catalogue["eligible"].to_numpy()
    if exclude_blocked:
        usable = usable & ~np.isin(catalogue["video_id"].to_numpy(), tables.blocked)
    videos = catalogue.filter(pa.array(usable))
    ids = videos["video_id"].to_numpy()
    offsets, codes, names = _categories(videos["categories"])
    originals = videos["original_id"].to_pylist()
    everywhere, by_country = _popularity(tables.manifests["popularity"], ids)
    views = feature_rows(tables.manifests["feature_snapshots"], ("video", "creator"))
    return Night(
        as_of=as_of, video_ids=ids, creator_ids=_whole(videos["creator_id"], -1),
        category_offsets=offsets, category_codes=codes, category_names=names,
        duration_ms=_whole(videos["duration_ms"], -1), published_us=_whole(videos["published_at"], 0),
        titles=[title or f"video {original}" for title, original in
                zip(videos["title"].to_pylist(), originals, strict=True)],
        original_ids=originals, popularity=everywhere, by_country=by_country,
        features={view: FeatureMatrix.of(rows) for view, rows in views.items()})


def _whole(column: pa.ChunkedArray, missing: int) -> np.ndarray:
    return column.cast(pa.int64()).fill_null(missing).to_numpy()


def _categories(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Offsets, codes and the sorted names of a list<string> column; a null list or name is an empty one."""
    lists = column.combine_chunks()
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    flat = lists.drop_null().flatten().fill_null("").to_numpy(zero_copy_only=False).astype(str)
    names, codes = np.unique(flat, return_inverse=True)
    return ragged.offsets_of(lengths), codes.astype(np.int32), names.tolist()


def _popularity(manifest: Manifest, video_ids: np.ndarray) -> tuple[dict, dict]:
    rows = snapshot.read(manifest)
    index = index_in(video_ids, rows["video_id"].to_numpy())
    countries = rows["country"].combine_chunks().dictionary_encode()
    order = np.argsort(index, kind="stable")
    order = order[index[order] >= 0]
    index, code = index[order], countries.indices.to_numpy()[order]
    ever, week, decayed, slowly = (rows[column].to_numpy()[order] for column in _COUNTS)
    everywhere, by_country = {name: np.zeros(len(video_ids), np.float32) for name in BASELINES}, {}
    for number, country in sorted(enumerate(countries.dictionary.to_pylist()), key=lambda pair: pair[1]):
        here = code == number
        if country:
            by_country[country] = (index[here], decayed[here].astype(np.float32))
            continue
        plays = {"all": ever[here], "7d": week[here], "decayed": decayed[here],
                 "smoothed": smoothed(decayed[here], slowly[here])}
        for name, counts in everywhere.items():
            counts[index[here]] = plays[name]
    return everywhere, by_country


def smoothed(few: np.ndarray, many: np.ndarray) -> np.ndarray:
    """f32[V]: few + n / 2 · many / sum(many): plays that may be few, leaning on others, n of them above zero.

    Where the first are many they decide the order, where they are few the others do. Dirichlet smoothing (Zhai and
    Lafferty, "A study of smoothing methods for language models", 2004) with half a play for each video, the strength
    of Jeffreys' prior.
    """
    total = many.sum(dtype=np.float64)
    return (few + (np.count_nonzero(many) / 2 / total * many if total else 0)).astype(np.float32)


def load_users(as_of: date, buckets: list[int] | None = None, active_days: int = 0,
               tables: NightTables | None = None) -> Users:
    """`load_histories` with the users' features of the same date, live as lists are served."""
    tables = tables or night_tables(as_of)
    users = load_histories(as_of, buckets, active_days, tables)
    return with_features(users, tables.manifests["feature_snapshots"], buckets)


def load_histories(as_of: date, buckets: list[int] | None = None, active_days: int = 0,
                   tables: NightTables | None = None) -> Users:
    """Users with at least one play as of a date, of some of the 64 buckets (None: all), ascending by id; no features.

    active_days: only users whose last play is in [as_of - active_days, as_of); 0 is everyone.
    lineage.Missing names what to build.
    """
    manifest = tables.manifests["histories"] if tables else lineage.resolve("histories", as_of)
    rows = snapshot.read(manifest, columns=_HISTORY, buckets=buckets)
    users = _users(rows.filter(pc.greater(rows["play_count"], 0)).sort_by("user_id"), dates.midnight_us(as_of))
    if not active_days:
        return users
    since = dates.midnight_us(as_of) - active_days * dates.DAY_US
    return take_users(users, np.flatnonzero(last_play_us(users) >= since))


def _users(rows: pa.Table, asked_us: int) -> Users:
    plays = rows["video_ids"].combine_chunks()
    seen = rows["seen_video_ids"].combine_chunks()
    return Users(
        user_ids=rows["user_id"].to_numpy(), offsets=_list_offsets(plays), video_ids=plays.flatten().to_numpy(),
        event_us=_flat_us(rows["event_times"]), arrived_us=_flat_us(rows["arrived_times"]),
        liked=rows["liked"].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(bool),
        seen_offsets=_list_offsets(seen), seen_video_ids=seen.flatten().to_numpy(),
        countries=rows["country"].fill_null("").to_pylist(), play_count=rows["play_count"].to_numpy(),
        original_ids=rows["original_id"].to_pylist(), features=FeatureMatrix.empty(),
        category_features=CategoryFeatures.empty(), asked_us=np.full(rows.num_rows, asked_us))


def _list_offsets(lists: pa.ListArray) -> np.ndarray:
    return ragged.offsets_of(pc.list_value_length(lists).to_numpy(zero_copy_only=False))


def _flat_us(column: pa.ChunkedArray) -> np.ndarray:
    return column.combine_chunks().flatten().cast(pa.int64()).to_numpy()


def with_features(users: Users, manifest: Manifest, buckets: list[int] | None = None) -> Users:
    """The same users with their user and user_category features of a snapshot of feature_snapshots."""
    views = feature_rows(manifest, ("user", "user_category"), buckets)
    return replace(users, features=FeatureMatrix.of(views["user"]),
                   category_features=CategoryFeatures.of(views["user_category"], users.user_ids))
