"""Rows of unequal length, against plain Python."""

import numpy as np
import pytest

from funnel import ragged

OFFSETS = np.array([0, 3, 3, 5])


def test_rows_places_and_takes() -> None:
    assert ragged.row_of(OFFSETS).tolist() == [0, 0, 0, 2, 2] and ragged.place_in_row(OFFSETS).tolist() == [0, 1, 2, 0, 1]
    flat, offsets = ragged.take(OFFSETS, np.array([2, 1, 0]))
    assert flat.tolist() == [3, 4, 0, 1, 2] and offsets.tolist() == [0, 2, 2, 5]
    assert ragged.keep(OFFSETS, np.array([True, False, True, False, True])).tolist() == [0, 2, 2, 3]
    assert ragged.last(OFFSETS, 1).tolist() == [False, False, True, False, True]


def test_scores_fall_whatever_their_sign_and_not_a_number_is_last() -> None:
    scores = np.array([0.5, -0.0, np.nan, np.inf, -1e-40, 0.0, -np.inf, 7, -3], np.float32)
    row, place = ragged.order_by_score(np.zeros(9, np.int64), np.arange(9), scores)
    assert place.tolist() == [3, 7, 0, 1, 5, 4, 8, 6, 2] and (row == 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_order_equals_sorted(seed: int) -> None:
    random = np.random.default_rng(seed)
    offsets = ragged.offsets_of(random.integers(0, 6, 50))
    row, place = ragged.row_of(offsets), ragged.place_in_row(offsets)
    scores = random.integers(-2, 3, len(row)).astype(np.float32)
    made = list(zip(*(part.tolist() for part in ragged.order_by_score(row, place, scores)), strict=True))
    assert made == [(r, p) for r, _, p in sorted(zip(row.tolist(), (-scores).tolist(), place.tolist(), strict=True))]


def test_too_large_a_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="smaller batches"):
        ragged.order_by_score(np.array([5000]), np.array([0]), np.zeros(1, np.float32))
