"""Two searches that every point-in-time join is made of.

`Timeline.up_to` counts the moments of a key that lie at or before an instant. `newest` finds, walking back from a
position, the last row that had arrived by then. Instants are int64 microseconds; keys are codes >= 0.
"""

from collections.abc import Callable

import numpy as np

LAST_INSTANT = np.iinfo(np.int64).max


class Timeline:
    """Moments in (key, time) order: `order` (int64[N]) puts the given ones there, equal ones in any order, None when they
    came so; `moments` (int64[N]) are one ascending number each. keys, times: int64[N]."""

    def __init__(self, keys: np.ndarray, times: np.ndarray) -> None:
        self.first = int(times.min()) if len(times) else 0
        self.last = int(times.max()) if len(times) else 0
        widest = (int(keys.max()) + 1) * (self.last - self.first + 3) if len(keys) else 0
        # One integer orders (key, time): the time itself where it fits beside the key, else its rank.
        self.ranked = np.unique(times) if widest >= 2**62 or self.first <= -2**62 else None
        self.span = len(self.ranked) + 1 if self.ranked is not None else self.last - self.first + 2
        places = self._places(keys, times)
        self.order = None if (places[1:] >= places[:-1]).all() else _order(keys, times, places)
        self.moments = arranged(places, self.order)

    def _places(self, keys: np.ndarray, times: np.ndarray) -> np.ndarray:
        if self.ranked is not None:
            return keys * self.span + np.searchsorted(self.ranked, times, side="right")
        places = keys * self.span
        places += times
        places -= self.first - 1
        return places

    def up_to(self, keys: np.ndarray, times: np.ndarray) -> np.ndarray:
        """int64[M]: how many moments, over all keys in order, lie at or before (key, time)."""
        times = times if self.ranked is not None else np.clip(times, self.first - 1, self.last)
        return np.searchsorted(self.moments, self._places(keys, times), side="right")


def arranged(values: np.ndarray, order: np.ndarray | None) -> np.ndarray:
    """Values in an order (int64[N]); None: as they are."""
    return values if order is None else values[order]


def _order(keys: np.ndarray, times: np.ndarray, places: np.ndarray) -> np.ndarray:
    """int64[N]: by place. Of times that ascend already only the keys need sorting; 16 bits numpy sorts by radix."""
    if int(keys.max()) < 2**16 and (times[1:] >= times[:-1]).all():
        return np.argsort(keys.astype(np.uint16), kind="stable")
    return np.argsort(places)


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


def newest(arrived: np.ndarray, levels: Callable[[], list[np.ndarray]], before: np.ndarray,
           times: np.ndarray) -> np.ndarray:
    """int64[N]: the last row in [0, before) that arrived strictly before the time, -1 where there is none.

    levels: gives the `tree` of arrived. Cost: constant where the last row is it, else the logarithm of the distance.
    """
    if not len(arrived):
        return np.full(len(before), -1, np.int64)
    found = before - 1
    missed = np.flatnonzero((before > 0) & ~(arrived[np.maximum(found, 0)] < times))
    if len(missed):
        found[missed] = _walk_back(levels(), before[missed], times[missed])
    return found


def _walk_back(levels: list[np.ndarray], before: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Blocks of growing size back from `before` until one holds an arrival in time, then down into its last one."""
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
