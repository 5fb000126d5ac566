"""How EASE is fitted and asked on a log: chosen on its label days, kept in the model, read by its nights.

A basket goes on with what goes with all of it, an evening of films with what goes with the last one: no ridge and no
fading serves both. Judged is the order that EASE alone, asked by the last plays, gives the next play of sittings, cut
as for the ranker's lists.
"""

from dataclasses import replace

import numpy as np
from scipy import sparse

from funnel import ragged
from funnel.neighbours import NeighbourRules, explained_by
from funnel.night import Night
from funnel.recent import recent
from funnel.retrieval import best_columns
from funnel.users import Users, index_in, take_users
from lake.dates import midnight_us
from training import evaluation, lists, metrics
from training.evaluation import Truth
from training.label_days import LabelDays, cut_in_sitting
from training.lists import Plays
from training.sequences import pieces

RIDGES, LATELY_FADES = (300.0, 100.0), (0.8, 0.9)
MOST_USERS = 3_000
K = 10


def choose(night: Night, users: Users, days: LabelDays) -> NeighbourRules:
    """The rules that are `best` for one sitting of each user in each night of the label days. users: whole histories as of
    night.as_of."""
    windows = days.windows(night.as_of)
    sittings = [cut_in_sitting(users, midnight_us(day), midnight_us(end), 0) for day, end in windows]
    return best(night, [(cut, lists.plays_of(users, after)) for cut, after in sittings])


def best(night: Night, sittings: list[tuple[Users, Plays]]) -> NeighbourRules:
    """The ridge and the fading with the best NDCG@10 of the first play after each cut, of at most 3,000 users in all; the first
    ones, beginning with the usual, that are within a standard error of it, so that few sittings change nothing (Breiman et
    al., "Classification and Regression Trees", 1984). sittings: users as known at a cut, and plays of the same users after
    it."""
    usual = NeighbourRules()
    values: dict[NeighbourRules, list[np.ndarray]] = {
        replace(usual, ridge=ridge, lately_fade=fade): [] for ridge in RIDGES for fade in LATELY_FADES}
    for cut, later in sittings:
        following = ragged.place_in_row(later.offsets) == 0
        truth = evaluation.truth_of_pairs(night, cut, later.row[following], later.video_ids[following],
                                          MOST_USERS // len(sittings))
        explained = {ridge: explained_by(night, cut, ridge) for ridge in RIDGES}
        for rules, nights in values.items():
            nights.append(_ndcg(night, cut, truth, explained[rules.ridge], rules.lately_fade))
    return _first_of_the_best({rules: np.concatenate(nights) for rules, nights in values.items()})


def _ndcg(night: Night, cut: Users, truth: Truth, explained: sparse.csr_matrix, fade: float) -> np.ndarray:
    """f64[judged users]: NDCG@10 of what the last plays explain best."""
    videos = np.unique(explained.indices)  # some thousand at most, whatever the catalogue
    of_these, k = explained[:, videos], min(K, len(videos))
    found = [np.zeros((0, k), np.int64)]
    for piece in pieces(len(truth.rows), evaluation.USERS_AT_ONCE):
        known = recent(night, take_users(cut, truth.rows[piece]))
        scores, seen = (known.lately(night.size, fade) @ of_these).toarray(), index_in(videos, known.seen)
        scores[ragged.row_of(known.seen_offsets)[seen >= 0], seen[seen >= 0]] = 0
        best = best_columns(scores, k)
        found.append(np.where(np.take_along_axis(scores, best, 1) > 0, videos[best], -1))
    return metrics.ndcg(metrics.hits_of(np.concatenate(found), truth.offsets, truth.videos), truth.relevant, K)


def _first_of_the_best(values: dict[NeighbourRules, np.ndarray]) -> NeighbourRules:
    """The first rules whose mean of f64[users] is within a standard error of the best; the first of all without users."""
    highest = max(values.values(), key=np.sum)
    return next(rules for rules, each in values.items()
                if not len(each) or (highest - each).sum() <= (highest - each).std() * np.sqrt(len(each)))
