"""Compiled loops check no bounds: what they write beyond an array is damage that another line, or nobody, notices."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from funnel import compiled

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
    touched, scores, ids = np.arange(32, dtype=np.int32), np.zeros(n, np.float32), np.zeros(n, np.int32)
    assert compiled._strongest(total, touched, 32, keys[:compiled.ROOM * n], scores, ids) == n
    assert ids.tolist() == [31, 30, 29, 28][:n] and not total.any()
    assert (keys[compiled.ROOM * n:] == UNTOUCHED).all()


def test_no_loop_leaves_its_arrays() -> None:
    """Their tests once more with the loops as plain Python, where numpy refuses a place that isn't there."""
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        pytest.skip("this is that run")
    home = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not 3000",
                          "tests/funnel", "tests/training/test_bundle.py"], cwd=home, capture_output=True, text=True,
                         env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:]
