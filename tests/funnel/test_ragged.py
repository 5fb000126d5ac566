"""Rows of unequal length, against plain Python."""

import numpy as np

from funnel import ragged

OFFSETS = np.array([0, 3, 3, 5])


def test_rows_places_and_takes() -> None:
    assert ragged.row_of(OFFSETS).tolist() == [0, 0, 0, 2, 2] and ragged.place_in_row(OFFSETS).tolist() == [0, 1, 2, 0, 1]
    flat, offsets = ragged.take(OFFSETS, np.array([2, 1, 0]))
    assert flat.tolist() == [3, 4, 0, 1, 2] and offsets.tolist() == [0, 2, 2, 5]
    assert ragged.keep(OFFSETS, np.array([True, False, True, False, True])).tolist() == [0, 2, 2, 3]
    assert ragged.last(OFFSETS, 1).tolist() == [False, False, True, False, True]
