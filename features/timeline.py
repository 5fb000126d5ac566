"""Two searches that every point-in-time join is made of.

`Timeline.up_to` counts the moments of a key that lie at or before an instant. `walk_back` finds, from a position, the last
row that had arrived by then. Instants are int64 microseconds; keys are codes >= 0.
"""

import numpy as np

from features import compiled

LAST_INSTANT = np.iinfo(np.int64).max


class Timeline:
    """Moments in (key, time) order: `keys` and `times` (int64[N]) as they stand there, and `order` (int64[N]), which puts
    the given ones so, equal ones in any order, None when they came so. keys: codes >= 0; times: int64[N]."""

    def __init__(self, keys: np.ndarray, times: np.ndarray) -> None:
        self.order = None if compiled.ascend(keys, times) else _order(keys, times)
        self.keys, self.times = arranged(keys, self.order), arranged(times, self.order)
        self._starts = compiled.starts_of(self.keys, int(self.keys[-1]) + 1 if len(keys) else 0)

    def up_to(self, keys: np.ndarray, times: np.ndarray, less: int = 0) -> np.ndarray:
        """int64[M]: how many moments, over all keys in order, lie at or before (key, time - less), or the first instant where
        that is before it. keys: nothing is before -1."""
        return compiled.up_to(self._starts, self.times, keys, times, less)


def arranged(values: np.ndarray, order: np.ndarray | None) -> np.ndarray:
    """Values in an order (int64[N]); None: as they are."""
    return values if order is None else values[order]


def _order(keys: np.ndarray, times: np.ndarray) -> np.ndarray:
    """int64[N]: by key and time. Of times that ascend already only the keys need sorting, which are counted."""
    by_time = None if (times[1:] >= times[:-1]).all() else np.argsort(times)
    place, _ = compiled.places_of(arranged(keys, by_time), int(keys.max()) + 1)
    return compiled.put(np.arange(len(keys)) if by_time is None else by_time, place)


def later(times: np.ndarray, by_us: int) -> np.ndarray:
    """times + by_us, the last instant where that is past it."""
    return np.minimum(times, LAST_INSTANT - by_us) + by_us


def earlier(times: np.ndarray, by_us: int) -> np.ndarray:
    """times - by_us, the first instant where that is before it."""
    return np.maximum(times, -LAST_INSTANT + by_us) - by_us


def tree(arrived: np.ndarray) -> list[np.ndarray]:
    """Least arrival per block of 1, 2, 4, … rows; whole blocks only. arrived: int64[M]."""
    levels = [arrived]
    while len(levels[-1]) > 1:
        below = levels[-1]
        whole = len(below) // 2 * 2
        levels.append(np.minimum(below[0:whole:2], below[1:whole:2]))
    return levels


def walk_back(levels: list[np.ndarray], before: np.ndarray, times: np.ndarray) -> np.ndarray:
    """int64[N]: the last row in [0, before) that arrived strictly before the time, -1 where there is none. levels: the
    `tree` of the arrivals. before, times: int64[N].

    Blocks of growing size back from `before` until one holds an arrival in time, then down into its last one: the logarithm
    of the distance."""
    count = len(before)
    found, height = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
    left, end = np.arange(count), before.copy()
    for level, arrived in enumerate(levels):
        asks = np.flatnonzero((end[left] >> level) & 1)
        block = (end[left[asks]] >> level) - 1
        hit = arrived[block] < times[left[asks]]
        found[left[asks[hit]]], height[left[asks[hit]]] = block[hit], level
        end[left[asks[~hit]]] -= 1 << level
        left = left[(height[left] < 0) & (end[left] > 0)]
        if not len(left):
            break
    for level in range(int(height.max(initial=-1)), 0, -1):
        down = np.flatnonzero(height == level)
        right = found[down] * 2 + 1
        found[down] = np.where(levels[level - 1][right] < times[down], right, right - 1)
        height[down] = level - 1
    return found
