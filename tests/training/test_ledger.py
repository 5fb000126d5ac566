"""The funnel-loss ledger: every watch has one fate, and each stage is blamed for what it did."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from funnel import ragged
from funnel.candidates import SOURCE, Candidates
from funnel.lists import Ranked, funnel_rules, ranked_lists
from funnel.rerank import rerank
from tests.funnel.test_lists import score, world
from tests.funnel.worlds import hand_made, watching
from training import ledger


def test_each_stage_is_blamed_for_what_it_did() -> None:
    """Lists of 10 from 13 candidates of one creator but the last three; nobody may have more than 5 of one in 10."""
    creators = np.array([1] * 10 + [2, 3, 4, 5, 6])
    night = hand_made(list(range(10, 25)), creator_ids=creators)
    users = watching({1: [23]})
    count = 13
    candidates = Candidates(np.zeros(count, np.int64), np.arange(count), np.full(count, SOURCE["retrieval"], np.uint8),
                            np.array([0, count]))
    worth = np.linspace(1, 0.1, count).astype(np.float32)
    made = Ranked(candidates, worth, rerank(night, users, candidates, worth, 10))
    listed = {int(video) for video in night.video_ids[made.lists.chosen]}
    assert 10 in listed and 20 in listed, "the best of all, and one that diversity lifted"
    pushed_out = next(video for video in range(10, 20) if video not in listed)
    fates = {10: "listed", 20: "listed", pushed_out: "diversity", 23: "seen_before", 24: "not_retrieved",
             99: "not_in_catalogue"}
    told = ledger.account(night, users, pa.table({"user_id": [1] * len(fates), "video_id": list(fates)}),
                          lambda _: made, 10)
    expected = dict.fromkeys(ledger.STAGES, 0.0)
    for fate in fates.values():
        expected[fate] += 1 / len(fates)
    assert told["watches"] == len(fates)
    assert {name: told[name] for name in ledger.STAGES} == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("length", [10, 100])
def test_shares_sum_to_one_and_agree_with_the_lists(length: int) -> None:
    night, users, near, retrieval, vectors = world(400, 40, 1)
    ranked = ranked_lists(night, users, near, retrieval, vectors, score, funnel_rules(length))
    rng = np.random.default_rng(3)
    row, video = rng.integers(0, 40, 600), rng.integers(0, 400, 600)
    plays = pa.table({"user_id": users.user_ids[row], "video_id": np.where(video < 20, -1, night.video_ids[video])})
    told = ledger.account(night, users, plays, lambda _: ranked, length)
    assert sum(told[name] for name in ledger.STAGES) == pytest.approx(1, abs=1e-5)
    in_list = {(int(user), int(place)) for user, place in
               zip(ragged.row_of(ranked.lists.offsets), ranked.candidates.video_index[ranked.lists.chosen], strict=True)}
    watched = {(int(user), int(place)) for user, place in zip(row, video, strict=True) if place >= 20}
    assert round(told["listed"] * told["watches"]) == len(watched & in_list)
    assert told["not_in_catalogue"] > 0 and told["cut_by_rank"] > 0


def test_a_user_without_history_is_not_counted() -> None:
    night = hand_made([10, 11])
    users = replace(watching({1: [10]}), offsets=np.array([0, 0]), video_ids=np.zeros(0, np.int64))
    told = ledger.account(night, users, pa.table({"user_id": [1], "video_id": [11]}), lambda _: None, 10)
    assert told["watches"] == 0 and told["users"] == 0
