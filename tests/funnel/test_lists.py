"""Contracts that every list keeps, whatever the world: see also the hand-made ones in the other files."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from funnel import ragged
from funnel.candidates import SOURCE, generate
from funnel.lists import funnel_rules, ranked_lists, rows_of
from funnel.neighbours import NeighbourRules, neighbours
from funnel.users import take_users
from funnel.ranking import FEATURE_NAMES, Features, ranking_features
from funnel.retrieval import Retrieval, exact_top
from lake.tables import table
from tests.funnel.worlds import random_night, random_users

WORLDS = [(30, 12, 0), (400, 40, 1), (3000, 60, 2)]


def score(features: Features) -> dict[str, np.ndarray]:
    """A ranker with exact arithmetic: it likes near videos, and often is undecided."""
    near = features.rows()[:, FEATURE_NAMES.index("retrieval_score")]
    return {"play": np.clip(np.round(near / 8) / 64 + 0.5, 0, 1), "completion": np.full(len(near), 0.25, np.float32)}


def world(videos: int, people: int, seed: int) -> tuple:
    """Night, users, neighbours, retrieval with whole-number vectors (so that sums are exact), user vectors."""
    night = random_night(videos, seed)
    users = random_users(night, people, seed + 1)
    random = np.random.default_rng(seed)
    vectors = random.integers(-3, 4, (videos, 8)).astype(np.float32)
    return (night, users, neighbours(night, users, NeighbourRules()), Retrieval(vectors, exact_top(vectors)),
            random.integers(-3, 4, (people, 8)).astype(np.float32))


def rows(night, users, near, retrieval, vectors, length: int) -> pa.Table:
    ranked = ranked_lists(night, users, near, retrieval, vectors, score, funnel_rules(length))
    return rows_of(night, users, ranked, near, retrieval)


@pytest.mark.parametrize(("videos", "people", "seed"), WORLDS)
@pytest.mark.parametrize("length", [10, 60, 500])
def test_lists_are_whole_unique_and_unseen(videos: int, people: int, seed: int, length: int) -> None:
    night, users, near, retrieval, vectors = world(videos, people, seed)
    found = rows(night, users, near, retrieval, vectors, length)
    assert found.schema.names == table("recommendations").schema.names
    found.cast(table("recommendations").schema)
    user, video = found["user_id"].to_numpy(), found["video_id"].to_numpy()
    for place, one in enumerate(users.user_ids):
        mine = video[user == one]
        seen = users.seen_video_ids[users.seen_offsets[place]:users.seen_offsets[place + 1]]
        possible = np.setdiff1d(night.video_ids, seen)
        assert len(np.unique(mine)) == len(mine) == min(length, len(possible))
        assert np.isin(mine, possible).all()
        assert found["rank"].to_numpy()[user == one].tolist() == list(range(1, len(mine) + 1))


@pytest.mark.parametrize("size", [1, 7, 40])
def test_lists_do_not_depend_on_the_batch(size: int) -> None:
    night, users, near, retrieval, vectors = world(400, 40, 1)
    whole = rows(night, users, near, retrieval, vectors, 30)
    parts = [rows(night, take_users(users, np.arange(start, min(start + size, 40))), near, retrieval,
                  vectors[start:start + size], 30) for start in range(0, 40, size)]
    assert pa.concat_tables(parts).equals(whole)


def test_candidates_carry_what_each_source_said() -> None:
    night, users, near, retrieval, vectors = world(400, 40, 1)
    found = generate(night, users, near, retrieval, vectors)
    keys = found.user_index * night.size + found.video_index
    assert (np.diff(keys) > 0).all()
    assert (ragged.row_of(found.offsets) == found.user_index).all()
    for name, ranks in found.ranks.items():
        by_user = [sorted(ranks[a:b][ranks[a:b] > 0].tolist()) for a, b in zip(found.offsets, found.offsets[1:])]
        assert all(mine == list(range(1, len(mine) + 1)) for mine in by_user), name
        assert (ranks[found.source == SOURCE[name]] > 0).all() or name in ("popular", "catalogue")
    exact = (vectors[found.user_index] * retrieval.video_vectors[found.video_index]).sum(axis=1)
    assert (found.scores["retrieval"] == exact).all()


def test_features_are_finite_and_named_once() -> None:
    night, users, near, retrieval, vectors = world(400, 40, 1)
    found = generate(night, users, near, retrieval, vectors)
    features = ranking_features(night, users, found).rows()
    assert features.shape == (len(found.user_index), len(FEATURE_NAMES)) and features.dtype == np.float32
    assert np.isfinite(features).all() and len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)


def test_without_a_model_there_are_still_lists() -> None:
    night, users, near, *_ = world(400, 40, 1)
    found = rows(night, users, near, None, None, 50)
    assert found.num_rows == 40 * 50 and "retrieval" not in found["source"].to_pylist()


def test_a_night_without_videos_gives_no_rows() -> None:
    night, users, *_ = world(30, 12, 0)
    empty = random_night(0)
    found = rows(replace(empty, as_of=night.as_of), users, neighbours(empty, users, NeighbourRules()), None, None, 50)
    assert found.num_rows == 0
