"""The sources that list videos for a batch of users; those that follow neighbours are in `compiled.gather`."""

from dataclasses import dataclass

import numpy as np

from funnel.night import Night, Users
from funnel.popular import country_codes, fresh_pool, popular_order, rare_pool
from funnel.retrieval import Retrieval, best_columns
from lake.hashing import splitmix64


@dataclass(frozen=True, eq=False)
class Listed:
    """What a source lists for each of U users, best first, seen or not, each video once: video i64[U, m], -1 for none,
    and score f32[U, m]."""

    video: np.ndarray
    score: np.ndarray


def retrieved(night: Night, users: Users, retrieval: Retrieval, user_vectors: np.ndarray, n: int) -> Listed:
    """The nearest videos: more than n, because the nearest are often seen."""
    seen = int(np.diff(users.seen_offsets).max(initial=0))
    return Listed(*retrieval.top(user_vectors, min(night.size, n + min(seen, max(n // 4, 50)))))


def fresh(night: Night, retrieval: Retrieval | None, user_vectors: np.ndarray | None, users: int, n: int) -> Listed:
    """The best 2 n new videos by early popularity and, with a model, nearness: each as standard deviations over the
    pool."""
    pool, early = fresh_pool(night)
    scores = np.broadcast_to(_standardized(early[None]), (users, len(pool)))
    if retrieval is not None and user_vectors is not None and len(pool):
        scores = scores + _standardized(user_vectors @ np.take(retrieval.video_vectors, pool, axis=0).T)
    place = best_columns(np.ascontiguousarray(scores), min(2 * n, len(pool)))
    return Listed(pool[place], np.take_along_axis(scores, place, 1))


def _standardized(values: np.ndarray) -> np.ndarray:
    spread = values.std(axis=1, keepdims=True) if values.shape[1] else np.ones((len(values), 1), np.float32)
    return ((values - values.mean(axis=1, keepdims=True)) / np.maximum(spread, 1e-6)).astype(np.float32) \
        if values.shape[1] else values


def popular(night: Night, users: Users, n: int) -> Listed:
    """The 2 n most popular videos of the user's country."""
    countries, code = country_codes(night, users.countries)
    best = np.stack([popular_order(night, country)[:2 * n] for country in countries])
    worth = night.popularity["decayed"][best]
    return Listed(best[code], worth[code])


def explorers(night: Night, users: Users, n: int) -> Listed:
    """2 n videos drawn from the fresh and rarely shown: by splitmix64 of user, date and draw, so always the same."""
    pool = rare_pool(night)
    if not len(pool) or not n:
        return Listed(np.zeros((users.size, 0), np.int64), np.zeros((users.size, 0), np.float32))
    seed = splitmix64(users.user_ids) ^ splitmix64(np.array([night.as_of.toordinal()]))
    draws = splitmix64((seed[:, None] + np.arange(1, 2 * n + 1, dtype=np.uint64)).view(np.int64))
    video = pool[(draws % np.uint64(len(pool))).astype(np.int64)]
    order = np.argsort(video, axis=1, kind="stable")
    again = np.zeros(video.shape, bool)
    np.put_along_axis(again, order[:, 1:], np.diff(np.take_along_axis(video, order, axis=1), axis=1) == 0, axis=1)
    return Listed(np.where(again, -1, video), np.ones(video.shape, np.float32))
