"""Feature snapshots and popularity: windows summed from tiles, for many dates in one pass over a bucket."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from features.tiles import read_tiles
from features.views import FEATURES, MEASURES, WINDOWS_DAYS
from lake import writing
from lake.snapshot import Manifest
from lake.tables import table

_GROUP = ("view", "entity_id", "attribute")


def write_snapshots(chunks: list[Manifest], as_ofs: list[date], folders: list[str], part: int,
                    buckets: list[int]) -> list[dict]:
    """Write the feature rows of some buckets for every date, one file per date; returns their accounts in order."""
    if not as_ofs:
        return []
    tiles = read_tiles(chunks, buckets, min(as_ofs) - timedelta(days=max(WINDOWS_DAYS)), max(as_ofs))
    columns = TileColumns(tiles)
    return [writing.write_part("feature_snapshots", folder, window_rows(columns, as_of), f"part-{part:05d}")
            for as_of, folder in zip(as_ofs, folders, strict=True)]


class TileColumns:
    """Tiles in key order as numpy columns, with the row where each (view, entity, attribute) group starts."""

    def __init__(self, tiles: pa.Table) -> None:
        self.keys = tiles.select(list(_GROUP))
        self.event_day = tiles["event_day"].cast(pa.int32()).to_numpy()
        self.arrival_day = tiles["arrival_day"].cast(pa.int32()).to_numpy()
        self.measures = np.stack([tiles[name].to_numpy() for name in MEASURES], axis=1)  # int64[T, measures]
        self.group = group_numbers(tiles)


def group_numbers(tiles: pa.Table) -> np.ndarray:
    """int64[T]: the number of each row's (view, entity_id, attribute) in key order, from 0."""
    change = np.zeros(tiles.num_rows, bool)
    for name in _GROUP:
        column = tiles[name].combine_chunks()
        codes = column.dictionary_encode().indices.to_numpy() if pa.types.is_string(column.type) else column.to_numpy()
        change[1:] |= codes[1:] != codes[:-1]
    return np.cumsum(change)


def window_rows(tiles: TileColumns, as_of: date) -> pa.Table:
    """Feature rows of one date: event days in [as_of - w, as_of) that had arrived before as_of. Integer sums only."""
    day = (as_of - date(1970, 1, 1)).days
    seen = (tiles.arrival_day < day) & (tiles.event_day < day) & (tiles.event_day >= day - max(WINDOWS_DAYS))
    rows = np.flatnonzero(seen)
    groups = tiles.group[rows]
    starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1])) if len(rows) else rows
    columns: dict[str, pa.Array | np.ndarray] = {
        name: tiles.keys[name].take(pa.array(rows[starts])) for name in _GROUP}
    for days in WINDOWS_DAYS:
        inside = tiles.event_day[rows] >= day - days
        values = tiles.measures[rows] * inside[:, None]
        summed = np.add.reduceat(values, starts, axis=0) if len(rows) else values
        columns |= {f"{measure}_{days}d": summed[:, n] for n, measure in enumerate(MEASURES)}
    return pa.table(columns).select([*_GROUP, *FEATURES])


def write_popularity(chunks: list[Manifest], as_of: date, half_life_days: int, folder: str, part: int,
                     buckets: list[int]) -> list[dict]:
    """Write play counts of some buckets' videos, for the world (country '') and for each country."""
    tiles = read_tiles(chunks, buckets, date(1900, 1, 1), as_of)
    wanted = np.isin(np.asarray(tiles["view"].to_pylist(), object), ["video", "country_video"]) \
        if tiles.num_rows else np.empty(0, bool)
    rows = popularity_rows(tiles.filter(pa.array(wanted, pa.bool_())), as_of, half_life_days)
    return [writing.write_part("popularity", folder, rows, f"part-{part:05d}")]


def popularity_rows(tiles: pa.Table, as_of: date, half_life_days: int) -> pa.Table:
    """Popularity as of a date from tiles of the views video and country_video, in key order.

    The decayed count is summed over ages from the youngest, so that it is the same number however tiles were chunked.
    """
    day = (as_of - date(1970, 1, 1)).days
    tiles = tiles.filter(pa.array(tiles["arrival_day"].cast(pa.int32()).to_numpy() < day))
    groups, plays = group_numbers(tiles), tiles["play_count"].to_numpy()
    age = day - tiles["event_day"].cast(pa.int32()).to_numpy()
    first = np.flatnonzero(np.append(True, groups[1:] != groups[:-1])) if len(groups) else np.empty(0, np.int64)
    total = np.zeros((len(first), 2), np.int64)
    np.add.at(total[:, 0], groups, plays)
    np.add.at(total[:, 1], groups, plays * (age <= 7))
    keys = tiles.take(pa.array(first))
    rows = pa.table({"country": keys["attribute"], "video_id": keys["entity_id"], "play_count_all": total[:, 0],
                     "play_count_7d": total[:, 1],
                     "decayed_play_count": _decayed(groups, age, plays, len(first), half_life_days)})
    return rows.filter(pa.array(total[:, 0] > 0)).select(table("popularity").schema.names)


def _decayed(groups: np.ndarray, age: np.ndarray, plays: np.ndarray, count: int, half_life_days: int) -> np.ndarray:
    """float64[count]: sum over ages, youngest first, of (exact integer plays at that age) × 2^(-age / half life)."""
    order = np.lexsort((age, groups))
    group, old, played = groups[order], age[order], plays[order]
    start = np.flatnonzero(np.append(True, (group[1:] != group[:-1]) | (old[1:] != old[:-1]))) \
        if len(order) else order
    per_age = np.add.reduceat(played, start) if len(order) else played
    weights = np.exp2(-old[start] / half_life_days) * per_age
    return np.bincount(group[start], weights, minlength=count)
