"""The rules of a list, each on a world where it must act."""

from dataclasses import replace

import numpy as np

from funnel.candidates import SOURCE, Candidates
from funnel.night import Night
from funnel.ranking import Value, value
from funnel.rerank import ListRules, rerank
from lake.dates import DAY_US, midnight_us
from tests.funnel.worlds import AS_OF, hand_made, watching

PLAIN = ListRules(per_creator=100, per_category=100, exploration_share=0, fresh_boost=1)


def candidates(videos: int, users: int = 1, explore: set[int] = frozenset()) -> Candidates:
    """Every user has every video as a candidate."""
    source = np.array([SOURCE["explore"] if n in explore else SOURCE["retrieval"] for n in range(videos)], np.uint8)
    return Candidates(np.repeat(np.arange(users), videos), np.tile(np.arange(videos), users), np.tile(source, users),
                      np.arange(users + 1) * videos)


def places(night: Night, worth: list[float], length: int, rules: ListRules, explore: set[int] = frozenset()) -> list:
    users = watching({1: [99]})
    lists = rerank(night, users, candidates(night.size, explore=explore), np.array(worth, np.float32), length, rules)
    return lists.chosen.tolist()


def test_without_rules_it_is_an_order_with_ties_by_video() -> None:
    assert places(hand_made([10, 11, 12, 13]), [1, 3, 1, 2], 3, PLAIN) == [1, 3, 0]


def test_no_more_of_a_creator_than_allowed_in_any_window() -> None:
    night = hand_made(list(range(12)), creator_ids=np.array([7] * 6 + [8] * 3 + [-1] * 3))
    rules = replace(PLAIN, window=4, per_creator=2)
    found = places(night, [12 - n for n in range(12)], 12, rules)
    assert found == [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11], "after two of creator 7, two others; unknown ones differ"


def test_when_only_one_creator_is_left_the_list_is_still_full() -> None:
    night = hand_made([0, 1, 2, 3], creator_ids=np.array([7, 7, 7, 7]))
    assert places(night, [4, 3, 2, 1], 4, replace(PLAIN, per_creator=1)) == [0, 1, 2, 3]


def test_categories_are_spread_like_creators() -> None:
    night = hand_made([0, 1, 2, 3], category_offsets=np.arange(5), category_names=["a", "b"],
                      category_codes=np.array([0, 0, 0, 1], np.int32))
    assert places(night, [4, 3, 2, 1], 4, replace(PLAIN, per_category=2, window=3)) == [0, 1, 3, 2]


def test_the_rules_look_no_further_than_they_say() -> None:
    night = hand_made(list(range(6)), creator_ids=np.array([7, 7, 7, 7, 7, 8]))
    rules = replace(PLAIN, per_creator=1, look_ahead=3)
    assert places(night, [6, 5, 4, 3, 2, 1], 3, rules) == [0, 1, 2], "creator 8 is too far down to be worth it"


def test_windows_hold_in_a_large_random_list() -> None:
    random = np.random.default_rng(0)
    night = hand_made(list(range(300)), creator_ids=random.integers(0, 30, 300))
    users = watching({n: [999] for n in range(50)})
    worth = random.random(300 * 50).astype(np.float32)
    lists = rerank(night, users, candidates(300, 50), worth, 100, replace(PLAIN, per_creator=2))
    creators = night.creator_ids[lists.chosen % 300].reshape(50, 100)
    for start in range(91):
        window = np.sort(creators[:, start:start + 10], axis=1)
        assert not (window[:, 2:] == window[:, :-2]).any(), "three of one creator within ten"


def test_explorers_have_their_share_and_never_the_first_ranks() -> None:
    night = hand_made(list(range(200)))
    users = watching({n: [999] for n in range(40)})
    explore = set(range(180, 200))
    found = candidates(200, 40, explore)
    worth = np.tile(np.arange(200, 0, -1), 40).astype(np.float32)
    rules = replace(PLAIN, exploration_share=0.04)
    lists = rerank(night, users, found, worth, 50, rules).chosen.reshape(40, 50) % 200
    explored = np.isin(lists, list(explore))
    assert (explored.sum(axis=1) == 2).all() and not explored[:, :3].any()
    assert len(set(np.flatnonzero(explored[0])) | set(np.flatnonzero(explored[1]))) > 2, "places differ between users"
    assert np.array_equal(lists, rerank(night, users, found, worth, 50, rules).chosen.reshape(40, 50) % 200)
    assert (lists[:, 0] == 0).all() and all(len(set(row)) == 50 for row in lists.tolist())


def test_without_explorers_nobody_loses_a_rank() -> None:
    assert places(hand_made([0, 1, 2]), [3, 2, 1], 3, ListRules()) == [0, 1, 2]


def test_explorers_fill_a_list_that_has_nothing_else() -> None:
    found = places(hand_made([0, 1, 2, 3]), [4, 3, 2, 1], 4, ListRules(), explore={1, 2, 3})
    assert sorted(found) == [0, 1, 2, 3]


def test_fresh_videos_win_near_ties() -> None:
    ages = np.array([30, 1, 30]) * DAY_US
    night = hand_made([0, 1, 2], published_us=midnight_us(AS_OF) - ages)
    assert places(night, [1.00, 0.99, 0.9], 3, replace(PLAIN, fresh_boost=1.02)) == [1, 0, 2]
    assert places(night, [-0.99, -1.00, -2], 3, replace(PLAIN, fresh_boost=1.02)) == [1, 0, 2], "also below zero"


def test_the_rules_cost_little_accuracy() -> None:
    """NDCG@10 of the best possible order, each candidate relevant with the probability the ranker gives it."""
    random = np.random.default_rng(1)
    night = hand_made(list(range(250)), creator_ids=random.integers(0, 60, 250), category_names=list("abcdefgh"),
                      category_offsets=np.arange(251), category_codes=random.integers(0, 8, 250).astype(np.int32))
    users = watching({n: [999] for n in range(400)})
    found = candidates(250, 400, set(range(240, 250)))
    worth = (random.random(250 * 400) ** 8).astype(np.float32)
    worth[found.source == SOURCE["explore"]] *= 0.1

    def gain(rules: ListRules) -> float:
        lists = rerank(night, users, found, worth, 50, rules).chosen.reshape(400, 50)[:, :10]
        return float((worth[lists] / np.log2(np.arange(2, 12))).sum())

    assert gain(ListRules()) >= 0.97 * gain(PLAIN)


def test_value_counts_the_heads_there_are() -> None:
    heads = {"play": np.array([0.5], np.float32), "completion": np.array([0.4], np.float32)}
    assert np.isclose(value(heads), 0.5 * (1 + 0.5 * 0.4))
    assert np.isclose(value(heads | {"not_interested": np.array([0.1])}, Value(not_interested=2)), 0.6 - 0.2)
    assert np.isclose(value({"play": np.array([0.5])}), 0.5)
