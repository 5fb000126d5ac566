"""Finding the videos nearest to a user: what a retrieval model hands to the funnel, and the exact search."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from funnel import ragged

# (user vectors f32[U, d], n) → (video index i64[U, n], -1 where there is none, scores f32[U, n]), best first.
Top = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class Retrieval:
    """What the retrieval model knows of a night: video_vectors f32[V, d] in its order, and how to find the nearest."""

    video_vectors: np.ndarray
    top: Top


def exact_top(video_vectors: np.ndarray, block: int = 256) -> Top:
    """Exact search over video_vectors f32[V, d] by matrix products, `block` users at a time; ties by video."""
    def top(user_vectors: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        n = min(n, len(video_vectors))
        index, scores = np.empty((len(user_vectors), n), np.int64), np.empty((len(user_vectors), n), np.float32)
        for start in range(0, len(user_vectors), block):
            every = user_vectors[start:start + block] @ video_vectors.T
            index[start:start + block] = best_columns(every, n)
            scores[start:start + block] = np.take_along_axis(every, index[start:start + block], axis=1)
        return index, scores
    return top


def best_columns(scores: np.ndarray, n: int) -> np.ndarray:
    """i64[R, n]: columns of the n largest scores of each row, falling; ties, at the border too, by column."""
    if n == 0:
        return np.zeros((len(scores), 0), np.int64)
    border = np.partition(scores, -n, axis=1)[:, -n][:, None]
    row, column = np.nonzero(scores >= border)
    offsets = ragged.offsets_of(np.bincount(row, minlength=len(scores)))
    place = ragged.place_in_row(offsets)
    row, chosen = ragged.order_by_score(row, place, scores[row, column])
    return column[(offsets[row] + chosen)[place < n]].reshape(len(scores), n)


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
