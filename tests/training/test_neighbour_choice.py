"""What a log teaches of its neighbours: how far back the plays are that say what comes next."""

from dataclasses import replace

import numpy as np
import pytest

from funnel.neighbours import NeighbourRules, explained_by
from funnel.night import Night
from funnel.users import Users
from tests.funnel.worlds import hand_made, watching
from training import neighbour_choice
from training.label_days import LabelDays

THEMES, EACH = 20, 40
DAYS = LabelDays(1, night_count=1)


def world(plays_of_a_theme: int, noise: float = 0.5) -> tuple[Night, Users]:
    """People who watch 24 new videos in a day, of a theme that changes after so many; some of no theme at all."""
    random, histories = np.random.default_rng(5), {}
    for user in range(400):
        played: list[int] = []
        while len(played) < 24:
            if len(played) % plays_of_a_theme == 0:
                theme = random.integers(THEMES)
            pool = np.arange(THEMES * EACH) if random.random() < noise else theme * EACH + np.arange(EACH)
            played.append(int(random.choice(np.setdiff1d(pool, played))))
        histories[user] = played
    return hand_made(list(range(THEMES * EACH))), watching(histories)


def test_where_a_theme_lasts_older_plays_count_more() -> None:
    assert neighbour_choice.choose(*world(24), DAYS).lately_fade == 0.9
    assert neighbour_choice.choose(*world(3, noise=0.1), DAYS).lately_fade == 0.8


def test_few_sittings_and_none_change_nothing() -> None:
    night, users = world(24)
    nobody = replace(users, event_us=users.event_us - 10**12)
    assert neighbour_choice.choose(night, nobody, DAYS) == NeighbourRules()
    usual, nearer, best = NeighbourRules(), NeighbourRules(lately_fade=0.9), NeighbourRules(ridge=100.0)
    few = {usual: np.zeros(4), nearer: np.array([1.0, -0.9, 1.0, -0.91]), best: np.array([1.0, -0.9, 0.8, -0.6])}
    assert neighbour_choice._first_of_the_best(few) == usual
    many = {rules: np.tile(values, 400) for rules, values in few.items()}
    assert neighbour_choice._first_of_the_best(many) == best
    assert neighbour_choice._first_of_the_best({usual: many[usual], nearer: many[nearer], best: many[nearer] + 1e-9 *
                                                np.arange(-790, 810)}) == nearer


def test_only_what_had_arrived_explains() -> None:
    night, users = world(24)
    assert neighbour_choice.choose(night, replace(users, arrived_us=users.arrived_us + 10**13), DAYS) == NeighbourRules()


def test_what_follows_a_cut_does_not_explain_it(monkeypatch: pytest.MonkeyPatch) -> None:
    night, users = world(24)
    given: list[Users] = []
    monkeypatch.setattr(neighbour_choice, "explained_by",
                        lambda night, cut, ridge: given.append(cut) or explained_by(night, cut, ridge))
    neighbour_choice.choose(night, users, DAYS)
    assert len(given) == len(neighbour_choice.RIDGES)
    for cut in given:
        assert (np.diff(cut.offsets) < 24).all() and (cut.event_us < np.repeat(cut.asked_us, np.diff(cut.offsets))).all()
        assert np.array_equal(np.diff(cut.seen_offsets), np.diff(cut.offsets)), "nor what is only known as seen"


def test_the_ridge_that_explains_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    night, users = world(24)
    for good in neighbour_choice.RIDGES:
        monkeypatch.setattr(neighbour_choice, "explained_by", lambda night, cut, ridge, good=good: explained_by(
            night, cut, ridge) * np.float32(ridge == good))
        assert neighbour_choice.choose(night, users, DAYS).ridge == good
