"""The join of any spine in three passes, each a list of tasks that share nothing but files.

    scatter    a piece of the spine or of a view's table  →  its rows, apart by the part that their key belongs to
    compute    one view, one part                         →  the view's columns, apart by the spine's pieces
    assemble   one piece of the spine, all views          →  one Parquet file with every row once, in the spine's order

A key's rows meet in one part, and what a row gets depends on its key's rows alone, so parts and pieces change no value.
"""

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features import join_sources
from features.any_join import (AnyView, features_of, features_of_snapshot, instants, kept, require, spine_columns,
                               with_columns)
from features.join import live_days
from features.join_sources import Piece, Source
from features.key_codes import canonical, part_of
from features.own_views import LAKE_TABLES, OwnView
from features.views import FeatureView
from lake import dates, snapshot, storage
from lake.snapshot import Manifest
from lake.tables import table

_ROW = "_spine_row"
Spread = Callable[[Callable[[int], dict], int], list[dict]]


@dataclass(frozen=True)
class Work:
    """A join to do. `tables`: by `OwnView.table`; `snapshots`: live date → its snapshot, None before the first landing;
    `ids`: kinds of ids in the log; `folder`: where files of this attempt go; `parts`: how many per view."""

    spine: Source
    time: str
    views: tuple[AnyView, ...]
    tables: dict[str, Source]
    snapshots: dict[date, Manifest | None]
    ids: dict[str, str]
    folder: str
    parts: int
    own: tuple[OwnView, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "own", tuple(view for view in self.views if isinstance(view, OwnView)))


def instants_asked(spine: Source, time: str, views: Sequence[AnyView]) -> tuple[int | None, list[date]]:
    """The spine's last instant (None without rows), and the as_of dates that were live for it in its nightly views."""
    lags = {view.publish_lag_us for view in views if isinstance(view, FeatureView)}
    last, days = None, set()
    for piece in spine.pieces:
        times = instants(join_sources.read(spine, piece, [time])[time], time)
        if len(times):
            last = max(int(times.max()), last) if last is not None else int(times.max())
            days |= {int(day) for lag in lags for day in np.unique(live_days(times, lag))}
    return last, [dates.day_of_us(day * dates.DAY_US) for day in sorted(days)]


def run(work: Work, spread: Spread) -> int:
    """Do the three passes; the joined files lie in `<folder>/joined`, and the number of their rows is returned.

    spread: runs a function of a task number for all numbers below a count, anywhere, and gives the results in order.
    """
    tasks = [(view, source, piece, side) for view in work.own
             for side, source in (("spine", work.spine), ("rows", work.tables[view.table]))
             for piece in range(len(source.pieces))]
    _all(spread, lambda n: _scatter(work, *tasks[n]), len(tasks))
    computed = [(view, part) for view in work.own for part in range(work.parts)]
    _all(spread, lambda n: _compute(work, *computed[n]), len(computed))
    return sum(found["rows"] for found in _all(spread, lambda n: _assemble(work, n), len(work.spine.pieces)))


def _all(spread: Spread, task: Callable[[int], dict], count: int) -> list[dict]:
    """The tasks' results. ValueError for what a task refused, wherever it ran."""
    def told(number: int) -> dict:
        try:
            return task(number)
        except ValueError as error:
            return {"refused": str(error)}

    found = spread(told, count) if count else []
    for refused in (one["refused"] for one in found if "refused" in one):
        raise ValueError(refused)
    return found


def _scatter(work: Work, view: OwnView, source: Source, number: int, side: str) -> dict:
    piece = source.pieces[number]
    if side == "spine":
        keys = spine_columns(view)
        rows = join_sources.read(source, piece, list(dict.fromkeys([*keys, work.time])))
        if view.table in LAKE_TABLES:
            rows = join_sources.with_lake_ids(rows, view.key, work.ids)
        rows = rows.append_column(_ROW, pa.array(np.arange(piece.first, piece.first + piece.rows)))
    else:
        keys = [theirs for _, theirs in view.key]
        rows = kept(join_sources.read(source, piece, view.columns_read), view)
        rows = rows.filter(pa.array(np.logical_and.reduce([rows[key].is_valid().to_numpy() for key in keys])))
    parts = part_of([canonical(rows[key], key) for key in keys], work.parts)
    _write_apart(_path(work, view, side, number), rows, parts, work.parts)
    return {}


def _compute(work: Work, view: OwnView, part: int) -> dict:
    spine = _gather(work, view, "spine", len(work.spine.pieces), part)
    rows = _gather(work, view, "rows", len(work.tables[view.table].pieces), part)
    found = features_of(spine, view, rows, work.time).append_column(_ROW, spine[_ROW])
    borders = np.array([piece.first for piece in work.spine.pieces])
    piece = np.searchsorted(borders, spine[_ROW].to_numpy(), side="right") - 1
    _write_apart(_path(work, view, "found", part), found, piece, len(borders))
    return {}


def _assemble(work: Work, number: int) -> dict:
    piece = work.spine.pieces[number]
    rows = asked = join_sources.read(work.spine, piece, work.spine.schema.names)
    for view in work.views:
        if isinstance(view, OwnView):
            found = _in_order(_gather(work, view, "found", work.parts, number), piece)
        else:
            lake = join_sources.with_lake_ids(asked, [(name, name) for name in spine_columns(view)], work.ids)
            found = features_of_snapshot(lake, view, _readers(work), work.time)
        rows = with_columns(rows, found)
    path = f"{work.folder}/joined/part-{number:05d}.parquet"
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd", write_page_checksum=True)
    storage.write_bytes(path, sink.getvalue().to_pybytes())
    return {"rows": rows.num_rows}


def _in_order(found: pa.Table, piece: Piece) -> pa.Table:
    """A view's columns in the order of the spine. RuntimeError unless every row is there once."""
    order = np.argsort(found[_ROW].to_numpy(), kind="stable")
    if not np.array_equal(found[_ROW].to_numpy()[order], np.arange(piece.first, piece.first + piece.rows)):
        raise RuntimeError(f"spine rows from {piece.first}: {piece.rows} went in, {found.num_rows} came out")
    return found.drop_columns(_ROW).take(pa.array(order))


def _readers(work: Work) -> dict[date, Callable[[], pa.Table]]:
    empty = table("feature_snapshots").schema.empty_table()
    return {day: (lambda m=manifest: snapshot.read(m) if m is not None else empty)
            for day, manifest in work.snapshots.items()}


def _path(work: Work, view: OwnView, side: str, number: int) -> str:
    return f"{work.folder}/scattered/{view.name}/{side}-{number:05d}.arrow"


def _write_apart(path: str, rows: pa.Table, number: np.ndarray, count: int) -> None:
    """One Arrow file with one record batch for each of the numbers 0 … count - 1 (int64[rows])."""
    order = np.argsort(number, kind="stable")
    borders = np.searchsorted(number[order], np.arange(count + 1))
    rows = rows.take(pa.array(order)).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema) as writer:
        for start, end in zip(borders[:-1], borders[1:], strict=True):
            batches = rows.slice(start, end - start).combine_chunks().to_batches()
            writer.write_batch(batches[0] if batches else pa.RecordBatch.from_pylist([], rows.schema))
    storage.make_folder(posixpath.dirname(path))
    store, inner = storage.filesystem(path)
    with store.open_output_stream(inner, compression=None) as file:  # lives as long as the run: no need to sync it
        file.write(sink.getvalue())


def _gather(work: Work, view: OwnView, side: str, files: int, number: int) -> pa.Table:
    """The batches of one number from all files of a side."""
    batches = []
    for n in range(files):
        store, inner = storage.filesystem(_path(work, view, side, n))
        with store.open_input_file(inner) as file:
            batches.append(pa.ipc.open_file(file).get_batch(number))
    return pa.Table.from_batches(batches)


def check(work: Work) -> None:
    """Refuse, before any heavy work, what can't be joined: ValueError names the column that is missing, there twice, or
    of a wrong type. It joins no rows to no rows."""
    joined = none = work.spine.schema.empty_table()
    for view in work.views:
        require(work.spine.schema, spine_columns(view), "the spine")
        if isinstance(view, OwnView):
            asked = join_sources.with_lake_ids(none, view.key, work.ids) if view.table in LAKE_TABLES else none
            found = features_of(asked, view, work.tables[view.table].schema.empty_table(), work.time)
        else:
            asked = join_sources.with_lake_ids(none, [(name, name) for name in spine_columns(view)], work.ids)
            found = features_of_snapshot(asked, view, {}, work.time)
        joined = with_columns(joined, found)
