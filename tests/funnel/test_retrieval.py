"""Exact search against sorting everything."""

import numpy as np
import pytest

from funnel.retrieval import best_columns, exact_top, nearness


@pytest.mark.parametrize("n", [0, 1, 7, 40])
def test_best_columns_equal_a_stable_sort(n: int) -> None:
    scores = np.random.default_rng(n).integers(-3, 4, (30, 40)).astype(np.float32)
    assert np.array_equal(best_columns(scores, n), np.argsort(-scores, axis=1, kind="stable")[:, :n])


def test_exact_search_asks_for_no_more_than_there_is() -> None:
    found, scores = exact_top(np.eye(3, dtype=np.float32))(np.array([[1, 3, 2]], np.float32), 10)
    assert found.tolist() == [[1, 2, 0]] and scores.tolist() == [[3, 2, 1]]


def test_nearness_is_the_product_of_each_pair() -> None:
    random = np.random.default_rng(0)
    videos, people = random.integers(-3, 4, (50, 8)).astype(np.float32), random.integers(-3, 4, (9, 8)).astype(np.float32)
    user, video = random.integers(0, 9, 20_000), random.integers(0, 50, 20_000)
    assert np.array_equal(nearness(videos, people, user, video), (videos @ people.T)[video, user])
