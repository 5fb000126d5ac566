"""Which videos explain a watch best when all others are known: item weights in closed form (EASE).

Two videos watched by the same people are near for co-watching; here a video only counts for what no third one already
tells, which is why it is stronger. Source: Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019.
"""

import numpy as np
from scipy import sparse
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

MOST_VIDEOS = 4000
GRID = np.float32(4096)


def weights(watched: sparse.csr_matrix, ridge: float, fewest: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Videos i64[n] ascending, the most watched of V (by at least `fewest` users, at most 4,000), and f32[n, n]: what
    a row, watched, adds to each column; from watched f32[U, V] of ones.

    One thread and a grid of 1/4096, so that the number of cores changes nothing.
    """
    users = np.bincount(watched.indices, minlength=watched.shape[1])
    most = np.argsort(-users, kind="stable")[:MOST_VIDEOS]
    videos = np.sort(most[users[most] >= fewest])
    if not len(videos):
        return videos, np.zeros((0, 0), np.float32)
    some = watched[:, videos]
    gram = (some.T @ some).toarray().astype(np.float32)
    gram[np.diag_indices_from(gram)] += np.float32(ridge)
    with threadpool_limits(limits=1):
        factor, failed = lapack.spotrf(gram, lower=1, overwrite_a=1)
        inverse, unsolved = lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed or unsolved:
        raise FloatingPointError(f"EASE of {len(videos):,} videos has no solution (LAPACK {failed}, {unsolved}); "
                                 "raise NeighbourRules.ridge")
    below = np.tril(inverse, -1)
    between = below + below.T  # in place from here on: fresh memory for 16 million numbers takes longer than they do
    between /= -np.diag(inverse)
    between *= GRID
    np.rint(between, out=between)
    between /= GRID
    return videos, between
