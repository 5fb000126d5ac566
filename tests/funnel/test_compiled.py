"""Compiled loops check no bounds: what they write beyond an array is damage that another line, or nobody, notices."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from funnel import compiled
from funnel.users import index_in

UNTOUCHED = compiled.key_of(np.float32(0), 0)  # where it is read as the worst of the best, everything is better


@pytest.mark.parametrize("n", [0, 1, 4])
def test_the_best_of_many_stay_in_their_room(n: int) -> None:
    total, slot_of = np.arange(1, 33, dtype=np.float32), np.full(32, compiled.FREE, np.int32)
    touched, keys = np.random.default_rng(7).permutation(32).astype(np.int32), np.full(64, UNTOUCHED, np.uint64)
    assert compiled._best_unseen(total, touched, slot_of, keys, n) == n
    assert [compiled.number_of(key) for key in keys[:n]] == [31, 30, 29, 28][:n]
    assert (keys[compiled.ROOM * n:] == UNTOUCHED).all()


@pytest.mark.parametrize("n", [0, 1, 4])
def test_the_strongest_neighbours_stay_in_their_room(n: int) -> None:
    total, keys = np.arange(1, 33, dtype=np.float32), np.full(64, UNTOUCHED, np.uint64)
    touched, scores, ids = np.arange(32, dtype=np.uint32), np.zeros(n, np.float32), np.zeros(n, np.int32)
    assert compiled._strongest(total, touched, np.zeros(32, np.float32), np.float32(0), np.float32(1),
                               keys[:compiled.ROOM * n], scores, ids) == n
    assert set(ids.tolist()) == {31, 30, 29, 28} - set(range(32 - n)) and not total.any()
    assert (keys[compiled.ROOM * n:] == UNTOUCHED).all()


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
    found = compiled.best_places(offsets, scores, asked, n)
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
