"""Exact search against sorting everything."""

import numpy as np
import pytest

from funnel import compiled, retrieval
from funnel.retrieval import best_columns, exact_top


@pytest.mark.parametrize("n", [0, 1, 7, 40])
def test_best_columns_equal_a_stable_sort(n: int) -> None:
    scores = np.random.default_rng(n).integers(-3, 4, (30, 40)).astype(np.float32)
    assert np.array_equal(best_columns(scores, n), np.argsort(-scores, axis=1, kind="stable")[:, :n])


def test_exact_search_asks_for_no_more_than_there_is() -> None:
    found, scores = exact_top(np.eye(3, dtype=np.float32))(np.array([[1, 3, 2]], np.float32), 10)
    assert found.tolist() == [[1, 2, 0]] and scores.tolist() == [[3, 2, 1]]


@pytest.mark.parametrize(("shape", "most_blocks"), [("near the origin", 10), ("alike", 79), ("all zero", 79)])
def test_exact_search_equals_a_stable_sort_of_everything(shape: str, most_blocks: int,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole numbers, so that sums are exact and many tie. Where most videos are near the origin few blocks are looked at."""
    random = np.random.default_rng(4)
    size = np.where(np.arange(5_000) % 50 == 0, 40, 1) if shape == "near the origin" else np.full(5_000, 3)
    videos = (random.integers(-1, 2, (5_000, 12)) * size[:, None]).astype(np.float32)
    people = random.integers(-3, 4, (40, 12)).astype(np.float32) * (shape != "all zero")
    looked_at, offer = [], compiled.offer_columns
    monkeypatch.setattr(retrieval, "VIDEOS_AT_ONCE", 64)
    monkeypatch.setattr(compiled, "offer_columns", lambda *found: (looked_at.append(1), offer(*found)))
    index, scores = exact_top(videos)(people, 30)
    every = people @ videos.T
    assert np.array_equal(index, np.argsort(-every, axis=1, kind="stable")[:, :30])
    assert np.array_equal(scores, np.take_along_axis(every, index, axis=1)) and len(looked_at) <= most_blocks


def test_a_block_is_multiplied_for_those_alone_whom_it_may_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the people look at what half of the videos have, the others at what the others have."""
    random, asked, offer = np.random.default_rng(0), [], compiled.offer_columns
    videos, people = np.zeros((128, 12), np.float32), np.zeros((40, 12), np.float32)
    videos[:64, 5:], videos[64:, :5] = random.choice([-3, -2, 2, 3], (64, 7)), random.choice([-9, -8, 8, 9], (64, 5))
    people[:25, 5:], people[25:, :5] = random.choice([-2, -1, 1, 2], (25, 7)), random.choice([-2, -1, 1, 2], (15, 5))
    monkeypatch.setattr(retrieval, "VIDEOS_AT_ONCE", 64)
    monkeypatch.setattr(compiled, "offer_columns", lambda scores, *rest: (asked.append(len(scores)), offer(scores, *rest)))
    index, _ = exact_top(videos)(people, 5)
    assert np.array_equal(index, np.argsort(-(people @ videos.T), axis=1, kind="stable")[:, :5])
    assert sum(asked) < 2 * len(people)


def test_a_vector_that_is_no_number_finds_nothing_and_spoils_nobody() -> None:
    videos, people = np.eye(6, dtype=np.float32), np.ones((3, 6), np.float32)
    people[1, 2] = np.nan
    with np.errstate(invalid="ignore"):
        index, scores = exact_top(videos)(people, 4)
    assert index.tolist() == [[0, 1, 2, 3], [-1] * 4, [0, 1, 2, 3]] and (scores[1] == -np.inf).all()


def test_products_are_those_of_each_pair() -> None:
    random = np.random.default_rng(0)
    videos, people = random.integers(-3, 4, (50, 8)).astype(np.float32), random.integers(-3, 4, (9, 8)).astype(np.float32)
    user, video = random.integers(0, 9, 20_000), random.integers(0, 50, 20_000)
    assert np.array_equal(compiled.products(videos, people, user, video), (videos @ people.T)[video, user])
