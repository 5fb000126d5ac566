"""Rows of unequal length as one flat array and offsets."""

import numpy as np


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """i64[R+1] offsets of rows with these lengths."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def row_of(offsets: np.ndarray) -> np.ndarray:
    """i64[N]: the row of every flat element."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def place_in_row(offsets: np.ndarray) -> np.ndarray:
    """i64[N]: the place of every flat element in its row, from 0."""
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))


def take(offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flat positions and new offsets of the chosen rows, in the order given."""
    lengths = (offsets[1:] - offsets[:-1])[rows]
    taken = offsets_of(lengths)
    return np.repeat(offsets[rows] - taken[:-1], lengths) + np.arange(taken[-1]), taken


def keep(offsets: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Offsets of the rows after dropping the flat elements where mask is False."""
    kept = np.zeros(len(mask) + 1, np.int64)
    np.cumsum(mask, out=kept[1:])
    return kept[offsets]


def last(offsets: np.ndarray, n: int) -> np.ndarray:
    """bool[N]: whether the element is among the last n of its row."""
    return np.repeat(offsets[1:], np.diff(offsets)) - np.arange(offsets[-1]) <= n
