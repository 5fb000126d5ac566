"""A table of a person's own, laid out for the join: once for each key, in 64 buckets, by key and event time.

    <folder>/by-0/part-00003.parquet    the rows of some buckets, each in row groups of its own
    <folder>/layout.json                which keys, files and buckets; without it the folder is no layout
"""

from collections.abc import Iterator, Sequence
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
from lake.columns import one_chunk
from lake.hashing import BUCKETS, canonical_json

ROWS_AT_ONCE = 2_000_000  # in a row group: what a task holds twice of a bucket, however large a hot key makes that


@dataclass(frozen=True)
class LayoutWork:
    """A table to lay out by each of some keys, in `parts` files each. `keys`: key → what to keep besides it, the times and
    the tiebreak."""

    source: Source
    keys: dict[tuple[str, ...], tuple[str, ...]]
    event_time: str
    arrived_at: str
    tiebreak: tuple[str, ...]
    folder: str
    parts: int

    def kept(self, *keys: tuple[str, ...]) -> list[str]:
        """The columns of the rows by some of the keys."""
        return list(dict.fromkeys([*(name for key in keys for name in key), self.event_time, self.arrived_at,
                                   *self.tiebreak, *(name for key in keys for name in self.keys[key])]))


def check(work: LayoutWork) -> None:
    """Refuse, before any work, a column that is missing or of a type that can't be a key or an instant."""
    require(work.source.schema, work.kept(*work.keys), f"table {work.source.name!r}")
    for key in work.keys:
        _order(work, key, _nothing(work, key))


def run(work: LayoutWork, spread: Spread) -> int:
    """Scatter, arrange, and say so in layout.json, which is written last; the number of rows."""
    scattered = told_all(spread, lambda n: _scatter(work, n), [one.rows for one in work.source.runs])
    rows = np.sum([told["rows"] for told in scattered], axis=0)
    files = told_all(spread, lambda n: _arrange(work, *divmod(n, work.parts)),
                     [int(of_key[part::work.parts].sum()) for of_key in rows for part in range(work.parts)])
    told = [{"key": key, "files": files[n * work.parts:(n + 1) * work.parts]} for n, key in enumerate(work.keys)]
    storage.write_bytes(f"{work.folder}/laid/{LAYOUT}", canonical_json({"layouts": told}))
    return work.source.rows


def _keys(rows: pa.Table, key: Sequence[str]) -> list[pa.Array]:
    return [canonical(rows[name], name) for name in key]


def _scatter(work: LayoutWork, number: int) -> dict:
    """A run of the table, apart by bucket for each key; `rows`: how many in each bucket, by key."""
    rows = join_sources.read(work.source, work.source.runs[number], work.kept(*work.keys))
    since = {work.arrived_at: work.event_time} if work.arrived_at != work.event_time else {}
    rows = one_chunk(join_files.packed(rows, since))
    return {"rows": [join_files.write_apart(_path(work, n, number), rows.select(work.kept(key)),
                                            part_of(_keys(rows, key), BUCKETS), BUCKETS)
                     for n, key in enumerate(work.keys)]}


def _arrange(work: LayoutWork, n: int, part: int) -> dict:
    paths, key = [_path(work, n, number) for number in range(len(work.source.runs))], list(work.keys)[n]
    buckets, groups = range(part, BUCKETS, work.parts), []
    gathered = join_files.gather_packed(paths, buckets)

    def row_groups() -> Iterator[pa.Table]:
        for bucket, rows in zip(buckets, gathered, strict=True):
            order = _order(work, key, rows)
            for first in range(0, len(order), ROWS_AT_ONCE):
                groups.append((bucket, len(order[first:first + ROWS_AT_ONCE])))
                yield join_files.taken(rows, order[first:first + ROWS_AT_ONCE], rows.schema)

    path = f"by-{n}/part-{part:05d}.parquet"
    join_files.write_laid_out(f"{work.folder}/laid/{path}", gathered[0].schema, row_groups())
    return {"path": path, "buckets": [bucket for bucket, _ in groups], "rows": [rows for _, rows in groups]}


def _order(work: LayoutWork, key: Sequence[str], rows: pa.Table) -> np.ndarray:
    """int64[rows]: by key, rows without one first, then in the total order of its rows."""
    codes = codes_of(_keys(rows, key))
    codes += 1
    times = join_files.unpacked(rows.select(list(dict.fromkeys([work.event_time, work.arrived_at]))))
    event_us, arrived_us = (instants(times[name], name) for name in (work.event_time, work.arrived_at))
    order = total_order(Timeline(codes, event_us), arrived_us, rows, work.tiebreak)
    return np.arange(rows.num_rows) if order is None else order


def _nothing(work: LayoutWork, key: Sequence[str]) -> pa.Table:
    return work.source.schema.empty_table().select(work.kept(key))


def _path(work: LayoutWork, n: int, number: int) -> str:
    return f"{work.folder}/scattered/{n}/{number:05d}.arrow"
