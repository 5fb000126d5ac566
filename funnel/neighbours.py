"""Which videos go with which, from the histories known at a date: watched by the same people, explaining one another,
following one another, made by the same creator. Computed once per night and shared by all users."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from funnel import compiled, explained, ragged
from funnel.night import Night, Users


@dataclass(frozen=True)
class NeighbourRules:
    """keep, explained_keep: neighbours per video. `ridge` (of explained.py) reads everything seen, the others the kept
    histories. shrink: pulls rare pairs down. lately_fade: what a play weighs of the next newer one where the last plays ask
    for neighbours, between 0 and 1; a training chooses it, and the ridge."""

    keep: int = 50
    shrink: float = 10.0
    follow_within: int = 10
    ridge: float = 300.0
    explained_keep: int = 200
    creator_keep: int = 10
    lately_fade: float = 0.8


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Sparse f32[V, V], a row's entries in ascending video order: from a watched video to candidates. rules: what they
    were made by, and are to be asked by."""

    co_watched: sparse.csr_matrix
    explained: sparse.csr_matrix
    followed: sparse.csr_matrix
    creator: sparse.csr_matrix
    rules: NeighbourRules


def neighbours(night: Night, users: Users, rules: NeighbourRules) -> Neighbours:
    """Neighbours of every video of the night from the histories of these users (all of them, or a sample)."""
    video, row = night.index_of(users.video_ids), ragged.row_of(users.offsets)
    row, video = row[video >= 0], video[video >= 0]
    with ThreadPoolExecutor(1) as beside:  # the inverse of `explained` takes as long as the loops of the two others
        together = beside.submit(_co_watched, row, video, users.size, night.size, rules)
        follows = beside.submit(_followed, row, video, night.size, rules)
        explaining = explained_by(night, users, rules.ridge, rules.explained_keep)
    return Neighbours(co_watched=together.result(), explained=explaining, followed=follows.result(),
                      creator=_same_creator(night, rules), rules=rules)


def _co_watched(row: np.ndarray, video: np.ndarray, users: int, videos: int,
                rules: NeighbourRules) -> sparse.csr_matrix:
    """Cosine of the sets of people who watched two videos, shrunk towards 0 for rare ones."""
    watched = sparse.csr_matrix((np.ones(len(row), np.float32), (row, video)), shape=(users, videos))
    by_video = watched.T.tocsr()
    best = _Best.of(videos, rules.keep)
    compiled.co_watched(watched.indptr, watched.indices.astype(np.uint32), by_video.indptr,
                        by_video.indices.astype(np.uint32), np.float32(rules.shrink), best.ids, best.scores, best.held)
    return best.matrix()


def explained_by(night: Night, users: Users, ridge: float, keep: int = NeighbourRules.explained_keep) -> sparse.csr_matrix:
    """The `keep` strongest weights of `explained.weights` over everything these users ever saw."""
    seen = night.index_of(users.seen_video_ids)
    there = seen >= 0
    watched = sparse.csr_matrix((np.ones(int(there.sum()), np.float32), seen[there],
                                 ragged.keep(users.seen_offsets, there)), shape=(users.size, night.size))
    videos, between = explained.weights(watched, ridge)
    best = _Best.of(len(videos), keep)
    compiled.largest(between, best.ids, best.scores, best.held)
    kept = best.matrix().tocoo()
    return _sorted(sparse.csr_matrix((kept.data, (videos[kept.row], videos[kept.col])), shape=(night.size, night.size)))


def _followed(row: np.ndarray, video: np.ndarray, videos: int, rules: NeighbourRules) -> sparse.csr_matrix:
    """How often a video comes soon after another: 1 / distance per occurrence, over the other's plays."""
    best = _Best.of(videos, rules.keep)
    compiled.followed(row, video.astype(np.uint32), ragged.offsets_of(np.bincount(video, minlength=videos)),
                      rules.follow_within, np.float32(rules.shrink), best.ids, best.scores, best.held)
    return best.matrix()


@dataclass(frozen=True, eq=False)
class _Best:
    """The best n of each of V videos: ids i32[V, n] and scores f32[V, n] in any order, of which held i64[V] are used."""

    ids: np.ndarray
    scores: np.ndarray
    held: np.ndarray

    @staticmethod
    def of(videos: int, n: int) -> "_Best":
        return _Best(np.empty((videos, n), np.int32), np.empty((videos, n), np.float32), np.zeros(videos, np.int64))

    def matrix(self) -> sparse.csr_matrix:
        used = np.arange(self.ids.shape[1]) < self.held[:, None]
        return _sorted(sparse.csr_matrix((self.scores[used], self.ids[used], ragged.offsets_of(self.held)),
                                         shape=(len(self.held), len(self.held))))


def _same_creator(night: Night, rules: NeighbourRules) -> sparse.csr_matrix:
    """From each video to the most played videos of its creator, itself among them; unknown creators have none."""
    known = np.flatnonzero(night.creator_ids >= 0)
    creators, code = np.unique(night.creator_ids[known], return_inverse=True)
    strength = (1 + np.log1p(night.popularity["decayed"][known])).astype(np.float32)
    best = known[np.lexsort((known, -strength, code))]
    code_of_best = np.searchsorted(creators, night.creator_ids[best])
    counts = np.bincount(code, minlength=len(creators))
    place = ragged.place_in_row(ragged.offsets_of(counts))
    top = place < rules.creator_keep
    table = sparse.csr_matrix((1 + np.log1p(night.popularity["decayed"][best[top]]).astype(np.float32),
                               (code_of_best[top], best[top])), shape=(len(creators), night.size))
    member = sparse.csr_matrix((np.ones(len(known), np.float32), (known, code)), shape=(night.size, len(creators)))
    return _sorted(member @ table)


def _sorted(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    matrix = matrix.tocsr().astype(np.float32)
    matrix.sort_indices()
    return matrix
