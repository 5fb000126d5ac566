"""The loops of point-in-time joins over rows in the order of their keys, compiled by numba.

Keys are codes 0 … K - 1; `starts` (int64[K + 1]) says where each key's rows begin and the last one's end. All in one
file, because numba compiles anew what a changed file holds, not what calls it from another one. Types are named, so that
whoever imports this, such as the process that workers are forked from, has loaded it.
"""

import numpy as np
from numba import njit, types

BLOCK = 8  # so many instants are compared at once, without a branch on what can't be foreseen
WALK = -2
FIRST = np.iinfo(np.int64).min
LONG, MADE = types.Array(types.int64, 1, "C", readonly=True), types.int64[::1]
INT, PLACE = types.Array(types.int32, 1, "C", readonly=True), types.uint32[::1]


@njit(types.boolean(LONG, LONG), cache=True)
def ascend(keys: np.ndarray, times: np.ndarray) -> bool:
    """Whether rows (int64[N] both) stand by key and time, ties in any order."""
    for n in range(1, len(keys)):
        if keys[n] < keys[n - 1] or keys[n] == keys[n - 1] and times[n] < times[n - 1]:
            return False
    return True


@njit(MADE(LONG, types.int64), cache=True)
def starts_of(keys: np.ndarray, count: int) -> np.ndarray:
    """int64[count + 1]: where each of the codes 0 … count - 1 begins among keys that ascend (int64[N])."""
    starts, reached = np.empty(count + 1, np.int64), 0
    for row in range(len(keys)):
        while reached <= keys[row]:
            starts[reached] = row
            reached += 1
    starts[reached:] = len(keys)
    return starts


@njit(types.Tuple((MADE, MADE, types.int64))(LONG), cache=True)
def ranked(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """int64[N] and, of the first K, int64[N]: the rank of each key among those that differ, and where each begins; and K,
    which is -1 where keys (int64[N]) do not ascend."""
    codes, starts, count = np.empty(len(keys), np.int64), np.empty(len(keys), np.int64), 0
    for row in range(len(keys)):
        if row and keys[row] < keys[row - 1]:
            return codes, starts, -1
        if not row or keys[row] > keys[row - 1]:
            starts[count] = row
            count += 1
        codes[row] = count - 1
    return codes, starts, count


@njit(types.Tuple((PLACE, MADE))(LONG, types.int64), cache=True)
def places_of(parts: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """uint32[N]: where each row stands when rows are brought together by part (integers 0 … count - 1), in their order
    within each; and int64[count + 1]: where the parts begin."""
    starts = np.zeros(count + 1, np.int64)
    for part in parts:
        starts[part + 1] += 1
    for part in range(count):
        starts[part + 1] += starts[part]
    free, place = starts.copy(), np.empty(len(parts), np.uint32)
    for row in range(len(parts)):
        place[row] = free[parts[row]]
        free[parts[row]] += 1
    return place, starts


@njit([MADE(LONG, PLACE), types.int32[::1](INT, PLACE)], cache=True)
def put(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    """[N]: each of N values at its place, which are 0 … N - 1 in any order. Of places that ascend within a few parts this
    is several times as quick as taking in order."""
    found = np.empty_like(values)
    for row in range(len(values)):
        found[place[row]] = values[row]
    return found


@njit([types.void(LONG, LONG, MADE), types.void(INT, LONG, MADE), types.void(INT, LONG, types.int32[::1])], cache=True)
def take(values: np.ndarray, order: np.ndarray, found: np.ndarray) -> None:
    """found = values[order], as wide as `found` is; order: int64[N]."""
    for row in range(len(order)):
        found[row] = values[order[row]]


@njit([types.void(LONG, LONG, MADE), types.void(INT, LONG, MADE)], cache=True)
def put_at(values: np.ndarray, place: np.ndarray, found: np.ndarray) -> None:
    """found[place] = values, which may be half as wide; values, place: [N], no place twice."""
    for row in range(len(values)):
        found[place[row]] = values[row]


@njit(types.void(LONG, LONG, MADE), cache=True)
def look_up(values: np.ndarray, rows: np.ndarray, found: np.ndarray) -> None:
    """found = values[rows], 0 where a row is -1; rows, found: int64[N]."""
    for n in range(len(rows)):
        found[n] = values[rows[n]] if rows[n] >= 0 else 0


@njit(types.void(LONG, LONG, LONG, MADE), cache=True)
def add_up(values: np.ndarray, rows: np.ndarray, owner: np.ndarray, found: np.ndarray) -> None:
    """To found[owner] what values[rows] are, nothing where a row is -1; rows, owner: int64[N]."""
    for n in range(len(rows)):
        if rows[n] >= 0:
            found[owner[n]] += values[rows[n]]


@njit(types.void(LONG, types.uint64[::1]), cache=True)
def mix(numbers: np.ndarray, mixed: np.ndarray) -> None:
    """mixed = splitmix64(mixed ^ numbers), as `lake.hashing` defines it; [N] both."""
    for row in range(len(numbers)):
        z = (mixed[row] ^ np.uint64(numbers[row])) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed[row] = z ^ (z >> np.uint64(31))


@njit(MADE(LONG), cache=True)
def running(values: np.ndarray) -> np.ndarray:
    """int64[N + 1]: the totals of the first 0 … N values (int64[N]), which wrap where they must."""
    totals = np.empty(len(values) + 1, np.int64)
    totals[0] = 0
    for row in range(len(values)):
        totals[row + 1] = totals[row] + values[row]
    return totals


@njit(MADE(LONG, INT), cache=True)
def after(starts: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """int64[N]: starts (int64[N]) + distances (int32[N])."""
    found = np.empty(len(starts), np.int64)
    for row in range(len(starts)):
        found[row] = starts[row] + distances[row]
    return found


@njit(MADE(LONG, LONG, LONG), cache=True)
def between(totals: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """int64[N]: totals[end] - totals[start], which wraps where it must; start, end: int64[N]."""
    found = np.empty(len(start), np.int64)
    for row in range(len(start)):
        found[row] = totals[end[row]] - totals[start[row]]
    return found


@njit(MADE(MADE, LONG, LONG, LONG, types.int64), cache=True)
def up_to(starts: np.ndarray, known: np.ndarray, keys: np.ndarray, times: np.ndarray, less: int) -> np.ndarray:
    """int64[N]: how many rows, over all keys in order, lie at or before each (key, time - less), or the first instant where
    that is before it. known: int64[M], the rows' instants, ascending within each key. keys: nothing is before -1.

    In steps that double, from where the last answer was: near-linear for what is asked in order, and the logarithm of the
    rows between for anything else. Source: Bentley and Yao, "An almost optimal algorithm for unbounded searching", 1976.
    """
    found = np.empty(len(keys), np.int64)
    count, rows = len(starts) - 1, len(known)
    key, last, at, end, earliest = -1, FIRST, 0, 0, FIRST + less
    for n in range(len(keys)):
        time = max(times[n], earliest) - less
        if keys[n] != key or time < last:
            key = keys[n]
            at, end = (0, 0) if key < 0 else (starts[key], starts[key + 1]) if key < count else (rows, rows)
        last, step = time, BLOCK
        while at + step <= end and known[at + step - 1] <= time:
            at += step
            step *= 2
        while step > BLOCK:
            step //= 2
            if at + step <= end and known[at + step - 1] <= time:
                at += step
        if at + BLOCK <= end:
            after = at
            for row in range(at, at + BLOCK):
                after += known[row] <= time
            at = after
        else:
            while at < end and known[at] <= time:
                at += 1
        found[n] = at
    return found


@njit(types.Tuple((MADE, types.int64))(LONG, LONG, LONG, LONG, LONG), cache=True)
def newest(keys: np.ndarray, times: np.ndarray, before: np.ndarray, row_keys: np.ndarray,
           arrived: np.ndarray) -> tuple[np.ndarray, int]:
    """int64[N]: of the rows [0, before) of each moment the last one if it had arrived strictly before the moment, -1 where
    the moment's key has no row there, WALK where an earlier row may be the answer; and how many those are. keys: -1 has no
    rows."""
    found, walks = np.empty(len(keys), np.int64), 0
    for n in range(len(keys)):
        row = before[n] - 1
        if row < 0 or row_keys[row] != keys[n]:
            found[n] = -1
        elif arrived[row] < times[n]:
            found[n] = row
        else:
            found[n] = WALK
            walks += 1
    return found, walks


@njit(types.boolean(LONG, types.boolean[::1]), cache=True)
def fall(values: np.ndarray, equal: np.ndarray) -> bool:
    """Whether a value (int64[N]) is less than the one before it although they are equal so far (bool[N], true where a row
    is like the one before in earlier columns). Where it is not, `equal` is narrowed to those that are equal here too."""
    for n in range(1, len(values)):
        if equal[n]:
            if values[n] < values[n - 1]:
                return True
            equal[n] = values[n] == values[n - 1]
    return False
