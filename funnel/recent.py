"""A batch of users beside a night: their last plays and everything they have seen, as places in the catalogue."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse

from funnel import compiled, ragged
from funnel.night import Night, Users
from funnel.users import index_in

LENGTH = 50
FADE_PER_PLAY = 0.98
LEAST_WEIGHT = 0.01
WHOLE_FADE = 0.99
LIKED_WEIGHT = 1.5


@dataclass(frozen=True, eq=False)
class Recent:
    """The last plays of U users that are still in the night's catalogue, oldest first.

    offsets: i64[U+1] into video_index i64[n] and weight f32[n] (the newest play 1, older ones fading, likes more).
    age: i64[n], plays of any kind after it. seen_offsets: i64[U+1] into seen i64[m]: everything seen.
    """

    offsets: np.ndarray
    video_index: np.ndarray
    weight: np.ndarray
    age: np.ndarray
    seen_offsets: np.ndarray
    seen: np.ndarray

    @property
    def row(self) -> np.ndarray:
        return ragged.row_of(self.offsets)

    def matrix(self, videos: int, length: int) -> sparse.csr_matrix:
        """Weights of the last `length` plays: sparse f32[U, videos]; a video played twice has two entries."""
        mask = self.age < length
        return sparse.csr_matrix((self.weight[mask], self.video_index[mask].astype(np.int32),
                                  ragged.keep(self.offsets, mask).astype(np.int32)),
                                 shape=(len(self.offsets) - 1, videos))

    def lately(self, videos: int, fade: float) -> sparse.csr_matrix:
        """Weights of the last plays, each `fade` times the one after it, down to a hundredth: sparse f32[U, videos]."""
        mask = self.age < int(np.log(LEAST_WEIGHT) / np.log(fade))
        weight = (np.float32(fade) ** self.age[mask]).astype(np.float32)
        return sparse.csr_matrix((weight, self.video_index[mask].astype(np.int32),
                                  ragged.keep(self.offsets, mask).astype(np.int32)),
                                 shape=(len(self.offsets) - 1, videos))


@lru_cache(maxsize=4)
def recent(night: Night, users: Users) -> Recent:
    """The last plays and seen videos of a batch. Remembered, because each step of the funnel asks for it."""
    mask = ragged.last(users.offsets, LENGTH)
    age = np.repeat(users.offsets[1:], np.diff(users.offsets))[mask] - 1 - np.flatnonzero(mask)
    index = night.index_of(users.video_ids[mask])
    known = index >= 0
    weight = np.float32(FADE_PER_PLAY) ** age * np.where(users.liked[mask], np.float32(LIKED_WEIGHT), np.float32(1))
    seen = index_in(night.video_ids, users.seen_video_ids)
    return Recent(ragged.keep(ragged.keep(users.offsets, mask), known), index[known],
                  weight[known].astype(np.float32), age[known], ragged.keep(users.seen_offsets, seen >= 0), seen[seen >= 0])


def whole_history(night: Night, users: Users) -> sparse.csr_matrix:
    """Weights of all plays of the kept histories, hardly fading: sparse f32[U, V]; a video played twice has two
    entries."""
    index = night.index_of(users.video_ids)
    known = index >= 0
    age = (np.repeat(users.offsets[1:], np.diff(users.offsets)) - 1 - np.arange(len(index)))[known]
    return sparse.csr_matrix(((np.float32(WHOLE_FADE) ** age).astype(np.float32), index[known].astype(np.int32),
                              ragged.keep(users.offsets, known).astype(np.int32)), shape=(users.size, night.size))


def unseen(night: Night, users: Users, lists: np.ndarray, list_of: np.ndarray, n: int) -> np.ndarray:
    """i64[U, n]: the first n unseen videos of each user's list; see `compiled.first_unseen`."""
    known = recent(night, users)
    return compiled.first_unseen(night.size, known.seen_offsets, known.seen, lists, list_of, n)
