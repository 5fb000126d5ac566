"""What the ranker is told, one number at a time; and the sentence a person reads."""

from dataclasses import replace

import numpy as np

from funnel.candidates import SOURCE, Candidates, CandidateRules, generate
from funnel.feature_matrix import COLUMN, CategoryFeatures, FeatureMatrix
from funnel.neighbours import NeighbourRules, neighbours
from funnel.night import Night
from funnel.ranking import FEATURE_NAMES, ranking_features
from funnel.reasons import reasons
from funnel.retrieval import Retrieval, exact_top
from funnel.users import Users
from funnel.view_features import MANY, derive
from lake.dates import DAY_US, HOUR_US, midnight_us
from lake.tables import FEATURES
from tests.funnel.worlds import AS_OF, hand_made, watching


def pairs(*rows: tuple[int, int, str]) -> Candidates:
    """Candidates (user, video, source), in order."""
    user, video, source = (np.array(part) for part in zip(*rows, strict=True))
    return Candidates(user, video, np.array([SOURCE[name] for name in source], np.uint8),
                      np.searchsorted(user, np.arange(user.max() + 2)))


def told(night: Night, users: Users, candidates: Candidates) -> list[dict[str, float]]:
    return [dict(zip(FEATURE_NAMES, row.tolist(), strict=True)) for row in ranking_features(night, users, candidates).rows()]


def view(ids: list[int], **sums: float) -> FeatureMatrix:
    values = np.zeros((len(ids), len(FEATURES)), np.float32)
    for name, amount in sums.items():
        values[:, COLUMN[name]] = amount
    return FeatureMatrix(np.array(ids), values)


def test_rates_are_smoothed_and_bounded() -> None:
    sums = view([1], play_count_28d=30, impression_count_28d=40, watch_ms_sum_28d=90_000, duration_ms_sum_28d=110_000,
                like_count_28d=4).values
    made = dict(zip(MANY, derive(sums)[0].tolist(), strict=True))
    assert np.isclose(made["play_rate_28d"], 30 / 50) and np.isclose(made["completion_28d"], 90 / 120)
    assert np.isclose(made["like_rate_28d"], 4 / 40) and np.isclose(made["log_plays_28d"], np.log1p(30))
    only_plays = derive(view([1], play_count_7d=90).values)[0][MANY.index("play_rate_7d")]
    assert np.isclose(only_plays, 0.9), "a log without impressions: plays stand in for them, never above 1"
    assert (derive(np.zeros((1, len(FEATURES)), np.float32)) == 0).all(), "nothing known is zero everywhere"


def test_video_creator_and_user_rows_are_found_by_id_and_default_to_zero() -> None:
    night = hand_made([10, 11], creator_ids=np.array([5, -1]),
                      features={"video": view([11], play_count_7d=3), "creator": view([5], play_count_7d=8)})
    users = replace(watching({1: [99], 2: [99]}), features=view([2], play_count_7d=2))
    first, second = told(night, users, pairs((0, 0, "popular"), (1, 1, "popular")))
    assert first["video_log_plays_7d"] == 0 and np.isclose(first["creator_log_plays_7d"], np.log1p(8))
    assert first["user_log_plays_7d"] == 0 and np.isclose(second["user_log_plays_7d"], np.log1p(2))
    assert np.isclose(second["video_log_plays_7d"], np.log1p(3)) and second["creator_log_plays_7d"] == 0


def test_history_meets_creator_category_and_length() -> None:
    night = hand_made([10, 11, 12], creator_ids=np.array([5, 5, 6]), category_offsets=np.array([0, 1, 3, 3]),
                      category_codes=np.array([0, 0, 1], np.int32), category_names=["a", "b"],
                      duration_ms=np.array([9_000, 99_000, -1]))
    users = watching({1: [10, 10, 99]})
    same, other = told(night, users, pairs((0, 1, "popular"), (0, 2, "popular")))
    assert np.isclose(same["log_creator_watched"], np.log1p(2)) and same["creator_share"] == 1
    assert np.isclose(same["category_share"], 0.5), "mean over its categories: all plays are of a, none of b"
    assert np.isclose(same["duration_distance"], np.log(100) - np.log(10)) and other["duration_distance"] == 0
    assert other["log_creator_watched"] == 0 and other["category_share"] == 0 and other["duration_unknown"] == 1
    assert np.isclose(same["log_hours_since_play"], np.log1p(1))


def test_what_goes_with_the_last_plays_fades_by_half_every_hour() -> None:
    night, users = hand_made([10, 11]), watching({1: [99], 2: [99]})
    found = replace(pairs((0, 0, "followed"), (0, 1, "followed"), (1, 0, "followed")),
                    scores={"followed": np.array([4, 2, 3], np.float32), "explained": np.array([1, 4, 2], np.float32)})
    later = replace(users, asked_us=users.asked_us + np.array([0, 1]) * HOUR_US)
    best, half, other = told(night, later, found)
    assert (best["followed_share_now"], half["followed_share_now"], other["followed_share_now"]) == (0.5, 0.25, 0.25)
    assert (best["explained_share"], half["explained_share"]) == (0.25, 1.0), "taste stays"


def test_the_place_by_popularity_is_told_for_as_long_as_the_last_plays_are_fresh() -> None:
    night = hand_made([10, 11], popularity=hand_made([10, 11]).popularity | {"decayed": np.array([1, 9], np.float32)})
    users = watching({1: [99]})
    second, first = told(night, users, pairs((0, 0, "popular"), (0, 1, "popular")))
    assert (second["popularity_place"], first["popularity_place"]) == (0.5, 1.0)
    assert (second["popularity_place_now"], first["popularity_place_now"]) == (0.25, 0.5), "played an hour ago"


def test_user_category_rows_are_matched_by_name() -> None:
    night = hand_made([10, 11], category_offsets=np.array([0, 1, 2]), category_codes=np.array([1, 0], np.int32),
                      category_names=["a", "b"])
    sums = view([0, 0], play_count_7d=6).values
    users = replace(watching({1: [99]}),
                    category_features=CategoryFeatures(np.array([0, 2]), ["b", "gone"], np.array([0, 1]), sums))
    b, a = told(night, users, pairs((0, 0, "popular"), (0, 1, "popular")))
    assert np.isclose(b["user_category_log_plays_7d"], np.log1p(6)) and a["user_category_log_plays_7d"] == 0


def test_countries_differ() -> None:
    night = hand_made([10], by_country={"DE": (np.array([0]), np.array([4.0], np.float32))})
    users = watching({1: [99], 2: [99]}, countries=["DE", ""])
    here, nowhere = told(night, users, pairs((0, 0, "popular"), (1, 0, "popular")))
    assert np.isclose(here["log_country_plays"], np.log1p(4)) and nowhere["log_country_plays"] == 0


def test_scores_and_ranks_of_sources() -> None:
    night = hand_made([10, 11, 12])
    users = watching({1: [10], 2: [10, 11], 3: [11, 10]})
    vectors = np.array([[1], [2], [4]], np.float32)
    near = neighbours(night, users, NeighbourRules(shrink=0))
    found = generate(night, users, near, Retrieval(vectors, exact_top(vectors)), np.ones((3, 1), np.float32),
                     CandidateRules(retrieval=1, at_least=0, explore=0))
    rows = told(night, users, found)[:2]
    assert [found.video_index[n] for n in range(2)] == [1, 2], "user 1: 11 and 12 are unseen"
    assert rows[0]["retrieval_score"] == 2 and rows[0]["retrieval_nearness_of_rank"] == 0, "near, not the nearest"
    assert rows[0]["retrieval_gap"] == -2 and rows[1]["retrieval_gap"] == 0
    assert rows[0]["found_co_watched"] == 1 and np.isclose(rows[0]["co_watched_score"], 2 / np.sqrt(6))
    assert rows[1]["retrieval_nearness_of_rank"] == 1 and rows[1]["co_watched_score"] == 0


def test_reasons_say_why() -> None:
    night = hand_made([10, 11, 12, 13], creator_ids=np.array([5, 6, 6, 5]), titles=["Alien", "Brazil", "Casablanca", "D"],
                      published_us=midnight_us(AS_OF) - np.array([90, 90, 2, 90]) * DAY_US,
                      by_country={"DE": (np.array([3]), np.array([4.0], np.float32))})
    users = watching({1: [10, 11], 2: [11, 10]}, countries=["DE", ""])
    near = neighbours(night, users, NeighbourRules(shrink=0))
    vectors = np.array([[1, 0], [0, 1], [0, 1], [1, 0]], np.float32)
    found = pairs((0, 0, "co_watched"), (0, 1, "followed"), (0, 2, "retrieval"), (0, 3, "retrieval"),
                  (1, 2, "creator"), (1, 3, "popular"))
    say = reasons(night, users, found, np.arange(6), near, Retrieval(vectors, exact_top(vectors))).to_pylist()
    assert say == ["Watched by people who watched Brazil", "Often watched after Alien", "Because you watched Brazil",
                   "Because you watched Alien", "New from a creator you watch", "Popular lately"]
    more = pairs((0, 2, "fresh"), (0, 3, "popular"), (1, 2, "explore"), (1, 3, "catalogue"))
    assert reasons(night, users, more, np.arange(4), near, None).to_pylist() == [
        "New this week", "Popular in DE lately", "Something different to explore", "From the catalogue"]


def test_a_reason_without_a_subject_is_still_a_sentence() -> None:
    night = hand_made([10, 11])
    users = watching({1: [99]})
    near = neighbours(night, users, NeighbourRules())
    vectors = np.ones((2, 1), np.float32)
    say = reasons(night, users, pairs((0, 0, "retrieval"), (0, 1, "co_watched")), np.arange(2), near,
                  Retrieval(vectors, exact_top(vectors))).to_pylist()
    assert say == ["Close to what you watch", "Close to what you watch"], "what the user watched is gone"
