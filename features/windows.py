"""Feature snapshots and popularity: windows summed from tiles, for many dates in one pass over a bucket."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.tiles import read_tiles
from features.views import FEATURES, MEASURES, WINDOWS_DAYS
from lake import snapshot, writing
from lake.snapshot import Manifest
from lake.tables import table

EPOCH = date(1970, 1, 1)
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


def write_popularity(chunks: list[Manifest], before: Manifest | None, as_of: date, half_life_days: dict[str, int],
                     folder: str, part: int, buckets: list[int]) -> list[dict]:
    """Write play counts of some buckets' videos, for the world (country '') and for each country. before:
    `lineage.night_before`, from which counting goes on."""
    old = snapshot.read(before, buckets=buckets) if before else table("popularity").schema.empty_table()
    since, week = before.as_of if before else date.min, as_of - timedelta(days=7)
    told = [chunk for chunk in chunks if not before or chunk.as_of > since or _last_day(chunk) >= since
            or _last_day(chunk) >= week]
    tiles = read_tiles(told, buckets, date(1900, 1, 1), as_of)
    wanted = np.isin(np.asarray(tiles["view"].to_pylist(), object), ["video", "country_video"]) \
        if tiles.num_rows else np.empty(0, bool)
    rows = popularity_rows(old, since, tiles.filter(pa.array(wanted, pa.bool_())), as_of, half_life_days)
    return [writing.write_part("popularity", folder, rows, f"part-{part:05d}")]


def _last_day(chunk: Manifest) -> date:
    days = chunk.profile["columns"]["event_day"].get("max")
    return date.min if days is None else date(1970, 1, 1) + timedelta(days=days)


def popularity_rows(old: pa.Table, since: date, tiles: pa.Table, as_of: date,
                    half_life_days: dict[str, int]) -> pa.Table:
    """Popularity as of a date. old: popularity as of `since` to go on from, or empty with since date.min. tiles: of the
    views video and country_video, in key order; all that became known since, and all of the last 7 event days.
    half_life_days: of each column that fades.

    Each night fades those counts by one day and adds the plays that just became known, weighted by their age. All
    nights do, so that they are the same numbers whether one goes on or begins anew, and however tiles were chunked.
    """
    day, known = as_of - EPOCH, np.maximum(*(tiles[name].cast(pa.int32()).to_numpy() for name in ("arrival_day", "event_day")))
    tiles, known = tiles.filter(pa.array(known < day.days)), known[known < day.days]
    numbers, keys = _numbered(old, tiles)
    group, held = numbers[old.num_rows:], numbers[:old.num_rows]
    plays, event_day = tiles["play_count"].to_numpy(), tiles["event_day"].cast(pa.int32()).to_numpy()
    new = known >= (since - EPOCH).days
    total, week = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
    faded = {name: np.zeros(len(keys)) for name in half_life_days}
    for name, counts in [("play_count_all", total), *faded.items()]:
        counts[held] = old[name].to_numpy()
    np.add.at(total, group[new], plays[new])
    np.add.at(week, group, plays * (event_day >= day.days - 7))
    first = (since - EPOCH).days if old.num_rows else int(known.min(initial=day.days))
    for night in range(first + 1, day.days + 1):
        just = np.flatnonzero(new & (known == night - 1))
        for name, days in half_life_days.items():
            faded[name] *= np.exp2(-1 / days)
            faded[name] += _weighted(group[just], night - event_day[just], plays[just], len(keys), days)
    rows = keys.append_column("play_count_all", pa.array(total)).append_column("play_count_7d", pa.array(week))
    for name, counts in faded.items():
        rows = rows.append_column(name, pa.array(counts))
    return rows.filter(pa.array(total > 0)).select(table("popularity").schema.names)


def _numbered(old: pa.Table, tiles: pa.Table) -> tuple[np.ndarray, pa.Table]:
    """int64[old + tiles]: the number of each row's (country, video) in `keys`, which are in order."""
    every = pa.concat_tables([pa.table({"country": old["country"], "video_id": old["video_id"]}), pa.table({
        "country": tiles["attribute"], "video_id": tiles["entity_id"]})]).combine_chunks()
    order = pc.sort_indices(every, [("country", "ascending"), ("video_id", "ascending")]).to_numpy()
    code, video = every["country"].combine_chunks().dictionary_encode().indices.to_numpy(), every["video_id"].to_numpy()
    code, video = code[order], video[order]
    first = np.append(True, (code[1:] != code[:-1]) | (video[1:] != video[:-1]))[:len(order)]
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(first) - 1
    return numbers, every.take(pa.array(order[first]))


def _weighted(groups: np.ndarray, age: np.ndarray, plays: np.ndarray, count: int, half_life_days: int) -> np.ndarray:
    """float64[count]: sum over ages, youngest first, of (exact integer plays at that age) × 2^(-age / half life)."""
    order = np.lexsort((age, groups))
    group, old, played = groups[order], age[order], plays[order]
    start = np.flatnonzero(np.append(True, (group[1:] != group[:-1]) | (old[1:] != old[:-1]))) \
        if len(order) else order
    per_age = np.add.reduceat(played, start) if len(order) else played
    weights = np.exp2(-old[start] / half_life_days) * per_age
    return np.bincount(group[start], weights, minlength=count)
