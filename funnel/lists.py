"""The whole funnel for a batch of users: candidates, ranking, rules, and why."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from funnel import ragged
from funnel.candidates import SOURCES, CandidateRules, Candidates, candidate_rules, generate
from funnel.neighbours import Neighbours
from funnel.night import Night, Users
from funnel.ranking import Features, Value, ranking_features, value
from funnel.reasons import reasons
from funnel.rerank import ListRules, Lists, rerank
from funnel.retrieval import Retrieval

# features of N candidates → head → f32[N], calibrated
Score = Callable[[Features], dict[str, np.ndarray]]


@dataclass(frozen=True)
class FunnelRules:
    """Everything about a list that a team may change without a new model."""

    length: int
    candidates: CandidateRules
    lists: ListRules = ListRules()
    value: Value = Value()


def funnel_rules(length: int) -> FunnelRules:
    """The default rules for lists of `length` rows."""
    return FunnelRules(length, candidate_rules(length, ListRules().exploration_share))


@dataclass(frozen=True, eq=False)
class Ranked:
    """A batch after ranking and rules. worth: f32[N] of every candidate."""

    candidates: Candidates
    worth: np.ndarray
    lists: Lists


def ranked_lists(night: Night, users: Users, neighbours: Neighbours, retrieval: Retrieval | None,
                 user_vectors: np.ndarray | None, score: Score, rules: FunnelRules) -> Ranked:
    """Candidates, their worth, and the lists of some users. The same users give the same lists."""
    candidates = generate(night, users, neighbours, retrieval, user_vectors, rules.candidates)
    worth = value(score(ranking_features(night, users, candidates)), rules.value)
    return Ranked(candidates, worth, rerank(night, users, candidates, worth, rules.length, rules.lists))


def rows_of(night: Night, users: Users, ranked: Ranked, neighbours: Neighbours,
            retrieval: Retrieval | None) -> pa.Table:
    """The lists as rows of the table `recommendations`."""
    chosen, offsets = ranked.lists.chosen, ranked.lists.offsets
    user, video = ranked.candidates.user_index[chosen], ranked.candidates.video_index[chosen]
    return pa.table({
        "user_id": users.user_ids[user], "video_id": night.video_ids[video],
        "rank": (ragged.place_in_row(offsets) + 1).astype(np.int32), "score": ranked.worth[chosen],
        "source": pa.array(SOURCES).take(pa.array(ranked.candidates.source[chosen])),
        "reason": reasons(night, users, ranked.candidates, chosen, neighbours, retrieval),
        "user_original_id": pa.array(users.original_ids, pa.string()).take(pa.array(user)),
        "video_original_id": _original_ids(night).take(pa.array(video))})


@lru_cache(maxsize=2)
def _original_ids(night: Night) -> pa.Array:
    return pa.array(night.original_ids, pa.string())
