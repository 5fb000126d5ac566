"""A table of a person's own, laid out for the join: once for each key, in 64 buckets, by key and event time.

    <folder>/by-0/part-00003.parquet    the rows of some buckets, one row group each
    <folder>/layout.json                which keys, files and buckets; without it the folder is no layout
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features import join_files, join_sources
from features.any_join import instants, require
from features.join_files import Spread
from features.join_sources import LAYOUT, Source
from features.join_stages import told_all
from features.key_codes import canonical, codes_of, part_of
from features.timeline import Timeline
from features.version_join import total_order
from lake import storage
from lake.hashing import BUCKETS, canonical_json


@dataclass(frozen=True)
class LayoutWork:
    """A table to lay out by each of `keys`, in `parts` files each. `columns`: what to keep besides that key, times and
    tiebreak."""

    source: Source
    keys: tuple[tuple[str, ...], ...]
    event_time: str
    arrived_at: str
    tiebreak: tuple[str, ...]
    columns: tuple[str, ...]
    folder: str
    parts: int

    def kept(self, *keys: tuple[str, ...]) -> list[str]:
        """The columns of the rows by some of the keys."""
        return list(dict.fromkeys([*(name for key in keys for name in key), self.event_time, self.arrived_at,
                                   *self.tiebreak, *self.columns]))


def check(work: LayoutWork) -> None:
    """Refuse, before any work, a column that is missing or of a type that can't be a key or an instant."""
    require(work.source.schema, work.kept(*work.keys), f"table {work.source.name!r}")
    for key in work.keys:
        _ordered(work, key, work.source.schema.empty_table().select(work.kept(key)))


def run(work: LayoutWork, spread: Spread) -> int:
    """Scatter, arrange, and say so in layout.json, which is written last; the number of rows."""
    runs = work.source.runs
    told_all(spread, lambda n: _scatter(work, n), [one.rows for one in runs])
    files = told_all(spread, lambda n: _arrange(work, *divmod(n, work.parts)),
                     [work.source.rows // work.parts] * len(work.keys) * work.parts)
    told = [{"key": key, "files": files[n * work.parts:(n + 1) * work.parts]} for n, key in enumerate(work.keys)]
    storage.write_bytes(f"{work.folder}/laid/{LAYOUT}", canonical_json({"layouts": told}))
    return work.source.rows


def _keys(rows: pa.Table, key: Sequence[str]) -> list[pa.Array]:
    return [canonical(rows[name], name) for name in key]


def _scatter(work: LayoutWork, number: int) -> dict:
    rows = join_sources.read(work.source, work.source.runs[number], work.kept(*work.keys))
    for n, key in enumerate(work.keys):
        join_files.write_apart(_path(work, n, number), rows.select(work.kept(key)), part_of(_keys(rows, key), BUCKETS), BUCKETS)
    return {}


def _arrange(work: LayoutWork, n: int, part: int) -> dict:
    paths = [_path(work, n, number) for number in range(len(work.source.runs))]
    buckets = range(part, BUCKETS, work.parts)
    groups = {bucket: _ordered(work, work.keys[n], rows)
              for bucket, rows in zip(buckets, join_files.gather(paths, buckets), strict=True) if rows.num_rows}
    path = f"by-{n}/part-{part:05d}.parquet"
    empty = work.source.schema.empty_table().select(work.kept(work.keys[n]))
    join_files.write_parquet(f"{work.folder}/laid/{path}", empty.schema, groups.values())
    return {"path": path, "buckets": list(groups), "rows": [rows.num_rows for rows in groups.values()]}


def _ordered(work: LayoutWork, key: Sequence[str], rows: pa.Table) -> pa.Table:
    """By key, rows without one first, then in the total order of its rows."""
    rows = rows.combine_chunks()
    codes = codes_of(_keys(rows, key))
    event_us, arrived_us = instants(rows[work.event_time], work.event_time), instants(rows[work.arrived_at],
                                                                                      work.arrived_at)
    order = total_order(Timeline(codes + 1, event_us), arrived_us, rows, work.tiebreak)
    return rows.take(pa.array(order.astype(np.int64)))


def _path(work: LayoutWork, n: int, number: int) -> str:
    return f"{work.folder}/scattered/{n}/{number:05d}.arrow"
