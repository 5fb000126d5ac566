"""Aggregates over [t - w, t) of the events that had arrived strictly before t.

An event with time e and arrival a is seen at t when e < t, a < t and t <= e + w. So the moments that see it are one
half-open stretch of time, (max(e, a), e + w], and of its key's moments in order one run [first, end).

Counts and sums are differences of running totals over the rows in order of event time, less what each late event adds
to the run of moments in (e, min(a, e + w)] that its arrival had not reached. Minima and maxima are laid over runs of
power-of-two lengths and pushed down; distinct values count the union of each value's runs; the last k rows are found by
walking back in the total order. Everything is near-linear in events plus moments, whatever the windows, the lateness
and the skew of keys.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import compiled
from features.exact_sum import float_sum, integer_sum, spread
from features.own_views import Aggregate, EventView, duration_us
from features.timeline import Timeline, earlier, later
from features.version_join import Rows, newest_rows

_GREATEST = np.iinfo(np.int64).max


def event_features(keys: np.ndarray, times: np.ndarray, rows: Rows, view: EventView) -> pa.Table:
    """The view's columns for N moments in the order of (key, time). keys: int64[N] codes >= 0; times: int64[N].

    Nothing seen: count, distinct and sum are 0, mean, min, max and last null, lists empty. Null values are not counted,
    summed or compared; the last row's value may be null. A float sum is exact and rounded once.
    """
    moments = Moments(keys, times, rows)
    last = newest_rows(keys, times, rows, max((one.size or 1 for one in view.aggregates if one.function == "last"),
                                              default=0))
    columns: list[pa.Array] = []
    fields: list[pa.Field] = []
    for text in view.windows:
        window = Window(moments, duration_us(text))
        for one in view.aggregates:
            name = f"{view.name}_{one.name}_{text}"
            columns.append(_last(one, rows.column(one.column), last, window.holds(last)) if one.function == "last"
                           else _AGGREGATES[one.function](window, one))
            fields.append(pa.field(name, columns[-1].type, one.function not in _NEVER_NULL))
    return pa.table(columns, pa.schema(fields))


class Moments:
    """N moments in order that ask for rows. `before`: int64[N], how many rows had happened before each. `late`: the
    rows that arrived after they happened; `late_first`: their first moment after they happened."""

    def __init__(self, keys: np.ndarray, times: np.ndarray, rows: Rows) -> None:
        self.keys, self.times, self.rows = keys, times, rows
        self._totals: tuple[np.ndarray, np.ndarray] | None = None
        self.before, self.late = rows.before(keys, times), late_rows(rows)
        self.late_first = self.timeline.up_to(rows.keys[self.late], rows.event_us[self.late]) if len(self.late) \
            else self.late

    @cached_property
    def timeline(self) -> Timeline:
        return Timeline(self.keys, self.times)

    def totals(self, values: np.ndarray) -> np.ndarray:
        """int64[rows + 1]: the running totals of int64[rows], the same for every window; of the last array asked for."""
        if self._totals is None or self._totals[0] is not values:
            self._totals = values, compiled.running(values)
        return self._totals[1]


class Window:
    """What moments see through one window. `start`: int64[N], how many rows had happened before it opened;
    [late_first, late_end): the moments in it at which a late row had happened, but not arrived."""

    def __init__(self, moments: Moments, width: int) -> None:
        self.moments, self.rows, self.width = moments, moments.rows, width
        self.start = self.rows.timeline.up_to(moments.keys, moments.times, width + 1)
        late = moments.late
        self.late_end = moments.timeline.up_to(self.rows.keys[late], np.minimum(
            known_at(self.rows)[late], later(self.rows.event_us[late], width))) if len(late) else late

    def summed(self, values: np.ndarray) -> np.ndarray:
        """int64[N]: the sums of int64[rows] over the rows seen."""
        found = compiled.between(self.moments.totals(values), self.start, self.moments.before)
        return found - self._not_yet(values[self.moments.late]) if len(self.moments.late) else found

    def counted(self) -> np.ndarray:
        """int64[N]: how many rows are seen."""
        found = self.moments.before - self.start
        return found - self._not_yet(None) if len(self.moments.late) else found

    def _not_yet(self, values: np.ndarray | None) -> np.ndarray:
        return spread(self.moments.late_first, self.late_end, values, len(self.moments.keys))

    def holds(self, row: np.ndarray) -> np.ndarray:
        """bool[N, K]: whether rows (int64[N, K], -1 for none) seen at each moment are in the window."""
        if not len(self.rows.keys):
            return row >= 0
        return (row >= 0) & (self.rows.event_us[row] >= earlier(self.moments.times, self.width)[:, None])

    @cached_property
    def runs(self) -> "Runs":
        """The run of moments that see each row, for what has no difference."""
        rows, timeline = self.rows, self.moments.timeline
        seen_from = timeline.up_to(rows.keys, known_at(rows))
        seen_until = timeline.up_to(rows.keys, later(rows.event_us, self.width))
        shown = np.flatnonzero(seen_until > seen_from)
        return Runs(shown, seen_from[shown], seen_until[shown], len(self.moments.keys))


def known_at(rows: Rows) -> np.ndarray:
    """int64[M]: the instant strictly after which a row is seen: it must have happened, and arrived."""
    return np.maximum(rows.event_us, rows.arrived_us)


def late_rows(rows: Rows) -> np.ndarray:
    """int64: the rows that could not be seen at once."""
    return np.flatnonzero(rows.arrived_us > rows.event_us)


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


def _count(window: Window, one: Aggregate) -> pa.Array:
    if not one.column:
        return pa.array(window.counted())
    there = window.rows.column(one.column)
    return pa.array(window.summed(_there(there).astype(np.int64)) if there.null_count else window.counted())


def _there(column: pa.Array) -> np.ndarray:
    return pc.is_valid(column).to_numpy(zero_copy_only=False)


def _sum(window: Window, one: Aggregate) -> pa.Array:
    values = window.rows.column(one.column)
    if pa.types.is_floating(values.type):
        numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return pa.array(float_sum(np.where(_there(values), numbers, 0.0) if values.null_count else numbers,
                                  window.summed))
    if not (pa.types.is_integer(values.type) or pa.types.is_boolean(values.type)):
        raise ValueError(f"{one.name}: column {one.column!r} is {values.type}; {one.function} needs numbers")
    try:
        return pa.array(integer_sum(*window.rows.whole(one.column), window.summed))
    except OverflowError as error:
        raise ValueError(f"{one.name}: {error}") from error


def _mean(window: Window, one: Aggregate) -> pa.Array:
    """The sum as a float divided once by the count."""
    total, counts = _sum(window, one).to_numpy(), _count(window, one).to_numpy()
    return pa.array(total.astype(np.float64) / np.maximum(counts, 1), mask=counts == 0)


def _least(window: Window, one: Aggregate) -> pa.Array:
    return _extreme(window, one, lambda codes: codes)


def _greatest(window: Window, one: Aggregate) -> pa.Array:
    return _extreme(window, one, np.invert)  # ~x turns the order of all int64 around


def _extreme(window: Window, one: Aggregate, turned: Callable) -> pa.Array:
    runs, values = _valued(window.runs, window.rows.column(one.column))
    codes, by_code = order_codes(values)
    best = turned(least_over(runs, turned(codes)))
    seen = spread(runs.first, runs.end, None, runs.count) > 0
    kind = values.type
    if by_code is not None:
        return by_code.take(pa.array(np.where(seen, best, 0), mask=~seen))
    if pa.types.is_floating(kind):
        best = (best ^ (best >> 63 & _GREATEST)).view(np.float64)
        return pa.array(best, mask=~seen).cast(kind)
    found = pa.array(best, mask=~seen)
    return (found.cast(pa.int32()) if pa.types.is_date32(kind) or pa.types.is_time32(kind) else found).cast(kind)


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


def _distinct(window: Window, one: Aggregate) -> pa.Array:
    runs, values = _valued(window.runs, window.rows.column(one.column))
    codes = order_codes(values)[0]
    order = np.lexsort((runs.first, codes))
    code, first, end = codes[order], runs.first[order], runs.end[order]
    group = np.cumsum(np.append(False, code[1:] != code[:-1])) if len(code) else code
    reached = np.maximum.accumulate(end + group * (runs.count + 1)) - group * (runs.count + 1)  # within the value
    apart = np.append(True, (group[1:] != group[:-1]) | (first[1:] > reached[:-1]))[:len(code)]
    start = np.flatnonzero(apart)
    return pa.array(spread(first[start], np.maximum.reduceat(end, start) if len(start) else end, None, runs.count))


def _last(one: Aggregate, column: pa.Array, last: np.ndarray, inside: np.ndarray) -> pa.Array:
    """last: int64[N, K], the rows seen, newest first; inside: bool[N, K], those in the window."""
    if not one.size:
        return column.take(pa.array(np.maximum(last[:, 0], 0), mask=~inside[:, 0]))
    rows, kept = last[:, one.size - 1::-1], inside[:, one.size - 1::-1]
    offsets = np.append(0, np.cumsum(kept.sum(axis=1)))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), column.take(pa.array(rows[kept])))


_NEVER_NULL = ("count", "sum", "distinct")
_AGGREGATES: dict[str, Callable[[Window, Aggregate], pa.Array]] = {
    "count": _count, "sum": _sum, "mean": _mean, "min": _least, "max": _greatest, "distinct": _distinct}
