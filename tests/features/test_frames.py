"""How work is spread: over Spark's workers, and over this process while Spark is still starting."""

import os
import time
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.frames import balanced_from_start, hands_of
from jobs.spark_context import begin, spark_context

SIZES = [3, 9, 1, 7, 5, 8]


def test_this_process_does_the_work_of_a_spark_that_is_not_there_yet() -> None:
    order: list[int] = []
    assert balanced_from_start(Future(), lambda n: order.append(n) or {"n": n}, SIZES) == [{"n": n} for n in range(6)]
    assert [SIZES[n] for n in order] == sorted(SIZES)


def test_spark_takes_over_what_is_left(tmp_path: Path) -> None:
    starting, context = Future(), spark_context("nightreel")
    begun, ready, here, waiting = tmp_path / "begun", tmp_path / "ready", os.getpid(), SIZES.index(5)

    def task(n: int) -> dict:
        if n == waiting:
            begun.touch()
            while not ready.exists():
                time.sleep(0.01)
        return {"n": n, "by": os.getpid()}

    def start() -> None:
        while not begun.exists():
            time.sleep(0.01)
        starting.set_result(context)
        ready.touch()

    Thread(target=start).start()
    found = balanced_from_start(starting, task, SIZES)
    assert [one["n"] for one in found] == list(range(6))
    assert {SIZES[one["n"]] for one in found if one["by"] == here} == {1, 3, 5}


def test_a_spark_that_fails_to_start_is_told_and_not_replaced() -> None:
    starting: Future = Future()

    def task(n: int) -> dict:
        starting.set_exception(RuntimeError("no master at spark://127.0.0.1:1"))
        return {}

    with pytest.raises(RuntimeError, match="no master"):
        balanced_from_start(starting, task, SIZES)


def test_begin_gives_the_context_with_its_workers() -> None:
    assert begin("nightreel", "features.frames").result(timeout=120) is spark_context("nightreel")


@given(sizes=st.lists(st.integers(0, 1000), max_size=60), cores=st.integers(1, 16))
def test_every_task_is_in_one_hand_and_the_first_hand_is_no_more_than_a_core_would_do_anyway(sizes, cores):
    hands = hands_of(sizes, cores)
    assert sorted(n for hand in hands for n in hand) == list(range(len(sizes)))
    assert [sizes[n] for hand in hands for n in hand] == sorted(sizes, reverse=True)
    assert all(len(hand) == 1 or sum(sizes[n] for n in hand) <= sum(sizes) / cores for hand in hands)


def test_hands_get_smaller():
    assert [len(hand) for hand in hands_of([1] * 32, 2)] == [8, 6, 5, 3, 3, 2, 1, 1, 1, 1, 1]
