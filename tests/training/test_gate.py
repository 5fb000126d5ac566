"""The gate's decision, case by case."""

from datetime import date

import numpy as np
import pytest

from training import gate

DAY = date(2026, 2, 2)
RNG = np.random.default_rng(0)
GOOD = RNG.uniform(0.2, 0.4, 400)
WEAK = GOOD - RNG.uniform(0.05, 0.15, 400)
NOISY = GOOD + RNG.normal(-0.002, 0.3, 400)


@pytest.mark.parametrize(("why", "ours", "rival", "champion", "last", "promoted", "said"), [
    ("better than the baseline", GOOD, WEAK, None, None, True, "NDCG@10"),
    ("worse than the baseline", WEAK, GOOD, None, None, False, "not better than decayed"),
    ("better only by luck: the interval holds 0", GOOD, NOISY, None, None, False, "not better than decayed"),
    ("equal is not better", GOOD, GOOD, None, None, False, "not better than decayed"),
    ("as good as the champion", GOOD, WEAK, GOOD, None, True, "NDCG@10"),
    ("one percent below the champion", GOOD * 0.99, WEAK, GOOD, None, True, "NDCG@10"),
    ("ten percent below the champion", GOOD * 0.9, WEAK - 0.2, GOOD, None, False, "worse than the champion"),
    ("not a number", np.where(np.arange(400) == 7, np.nan, GOOD), WEAK, None, None, False, "not a number"),
    ("a baseline that is not a number", GOOD, np.full(400, np.nan), None, None, False, "not a number"),
    ("a champion that is not a number", GOOD, WEAK, np.full(400, np.inf), None, False, "not a number"),
    ("few users, better on average", GOOD[:50], WEAK[:50], None, None, True, "underpowered"),
    ("few users, worse on average", WEAK[:50], GOOD[:50], None, None, False, "not better than decayed"),
    ("nobody", GOOD[:0], WEAK[:0], None, None, False, "nothing to judge"),
    ("older than the last promotion", GOOD, WEAK, None, date(2026, 2, 9), False, "never follows"),
    ("the same day again", GOOD, WEAK, None, DAY, True, "NDCG@10"),
])
def test_decision(why, ours, rival, champion, last, promoted, said) -> None:
    verdict = gate.decide(DAY, ours, {"decayed": rival}, champion, last)
    assert verdict.promoted is promoted, why
    assert said in verdict.reason
    assert verdict.underpowered is (len(ours) < 200)


def test_few_users_need_no_interval_but_many_do() -> None:
    lucky = GOOD - 0.01 + RNG.normal(0, 0.2, 400) * 0
    lucky[:2] -= 1.0
    assert gate.decide(DAY, GOOD, {"all": lucky}, None, None).promoted
    few = slice(0, 100)
    assert gate.decide(DAY, NOISY[few] + 0.01, {"all": NOISY[few]}, None, None).promoted


def test_the_best_baseline_is_named_even_when_rejected() -> None:
    verdict = gate.decide(DAY, WEAK - 0.1, {"all": WEAK, "7d": GOOD, "decayed": WEAK}, None, None)
    assert verdict.best_baseline == "7d" and set(verdict.differences) == {"all", "7d", "decayed"}
