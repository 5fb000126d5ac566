"""The join's compiled loops beside what they stand for, and once more as plain Python, where numpy refuses a place that
is not there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features import compiled
from lake.hashing import splitmix64

AS_COMPILED, AS_WRITTEN = (lambda loop: loop), (lambda loop: loop.py_func)
both = pytest.mark.parametrize("way", [AS_COMPILED, AS_WRITTEN], ids=["compiled", "as written"])
TIMES = st.integers(-3, 60)


def longs(most: int, elements: st.SearchStrategy[int]) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.int64, st.integers(0, most), elements=elements)


@st.composite
def rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Keys 0 … 3 and times, by key and time; long runs of one key among them."""
    keys = np.sort(draw(longs(150, st.sampled_from([0, 1, 1, 1, 1, 3]))))
    times = draw(arrays(np.int64, len(keys), elements=TIMES))
    order = np.lexsort((times, keys))
    return keys[order], times[order]


@both
@settings(max_examples=200, deadline=None)
@given(rows=rows(), asked=st.lists(st.tuples(st.integers(-1, 5), TIMES), max_size=40), ordered=st.booleans(),
       less=st.integers(0, 70))
def test_rows_up_to_an_instant_are_counted_in_whatever_order_they_are_asked_for(way, rows, asked, ordered, less):
    keys, times = rows
    asked = sorted(asked) if ordered else asked
    starts = way(compiled.starts_of)(keys, int(keys[-1]) + 1 if len(keys) else 0)
    assert starts.tolist() == [int((keys < key).sum()) for key in range(len(starts))]
    found = way(compiled.up_to)(starts, times, *(np.array([one[n] for one in asked], np.int64) for n in (0, 1)), less)
    assert found.tolist() == [int(((keys < key) | (keys == key) & (times <= t - less)).sum()) for key, t in asked]
    assert way(compiled.up_to)(starts, times, np.array([1]), np.array([compiled.FIRST]), less) == (keys < 1).sum()


@both
@given(values=arrays(np.int64, st.integers(0, 20)))
def test_running_totals_wrap(way, values):
    with np.errstate(over="ignore"):
        assert way(compiled.running)(values).tolist() == np.append(0, np.cumsum(values)).tolist()


@both
@given(starts=longs(20, st.integers(-9, 9)), data=st.data())
def test_instants_are_found_from_another_one(way, starts, data):
    distances = data.draw(arrays(np.int32, len(starts)))
    assert way(compiled.after)(starts, distances).tolist() == (starts + distances).tolist()


@both
@given(rows=rows())
def test_order_is_seen(way, rows):
    assert way(compiled.ascend)(*rows)
    keys, times = (column[::-1].copy() for column in rows)
    assert way(compiled.ascend)(keys, times) == (len(set(zip(keys.tolist(), times.tolist(), strict=True))) <= 1)


@both
@given(parts=longs(200, st.integers(0, 6)))
def test_rows_are_brought_together_by_part_in_their_order(way, parts):
    place, starts = way(compiled.places_of)(parts, 7)
    order = np.argsort(parts, kind="stable")
    assert starts.tolist() == [int((parts < part).sum()) for part in range(8)]
    for kind in (np.int64, np.int32):
        assert way(compiled.put)(np.arange(len(parts), dtype=kind), place).tolist() == order.tolist()


@both
@given(values=longs(50, st.integers(-2**31, 2**31 - 1)), data=st.data())
def test_values_are_taken_as_wide_as_is_asked(way, values, data):
    order = data.draw(longs(60, st.integers(0, max(len(values) - 1, 0)))) if len(values) else values
    for kind, wide in ((np.int64, np.int64), (np.int32, np.int64), (np.int32, np.int32)):
        found = np.empty(len(order), wide)
        way(compiled.take)(values.astype(kind), order, found)
        assert found.tolist() == values[order].tolist()


@both
@given(rows=rows(), data=st.data())
def test_the_last_row_before_a_moment_counts_if_it_had_arrived(way, rows, data):
    keys, arrived = rows
    asked = np.array(data.draw(st.lists(st.tuples(st.integers(-1, 4), TIMES, st.integers(0, len(keys))), max_size=30)),
                     np.int64).reshape(-1, 3)
    found, walks = way(compiled.newest)(*(np.ascontiguousarray(asked[:, n]) for n in range(3)), keys, arrived)
    expected = [-1 if not before or keys[before - 1] != key else int(before) - 1 if arrived[before - 1] < t
                else compiled.WALK for key, t, before in asked.tolist()]
    assert found.tolist() == expected and walks == expected.count(compiled.WALK)


@both
@given(rows=rows())
def test_what_falls_or_is_equal_is_seen_column_by_column(way, rows):
    keys, times = rows
    equal = np.arange(len(keys)) > 0
    assert not way(compiled.fall)(keys, equal) and not way(compiled.fall)(times, equal)
    pairs = list(zip(keys.tolist(), times.tolist(), strict=True))
    assert equal.tolist() == [n > 0 and pairs[n] == pairs[n - 1] for n in range(len(pairs))]
    if len(set(pairs)) > 1:
        equal = np.arange(len(keys)) > 0
        assert way(compiled.fall)(keys[::-1].copy(), equal) or way(compiled.fall)(times[::-1].copy(), equal)


@given(numbers=longs(50, st.integers(-2**63, 2**63 - 1)))
def test_keys_are_mixed_as_the_lake_mixes_them(numbers):
    mixed = np.zeros(len(numbers), np.uint64)
    compiled.mix(numbers, mixed)
    assert mixed.tolist() == splitmix64(numbers).tolist()
    compiled.mix(numbers[::-1].copy(), mixed)
    assert mixed.tolist() == splitmix64((splitmix64(numbers) ^ numbers[::-1].view(np.uint64)).view(np.int64)).tolist()
