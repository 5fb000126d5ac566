"""Finding the videos nearest to a user: what a retrieval model hands to the funnel, and the exact search."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from funnel import compiled

# (user vectors f32[U, d], n) → (video index i64[U, n], -1 where there is none, scores f32[U, n]), best first.
Top = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]
USERS_AT_ONCE, VIDEOS_AT_ONCE, LEADING = 512, 512, 5
ROUNDING = np.float32(1e-4)  # of a product of lengths: several times what sums of some hundred numbers may be off


@dataclass(frozen=True, eq=False)
class Retrieval:
    """What the retrieval model knows of a night: video_vectors f32[V, d] in its order, and how to find the nearest."""

    video_vectors: np.ndarray
    top: Top


@dataclass(frozen=True, eq=False)
class Block:
    """Some videos: numbers i64[W] in the night's order, vectors f32[d, W], and what bounds their scores: low and high
    f32[L], the least and largest of each leading number, and rest, the largest length of what is left of a vector."""

    numbers: np.ndarray
    vectors: np.ndarray
    low: np.ndarray
    high: np.ndarray
    rest: float


def exact_top(video_vectors: np.ndarray) -> Top:
    """Exact search over video_vectors f32[V, d], ties by video: matrix products of blocks of videos, and none of a block
    that can't hold one of the best.

    A score is at most the part that the few largest numbers of a vector bring, which has bounds of its own, and for the
    rest the product of the lengths. Most of a catalogue is watched by few and lies near the origin; where all videos are
    alike every block is multiplied. Source: Teflioudi et al., "LEMP: Fast Retrieval of Large Entries in a Matrix
    Product", SIGMOD 2015, which sorts by length and bounds blocks.
    """
    weight = np.einsum("vd,vd->d", video_vectors, video_vectors, dtype=np.float64)
    leading = np.isin(np.arange(len(weight)), np.argsort(-weight, kind="stable")[:LEADING])
    blocks = _blocks(video_vectors, leading)

    def top(user_vectors: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        found = [_top(blocks, leading, user_vectors[start:start + USERS_AT_ONCE], min(n, len(video_vectors)))
                 for start in range(0, max(len(user_vectors), 1), USERS_AT_ONCE)]
        return np.concatenate([index for index, _ in found]), np.concatenate([scores for _, scores in found])
    return top


def _blocks(video_vectors: np.ndarray, leading: np.ndarray) -> list[Block]:
    rest = np.linalg.norm(video_vectors[:, ~leading], axis=1)
    order, blocks = np.argsort(-rest, kind="stable"), []
    for start in range(0, len(order), VIDEOS_AT_ONCE):
        numbers = order[start:start + VIDEOS_AT_ONCE]
        vectors = np.ascontiguousarray(video_vectors[numbers].T)
        blocks.append(Block(numbers, vectors, vectors[leading].min(axis=1), vectors[leading].max(axis=1),
                            float(rest[numbers].max())))
    return blocks


def _top(blocks: list[Block], leading: np.ndarray, user_vectors: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The same for some users, the most promising blocks first, and each for those whom it may hold one of the best."""
    best = Best.of(len(user_vectors), n)
    bounds = _bounds(blocks, leading, user_vectors) if n and len(user_vectors) else np.zeros((0, 0), np.float32)
    room = np.empty((len(user_vectors), VIDEOS_AT_ONCE), np.float32)
    for place in np.argsort(-bounds.max(axis=1, initial=-np.inf), kind="stable"):
        block, rows = blocks[place], np.flatnonzero(~(bounds[place] < best.border))
        if len(rows):
            scores = room[:len(rows), :len(block.numbers)]
            best.offer(np.matmul(user_vectors[rows], block.vectors, out=scores), block.numbers, rows)
    return best.lists()


def _bounds(blocks: list[Block], leading: np.ndarray, user_vectors: np.ndarray) -> np.ndarray:
    """f32[B, U]: what no score of a block exceeds, however it was rounded."""
    low, high = (np.stack([getattr(block, name) for block in blocks]) for name in ("low", "high"))
    rest, asked = np.array([block.rest for block in blocks], np.float32), user_vectors[:, leading]
    left = np.linalg.norm(user_vectors[:, ~leading], axis=1)
    bounds = high @ np.maximum(asked, 0).T + low @ np.minimum(asked, 0).T + rest[:, None] * left
    largest = np.maximum(np.abs(low), np.abs(high)) @ np.abs(asked).T + rest[:, None] * left
    return bounds + ROUNDING * largest


@dataclass(frozen=True, eq=False)
class Best:
    """The best n of what R rows are offered, as `compiled.offer_columns` keeps them."""

    n: int
    keys: np.ndarray
    held: np.ndarray
    border: np.ndarray

    @staticmethod
    def of(rows: int, n: int) -> "Best":
        return Best(n, np.empty((rows, compiled.ROOM * n), np.uint64), np.zeros(rows, np.int64),
                    np.full(rows, -np.inf, np.float32))

    def offer(self, scores: np.ndarray, numbers: np.ndarray, rows: np.ndarray) -> None:
        """Offer some rows, i64[some], their scores f32[some, W] of numbers i64[W]."""
        compiled.offer_columns(scores, numbers, self.keys, self.held, self.border, rows, self.n)

    def lists(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers i64[R, n] and scores f32[R, n], best first; -1 and -inf where a row was offered fewer."""
        return compiled.lists_of(compiled.smallest(self.keys, self.held, self.n))


def best_columns(scores: np.ndarray, n: int) -> np.ndarray:
    """i64[R, n]: columns of the n largest scores of each row, falling; ties, at the border too, by column."""
    best = Best.of(len(scores), n)
    if n:
        best.offer(scores, np.arange(scores.shape[1]), np.arange(len(scores)))
    return best.lists()[0]
