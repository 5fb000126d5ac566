"""Worlds made by hand, small enough to say why each candidate is there."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funnel import ragged
from funnel.candidates import SOURCES, CandidateRules, Candidates, generate
from funnel.neighbours import NeighbourRules, neighbours
from funnel.night import BASELINES, Night
from funnel.recent import recent
from funnel.retrieval import Retrieval, exact_top
from funnel.users import Users, take_users
from lake.dates import DAY_US, midnight_us
from tests.funnel.worlds import AS_OF, hand_made, random_night, random_users, watching

NOTHING = CandidateRules(*[0] * len(fields(CandidateRules)))


def found(night: Night, users: Users, candidates: Candidates) -> dict[int, dict[int, str]]:
    """user → video → best source."""
    rows: dict[int, dict[int, str]] = {int(user): {} for user in users.user_ids}
    for user, video, source in zip(candidates.user_index, candidates.video_index, candidates.source, strict=True):
        rows[int(users.user_ids[user])][int(night.video_ids[video])] = SOURCES[source]
    return rows


def run(night: Night, users: Users, rules: CandidateRules, **model: object) -> dict[int, dict[int, str]]:
    near = neighbours(night, users, NeighbourRules(shrink=0))
    return found(night, users, generate(night, users, near, model.get("retrieval"), model.get("vectors"), rules))


def popularity(*plays: float) -> dict[str, np.ndarray]:
    return {name: np.array(plays, np.float32) for name in BASELINES}


def test_co_watched() -> None:
    night = hand_made([10, 11, 12, 13])
    users = watching({1: [10, 11], 2: [11, 10], 3: [10], 4: [12, 13]})
    rows = run(night, users, replace(NOTHING, co_watched=5))
    assert rows[3] == {11: "co_watched"}, "users 1 and 2 watched 10 and 11; nobody watched 10 beside 12 or 13"
    assert rows[1] == {}, "all that goes with what user 1 watched is seen"


def test_followed_is_a_direction() -> None:
    night = hand_made([10, 11])
    users = watching({1: [10, 11], 2: [10, 11], 3: [10], 4: [11]})
    rows = run(night, users, replace(NOTHING, followed=5))
    assert rows[3] == {11: "followed"} and rows[4] == {}, "11 came after 10, never 10 after 11"


def test_videos_that_left_the_catalogue_are_no_bridge_and_no_candidate() -> None:
    night = hand_made([10, 12])
    users = watching({1: [10, 11, 12], 2: [11], 3: [10]})
    rows = run(night, users, replace(NOTHING, co_watched=5))
    assert rows[2] == {} and rows[3] == {12: "co_watched"}, "11 is gone: neither found nor asked"


def test_same_creator_and_strangers() -> None:
    night = hand_made([10, 11, 12, 13], creator_ids=np.array([5, 5, 6, -1]))
    users = watching({1: [10], 2: [13]})
    rows = run(night, users, replace(NOTHING, creator=5))
    assert rows[1] == {11: "creator"} and rows[2] == {}, "videos of unknown creators are not of one creator"


def test_popular_is_the_country_and_the_week_taking_turns() -> None:
    night = hand_made([10, 11, 12, 13], by_country={"DE": (np.array([3]), np.array([2.0], np.float32))},
                      popularity={"all": np.array([9, 8, 1, 2], np.float32), "7d": np.array([0, 0, 5, 0], np.float32),
                                  "decayed": np.array([4, 3, 2, 1], np.float32)})
    users = watching({1: [10], 2: [10], 3: [99]}, countries=["DE", "JP", ""])
    rows = run(night, users, replace(NOTHING, popular=2))
    assert set(rows[1]) == {13, 12}, "13 leads in DE, 12 leads this week"
    assert set(rows[2]) == {12, 11}, "JP has no popularity of its own; 10 leads the world but is seen"
    assert set(rows[3]) == {10, 12}, "the world's leader and the week's"


def test_fresh_are_the_last_seven_days_by_plays_a_day() -> None:
    ages = np.array([8, 6, 2, 1])
    night = hand_made([10, 11, 12, 13], published_us=midnight_us(AS_OF) - ages * DAY_US,
                      popularity=popularity(90, 6, 6, 1))
    rows = run(night, watching({1: [99]}), replace(NOTHING, fresh=1))
    assert rows[1] == {12: "fresh"}, "10 is too old; 12 had three plays a day, 11 and 13 one"


def test_retrieval_skips_what_is_seen_and_asks_for_more() -> None:
    night = hand_made([10, 11, 12, 13])
    vectors = np.array([[4], [3], [2], [1]], np.float32)
    model = {"retrieval": Retrieval(vectors, exact_top(vectors)), "vectors": np.ones((1, 1), np.float32)}
    rows = run(night, watching({1: [10, 12]}), replace(NOTHING, retrieval=2), **model)
    assert rows[1] == {11: "retrieval", 13: "retrieval"}


def test_a_candidate_keeps_its_best_source() -> None:
    night = hand_made([10, 11], popularity=popularity(0, 5))
    users = watching({1: [10, 11], 2: [10]})
    rows = run(night, users, replace(NOTHING, co_watched=5, popular=5))
    assert rows[2] == {11: "co_watched"}, "11 is popular too, but that says less"


def test_the_personal_source_that_ranks_it_highest_names_a_candidate() -> None:
    night = hand_made([10, 11, 12])
    vectors = np.array([[1], [2], [4]], np.float32)
    model = {"retrieval": Retrieval(vectors, exact_top(vectors)), "vectors": np.ones((2, 1), np.float32)}
    users = watching({1: [10], 2: [10, 11]})
    rows = run(night, users, replace(NOTHING, retrieval=2, co_watched=2), **model)
    assert rows[1] == {12: "retrieval", 11: "co_watched"}, "11 is second for retrieval, first among the co-watched"


def test_short_lists_are_topped_up_with_popular_then_any() -> None:
    night = hand_made([10, 11, 12, 13], popularity=popularity(1, 2, 0, 0))
    rows = run(night, watching({1: [11], 2: [10, 11, 12, 13]}), replace(NOTHING, at_least=3))
    assert rows[1] == {10: "popular", 12: "catalogue", 13: "catalogue"}
    assert rows[2] == {}, "user 2 has seen everything"


def test_explorers_are_rarely_shown_and_the_same_every_time() -> None:
    night, rules = random_night(400), replace(NOTHING, explore=8)
    users = random_users(night, 30)
    once, again = run(night, users, rules), run(night, users, rules)
    assert once == again and all(set(mine.values()) <= {"explore"} for mine in once.values())
    assert len({video for mine in once.values() for video in mine}) > 30, "users explore different videos"
    tomorrow = run(replace(night, as_of=AS_OF.replace(day=6)), users, rules)
    assert tomorrow != once, "another night explores elsewhere"


@settings(max_examples=25, deadline=None)
@given(rules=st.builds(CandidateRules, **{each.name: st.integers(0, 6) for each in fields(CandidateRules)}),
       keep=st.integers(0, 6), seed=st.integers(0, 999))
def test_every_rule_is_kept_however_small(rules: CandidateRules, keep: int, seed: int) -> None:
    night = random_night(40, seed)
    users, vectors = random_users(night, 6, seed, plays=12), np.random.default_rng(seed).normal(size=(46, 3)).astype(np.float32)
    made = generate(night, users, neighbours(night, users, NeighbourRules(keep=keep)),
                    Retrieval(vectors[:40], exact_top(vectors[:40])), vectors[40:], rules)
    rows = found(night, users, made)
    for user, seen in zip(users.user_ids.tolist(), np.split(users.seen_video_ids, users.seen_offsets[1:-1]), strict=True):
        mine, left = list(rows[user].values()), set(night.video_ids.tolist()) - set(seen.tolist())
        assert set(rows[user]) <= left and len(mine) >= min(rules.at_least, len(left))
        for name in (each.name for each in fields(CandidateRules) if each.name not in ("popular", "at_least")):
            assert mine.count(name) <= getattr(rules, name)


@pytest.mark.parametrize("shrink", [0.0, 5.0])
def test_neighbours_equal_loops(shrink: float) -> None:
    night = random_night(40)
    users = random_users(night, 25)
    rules = NeighbourRules(keep=40, shrink=shrink)
    made = neighbours(night, users, rules)
    sets, follows = [], np.zeros((40, 40))
    plays = np.zeros(40)
    for a, b in zip(users.offsets, users.offsets[1:], strict=False):
        index = [int(n) for n in night.index_of(users.video_ids[a:b]) if n >= 0]
        sets.append(set(index))
        for n, first in enumerate(index):
            plays[first] += 1
            for distance in range(1, rules.follow_within + 1):
                if n + distance < len(index) and index[n + distance] != first:
                    follows[first, index[n + distance]] += 1 / distance
    both = np.array([[sum(i in s and j in s for s in sets) if i != j else 0 for j in range(40)] for i in range(40)])
    people = np.array([sum(i in s for s in sets) for i in range(40)])
    norm = np.sqrt(people[:, None] * people[None]) + shrink
    assert np.allclose(made.co_watched.toarray(), np.divide(both, norm, where=norm > 0, out=np.zeros((40, 40))))
    total = plays[:, None] + shrink
    assert np.allclose(made.followed.toarray(), np.divide(follows, total, where=total > 0, out=np.zeros((40, 40))))


def test_explained_equals_the_closed_form() -> None:
    """Steck 2019: B = I - P / diag(P), P = (X'X + ridge)^-1, diagonal 0; here its positive part on a grid."""
    night = random_night(30)
    users = random_users(night, 40)
    made = neighbours(night, users, NeighbourRules(ridge=2.0)).explained.toarray()
    watched = np.zeros((users.size, night.size))
    rows, places = ragged.row_of(users.seen_offsets), night.index_of(users.seen_video_ids)
    watched[rows[places >= 0], places[places >= 0]] = 1
    often = np.flatnonzero(watched.sum(0) >= 2)
    inverse = np.linalg.inv(watched[:, often].T @ watched[:, often] + 2 * np.eye(len(often)))
    between = np.maximum(-inverse / np.diag(inverse), 0)
    np.fill_diagonal(between, 0)
    assert np.allclose(made[np.ix_(often, often)], between, atol=2e-4) and made.sum() > 0
    assert not made[:, np.setdiff1d(np.arange(night.size), often)].any(), "watched by one person explains nothing"


def test_lately_asks_for_the_last_plays_fading_to_a_hundredth() -> None:
    night = hand_made(list(range(10, 40)))
    asked = recent(night, watching({1: list(range(10, 40))})).lately(night.size, 0.8).toarray()[0]
    assert np.allclose(asked[-3:], [0.64, 0.8, 1]) and (asked[:10] == 0).all() and (asked[10:] > 0).all()


def test_candidates_are_asked_for_as_the_neighbours_say() -> None:
    """A video goes with its successor; the plays that ask for it fade as the rules say."""
    others = {100 + n: [n % 40, (n + 1) % 40] for n in range(200)}
    night, users = hand_made(list(range(40))), watching({1: [0, 20, 10], **others})
    for fade in (0.5, 0.9):
        near = neighbours(night, users, NeighbourRules(lately_fade=fade))
        made = generate(night, take_users(users, np.array([0])), near, None, None)
        for source, each, table in (("lately", fade, near.explained), ("followed", fade, near.followed),
                                    ("explained", 0.99, near.explained)):
            asked = table[[0, 20, 10]].toarray() * np.array([[each ** 2], [each], [1]])
            assert np.allclose(made.scores[source], asked.sum(axis=0)[made.video_index], rtol=1e-5)
            assert {1, 11, 21} <= set(made.video_index[made.scores[source] > 0].tolist())


def test_only_the_strongest_neighbours_are_kept() -> None:
    night = random_night(60)
    users = random_users(night, 50)
    every = neighbours(night, users, NeighbourRules(keep=60, explained_keep=60))
    few = neighbours(night, users, NeighbourRules(keep=5, explained_keep=5))
    rows = np.vstack([every.co_watched.toarray(), every.explained.toarray()])
    for row, kept in zip(rows, np.vstack([few.co_watched.toarray(), few.explained.toarray()]), strict=True):
        best = [n for n in np.lexsort((np.arange(60), -row))[:5] if row[n] > 0]
        assert np.flatnonzero(kept).tolist() == sorted(best)
