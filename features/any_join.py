"""The point-in-time join of any spine: rows of keys and times get what could have been known strictly before them.

`join` is the whole of it for tables in memory; `features.join_stages` runs the same functions under Spark.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.event_join import event_features
from features.join import snapshot_features
from features.key_codes import canonical, key_codes
from features.own_views import OwnView, VersionView
from features.timeline import Timeline, arranged
from features.version_join import Rows, version_features
from features.views import FEATURES, FeatureView
from lake.columns import TIMESTAMP, one_array

AnyView = FeatureView | OwnView
_SPINE_TYPES = {"user_id": pa.int64(), "video_id": pa.int64(), "creator_id": pa.int64(),
                "categories": pa.list_(pa.string()), "country": pa.string()}


def join(spine: pa.Table, views: Sequence[AnyView], tables: Mapping[str, pa.Table],
         snapshots: Mapping[date, Callable[[], pa.Table]] | None = None, time: str = "event_time") -> pa.Table:
    """The spine's rows, each once, in their order and with all their columns, and the columns of every view.

    A row at t (column `time`, a UTC timestamp) sees only what had happened and arrived strictly before t. tables: by
    `OwnView.table`. snapshots: as_of → function that reads that date's feature_snapshots, for nightly views. A null key
    matches nothing; an empty side keeps its schema. ValueError says which column is missing or of a wrong type;
    KeyError names a date without a snapshot.
    """
    for view in views:
        if isinstance(view, OwnView):
            found, moment = features_of(spine, [view], tables[view.table], time)
            place = np.empty(len(moment), np.int64)
            place[moment] = np.arange(len(moment))
            found = found.take(pa.array(place))
        else:
            found = features_of_snapshot(spine, view, snapshots or {}, time)
        spine = with_columns(spine, found)
    return spine


def with_columns(spine: pa.Table, found: pa.Table) -> pa.Table:
    """The spine with more columns. ValueError when it has one of that name already."""
    if twice := sorted(set(spine.column_names) & set(found.column_names)):
        raise ValueError(f"the spine already has {', '.join(twice[:5])}; rename the column or the view")
    for name in found.column_names:
        spine = spine.append_column(found.schema.field(name), found[name])
    return spine


def instants(column: pa.ChunkedArray, name: str) -> np.ndarray:
    """int64[N] microseconds UTC; nanoseconds are cut, which hides a row rather than showing it early. ValueError for
    nulls and for types that are no instant."""
    if not pa.types.is_timestamp(column.type) or not column.type.tz:
        raise ValueError(f"time column {name!r} is {column.type}; export it as a timestamp with a time zone (UTC)")
    if column.null_count:
        raise ValueError(f"time column {name!r} has {column.null_count:,} nulls; a row without a moment can't be joined "
                         "point in time: drop or fill them")
    return one_array(column.cast(TIMESTAMP, safe=False).cast(pa.int64())).to_numpy()


def require(schema: pa.Schema, names: Sequence[str], where: str) -> None:
    """ValueError names the columns that are not there."""
    if missing := [name for name in dict.fromkeys(names) if name not in schema.names]:
        raise ValueError(f"{where} has no column {', '.join(missing)}; it has {', '.join(schema.names[:30])}")


def spine_columns(view: AnyView) -> list[str]:
    """The spine's columns that a view looks up."""
    return [ours for ours, _ in view.key] if isinstance(view, OwnView) \
        else [name for name in (view.entity, view.attribute) if name]


def kept(rows: pa.Table, view: OwnView) -> pa.Table:
    """The rows that fulfil the view's `where`."""
    for column, values in view.where:
        kind = rows.schema.field(column).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        try:
            wanted = pa.array(values, kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ValueError(f"view {view.name!r}: where {column} = {list(values)!r}, but it is {kind}") from error
        rows = rows.filter(pc.is_in(rows[column].cast(kind), value_set=wanted))
    return rows


def features_of(spine: pa.Table, views: Sequence[OwnView], rows: pa.Table, time: str) -> tuple[pa.Table, np.ndarray]:
    """Only the columns of version and event views, for every row of the spine, and which row each line is of (int64[N]).
    The lines are by key and time. views: all of the same `OwnView.rows_asked`."""
    first = views[0]
    require(spine.schema, [*spine_columns(first), time], "the spine")
    require(rows.schema, columns_read(views), f"table {first.table!r} of view {first.name!r}")
    rows = kept(rows.select(columns_read(views)), first)
    times = instants(spine[time], time)
    keys, row_keys = key_codes([canonical(spine[ours], ours) for ours, _ in first.key],
                               [canonical(rows[theirs], theirs) for _, theirs in first.key])
    event_us, arrived_us = (instants(rows[name], name) for name in (first.event_time, first.arrived_at))
    matched = row_keys >= 0
    if not matched.all():
        rows, row_keys, event_us, arrived_us = (rows.filter(pa.array(matched)), row_keys[matched], event_us[matched],
                                                arrived_us[matched])
    asking = np.flatnonzero(keys >= 0)
    moments = Timeline(keys[asking], times[asking])
    asking = arranged(asking, moments.order)
    found = _columns(moments.keys, moments.times, Rows(
        row_keys, event_us, arrived_us, _content(rows, first), first.tiebreak, _ordered(first)), views, rows)
    if len(asking) < len(keys):
        silent = np.flatnonzero(keys < 0)
        nothing = _nothing(views, rows)
        found = pa.concat_tables([found, nothing.take(pa.array(np.zeros(len(silent), np.int64)))]).combine_chunks()
        asking = np.concatenate([asking, silent])
    return found, asking


def columns_read(views: Sequence[OwnView]) -> list[str]:
    """The table columns that some of the views read."""
    return list(dict.fromkeys(column for view in views for column in view.columns_read))


def _columns(keys: np.ndarray, times: np.ndarray, asked: Rows, views: Sequence[OwnView], rows: pa.Table) -> pa.Table:
    """The views' columns for moments in the order of (key, time). asked: the rows as the first view sees them."""
    found: list[pa.Table] = []
    for n, view in enumerate(views):
        asked = asked.with_content(_content(rows, view), _ordered(view)) if n else asked
        found.append(version_features(keys, times, asked, view) if isinstance(view, VersionView)
                     else event_features(keys, times, asked, view))
    return pa.table([column for one in found for column in one.columns],
                    pa.schema([field for one in found for field in one.schema]))


def _content(rows: pa.Table, view: OwnView) -> pa.Table:
    return rows.select(list(dict.fromkeys([*view.tiebreak, *view.needed])))


def _ordered(view: OwnView) -> bool:
    return isinstance(view, VersionView) or any(one.function == "last" for one in view.aggregates)


def _nothing(views: Sequence[OwnView], rows: pa.Table) -> pa.Table:
    """One line: what a moment gets that sees nothing."""
    nobody, none = np.zeros(1, np.int64), np.empty(0, np.int64)
    empty = rows.slice(0, 0)
    return _columns(nobody, nobody, Rows(none, none, none, _content(empty, views[0]), views[0].tiebreak), views, empty)


def features_of_snapshot(spine: pa.Table, view: FeatureView, snapshots: Mapping[date, Callable[[], pa.Table]],
                         time: str) -> pa.Table:
    """Only the columns of a nightly view: the snapshot live at each row's moment, zeros for a key that it lacks."""
    require(spine.schema, [*spine_columns(view), time], "the spine")
    times = instants(spine[time], time)
    asked = pa.table({name: _as_lake(spine[name], name) for name in spine_columns(view)})
    whole = np.flatnonzero(np.logical_and.reduce([asked[name].is_valid().to_numpy() for name in asked.column_names]))
    values = np.zeros((spine.num_rows, len(FEATURES)), np.int64)
    values[whole] = snapshot_features(asked.take(pa.array(whole)), times[whole], snapshots, (view.name,))[view.name]
    return pa.table({f"{view.name}_{feature}": values[:, n] for n, feature in enumerate(FEATURES)})


def _as_lake(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """A spine's key column in the type that the lake has it; a single attribute as a list of one."""
    try:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if name in ("country", "categories") and not pa.types.is_nested(column.type):
            texts = column.cast(pa.string()).combine_chunks()
            lists = pa.ListArray.from_arrays(pa.array(np.arange(len(texts) + 1), pa.int32()), texts)
            return pa.chunked_array([pc.if_else(texts.is_valid(), lists, None)])
        return pa.chunked_array([column.cast(_SPINE_TYPES[name]).combine_chunks()])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"spine column {name!r} is {column.type}, not {_SPINE_TYPES[name]}: {error}") from error
