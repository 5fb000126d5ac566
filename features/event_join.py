"""Aggregates over [t - w, t) of the events that had arrived strictly before t.

An event with time e and arrival a is seen at t when e < t, a < t and t <= e + w. So the moments that see it are one
half-open stretch of time, (max(e, a), e + w], and of its key's moments in order one run [first, end). Late events
need no path of their own: lateness only shortens the run, to nothing when it is as long as the window.

What a moment sees is then read off the runs that hold it: counts and sums add at the start of a run and subtract at
its end; minima and maxima are laid over runs of power-of-two lengths and pushed down; distinct values count the union
of each value's runs; the last k rows are found by walking back in the total order. Everything is near-linear in events
plus moments, whatever the windows, the lateness and the skew of keys.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.exact_sum import float_sum, integer_sum, spread
from features.own_views import Aggregate, EventView, duration_us
from features.timeline import Timeline, earlier, later
from features.version_join import Rows, newest_rows

_GREATEST = np.iinfo(np.int64).max


def event_features(keys: np.ndarray, times: np.ndarray, rows: Rows, view: EventView) -> pa.Table:
    """The view's columns for N moments, in their order. keys: int64[N], -1 sees nothing; times: int64[N].

    Nothing seen: count, distinct and sum are 0, mean, min, max and last null, lists empty. Null values are not counted,
    summed or compared; the last row's value may be null. A float sum is exact and rounded once.
    """
    asking = np.flatnonzero(keys >= 0)
    moments = Timeline(keys[asking], times[asking])
    order = asking[moments.order]
    columns = _columns(moments, keys[order], times[order], rows, view)
    back = np.full(len(keys), -1, np.int64)
    back[order] = np.arange(len(order))
    return pa.table({name: _for_all(column, back, empty) for name, (column, empty) in columns.items()})


def _for_all(column: pa.Array, back: np.ndarray, empty: object) -> pa.Array:
    """The column in the moments' own order; `empty` for those that can't see anything."""
    together = pa.concat_arrays([column, pa.array([empty], column.type)])
    return together.take(pa.array(np.where(back < 0, len(column), back)))


def _columns(moments: Timeline, keys: np.ndarray, times: np.ndarray, rows: Rows,
             view: EventView) -> dict[str, tuple[pa.Array, object]]:
    """Column name → values of the moments in order (keys, times: theirs), and what stands where nothing was seen."""
    seen_from = moments.up_to(rows.keys, known_at(rows))
    last = newest_rows(keys, times, rows, max((one.size or 1 for one in view.aggregates if one.function == "last"),
                                              default=0))
    columns = {}
    for window in view.windows:
        width = duration_us(window)
        seen_until = moments.up_to(rows.keys, later(rows.event_us, width))
        shown = np.flatnonzero(seen_until > seen_from)
        runs = Runs(shown, seen_from[shown], seen_until[shown], len(keys))
        for one in view.aggregates:
            name = f"{view.name}_{one.name}_{window}"
            if one.function == "last":
                inside = (last >= 0) & (rows.event_us[last] >= earlier(times, width)[:, None]) if len(rows.keys) \
                    else last >= 0
                columns[name] = _last(one, rows.column(one.column), last, inside)
            else:
                columns[name] = _AGGREGATES[one.function](runs, rows, one)
    return columns


def known_at(rows: Rows) -> np.ndarray:
    """int64[M]: the instant strictly after which a row is seen: it must have happened, and arrived."""
    return np.maximum(rows.event_us, rows.arrived_us)


class Runs:
    """Row `row[i]` is seen by the moments [first[i], end[i]) of `count`; all int64[R], no run empty."""

    def __init__(self, row: np.ndarray, first: np.ndarray, end: np.ndarray, count: int) -> None:
        self.row, self.first, self.end, self.count = row, first, end, count

    def only(self, chosen: np.ndarray) -> "Runs":
        """The runs of the chosen ones (bool[R])."""
        return self if chosen.all() else Runs(self.row[chosen], self.first[chosen], self.end[chosen], self.count)


def _valued(runs: Runs, column: pa.Array) -> tuple[Runs, pa.Array]:
    """The runs of rows with a value, and those values."""
    if column.null_count:
        runs = runs.only(pc.is_valid(column).to_numpy(zero_copy_only=False)[runs.row])
    return runs, column.take(pa.array(runs.row))


def _count(runs: Runs, rows: Rows, one: Aggregate) -> tuple[pa.Array, object]:
    if one.column:
        runs = _valued(runs, rows.column(one.column))[0]
    return pa.array(spread(runs.first, runs.end, None, runs.count)), 0


def _sum(runs: Runs, rows: Rows, one: Aggregate) -> tuple[pa.Array, object]:
    runs, values = _valued(runs, rows.column(one.column))
    if pa.types.is_floating(values.type):
        numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return pa.array(float_sum(runs.first, runs.end, numbers, runs.count)), 0.0
    numbers = _integers(values, one)
    try:
        return pa.array(integer_sum(runs.first, runs.end, numbers, runs.count)), 0
    except OverflowError as error:
        raise ValueError(f"{one.name}: {error}") from error


def _integers(values: pa.Array, one: Aggregate) -> np.ndarray:
    if not (pa.types.is_integer(values.type) or pa.types.is_boolean(values.type)):
        raise ValueError(f"{one.name}: column {one.column!r} is {values.type}; {one.function} needs numbers")
    return values.cast(pa.int64()).to_numpy(zero_copy_only=False)


def _mean(runs: Runs, rows: Rows, one: Aggregate) -> tuple[pa.Array, object]:
    """The sum as a float divided once by the count."""
    total, counted = _sum(runs, rows, one)[0], _count(runs, rows, one)[0]
    counts = counted.to_numpy()
    return pa.array(total.to_numpy().astype(np.float64) / np.maximum(counts, 1), mask=counts == 0), None


def _least(runs: Runs, rows: Rows, one: Aggregate) -> tuple[pa.Array, object]:
    return _extreme(runs, rows, one, lambda codes: codes)


def _greatest(runs: Runs, rows: Rows, one: Aggregate) -> tuple[pa.Array, object]:
    return _extreme(runs, rows, one, np.invert)  # ~x turns the order of all int64 around


def _extreme(runs: Runs, rows: Rows, one: Aggregate, turned: Callable) -> tuple[pa.Array, object]:
    runs, values = _valued(runs, rows.column(one.column))
    codes, by_code = order_codes(values)
    best = turned(least_over(runs, turned(codes)))
    seen = spread(runs.first, runs.end, None, runs.count) > 0
    kind = rows.column(one.column).type
    if by_code is not None:
        return by_code.take(pa.array(np.where(seen, best, 0), mask=~seen)), None
    if pa.types.is_floating(kind):
        best = (best ^ (best >> 63 & _GREATEST)).view(np.float64)
        return pa.array(best, mask=~seen).cast(kind), None
    found = pa.array(best, mask=~seen)
    return (found.cast(pa.int32()) if pa.types.is_date32(kind) or pa.types.is_time32(kind) else found).cast(kind), None


def order_codes(values: pa.Array) -> tuple[np.ndarray, pa.Array | None]:
    """int64 codes in the order of values without nulls, and for texts the sorted values that the codes count. Of floats
    NaN is the greatest and -0.0 is 0.0."""
    kind = values.type
    if pa.types.is_floating(kind):
        numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False) + 0.0
        bits = np.where(np.isnan(numbers), np.nan, numbers).view(np.int64)
        return bits ^ (bits >> 63 & _GREATEST), None
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        distinct = values.unique()
        distinct = distinct.take(pc.sort_indices(distinct))
        return pc.index_in(values, value_set=distinct).to_numpy(zero_copy_only=False).astype(np.int64), distinct
    if pa.types.is_date32(kind) or pa.types.is_time32(kind):
        values = values.cast(pa.int32())
    if not (pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_temporal(kind)):
        raise ValueError(f"values of type {kind} have no order; use last")
    return values.cast(pa.int64()).to_numpy(zero_copy_only=False), None


def least_over(runs: Runs, codes: np.ndarray) -> np.ndarray:
    """int64[count]: the least code of the runs that hold each moment, the largest int64 where none does.

    A run of length n is covered by two of length 2^k <= n; from the longest down, each hands its least to its halves.
    """
    level = np.log2(np.maximum(runs.end - runs.first, 1)).astype(np.uint8)
    order = np.argsort(level, kind="stable")
    borders = np.searchsorted(level[order], np.arange(int(level.max(initial=0)) + 2))
    best = np.full(runs.count, _GREATEST)
    for k in range(len(borders) - 2, -1, -1):
        if k < len(borders) - 2:
            longer = best.copy()
            np.minimum(best[1 << k:], longer[:-(1 << k)], out=best[1 << k:])
        here = order[borders[k]:borders[k + 1]]
        np.minimum.at(best, runs.first[here], codes[here])
        np.minimum.at(best, runs.end[here] - (1 << k), codes[here])
    return best


def _distinct(runs: Runs, rows: Rows, one: Aggregate) -> tuple[pa.Array, object]:
    runs, values = _valued(runs, rows.column(one.column))
    codes = order_codes(values)[0]
    order = np.lexsort((runs.first, codes))
    code, first, end = codes[order], runs.first[order], runs.end[order]
    group = np.cumsum(np.append(False, code[1:] != code[:-1])) if len(code) else code
    reached = np.maximum.accumulate(end + group * (runs.count + 1)) - group * (runs.count + 1)  # within the value
    apart = np.append(True, (group[1:] != group[:-1]) | (first[1:] > reached[:-1]))[:len(code)]
    start = np.flatnonzero(apart)
    return pa.array(spread(first[start], np.maximum.reduceat(end, start) if len(start) else end, None, runs.count)), 0


def _last(one: Aggregate, column: pa.Array, last: np.ndarray, inside: np.ndarray) -> tuple[pa.Array, object]:
    """last: int64[N, K], the rows seen, newest first; inside: bool[N, K], those in the window."""
    if not one.size:
        return column.take(pa.array(np.maximum(last[:, 0], 0), mask=~inside[:, 0])), None
    rows, kept = last[:, one.size - 1::-1], inside[:, one.size - 1::-1]
    offsets = np.append(0, np.cumsum(kept.sum(axis=1)))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), column.take(pa.array(rows[kept]))), []


_AGGREGATES: dict[str, Callable[[Runs, Rows, Aggregate], tuple[pa.Array, object]]] = {
    "count": _count, "sum": _sum, "mean": _mean, "min": _least, "max": _greatest, "distinct": _distinct}
