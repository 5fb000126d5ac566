"""Where the video tower begins: the leading directions of who watched what, told by content as far as content can.

A few hundred steps of gradient descent spend themselves on finding what a truncated SVD of the normalised watch matrix
knows in a second, so the tower starts there. Each video's vector is split into what its categories and its creator
explain (ridge regression, shrunk means), which a video without plays has too, and the rest, which is its id's.
Sources: Cremonesi et al., "Performance of Recommender Algorithms on Top-N Recommendation Tasks", RecSys 2010 (SVD of
the watch matrix); Nikolakopoulos et al., "EigenRec", 2019 (scaling by popularity); Halko et al. 2011 (random range).
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from training.retrieval import VideoTower
from training.sequences import Sequences
from training.vocabulary import EncodedVideos

PASSES = 6
SURPLUS = 10
SHRINK_PLAYS = 5.0
SHRINK_CREATOR = 3.0
RIDGE = 5.0


@dataclass(frozen=True, eq=False)
class Start:
    """Embedding tables f32[count + 1, d] whose row 0 is zero; a video's vector is the sum of its parts."""

    video: np.ndarray
    creator: np.ndarray
    category: np.ndarray


def find(histories: Sequences, encoded: EncodedVideos, sizes: tuple[int, int, int], width: int, seed: int) -> Start:
    """The start from the plays of these histories. sizes: how many videos, creators and categories have names."""
    known = histories.video >= 0
    row = np.repeat(np.arange(len(histories.lengths)), histories.lengths)[known]
    column = encoded.video[histories.video[known]]
    named = column > 0
    watched = sparse.csr_matrix((np.ones(int(named.sum()), np.float32), (row[named], column[named] - 1)),
                                shape=(len(histories.lengths), sizes[0]))
    watched.data[:] = 1
    return _split(directions(watched, width, seed), encoded, sizes)


def directions(watched: sparse.csr_matrix, width: int, seed: int) -> np.ndarray:
    """f32[V, width] from a 0/1 matrix [U, V]: right singular vectors times the root of their singular values, after
    scaling rows by plays^-1/2 and columns by (plays + 5)^-1/2; zeros where the matrix has fewer directions. The mean
    norm over plays is 1."""
    users, videos = np.diff(watched.indptr), np.bincount(watched.indices, minlength=watched.shape[1])
    by_user, by_video = np.maximum(users, 1) ** -0.5, (videos + SHRINK_PLAYS) ** -0.5
    scaled = sparse.diags_array(by_user) @ watched @ sparse.diags_array(by_video)
    count = min(width + SURPLUS, *watched.shape)
    guess = np.random.default_rng(seed).normal(size=(watched.shape[1], count))
    basis, _ = np.linalg.qr(scaled @ guess)                                  # [U, count]
    for _ in range(PASSES):
        basis, _ = np.linalg.qr(scaled @ (scaled.T @ basis))
    small = (scaled.T @ basis).T                                             # [count, V]
    _, values, right = np.linalg.svd(small, full_matrices=False)
    found = np.zeros((watched.shape[1], width), np.float32)
    kept = min(width, count)
    found[:, :kept] = right[:kept].T * np.sqrt(values[:kept])
    norms = np.linalg.norm(found, axis=1)
    return found / max(float((norms * videos).sum() / max(videos.sum(), 1)), 1e-9)


def _split(vectors: np.ndarray, encoded: EncodedVideos, sizes: tuple[int, int, int]) -> Start:
    videos, creators, categories = sizes
    rows = np.flatnonzero(encoded.video)
    rows = rows[np.argsort(encoded.video[rows])]                             # a row per named video, in its order
    genres = np.zeros((len(rows), categories + 1), np.float32)
    np.add.at(genres, (np.arange(len(rows))[:, None], encoded.categories[rows]), 1)
    genres[:, 0] = 0
    genres /= np.maximum(genres.sum(1, keepdims=True), 1)
    category = np.linalg.solve(genres.T @ genres + RIDGE * np.eye(categories + 1), genres.T @ vectors)
    category[0] = 0
    left = vectors - genres @ category
    maker = encoded.creator[rows]
    creator = np.zeros((creators + 1, vectors.shape[1]))
    np.add.at(creator, maker, left)
    creator /= (np.bincount(maker, minlength=creators + 1) + SHRINK_CREATOR)[:, None]
    creator[0] = 0
    video = np.concatenate([np.zeros((1, vectors.shape[1])), left - creator[maker]])
    return Start(*(table.astype(np.float32) for table in (video, creator, category)))


@torch.no_grad()
def begin(tower: VideoTower, start: Start) -> None:
    """Copy the start into a tower; durations begin at zero."""
    for table, values in ((tower.video, start.video), (tower.creator, start.creator), (tower.category, start.category)):
        table.weight.copy_(torch.from_numpy(values))
    tower.duration.weight.zero_()
