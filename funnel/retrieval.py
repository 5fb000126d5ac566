"""Finding the videos nearest to a user: what a retrieval model hands to the funnel, and the exact search."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from funnel import compiled

# (user vectors f32[U, d], n) → (video index i64[U, n], -1 where there is none, scores f32[U, n]), best first.
Top = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
USERS_AT_ONCE, VIDEOS_AT_ONCE = 512, 1024


@dataclass(frozen=True, eq=False)
class Retrieval:
    """What the retrieval model knows of a night: video_vectors f32[V, d] in its order, and how to find the nearest."""

    video_vectors: np.ndarray
    top: Top


def exact_top(video_vectors: np.ndarray) -> Top:
    """Exact search over video_vectors f32[V, d]: matrix products of blocks that stay in the processor's cache while the
    best of each user are taken from them; ties by video."""
    by_number = np.ascontiguousarray(video_vectors.T)

    def top(user_vectors: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        found = [_top(by_number, user_vectors[start:start + USERS_AT_ONCE], min(n, len(video_vectors)))
                 for start in range(0, max(len(user_vectors), 1), USERS_AT_ONCE)]
        return np.concatenate([index for index, _ in found]), np.concatenate([scores for _, scores in found])
    return top


def _top(by_number: np.ndarray, user_vectors: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The same for some users; by_number: f32[d, V]."""
    best = np.empty((len(user_vectors), n), np.float32)
    index, held = np.empty(best.shape, np.int64), np.zeros(len(best), np.int64)
    room = np.empty((len(user_vectors), VIDEOS_AT_ONCE), np.float32)
    for first in range(0, by_number.shape[1] if n else 0, VIDEOS_AT_ONCE):
        videos = by_number[:, first:first + VIDEOS_AT_ONCE]
        scores = np.matmul(user_vectors, videos, out=room if videos.shape[1] == VIDEOS_AT_ONCE else None)
        compiled.offer_columns(scores, first, best, index, held)
    compiled.rows_in_order(best, index, held)
    return index, best


def best_columns(scores: np.ndarray, n: int) -> np.ndarray:
    """i64[R, n]: columns of the n largest scores of each row, falling; ties, at the border too, by column."""
    best, index = np.empty((len(scores), n), np.float32), np.empty((len(scores), n), np.int64)
    held = np.zeros(len(scores), np.int64)
    if n:
        compiled.offer_columns(scores, 0, best, index, held)
    compiled.rows_in_order(best, index, held)
    return index


def nearness(video_vectors: np.ndarray, user_vectors: np.ndarray, user_index: np.ndarray,
             video_index: np.ndarray) -> np.ndarray:
    """f32[N]: dot product of user and video for every pair, user by user in blocks that stay in cache."""
    scores = np.empty(len(video_index), np.float32)
    for start in range(0, len(scores), 8192):
        part = slice(start, start + 8192)
        videos = np.take(video_vectors, video_index[part], axis=0)
        people = np.take(user_vectors, user_index[part], axis=0)
        np.einsum("nd,nd->n", videos, people, out=scores[part])
    return scores
