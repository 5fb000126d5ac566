"""Published methods that fit in numpy, each with the few settings that matter; the best on an earlier window is judged.

A peer is a fit, `Split` and settings in, a scorer out: places of users → f32[n, V], larger is better. Sources: ItemKNN,
Deshpande and Karypis 2004; EASE, Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019; sequential
rules, Ludewig and Jannach, "Evaluation of Session-based Recommendation Algorithms", 2018.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse

from benchmarks.quality_log import Split
from funnel import ragged
from funnel.night import smoothed
from funnel.retrieval import best_columns
from lake.dates import DAY_US
from lake.tables import table
from training import metrics

LENGTH = 100
AT_ONCE = 512
TUNING_USERS = 2_000

Scorer = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Peer:
    """A name, how to fit, and the settings to choose from."""

    name: str
    fit: Callable[..., Scorer]
    grid: tuple[dict, ...] = ({},)


def matrix(split: Split, weight: np.ndarray | None = None) -> sparse.csr_matrix:
    """f32[U, V]: 1 (or the largest weight) where a user played a video."""
    there = split.video >= 0
    values = np.ones(int(there.sum()), np.float32) if weight is None else weight[there].astype(np.float32)
    keys = split.user[there] * len(split.video_ids) + split.video[there]
    order = np.lexsort((-values, keys))
    first = np.append(True, np.diff(keys[order]) > 0) if len(keys) else np.zeros(0, bool)
    keys, values = keys[order][first], values[order][first]
    return sparse.csr_matrix((values, (keys // len(split.video_ids), keys % len(split.video_ids))),
                             shape=(len(split.user_ids), len(split.video_ids)))


def from_end(split: Split) -> np.ndarray:
    """i64[N]: 0 for a user's newest play, 1 for the one before …"""
    ends = np.cumsum(np.bincount(split.user, minlength=len(split.user_ids)))
    return ends[split.user] - 1 - np.arange(len(split.user))


def popular(split: Split) -> Scorer:
    return _same_for_all(split.counts)


def popular_lately(split: Split, days: int) -> Scorer:
    """Plays of the last days; those older break ties."""
    there = split.video >= 0
    last = there & (split.time_us >= split.now_us - days * DAY_US)
    return _same_for_all(np.bincount(split.video[last], minlength=len(split.video_ids)) + split.counts * 1e-6)


def popular_decayed(split: Split, half_life_days: float) -> Scorer:
    return _same_for_all(_decayed(split, half_life_days))


def popular_smoothed(split: Split) -> Scorer:
    """The pipeline's own order for users without history, by its own half-lives."""
    half_lives = table("popularity").parameters["half_life_days"].values()
    return _same_for_all(smoothed(*(_decayed(split, days) for days in half_lives)))


def _decayed(split: Split, half_life_days: float) -> np.ndarray:
    there = split.video >= 0
    weight = 2.0 ** (-(split.now_us - split.time_us[there]) / DAY_US / half_life_days)
    return np.bincount(split.video[there], weight, len(split.video_ids))


def _same_for_all(scores: np.ndarray) -> Scorer:
    return lambda users: np.broadcast_to(scores.astype(np.float32), (len(users), len(scores)))


def item_knn(split: Split, keep: int, shrink: float) -> Scorer:
    """Cosine over users, shrunk; the `keep` nearest of every video."""
    played = matrix(split)
    together = (played.T @ played).toarray().astype(np.float32)
    norm = np.sqrt(np.maximum(np.diag(together), 1))
    together /= norm[:, None] * norm[None, :] + np.float32(shrink)
    np.fill_diagonal(together, 0)
    if keep < len(together):
        together[together < np.partition(together, -keep, axis=1)[:, -keep][:, None]] = 0
    near = sparse.csr_matrix(together)
    return lambda users: (played[users] @ near).toarray()


def ease(split: Split, ridge: float, kept_per_play: float = 1.0) -> Scorer:
    """EASE; kept_per_play < 1: at scoring the newest play counts 1 and every older one that much less."""
    played = matrix(split)
    asked = played if kept_per_play == 1 else matrix(split, kept_per_play ** from_end(split))
    if played.shape[0] < played.shape[1]:
        return _ease_by_users(played, asked, ridge)
    gram = (played.T @ played).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += ridge
    inverse = linalg.inv(gram, overwrite_a=True, check_finite=False)
    between = (-inverse / np.diag(inverse)[None, :]).astype(np.float32)
    np.fill_diagonal(between, 0)
    return lambda users: asked[users] @ between


def _ease_by_users(played: sparse.csr_matrix, asked: sparse.csr_matrix, ridge: float) -> Scorer:
    """The same where users are fewer than videos: the inverse by Woodbury, never V × V."""
    rows = played.toarray().astype(np.float64)
    inner = linalg.inv(rows @ rows.T + ridge * np.eye(len(rows)), check_finite=False)
    diagonal = (1 - np.einsum("uv,uw,wv->v", rows, inner, rows, optimize=True)) / ridge

    def scorer(users: np.ndarray) -> np.ndarray:
        wanted = asked[users].toarray()
        through = (wanted - ((wanted @ rows.T) @ inner) @ rows) / ridge
        return (wanted - through / diagonal[None, :]).astype(np.float32)
    return scorer


def sequential_rules(split: Split, within: int, last: int) -> Scorer:
    """What follows what: 1 / distance for videos at most `within` plays apart, asked for the `last` newest plays."""
    there = split.video >= 0
    user, video, videos = split.user[there], split.video[there], len(split.video_ids)
    follows = sparse.csr_matrix((videos, videos), dtype=np.float32)
    for distance in range(1, within + 1):
        same = user[:-distance] == user[distance:]
        pairs = (video[:-distance][same], video[distance:][same])
        follows += sparse.csr_matrix((np.full(int(same.sum()), 1 / distance, np.float32), pairs), (videos, videos))
    norm = np.maximum(np.asarray(follows.sum(axis=1)).ravel(), 1e-9) ** -0.5
    follows = sparse.diags_array(norm.astype(np.float32)) @ follows
    place = from_end(split)
    asked = matrix(split, np.where(place < last, 1 / (1 + place), 0))
    return lambda users: (asked[users] @ follows).toarray()


def _grid(**values: tuple) -> tuple[dict, ...]:
    found: list[dict] = [{}]
    for name, each in values.items():
        found = [{**one, name: value} for one in found for value in each]
    return tuple(found)


RIDGES = (30.0, 100.0, 300.0, 1000.0)
PEERS = (
    Peer("most popular", popular),
    Peer("popular 7 days", popular_lately, _grid(days=(7,))),
    Peer("decayed popularity", popular_decayed, _grid(half_life_days=(3, 14, 60, 365))),
    Peer("smoothed popularity", popular_smoothed),
    Peer("item knn", item_knn, _grid(keep=(50, 200), shrink=(10.0, 100.0))),
    Peer("ease", ease, _grid(ridge=RIDGES)),
    Peer("ease recency", ease, _grid(ridge=RIDGES, kept_per_play=(0.8, 0.95, 0.99))),
    Peer("sequential rules", sequential_rules, _grid(within=(3, 10), last=(1, 5, 20))),
)


def lists_of(split: Split, scorer: Scorer, judged: np.ndarray) -> np.ndarray:
    """i64[n, 100]: the best unseen videos of these users, ties by video; -1 where a list ends."""
    seen, found = matrix(split), []
    for start in range(0, len(judged), AT_ONCE):
        users = judged[start:start + AT_ONCE]
        scores = np.array(scorer(users), np.float32)
        scores[seen[users].nonzero()] = -np.inf
        best = best_columns(scores, min(LENGTH, scores.shape[1]))
        found.append(np.where(np.isfinite(np.take_along_axis(scores, best, 1)), best, -1))
    return np.concatenate([np.zeros((0, min(LENGTH, len(split.video_ids))), np.int64), *found])


def ndcg_of(split: Split, scorer: Scorer, most: int = TUNING_USERS) -> float:
    """NDCG@10 over at most so many judged users, spread evenly."""
    rows = np.unique(np.linspace(0, len(split.judged) - 1, min(most, len(split.judged))).astype(np.int64))
    return ndcg_of_lists(split, split.judged[rows], lists_of(split, scorer, split.judged[rows]))


def ndcg_of_lists(split: Split, users: np.ndarray, lists: np.ndarray) -> float:
    """Mean NDCG@10 of lists i64[n, 100] of some of the judged users."""
    flat, offsets = ragged.take(split.offsets, np.searchsorted(split.judged, users))
    return float(metrics.ndcg(metrics.hits_of(lists, offsets, split.truth[flat]), np.diff(offsets), 10).mean())


def tuned(peer: Peer, inner: Split) -> dict:
    """The settings with the best NDCG@10 on the earlier window; the first where nobody can be judged there."""
    if len(peer.grid) == 1 or not len(inner.judged):
        return peer.grid[0]
    return max(peer.grid, key=lambda chosen: ndcg_of(inner, peer.fit(inner, **chosen)))
