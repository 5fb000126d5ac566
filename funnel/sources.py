"""The sources of candidates: what each finds for a batch of users, unseen and best first."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from funnel import ragged
from funnel.night import Night, Users
from funnel.popular import country_codes, fresh_pool, popular_order, rare_pool
from funnel.recent import Recent
from funnel.retrieval import Retrieval, best_columns
from lake.hashing import splitmix64


@dataclass(frozen=True, eq=False)
class Found:
    """What one source found for a batch: unseen pairs, each once, best first per user; ranks from 1."""

    row: np.ndarray
    video: np.ndarray
    score: np.ndarray
    rank: np.ndarray


def retrieved(night: Night, users: Users, known: Recent, retrieval: Retrieval, user_vectors: np.ndarray,
              n: int) -> Found:
    """The nearest n unseen videos: asks for more than n, because the nearest are often seen."""
    seen = int(np.diff(users.seen_offsets).max(initial=0))
    asked = min(night.size, n + min(seen, max(n // 4, 50)))
    video, score = retrieval.top(user_vectors, asked)
    row = np.repeat(np.arange(users.size), video.shape[1])
    return _unseen_first(night, known, row, video.ravel(), score.ravel(), n)


def _unseen_first(night: Night, known: Recent, row: np.ndarray, video: np.ndarray, score: np.ndarray,
                  n: int) -> Found:
    """The first n pairs of each row that are unseen; pairs come ordered by row, best first, -1 for none."""
    mask = video >= 0
    mask &= ~known.seen.has(row * night.size + np.maximum(video, 0))
    row, video, score = row[mask], video[mask], score[mask]
    place = ragged.place_in_row(ragged.offsets_of(np.bincount(row)))
    first = place < n
    return Found(row[first], video[first], score[first].astype(np.float32), place[first] + 1)


@dataclass(frozen=True, eq=False)
class Reached:
    """Every video that neighbours of the last plays lead to: offsets i64[U+1], video i64[n] ascending per user,
    score f32[n], keys i64[n] (user · V + video)."""

    offsets: np.ndarray
    video: np.ndarray
    score: np.ndarray
    keys: np.ndarray


def reached(plays: sparse.csr_matrix, neighbours: sparse.csr_matrix) -> Reached:
    """Sums of the weighted neighbours of each user's last plays f32[U, V]."""
    total = (plays @ neighbours).tocsr()
    offsets = total.indptr.astype(np.int64)
    row = ragged.row_of(offsets)
    keys, order = ragged.sort_keys(row * total.shape[1] + total.indices)
    return Reached(offsets, keys - row * total.shape[1], np.take(total.data, order), keys)


def strongest(total: Reached, known: Recent, n: int) -> Found:
    """The n unseen videos of each row with the largest positive scores."""
    mask = ~known.seen.has(total.keys) & (total.score > 0)
    offsets, video, score = ragged.keep(total.offsets, mask), total.video[mask], total.score[mask]
    row, place = ragged.order_by_score(ragged.row_of(offsets), ragged.place_in_row(offsets), score)
    rank = ragged.place_in_row(offsets) + 1
    top = rank <= n
    flat = (offsets[row] + place)[top]
    return Found(row[top], video[flat], score[flat], rank[top])


def fresh(night: Night, known: Recent, retrieval: Retrieval | None, user_vectors: np.ndarray | None, users: int,
           n: int) -> Found:
    """New videos by early popularity and, with a model, nearness: each as standard deviations over the pool; looked
    for among the best 2 n."""
    pool, early = fresh_pool(night)
    scores = np.broadcast_to(_standardized(early[None]), (users, len(pool)))
    if retrieval is not None and user_vectors is not None and len(pool):
        scores = scores + _standardized(user_vectors @ np.take(retrieval.video_vectors, pool, axis=0).T)
    place = best_columns(np.ascontiguousarray(scores), min(2 * n, len(pool)))
    row = np.repeat(np.arange(users), place.shape[1])
    return _unseen_first(night, known, row, pool[place].ravel(), np.take_along_axis(scores, place, 1).ravel(), n)


def _standardized(values: np.ndarray) -> np.ndarray:
    spread = values.std(axis=1, keepdims=True) if values.shape[1] else np.ones((len(values), 1), np.float32)
    return ((values - values.mean(axis=1, keepdims=True)) / np.maximum(spread, 1e-6)).astype(np.float32) \
        if values.shape[1] else values


def popular(night: Night, users: Users, known: Recent, n: int) -> Found:
    """The most popular unseen videos of the user's country, looked for among the best 2 n."""
    countries, code = country_codes(night, users.countries)
    best = np.stack([popular_order(night, country)[:2 * n] for country in countries])
    worth = night.popularity["decayed"][best]
    video = best[code]
    row = np.repeat(np.arange(users.size), video.shape[1])
    return _unseen_first(night, known, row, video.ravel(), worth[code].ravel(), n)


def explorers(night: Night, users: Users, known: Recent, n: int) -> Found:
    """Unseen videos drawn from the fresh and rarely shown: by splitmix64 of user, date and draw, so always the same."""
    pool = rare_pool(night)
    if not len(pool) or not n:
        return Found(*(np.zeros(0, np.int64) for _ in range(2)), np.zeros(0, np.float32), np.zeros(0, np.int64))
    seed = splitmix64(users.user_ids) ^ splitmix64(np.array([night.as_of.toordinal()]))
    draws = splitmix64((seed[:, None] + np.arange(1, 2 * n + 1, dtype=np.uint64)).view(np.int64))
    video = pool[(draws % np.uint64(len(pool))).astype(np.int64)]
    order = np.argsort(video, axis=1, kind="stable")
    again = np.zeros(video.shape, bool)
    np.put_along_axis(again, order[:, 1:], np.diff(np.take_along_axis(video, order, axis=1), axis=1) == 0, axis=1)
    row = np.repeat(np.arange(users.size), 2 * n)
    return _unseen_first(night, known, row, np.where(again, -1, video).ravel(), np.ones(row.size, np.float32), n)
