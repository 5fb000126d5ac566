"""What a list was worth: metrics per user, of lists over the whole catalogue, never of sampled negatives.

`hits` is bool[U, K]: whether the video at each rank was watched; `relevant` i64[U]: how many videos each user watched
of those that could have been listed. Lists are ordered by score, ties by video id, before they come here.
"""

import numpy as np

from funnel import ragged


def hits_of(lists: np.ndarray, offsets: np.ndarray, watched: np.ndarray) -> np.ndarray:
    """bool[U, K] from lists i64[U, K] of video places (-1 where a list ended) and ragged watched places.

    >>> lists = np.array([[5, 3, 8],    # Ann watched 3 and 9: a hit at rank 2
    ...                   [1, 2, -1]])  # Bo watched 2: a hit at rank 2, and the list is short
    >>> hits_of(lists, np.array([0, 2, 3]), np.array([3, 9, 2]))
    array([[False,  True, False],
           [False,  True, False]])
    """
    size = max(int(lists.max(initial=0)), int(watched.max(initial=0))) + 1
    rows = np.arange(len(lists))[:, None] * size
    return (lists >= 0) & np.isin(rows + lists, ragged.row_of(offsets) * size + watched)


def ndcg(hits: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """f64[U]: discounted gain of the first k ranks over that of the best list; discount 1 / log2(1 + rank).

    >>> hits = np.array([[True, False],   # Ann watched one video, listed first: perfect
    ...                  [False, True],   # Bo's only video came second: 1 / log2(3)
    ...                  [True, True],    # Cy watched three, two fit in and both are there: perfect
    ...                  [False, False]]) # Di's video was not listed
    >>> ndcg(hits, np.array([1, 1, 3, 1]), 2).round(3)
    array([1.   , 0.631, 1.   , 0.   ])
    """
    discount = 1 / np.log2(np.arange(2, k + 2))
    gain = hits[:, :k] @ discount[:hits.shape[1]]
    best = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(relevant, k)]
    return gain / np.maximum(best, 1e-12)


def recall(hits: np.ndarray, relevant: np.ndarray, k: int) -> np.ndarray:
    """f64[U]: the share of what was watched that the first k ranks hold.

    >>> hits = np.array([[True, True, False],   # Ann watched four, two are among the first two ranks
    ...                  [False, False, True]]) # Bo watched one, and it is third
    >>> recall(hits, np.array([4, 1]), 2)
    array([0.5, 0. ])
    """
    return hits[:, :k].sum(1) / np.maximum(relevant, 1)


def hit_rate(hits: np.ndarray, k: int) -> np.ndarray:
    """f64[U]: 1 where one of the first k ranks was watched.

    >>> hit_rate(np.array([[False, True], [False, False]]), 2)  # Ann: yes; Bo: no
    array([1., 0.])
    """
    return hits[:, :k].any(1).astype(np.float64)


def coverage(lists: np.ndarray, videos: int, k: int) -> float:
    """The share of the catalogue that is in somebody's first k ranks.

    >>> coverage(np.array([[0, 1], [1, -1]]), 4, 2)  # Ann sees 0 and 1, Bo 1: two of four videos
    0.5
    """
    shown = np.unique(lists[:, :k])
    return float((shown >= 0).sum() / max(videos, 1))


def novelty(lists: np.ndarray, plays: np.ndarray, k: int) -> float:
    """Mean of -log2 of the share of all plays that each listed video has; one play more for every video.

    >>> round(novelty(np.array([[0], [1]]), np.array([6, 0]), 1), 3)  # Ann sees 7 of 8 plays, Bo 1 of 8
    1.596
    """
    share = (plays + 1) / (plays.sum() + len(plays))
    shown = lists[:, :k]
    return float(-np.log2(share[shown[shown >= 0]]).mean()) if (shown >= 0).any() else float("nan")


def interval(values: np.ndarray, seed: int = 0, draws: int = 2000) -> tuple[float, float, float]:
    """Mean, and the 95 % bootstrap interval of the mean over users; for differences pass paired differences.

    >>> interval(np.array([0.25, 0.25]))  # two users alike: the interval is a point
    (0.25, 0.25, 0.25)
    """
    if not len(values):
        return float("nan"), float("nan"), float("nan")
    rng, means = np.random.default_rng(seed), []
    for begun in range(0, draws, 200):
        drawn = rng.integers(0, len(values), (min(200, draws - begun), len(values)))
        means.append(values[drawn].mean(1))
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)
