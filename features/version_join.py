"""The last row of a key that had happened and arrived strictly before t, whole: never stitched from several."""

from copy import copy

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import compiled
from features.own_views import VersionView
from features.timeline import Timeline, arranged, tree, walk_back
from lake.columns import one_array


class Rows:
    """Rows of a table in the total order: key, event time, arrival, tiebreak columns, then content.

    keys: int64[M] codes >= 0; event_us, arrived_us: int64[M]. `column(name)` gives the values in that order. Where no
    order is asked for (`ordered` false: counts, sums, extremes), rows stand only by key and event time.
    """

    def __init__(self, keys: np.ndarray, event_us: np.ndarray, arrived_us: np.ndarray, table: pa.Table,
                 tiebreak: tuple[str, ...], ordered: bool = True) -> None:
        self.timeline = Timeline(keys, event_us)
        self.keys, self.event_us = self.timeline.keys, self.timeline.times
        self._arrived_us, self._tiebreak, self._before = arrived_us, tiebreak, {}
        self._arrange(table, ordered)

    def _arrange(self, table: pa.Table, ordered: bool) -> None:
        self.table, self._taken, self._whole, self._levels = table, {}, {}, None
        self.order = total_order(self.timeline, self._arrived_us, table, self._tiebreak) if ordered \
            else self.timeline.order
        self.arrived_us = arranged(self._arrived_us, self.order)

    def with_content(self, table: pa.Table, ordered: bool) -> "Rows":
        """The same rows with other columns, which decide the last ties among them."""
        other = copy(self)
        other._arrange(table, ordered)
        return other

    def column(self, name: str) -> pa.Array:
        if name not in self._taken:
            given = _flat(self.table[name])
            self._taken[name] = given if self.order is None else given.take(pa.array(self.order))
        return self._taken[name]

    def whole(self, name: str) -> tuple[np.ndarray, int]:
        """int64[M]: a column of whole numbers or truth values in that order, the same array every time; 0 for null. And how
        far the farthest is from 0."""
        if name not in self._whole:
            values = self.column(name).cast(pa.int64())
            ends = pc.min_max(values).as_py()
            self._whole[name] = ((values.fill_null(0) if values.null_count else values).to_numpy(),
                                 max(abs(ends["min"] or 0), abs(ends["max"] or 0)))
        return self._whole[name]

    def before(self, keys: np.ndarray, times: np.ndarray) -> np.ndarray:
        """int64[N]: how many rows, over all keys in order, happened before each moment. Views of the same moments
        (the very arrays) share the answer."""
        if id(times) not in self._before:
            self._before[id(times)] = times, self.timeline.up_to(keys, times, 1)
        return self._before[id(times)][1]

    def levels(self) -> list[np.ndarray]:
        """`tree` of the arrivals."""
        if self._levels is None:
            self._levels = tree(self.arrived_us)
        return self._levels


def _flat(column: pa.ChunkedArray) -> pa.Array:
    array = one_array(column)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.cast(pa.large_string()) if pa.types.is_string_view(array.type) else array


def total_order(timeline: Timeline, arrived_us: np.ndarray, table: pa.Table, tiebreak: tuple[str, ...]) -> np.ndarray | None:
    """int64[M]: row numbers by (key, event time), as in the timeline, then arrival, *tiebreak, then every column's
    content; None: they are given so. Of rows that are equal in all of it, it does not matter which comes first. Nulls
    come before values."""
    same = (timeline.keys[1:] == timeline.keys[:-1]) & (timeline.times[1:] == timeline.times[:-1])
    if not same.any():
        return timeline.order
    ties = np.flatnonzero(np.append(same, False) | np.append(False, same))
    tied = ties if timeline.order is None else timeline.order[ties]
    among = table.take(pa.array(tied))
    names = [*tiebreak, *sorted(set(table.column_names) - set(tiebreak))]
    codes = [part for name in names for part in _order_codes(_flat(among[name]))]
    within = np.lexsort((*reversed(codes), arrived_us[tied], timeline.times[ties], timeline.keys[ties]))
    if (within[1:] > within[:-1]).all():
        return timeline.order
    order = np.arange(len(arrived_us)) if timeline.order is None else timeline.order.copy()
    order[ties] = tied[within]
    return order


def _order_codes(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Sort keys of a column of any type: whether there is a value, and its rank; lists and the like rank as text."""
    present = pc.is_valid(array).to_numpy(zero_copy_only=False)
    if pa.types.is_nested(array.type) or pa.types.is_decimal(array.type):
        array = pa.array([None if value is None else repr(value) for value in array.to_pylist()], pa.large_string())
    return present, pc.rank(array, tiebreaker="dense").to_numpy()


def newest_rows(keys: np.ndarray, times: np.ndarray, rows: Rows, size: int) -> np.ndarray:
    """int64[N, size]: the last rows with event time and arrival strictly before each moment, newest first in the total
    order, -1 where there are no more. keys, times: int64[N]; a key of -1 has none."""
    found = np.full((len(keys), size), -1, np.int64)
    if not size or not len(rows.keys):
        return found
    before = rows.before(keys, times)
    for n in range(size):
        place, walks = compiled.newest(keys, times, before, rows.keys, rows.arrived_us)
        if walks:
            walking = np.flatnonzero(place == compiled.WALK)
            back = walk_back(rows.levels(), before[walking], times[walking])
            place[walking] = np.where((back >= 0) & (rows.keys[back] == keys[walking]), back, -1)
        found[:, n] = place
        before = np.maximum(place, 0)
    return found


def version_features(keys: np.ndarray, times: np.ndarray, rows: Rows, view: VersionView) -> pa.Table:
    """The view's columns for N moments, in their order. keys: int64[N], -1 sees nothing; times: int64[N]."""
    row = newest_rows(keys, times, rows, 1)[:, 0]
    if view.max_age_us is not None and len(rows.keys):
        row = np.where((row >= 0) & (times - rows.event_us[row] <= view.max_age_us), row, -1)
    chosen = pa.array(np.maximum(row, 0), mask=row < 0)
    return pa.table({f"{view.name}_{name}": rows.column(name).take(chosen) for name in view.columns})
