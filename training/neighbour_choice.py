"""How EASE is fitted and asked on a log: chosen on its label days, kept in the model, read by its nights.

A basket goes on with what goes with all of it, an evening of films with what goes with the last one: no ridge and no
fading serves both. Judged is the order that EASE alone gives in sittings, cut as for the ranker's lists: by the last plays
of the next play, by the whole history of all plays to come.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy import sparse

from funnel import ragged
from funnel.neighbours import NeighbourRules, explained_by
from funnel.night import Night
from funnel.recent import recent, whole_history
from funnel.retrieval import best_columns
from funnel.users import Users, take_users
from lake.dates import midnight_us
from training import evaluation, lists, metrics
from training.evaluation import Truth
from training.label_days import LabelDays, cut_in_sitting
from training.sequences import pieces

RIDGES, LATELY_FADES, WHOLE_FADES = (300.0, 100.0), (0.8, 0.9, 0.95), (0.99, 0.95)
MOST_USERS = 3_000
K = 10
Asked = Callable[[Users], sparse.csr_matrix]


def choose(night: Night, users: Users, days: LabelDays) -> NeighbourRules:
    """The ridge and the fading of the last plays, then the fading of the whole history, with the best NDCG@10 over one sitting
    of each user in each night of the label days, at most 3,000 in all. The usual ones unless others are better by more
    than a standard error, so that few sittings change nothing (Breiman et al., "Classification and Regression Trees",
    1984). users: whole histories as of night.as_of."""
    usual = NeighbourRules()
    lately = {replace(usual, ridge=ridge, lately_fade=fade): [] for ridge in RIDGES for fade in LATELY_FADES}
    whole = {replace(usual, ridge=ridge, whole_fade=fade): [] for ridge in RIDGES for fade in WHOLE_FADES}
    windows = days.windows(night.as_of)
    for day, end in windows:
        cut, after = cut_in_sitting(users, midnight_us(day), midnight_us(end), 0)
        later = lists.plays_of(users, after)
        first = ragged.place_in_row(later.offsets) == 0
        following, rest = (evaluation.truth_of_pairs(night, cut, later.row[mask], later.video_ids[mask],
                                                     MOST_USERS // len(windows)) for mask in (first, first | True))
        for ridge in RIDGES:
            explained = explained_by(night, cut, replace(usual, ridge=ridge))
            for rules in (rules for rules in lately if rules.ridge == ridge):
                lately[rules].append(_ndcg(night, cut, following, explained, lambda batch, fade=rules.lately_fade:
                                           recent(night, batch).lately(night.size, fade)))
            for rules in (rules for rules in whole if rules.ridge == ridge):
                whole[rules].append(_ndcg(night, cut, rest, explained, lambda batch, fade=rules.whole_fade:
                                          whole_history(night, batch, fade)))
    chosen = _better(lately, usual)
    like = replace(usual, ridge=chosen.ridge)
    return replace(chosen, whole_fade=_better({rules: whole[rules] for rules in whole if rules.ridge == like.ridge},
                                              like).whole_fade)


def _ndcg(night: Night, cut: Users, truth: Truth, explained: sparse.csr_matrix, asked: Asked) -> np.ndarray:
    """f64[judged users]: NDCG@10 of what explains best, by the plays that ask."""
    found = [np.zeros((0, min(K, night.size)), np.int64)]
    for piece in pieces(len(truth.rows), evaluation.USERS_AT_ONCE):
        users = take_users(cut, truth.rows[piece])
        scores, known = (asked(users) @ explained).toarray(), recent(night, users)
        scores[ragged.row_of(known.seen_offsets), known.seen] = 0
        best = best_columns(scores, min(K, night.size))
        found.append(np.where(np.take_along_axis(scores, best, 1) > 0, best, -1))
    return metrics.ndcg(metrics.hits_of(np.concatenate(found), truth.offsets, truth.videos), truth.relevant, K)


def _better(values: dict[NeighbourRules, list[np.ndarray]], usual: NeighbourRules) -> NeighbourRules:
    """The best by the mean of all nights' users, the first of equals, unless the usual one is within a standard error of it."""
    each = {rules: np.concatenate(nights) for rules, nights in values.items()}
    best = max(each, key=lambda rules: each[rules].mean() if len(each[rules]) else 0.0)
    gain = each[best] - each[usual]
    return best if len(gain) and gain.sum() > gain.std() * np.sqrt(len(gain)) else usual
