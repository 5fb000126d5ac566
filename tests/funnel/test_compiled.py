"""Compiled loops check no bounds: what they write beyond an array is damage that another line, or nobody, notices."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from funnel import compiled
from funnel.users import index_in

UNTOUCHED = compiled.key_of(np.float32(0), 0)  # where it is read as the worst of the best, everything is better


@pytest.mark.parametrize("n", [0, 1, 4])
def test_the_best_of_many_stay_in_their_room(n: int) -> None:
    total, touched = np.arange(1, 33, dtype=np.float32), np.random.default_rng(7).permutation(32).astype(np.uint32)
    keys, best = np.full(64, UNTOUCHED, np.uint64), np.full(8, UNTOUCHED, np.uint64)
    assert compiled._best_touched(total, touched, np.zeros(32, np.float32), keys[:32], best[:n], n) == n
    assert [compiled.number_of(key) for key in best[:n]] == [31, 30, 29, 28][:n]
    assert (keys[32:] == UNTOUCHED).all() and (best[n:] == UNTOUCHED).all()


@pytest.mark.parametrize("n", [0, 1, 4])
def test_the_strongest_neighbours_stay_in_their_room(n: int) -> None:
    total, keys = np.arange(1, 33, dtype=np.float32), np.full(64, UNTOUCHED, np.uint64)
    touched, scores, ids = np.arange(32, dtype=np.uint32), np.zeros(n, np.float32), np.zeros(n, np.int32)
    assert compiled._strongest(total, touched, np.zeros(32, np.float32), np.float32(0), np.float32(1),
                               np.zeros(32, np.float32), keys[:32], scores, ids) == n
    assert set(ids.tolist()) == {31, 30, 29, 28} - set(range(32 - n)) and not total.any()
    assert (keys[32:] == UNTOUCHED).all()


@pytest.mark.parametrize("n", [1, 3, 40])
@pytest.mark.parametrize("of", [1, 5, 50, 400])
@pytest.mark.parametrize("worth", ["spread", "tied", "one far above", "none", "tiny", "infinite"])
def test_the_keys_of_the_best_are_those_of_a_sort(n: int, of: int, worth: str) -> None:
    random = np.random.default_rng(of)
    scores = {"spread": random.exponential(size=of), "tied": np.ones(of), "none": -random.random(of),
              "one far above": np.append(random.random(of - 1), 1e30), "tiny": random.integers(0, 3, of) * 1e-45,
              "infinite": np.where(random.random(of) < 0.5, np.inf, 1)}[worth].astype(np.float32)
    numbers, keys = random.permutation(of).astype(np.uint32), np.zeros(of, np.uint64)
    held = compiled.best_keys(numbers, scores, n, keys)
    worths = zip(scores.tolist(), numbers.tolist(), strict=True)
    best = sorted((-score, number) for score, number in worths if score > 0)
    assert sorted((-compiled.score_of(key), compiled.number_of(key)) for key in keys[:held]) == best[:n]


def test_a_border_leaves_few_above() -> None:
    scores = np.random.default_rng(1).exponential(size=3000).astype(np.float32)
    assert 60 <= (scores > compiled._border(scores, 60)).sum() <= 75


@pytest.mark.parametrize("n", [compiled.FEW, compiled.FEW + 1])
def test_few_and_many_are_sorted_alike(n: int) -> None:
    total = np.random.default_rng(n).permutation(400).astype(np.float32)
    best, touched = np.zeros(n, np.uint64), np.arange(400, dtype=np.uint32)
    assert compiled._best_touched(total, touched, np.zeros(400, np.float32), np.zeros(400, np.uint64), best, n) == n
    assert [compiled.number_of(key) for key in best] == np.argsort(-total)[:n].tolist()


@pytest.mark.parametrize("limit", [1, 2, 512, 513, 1 << 18, (1 << 18) + 1])
def test_numbers_are_sorted_below_their_limit(limit: int) -> None:
    numbers = np.random.default_rng(limit).choice(limit, min(limit, 300), replace=False).astype(np.uint32)
    wanted = np.sort(numbers).tolist()
    compiled._sort_numbers(numbers, np.zeros(300, np.uint32), np.zeros(1 << compiled.DIGIT, np.uint32), limit)
    assert numbers.tolist() == wanted


def test_the_strongest_play_is_the_first_of_the_largest_positive() -> None:
    near = sparse.random(30, 30, 0.4, "csr", np.float32, 3, data_rvs=lambda n: np.arange(n) % 4 - 1)
    random = np.random.default_rng(4)
    played = np.stack([random.permutation(np.append(np.arange(30), [-1] * 10))[:8] for _ in range(20)])
    user = np.sort(random.integers(0, 20, 60))
    video = np.concatenate([random.permutation(30)[:count] for count in np.bincount(user, minlength=20)])
    found, dense = compiled.strongest(played, user, video, compiled.rows_of(near)).tolist(), near.toarray()
    for one, (plays, wanted) in enumerate(zip(played[user], video, strict=True)):
        strength = [dense[play, wanted] if play >= 0 else 0 for play in plays]
        assert found[one] == (plays[int(np.argmax(strength))] if max(strength) > 0 else -1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("most", [0, 3, 1 << 40, (1 << 63) - 1])
def test_places_are_those_of_the_first_equal_number(seed: int, most: int) -> None:
    random = np.random.default_rng(seed)
    ascending = np.sort(random.integers(-most, most, random.integers(0, 60), endpoint=True))
    wanted = np.concatenate([random.permutation(ascending), random.integers(-most, most, 20, endpoint=True),
                             [-(1 << 63), 0, (1 << 63) - 1]]).reshape(-1, 1)
    among = ascending.tolist()
    assert index_in(ascending, wanted).ravel().tolist() == [among.index(one) if one in among else -1
                                                            for one in wanted.ravel().tolist()]
    assert index_in(ascending, wanted).shape == wanted.shape


@pytest.mark.parametrize("n", [0, 1, 3, 9])
def test_the_best_places_of_rows_equal_a_sort(n: int) -> None:
    random = np.random.default_rng(n)
    offsets, asked = np.array([0, 0, 5, 60, 61, 100]), random.random(100) < 0.7
    scores = random.integers(-2, 3, 100).astype(np.float32)
    scores[random.integers(0, 100, 30)] = random.choice([np.nan, np.inf, -np.inf, -0.0, -1e-40], 30)
    found, _ = compiled.lists_of(compiled.best_of_rows(offsets, scores, asked, n))
    for row, (start, stop) in enumerate(pairwise(offsets.tolist())):
        best = sorted(np.flatnonzero(asked[start:stop]) + start, key=lambda at: (
            np.isnan(scores[at]) or scores[at] == -np.inf, -np.nan_to_num(scores[at], nan=-np.inf), at))
        assert found[row].tolist() == [*best[:n], *[-1] * (n - len(best))]


def test_no_loop_leaves_its_arrays() -> None:
    """Their tests once more with the loops as plain Python, where numpy refuses a place that isn't there."""
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        pytest.skip("this is that run")
    home = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not 3000",
                          "tests/funnel", "tests/training/test_bundle.py"], cwd=home, capture_output=True, text=True,
                         env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:]
