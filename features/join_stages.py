"""The join of any spine in three passes, each a list of tasks that share nothing but files.

    scatter    a run of the spine or of a table  →  its rows, apart by the part that their key belongs to
    compute    views of one key, one part        →  the views' columns, apart by the spine's runs
    assemble   one run of the spine, all views   →  one Parquet file with every row once, in the spine's order

A key's rows meet in one part, and what a row gets depends on its key's rows alone, so parts and runs change no value. A
table that lies by the key already is not scattered: a part reads its own buckets.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import pyarrow as pa

from features import join_files, join_sources
from features.any_join import (AnyView, columns_read, features_of, features_of_snapshot, instants, kept, require,
                               spine_columns, with_columns)
from features.join import live_days
from features.join_sources import Layout, Source
from features.join_files import Spread, Task
from features.key_codes import canonical, part_of
from features.own_views import LAKE_TABLES, OwnView
from features.views import FeatureView
from lake import dates, snapshot
from lake.hashing import BUCKETS
from lake.snapshot import Manifest

_ROW = "_spine_row"


@dataclass(frozen=True)
class Lookup:
    """Views that ask for the same rows. `number` names its files; `layout`: how the table lies by this key, if it does;
    `parts`: tasks, each with its `stretches` of keys, which are a layout's buckets, or one for all."""

    number: int
    views: tuple[OwnView, ...]
    table: Source
    layout: Layout | None
    parts: int

    @property
    def first(self) -> OwnView:
        return self.views[0]

    @property
    def stretches(self) -> int:
        return BUCKETS if self.layout else self.parts

    def of_part(self, part: int) -> list[int]:
        """The stretches of a part."""
        return list(range(part, self.stretches, self.parts))


@dataclass(frozen=True)
class Work:
    """A join to do. `tables`: by `OwnView.table`; `snapshots`: live date → its snapshot, None before the first landing;
    `ids`: kinds of ids in the log; `folder`: where files of this attempt go; `parts`: how many per key."""

    spine: Source
    time: str
    views: tuple[AnyView, ...]
    tables: dict[str, Source]
    snapshots: dict[date, Manifest | None]
    ids: dict[str, str]
    folder: str
    parts: int

    @cached_property
    def lookups(self) -> list[Lookup]:
        groups: dict[tuple, list[OwnView]] = {}
        for view in self.views:
            if isinstance(view, OwnView):
                groups.setdefault(view.rows_asked, []).append(view)
        return [self._lookup(number, tuple(views)) for number, views in enumerate(groups.values())]

    def _lookup(self, number: int, views: tuple[OwnView, ...]) -> Lookup:
        table = self.tables[views[0].table]
        layout = table.layouts.get(views[0].table_key)
        return Lookup(number, views, table, layout, min(self.parts, BUCKETS) if layout else self.parts)


def instants_asked(spine: Source, time: str, views: Sequence[AnyView]) -> tuple[int | None, list[date]]:
    """The spine's last instant (None without rows), and the as_of dates that were live for it in its nightly views.
    Nothing is read where no view asks the lake."""
    lags = {view.publish_lag_us for view in views if isinstance(view, FeatureView)}
    last, days = None, set()
    asked = lags or any(view.table in LAKE_TABLES for view in views if isinstance(view, OwnView))
    for run in spine.runs if asked else ():
        times = instants(join_sources.read(spine, run, [time])[time], time)
        if len(times):
            last = max(int(times.max()), last) if last is not None else int(times.max())
            days |= {int(day) for lag in lags for day in np.unique(live_days(times, lag))}
    return last, [dates.day_of_us(day * dates.DAY_US) for day in sorted(days)]


def run(work: Work, spread: Spread) -> int:
    """Do the three passes; the joined files lie in `<folder>/joined`, and the number of their rows is returned.

    spread: runs a function of a task number for every number below len(sizes), anywhere, and gives the results in
    order; sizes: how much work each is, roughly.
    """
    scattered = [(work.spine, n) for n in range(len(work.spine.runs))] if work.lookups else []
    scattered += [(table, n) for table in work.tables.values() for n in range(len(table.runs))
                  if any(one.table is table and not one.layout for one in work.lookups)]
    told_all(spread, lambda n: _scatter(work, *scattered[n]), [source.runs[n].rows for source, n in scattered])
    computed = [(one, part) for one in work.lookups for part in range(one.parts)]
    sizes = [one.layout.rows(one.of_part(part)) if one.layout else one.table.rows // one.parts for one, part in computed]
    told_all(spread, lambda n: _compute(work, *computed[n]), sizes)
    runs = work.spine.runs
    return sum(found["rows"] for found in told_all(spread, lambda n: _assemble(work, n), [one.rows for one in runs]))


def told_all(spread: Spread, task: Task, sizes: Sequence[int]) -> list[dict]:
    """The tasks' results. ValueError for what a task refused, wherever it ran."""
    def told(number: int) -> dict:
        try:
            return task(number)
        except ValueError as error:
            return {"refused": str(error)}

    found = spread(told, sizes) if sizes else []
    for refused in (one["refused"] for one in found if "refused" in one):
        raise ValueError(refused)
    return found


def _scatter(work: Work, source: Source, number: int) -> dict:
    """A run of a source is read once for all the keys that it is looked up by."""
    if source is work.spine:
        rows = join_sources.read(source, source.runs[number], list(dict.fromkeys(
            [*(name for one in work.lookups for name in spine_columns(one.first)), work.time])))
        for one in work.lookups:
            _scatter_spine(work, one, rows, number)
        return {}
    asked = [one for one in work.lookups if one.table is source and not one.layout]
    rows = join_sources.read(source, source.runs[number], columns_read([view for one in asked for view in one.views]))
    for one in asked:
        found = rows_of_keys(kept(rows.select(columns_read(one.views)), one.first), one.first.key)
        keys = [canonical(found[theirs], theirs) for _, theirs in one.first.key]
        join_files.write_apart(_path(work, one, "rows", number), found, part_of(keys, one.stretches), one.stretches)
    return {}


def _scatter_spine(work: Work, one: Lookup, rows: pa.Table, number: int) -> None:
    rows = rows.select(list(dict.fromkeys([*spine_columns(one.first), work.time])))
    if one.first.table in LAKE_TABLES:
        rows = join_sources.with_lake_ids(rows, one.first.key, work.ids)
    first = work.spine.runs[number].first
    stretch = part_of([canonical(rows[name], name) for name in spine_columns(one.first)], one.stretches)
    rows = rows.append_column(_ROW, pa.array(np.arange(first, first + rows.num_rows)))
    join_files.write_apart(_path(work, one, "spine", number), rows, stretch, one.stretches)


def rows_of_keys(rows: pa.Table, key: Sequence[tuple[str, str]]) -> pa.Table:
    """The rows whose key columns all have a value."""
    for _, theirs in key:
        rows = rows.filter(rows[theirs].is_valid()) if rows[theirs].null_count else rows
    return rows


def _compute(work: Work, one: Lookup, part: int) -> dict:
    stretches = one.of_part(part)
    spines = join_files.gather([_path(work, one, "spine", n) for n in range(len(work.spine.runs))], stretches)
    tables = (_read_bucket(one, stretch) for stretch in stretches) if one.layout \
        else join_files.gather([_path(work, one, "rows", n) for n in range(len(one.table.runs))], stretches)
    found = [_answers(work, one, *sides) for sides in zip(spines, tables, strict=True)]
    join_files.write_ascending(_path(work, one, "found", part), found, _ROW,
                               [*(run.first for run in work.spine.runs), work.spine.rows])
    return {}


def _read_bucket(one: Lookup, bucket: int) -> pa.Table:
    """The rows of a bucket. What orders rows of one key and instant is read only where there are such: it is null
    elsewhere, and nobody looks at it."""
    columns, schema = columns_read(one.views), one.layout.schema
    valued = [name for name in columns if any(name in view.columns_valued for view in one.views)]
    if len(valued) == len(columns) or not all(pa.types.is_integer(schema.field(name).type) for name in one.first.table_key):
        return join_sources.read_buckets(one.layout, columns, [bucket])
    rows = join_sources.read_buckets(one.layout, valued, [bucket])
    if not join_sources.all_apart(rows, [*one.first.table_key, one.first.event_time]):
        return join_sources.read_buckets(one.layout, columns, [bucket])
    for name in columns:
        if name not in valued:
            field = schema.field(name)
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows


def _answers(work: Work, one: Lookup, spine: pa.Table, rows: pa.Table) -> pa.Table:
    """The views' columns and _ROW for some rows of the spine, in its order. rows: the table's of the same keys."""
    found, order = features_of(spine, one.views, rows, work.time)
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return join_files.taken(found, back, found.schema).append_column(_ROW, spine[_ROW])


def _assemble(work: Work, number: int) -> dict:
    run = work.spine.runs[number]
    rows = asked = join_sources.read(work.spine, run, work.spine.schema.names)
    found: dict[str, pa.Table] = {}
    for one in work.lookups:
        columns = _in_order(work, one, number)
        found |= {view.name: columns.select(list(view.gives)) for view in one.views}
    for view in work.views:
        if isinstance(view, FeatureView):
            lake = join_sources.with_lake_ids(asked, [(name, name) for name in spine_columns(view)], work.ids)
            found[view.name] = features_of_snapshot(lake, view, _readers(work), work.time)
        rows = with_columns(rows, found[view.name])
    join_files.write_parquet(f"{work.folder}/joined/part-{number:05d}.parquet", rows.schema, [rows])
    return {"rows": rows.num_rows}


def _in_order(work: Work, one: Lookup, number: int) -> pa.Table:
    """A lookup's columns for one run of the spine, in its order. RuntimeError unless every row is there once."""
    run = work.spine.runs[number]
    found = join_files.gather_packed([_path(work, one, "found", part) for part in range(one.parts)], [number])[0]
    place = found[_ROW].to_numpy() - run.first
    back = np.full(run.rows, -1)
    back[place] = np.arange(len(place))
    if len(place) != run.rows or (back < 0).any():
        raise RuntimeError(f"spine rows from {run.first}: {run.rows} went in, {found.num_rows} came out")
    found = found.drop_columns(_ROW)
    return join_files.taken(found, back, join_files.unpacked_schema(found.schema))


def _readers(work: Work) -> dict[date, Callable[[], pa.Table]]:
    empty = snapshot.table("feature_snapshots").schema.empty_table()
    return {day: (lambda m=manifest: snapshot.read(m) if m is not None else empty)
            for day, manifest in work.snapshots.items()}


def _path(work: Work, one: Lookup, side: str, number: int) -> str:
    return f"{work.folder}/scattered/{one.number}/{side}-{number:05d}.arrow"


def check(work: Work) -> None:
    """Refuse, before any heavy work, what can't be joined: ValueError names the column that is missing, there twice, or
    of a wrong type. It joins no rows to no rows."""
    joined = none = work.spine.schema.empty_table()
    for view in work.views:
        require(work.spine.schema, spine_columns(view), "the spine")
        if isinstance(view, OwnView):
            asked = join_sources.with_lake_ids(none, view.key, work.ids) if view.table in LAKE_TABLES else none
            schema = work.tables[view.table].schema_by(view.table_key)
            found, _ = features_of(asked, [view], schema.empty_table(), work.time)
        else:
            asked = join_sources.with_lake_ids(none, [(name, name) for name in spine_columns(view)], work.ids)
            found = features_of_snapshot(asked, view, {}, work.time)
        joined = with_columns(joined, found)
