"""Rows of unequal length as one flat array and offsets, and packed sorts inside rows."""

import numpy as np

ROWS_LIMIT = 1 << 12
LENGTH_LIMIT = 1 << 20


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


def falling_bits(scores: np.ndarray) -> np.ndarray:
    """u32 keys that ascend as float32 scores fall; -0.0 equals 0.0, NaN comes last."""
    bits = (np.asarray(scores, np.float32) + np.float32(0)).view(np.uint32)
    rising = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return np.where(np.isnan(scores), np.uint32(0xFFFFFFFF), ~rising)


def order_by_score(row: np.ndarray, place: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort elements by row, then falling score, then rising place; one sort of packed 64-bit keys.

    row: [N] below 4,096; place: [N], the place in the row, below 2^20. Returns (row, place) in the new order.
    ValueError when a batch is larger than the packing allows.
    """
    if len(row) and (int(row.max()) >= ROWS_LIMIT or int(place.max()) >= LENGTH_LIMIT):
        raise ValueError(f"a batch holds {int(row.max()) + 1:,} rows of up to {int(place.max()) + 1:,}; at most "
                         f"{ROWS_LIMIT:,} rows of {LENGTH_LIMIT:,} fit: use smaller batches")
    keys = row.astype(np.uint64) << np.uint64(52)
    keys |= falling_bits(scores).astype(np.uint64) << np.uint64(20)
    keys |= place.astype(np.uint64)
    keys.sort()
    return (keys >> np.uint64(52)).astype(np.int64), (keys & np.uint64(LENGTH_LIMIT - 1)).astype(np.int64)
